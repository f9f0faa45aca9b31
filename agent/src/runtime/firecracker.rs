//! Every seat its own MicroVM: Firecracker in a jail.
//!
//! Way of a boot: disk -> tap -> jail -> restored from a template, or assembled
//! and started -> filters verified -> the guest answers. Until then a failure
//! undoes all; afterwards only `halt` ends a machine. The VMM is nobody's
//! child: an agent that dies takes nobody with it.

pub mod api;
mod boot;
pub(crate) mod host;
mod jail;
mod limits;
mod recipe;
pub(crate) mod seen;
mod snapshot;
mod template;
pub(crate) mod timer;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use async_trait::async_trait;
use clarateach_domain::{
    ids::Slot,
    microvm::{MicroVmSpec, Resources},
};
use tokio::task::spawn_blocking;
use tracing::{info, warn};

pub use self::host::FirecrackerSettings;
use self::{api::Api, host::Host, jail::Jail, snapshot::Snapshots};
use super::{Disk, Machine, Runtime, cgroups, disk, images, limits as allowed, log, sums::Sums};
use crate::{
    control::Control,
    network::Network,
    rundir::{RunDir, gone},
};

/// Longest wait for processes and cgroups to be gone after a kill.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// How long an adopted VMM may take to answer.
const PROBE_WITHIN: Duration = Duration::from_secs(2);
/// Uids of one slot, as containers have them; a VMM needs the first.
const IDS: u32 = 65_536;

/// The Firecracker runtime of one worker.
#[derive(Debug, Clone)]
pub struct FirecrackerRuntime {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    run: RunDir,
    images: PathBuf,
    uid_base: u32,
    cgroup: String,
    network: Network,
    host: Host,
    sums: Sums,
    snapshots: Snapshots,
    /// One maker of template disks at a time.
    disks: Mutex<()>,
    /// One maker of templates at a time; how often in a row one of them failed.
    failed: tokio::sync::Mutex<HashMap<String, u32>>,
}

impl FirecrackerRuntime {
    /// Checks what it needs and prepares what all seats share. Blocks.
    pub fn prepare(
        run: RunDir,
        images: &Path,
        uid_base: u32,
        cgroup: &str,
        network: Network,
        settings: &FirecrackerSettings,
    ) -> anyhow::Result<Self> {
        let images = images
            .canonicalize()
            .with_context(|| format!("could not find the images in {}", images.display()))?;
        let host = Host::examine(settings, &images)?;
        let sums = Sums::of(&images);
        let disks = images::choose_disks(&images, None, host.virtualization.of_disks())
            .context("could not choose the MicroVMs' disks")?;
        if settings.kernel.is_none() {
            sums.check(&host.kernel)?;
        }
        sums.check(&disks.base)?;
        sums.check(&disks.boot)?;
        let inner = Inner {
            sums,
            snapshots: Snapshots::open(&images.join("snapshots"))?,
            run,
            images,
            uid_base,
            cgroup: cgroup.trim_matches('/').to_owned(),
            network,
            host,
            disks: Mutex::new(()),
            failed: tokio::sync::Mutex::default(),
        };
        inner.template_disk(Resources::DEFAULT.disk_mib)?;
        inner.clear_template()?;
        info!(
            version = inner.host.version,
            virtualization = inner.host.virtualization.as_str(),
            kernel = %inner.host.kernel.display(),
            "firecracker ready"
        );
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}

#[async_trait]
impl Runtime for FirecrackerRuntime {
    async fn boot(&self, spec: &MicroVmSpec, disk: Disk) -> anyhow::Result<Machine> {
        let booted = self.inner.boot(spec, disk).await;
        if booted.is_err()
            && let Err(error) = self.halt(spec.slot, Disk::Keep).await
        {
            warn!(slot = %spec.slot, error = format!("{error:#}"), "half-made MicroVM was not removed");
        }
        booted
    }

    async fn connect(&self, slot: Slot) -> anyhow::Result<()> {
        spawn_blocking(move || Network::connect(slot)).await??;
        Ok(())
    }

