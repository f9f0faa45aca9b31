//! Booting a template: a machine without identity, secret, environment or
//! network, paused when it waits for its seat, and written to files.

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clarateach_domain::{
    limits::{Asked, Limits},
    microvm::Resources,
};
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use super::{
    GONE_WITHIN, Inner,
    api::{
        Api,
        resources::{SnapshotCreate, SnapshotType, VmState},
    },
    boot::{wait_for_api, wait_for_guest},
    jail::Jail,
    recipe::{self, For},
    snapshot::{Parts, Snapshot},
};
use crate::{
    control::Control,
    network::{Network, tap::LooseTap},
    rundir::gone,
    runtime::{Machine, disk, images::Disks, limits, log},
};

const NAME: &str = "template";
/// Failures in a row after which machines of its kind boot by themselves.
const CHANCES: u32 = 2;
/// On no bridge; one agent makes one template at a time, in its own namespace.
const TAP: &str = "ctptemplate";

impl Inner {
    /// The snapshot for a machine of these disks and resources, made if it is
    /// not there, and its key. None where it failed too often.
    pub(super) async fn template(
        self: &Arc<Self>,
        disks: &Disks,
        resources: Resources,
        made_for: For,
    ) -> anyhow::Result<(Option<Snapshot>, String)> {
        let key = {
            let (inner, disks) = (Arc::clone(self), disks.clone());
            spawn_blocking(move || {
                Parts::of(&inner.host, &disks, &inner.sums, resources, made_for)?.key()
            })
            .await??
        };
        // Held while one is made: the others want the same, or wait their turn.
        let mut failed = self.failed.lock().await;
        if failed.get(&key).is_some_and(|times| *times >= CHANCES) {
            return Ok((None, key));
        }
        let lock = {
            let (inner, key) = (Arc::clone(self), key.clone());
            spawn_blocking(move || inner.snapshots.lock(&key)).await??
        };
        let found = {
            let (inner, key) = (Arc::clone(self), key.clone());
            spawn_blocking(move || inner.snapshots.find(&key)).await?
        };
        match found {
            Ok(Some(found)) => return Ok((Some(found), key)),
            Ok(None) => {}
            Err(error) => {
                warn!(
                    key,
                    error = format!("{error:#}"),
                    "snapshot was refused and is made anew"
                );
                self.snapshots.discard(&key)?;
            }
        }
        let began = std::time::Instant::now();
        let mut output = {
            let inner = Arc::clone(self);
            spawn_blocking(move || inner.template_ground()).await??
        };
        let made = self
            .make_template(disks, resources, made_for, (&key, &output))
            .await
            .map_err(|error| match said(&mut output) {
                none if none.is_empty() => error,
                said => error.context(format!("it said: {said}")),
            });
        let cleared = {
            let inner = Arc::clone(self);
            spawn_blocking(move || inner.clear_template()).await?
        };
        drop(lock);
        if let Err(error) = made.and(cleared) {
            *failed.entry(key).or_default() += 1;
            return Err(error.context("could not make a template"));
        }
        info!(key, took = ?began.elapsed(), "template made");
        let (inner, wanted) = (Arc::clone(self), key.clone());
        let found = spawn_blocking(move || inner.snapshots.find(&wanted)).await??;
        Ok((found, key))
    }

    /// A machine died while it was restored. That may be the snapshot's fault, or
    /// somebody killed it: only when it happens again does this agent do without.
    pub(super) async fn doubt_template(&self, key: &str) {
        let mut failed = self.failed.lock().await;
        let times = failed.entry(key.to_owned()).or_default();
        *times += 1;
        if *times >= CHANCES {
            warn!(
                key,
                "machines died while they were restored: others boot by themselves"
            );
        }
    }

    /// A machine was restored: what died before died of something else.
    pub(super) async fn trust_template(&self, key: &str) {
        self.failed.lock().await.remove(key);
    }

    /// Nobody is restored from this one any more.
    pub(super) async fn give_up_template(&self, key: &str) {
        self.failed.lock().await.insert(key.to_owned(), CHANCES);
        if let Err(error) = self.snapshots.discard(key) {
            warn!(
                key,
                error = format!("{error:#}"),
                "useless snapshot was not removed"
            );
        }
    }

