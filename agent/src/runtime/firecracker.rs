//! Every seat its own MicroVM: Firecracker in a jail.
//!
//! Way of a boot: disk -> tap -> jail -> restored from a template, or assembled
//! and started -> filters verified -> the guest answers. Until then a failure
//! undoes all; afterwards only `halt` ends a machine. The VMM is nobody's
//! child: an agent that dies takes nobody with it.

pub mod api;
pub(crate) mod host;
mod jail;
mod limits;
mod recipe;
pub(crate) mod seen;
mod snapshot;
mod template;
pub(crate) mod timer;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use async_trait::async_trait;
use clarateach_domain::{
    ids::Slot,
    microvm::{MicroVmSpec, Resources},
    seat_net,
};
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tracing::{debug, info, warn};

pub use self::host::FirecrackerSettings;
use self::{
    api::Api,
    host::{Host, Virtualization},
    jail::{Jail, Shown},
    snapshot::{Snapshot, Snapshots},
};
use super::{Disk, Machine, Runtime, cgroups, disk, images, log, sums::Sums};
use crate::{
    control::Control,
    network::Network,
    rundir::{RunDir, SeatDir, gone},
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
    /// One maker of templates at a time; those it could not make.
    hopeless: tokio::sync::Mutex<Vec<String>>,
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
        let disks =
            images::choose_disks(&images, None).context("could not choose the MicroVMs' disks")?;
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
            hopeless: tokio::sync::Mutex::default(),
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
        log::follow(self.inner.run.seat(slot).path()).context("could not follow the log")?;
        Ok(Some(machine))
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

/// What a boot is made from.
struct Ground {
    jail: Jail,
    disks: images::Disks,
    resources: Resources,
    slot: Slot,
    seat: SeatDir,
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

    /// How long a guest may take until it answers: a bound, far from the usual.
    fn answers_within(&self) -> Duration {
        match self.host.virtualization {
            Virtualization::Hardware => Duration::from_secs(30),
            Virtualization::Emulated => Duration::from_mins(5),
        }
    }

    fn template_disk(&self, mib: u32) -> anyhow::Result<PathBuf> {
        let _one = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        disk::template(self.run.path(), mib)
    }

    /// Restored where that can be, booted where it cannot.
    async fn boot(self: &Arc<Self>, spec: &MicroVmSpec, disk: Disk) -> anyhow::Result<Machine> {
        let began = Instant::now();
        let ground = {
            let (inner, spec) = (Arc::clone(self), spec.clone());
            Arc::new(spawn_blocking(move || inner.ground(&spec, disk)).await??)
        };
        // Held until the VMM holds it: the reader would end at a pipe without writers.
        let output = log::open(ground.seat.path()).context("could not make the log pipe")?;
        log::follow(ground.seat.path()).context("could not follow the MicroVM's log")?;
        let (snapshot, key) = match self.template(&ground.disks, ground.resources).await {
            Ok(found) => found,
            Err(error) => {
                warn!(
                    error = format!("{error:#}"),
                    "no template: MicroVMs boot by themselves"
                );
                (None, String::new())
            }
        };
        let templated = began.elapsed();
        if let Some(snapshot) = snapshot {
            match self.start(&ground, Some(snapshot), &output).await {
                Ok(machine) => {
                    debug!(slot = %spec.slot, ?templated, took = ?began.elapsed(), "MicroVM restored");
                    return Ok(machine);
                }
                Err(error) => {
                    warn!(slot = %spec.slot, error = format!("{error:#}"), "MicroVM was not restored and boots by itself");
                    self.give_up_template(&key).await;
                    let (inner, slot) = (Arc::clone(self), spec.slot);
                    spawn_blocking(move || inner.halt(slot, Disk::Keep)).await??;
                }
            }
        }
        let machine = self.start(&ground, None, &output).await?;
        debug!(slot = %spec.slot, took = ?began.elapsed(), "MicroVM booted");
        Ok(machine)
    }

    /// The seat's disk, new or kept, and what goes with it. Blocks.
    fn ground(&self, spec: &MicroVmSpec, disk: Disk) -> anyhow::Result<Ground> {
        let seat = self.run.seat(spec.slot);
        let (file, named) = (seat.file("disk.img"), seat.file("rootfs"));
        let kept = (disk == Disk::Keep && file.exists())
            .then(|| fs::read_to_string(&named).ok())
            .flatten();
        let disks = images::choose_disks(&self.images, kept.as_deref().map(str::trim))
            .context("could not choose the MicroVM's disks")?;
        // Looked at each time: they may have changed since the agent's start.
        self.sums.check_own(&self.host.kernel)?;
        self.sums.check(&disks.base)?;
        self.sums.check(&disks.boot)?;
        if kept.as_deref() != Some(&disks.rootfs_name) {
            gone(fs::remove_file(&named)).context("could not forget the old disk")?;
            gone(fs::remove_file(&file)).context("could not remove the old disk")?;
            disk::copy(&self.template_disk(spec.resources.disk_mib)?, &file)?;
            fs::write(&named, &disks.rootfs_name).context("could not write the image's name")?;
        }
        Ok(Ground {
            jail: self.jail(spec.slot)?,
            disks,
            resources: spec.resources,
            slot: spec.slot,
            seat,
        })
    }

    /// From a tap to a guest that answers.
    async fn start(
        self: &Arc<Self>,
        ground: &Arc<Ground>,
        snapshot: Option<Snapshot>,
        output: &fs::File,
    ) -> anyhow::Result<Machine> {
        let restored = snapshot.is_some();
        let output = output.try_clone().context("could not share the log pipe")?;
        let (tap, process) = {
            let (inner, ground) = (Arc::clone(self), Arc::clone(ground));
            spawn_blocking(move || {
                let tap = inner.network.open_tap(ground.slot, ground.jail.user)?;
                let disk = ground.seat.file("disk.img");
                let mut shown = inner.shown(&ground.disks, &disk);
                shown.extend(snapshot.into_iter().flat_map(|snapshot| {
                    [
                        read_only(snapshot.state, recipe::STATE),
                        read_only(snapshot.memory, recipe::MEMORY),
                    ]
                }));
                let process = ground
                    .jail
                    .start(&inner.host, ground.resources, &shown, &output)?;
                anyhow::Ok((tap, process))
            })
            .await??
        };
        let machine = self.machine(ground.slot, process)?;
        let api = Api::at(&ground.jail.api(&self.host));
        wait_for_api(&api, &machine).await?;
        let port = seat_net::port_name(ground.slot);
        if restored {
            recipe::restore(&api, &port).await?;
        } else {
            let mac = seat_net::mac_text(ground.slot);
            let told = recipe::boot_args(self.host.virtualization);
            recipe::assemble(&api, ground.resources, told, &port, &mac).await?;
            recipe::start(&api).await?;
        }
        self.verify(&ground.jail).await?;
        wait_for_guest(&machine, self.answers_within()).await?;
        tap.keep();
        Ok(machine)
    }

    /// What every VMM's chroot shows.
    fn shown(&self, disks: &images::Disks, seat: &Path) -> Vec<Shown> {
        vec![
            read_only(self.host.kernel.clone(), recipe::KERNEL),
            read_only(disks.boot.clone(), recipe::BOOT),
            read_only(disks.base.clone(), recipe::BASE),
            Shown {
                from: seat.to_owned(),
                name: recipe::SEAT,
                read_only: false,
            },
        ]
    }

    /// Its filters are in force, and what the kernel does for it is counted as its.
    async fn verify(&self, jail: &Jail) -> anyhow::Result<()> {
        let jail = jail.clone();
        spawn_blocking(move || {
            let (name, _process) = jail.named()?.context("firecracker ended at its start")?;
            jail::filtered(name.pid)?;
            let timer = limits::take_timer(&jail.cgroup, name.pid)?;
            debug!(pid = name.pid, timer, "VMM verified");
            Ok(())
        })
        .await?
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
        Network::close_port(slot)?;
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

fn read_only(from: PathBuf, name: &'static str) -> Shown {
    Shown {
        from,
        name,
        read_only: true,
    }
}

/// The VMM makes its socket a moment after its process starts.
async fn wait_for_api(api: &Api, machine: &Machine) -> anyhow::Result<()> {
    const WITHIN: Duration = Duration::from_secs(20);
    let answered = async {
        let mut pause = Duration::from_millis(1);
        while let Err(error) = api.instance(WITHIN).await {
            debug!(%error, "firecracker does not answer yet");
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    };
    tokio::select! {
        answered = timeout(WITHIN, answered) => answered.context("firecracker did not open its API"),
        () = machine.died() => anyhow::bail!("firecracker ended at its start"),
    }
}

/// The guest answers its agent, though it does not know yet who it is.
async fn wait_for_guest(machine: &Machine, within: Duration) -> anyhow::Result<()> {
    const LOOK: Duration = Duration::from_secs(10);
    let answered = async {
        let mut pause = Duration::from_millis(5);
        while let Err(error) = machine.control().health(LOOK).await {
            debug!(%error, "guest does not answer yet");
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    };
    tokio::select! {
        answered = timeout(within, answered) => {
            answered.with_context(|| format!("the guest did not answer within {within:?}"))
        }
        () = machine.died() => anyhow::bail!("the guest ended while it started"),
    }
}