    async fn adopt(&self, slot: Slot) -> anyhow::Result<Option<Machine>> {
        let inner = Arc::clone(&self.inner);
        let jail = inner.jail(slot)?;
        let Some(process) = spawn_blocking(move || jail.process()).await?? else {
            return Ok(None);
        };
        // A process alone may be one whose boot was cut off.
        let api = Api::at(&self.inner.jail(slot)?.api(&self.inner.host));
        match api.instance(PROBE_WITHIN).await {
            Ok(instance) if instance.state == "Running" => {}
            Ok(instance) => {
                info!(%slot, state = instance.state, "half-made MicroVM was found");
                return Ok(None);
            }
            Err(error) => {
                warn!(%slot, %error, "MicroVM that does not answer was found");
                return Ok(None);
            }
        }
        let machine = self.inner.machine(slot, process)?;
        let inner = Arc::clone(&self.inner);
        spawn_blocking(move || {
            let spec = inner.run.seat(slot).spec();
            allowed::take_over(&inner.network, slot, spec);
        })
        .await?;
        log::follow(self.inner.run.seat(slot).path()).context("could not follow the log")?;
        Ok(Some(machine))
    }

    fn patience(&self) -> Duration {
        // On a busy host that emulates ring 0 an identity was seen to take a minute.
        self.inner.host.boot_within.max(Duration::from_mins(1))
    }

    async fn probe(&self, slot: Slot, within: Duration) -> anyhow::Result<()> {
        let api = Api::at(&self.inner.jail(slot)?.api(&self.inner.host));
        // Answered by the VMM's own loop, which also carries disk and network.
        let instance = api.instance(within).await?;
        anyhow::ensure!(
            instance.state == "Running",
            "firecracker says that the machine is {}",
            instance.state
        );
        Ok(())
    }

    async fn list(&self) -> anyhow::Result<Vec<Slot>> {
        let inner = Arc::clone(&self.inner);
        spawn_blocking(move || inner.list()).await?
    }

    async fn halt(&self, slot: Slot, disk: Disk) -> anyhow::Result<()> {
        let inner = Arc::clone(&self.inner);
        spawn_blocking(move || inner.halt(slot, disk)).await?
    }

    async fn log(&self, slot: Slot) -> anyhow::Result<String> {
        let seat = self.inner.run.seat(slot);
        let tail = spawn_blocking(move || log::tail(seat.path())).await?;
        tail.context("could not read the MicroVM's log")
    }
}

impl Inner {
    fn name(slot: Slot) -> String {
        format!("s{slot}")
    }

    fn jails(&self) -> PathBuf {
        self.run.path().join("jails")
    }

    fn user(&self, number: u32) -> anyhow::Result<u32> {
        number
            .checked_mul(IDS)
            .and_then(|offset| offset.checked_add(self.uid_base))
            .context("the slot's ids would not fit into 32 bits")
    }

    fn jail(&self, slot: Slot) -> anyhow::Result<Jail> {
        let id = Self::name(slot);
        Ok(Jail {
            cgroup: format!("{}/{id}", self.cgroup),
            id,
            base: self.jails(),
            note: self.run.seat(slot).file("vmm.json"),
            user: self.user(u32::from(slot))?,
        })
    }

    fn template_disk(&self, mib: u32) -> anyhow::Result<PathBuf> {
        let _one = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        disk::template(self.run.path(), mib)
    }

    fn machine(&self, slot: Slot, process: std::os::fd::OwnedFd) -> anyhow::Result<Machine> {
        let socket = self.jail(slot)?.root(&self.host).join(recipe::VSOCK);
        let control = Control::through_vmm(&socket, recipe::CONTROL_PORT);
        Machine::new(process, control).context("could not watch the VMM's process")
    }

    /// Ends and removes in order: the VMM holds jail, cgroup, tap and disk.
    fn halt(&self, slot: Slot, disk: Disk) -> anyhow::Result<()> {
        let seat = self.run.seat(slot);
        self.jail(slot)?.clear(&self.host, GONE_WITHIN)?;
        self.network.close_port(slot)?;
        if disk == Disk::Discard {
            gone(fs::remove_file(seat.file("disk.img")))
                .context("could not remove the seat's disk")?;
            gone(fs::remove_file(seat.file("rootfs"))).context("could not remove its name")?;
        }
        Ok(())
    }

    fn list(&self) -> anyhow::Result<Vec<Slot>> {
        let mut slots = Network::ports()?;
        slots.extend(
            self.run
                .slots()
                .context("could not list the seats' folders")?,
        );
        let mut names = cgroups::below(&self.cgroup).context("could not list the cgroups")?;
        names.extend(jail::list(&self.jails(), &self.host).context("could not list the jails")?);
        let numbers = names
            .iter()
            .filter_map(|name| name.strip_prefix('s')?.parse::<u32>().ok());
        slots.extend(numbers.filter_map(|number| Slot::try_from(number).ok()));
        Ok(slots.into_iter().collect())
    }
}