    fn template_jail(&self) -> anyhow::Result<Jail> {
        Ok(Jail {
            id: NAME.to_owned(),
            base: self.jails(),
            note: self.run.path().join("template.json"),
            // No slot is 0.
            user: self.user(0)?,
            cgroup: format!("{}/{NAME}", self.cgroup),
        })
    }

    /// Removes what a template that was cut off left. Blocks.
    pub(super) fn clear_template(&self) -> anyhow::Result<()> {
        self.template_jail()?.clear(&self.host, GONE_WITHIN)?;
        Network::remove_tap(TAP).context("could not remove the template's tap")?;
        gone(fs::remove_dir_all(self.run.path().join(NAME)))
            .context("could not remove the template's folder")
    }

    /// A clean place for one, and the pipe it speaks into. Blocks.
    fn template_ground(&self) -> anyhow::Result<fs::File> {
        self.clear_template()?;
        let folder = self.run.path().join(NAME);
        fs::create_dir(&folder).context("could not make the template's folder")?;
        log::open(&folder).context("could not make the log pipe")
    }

    async fn make_template(
        self: &Arc<Self>,
        disks: &Disks,
        resources: Resources,
        made_for: For,
        (key, output): (&str, &fs::File),
    ) -> anyhow::Result<()> {
        let jail = self.template_jail()?;
        let (_tap, process) = {
            let (inner, jail, disks) = (Arc::clone(self), jail.clone(), disks.clone());
            let output = output.try_clone().context("could not share the log pipe")?;
            let start = move || inner.start_template(&jail, &disks, resources, &output);
            spawn_blocking(start).await??
        };
        let root = jail.root(&self.host);
        let control = Control::through_vmm(&root.join(recipe::VSOCK), recipe::CONTROL_PORT);
        let machine = Machine::new(process, control).context("could not watch the template")?;
        let api = Api::at(&jail.api(&self.host));
        wait_for_api(&api, &machine).await?;
        let told = recipe::template_boot_args(self.host.virtualization, made_for);
        let port = (TAP, recipe::TEMPLATE_MAC);
        recipe::assemble(&api, resources, allowed(resources), told, port).await?;
        recipe::start(&api).await?;
        self.verify(&jail).await?;
        wait_for_guest(&machine, self.host.boot_within).await?;
        api.set_state(VmState::Paused).await?;
        api.create_snapshot(&SnapshotCreate {
            snapshot_type: SnapshotType::Full,
            snapshot_path: format!("/{}", recipe::STATE),
            mem_file_path: format!("/{}", recipe::MEMORY),
        })
        .await?;
        let (inner, key) = (Arc::clone(self), key.to_owned());
        let disk = (made_for == For::OwnDisk).then(|| self.template_seat_disk());
        spawn_blocking(move || inner.snapshots.keep(&key, &root, disk.as_deref())).await?
    }

    fn template_seat_disk(&self) -> PathBuf {
        self.run.path().join(NAME).join("disk.img")
    }

    fn start_template(
        &self,
        jail: &Jail,
        disks: &Disks,
        resources: Resources,
        output: &fs::File,
    ) -> anyhow::Result<(LooseTap, std::os::fd::OwnedFd)> {
        let seat = self.template_seat_disk();
        disk::copy(&self.template_disk(resources.disk_mib)?, &seat)?;
        let tap =
            Network::loose_tap(TAP, jail.user).context("could not make the template's tap")?;
        let shown = self.shown(disks, &seat);
        let process = jail.start(&self.host, resources, allowed(resources), &shown, output)?;
        Ok((tap, process))
    }
}

/// A template is nobody's: it may take what a seat that is alone may.
fn allowed(resources: Resources) -> Limits {
    Limits::of(limits::here(), 1, resources.vcpus, Asked::default())
}

/// The end of what is left in the pipe: nobody reads it while a template boots.
fn said(pipe: &mut fs::File) -> String {
    let mut said = vec![0; 64 * 1024];
    let read = std::io::Read::read(pipe, &mut said).unwrap_or(0);
    let said = String::from_utf8_lossy(&said[..read]);
    let lines: Vec<_> = said.lines().map(str::trim).collect();
    lines[lines.len().saturating_sub(12)..].join(" | ")
}
