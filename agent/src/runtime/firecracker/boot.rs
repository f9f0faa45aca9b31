//! Making one MicroVM, from its disk to a guest that answers.
//!
//! Way: [`Ground`], which a failed start does not undo -> restored from a
//! template, or told what to be and started -> filters verified -> the guest
//! answers. A snapshot that was refused, or from which no guest speaks, is
//! given up and the machine boots by itself; a VMM that died on the way is its
//! seat's to start again.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clarateach_domain::{
    ids::Slot,
    limits::Limits,
    microvm::{MicroVmSpec, Resources},
    seat_net,
};
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    Inner,
    api::{Api, ApiError},
    jail::{self, Jail, Shown},
    limits,
    recipe::{self, For},
    snapshot::Snapshot,
};
use crate::{
    rundir::{SeatDir, gone, replace},
    runtime::{Disk, Machine, disk, images, limits as allowed, log},
};

/// How long a VMM that hung up may take to be dead.
const DEAD_WITHIN: Duration = Duration::from_secs(1);

/// What a boot is made from.
struct Ground {
    jail: Jail,
    disks: images::Disks,
    resources: Resources,
    allowed: Limits,
    slot: Slot,
    seat: SeatDir,
    /// The disk was made just now and never used.
    fresh: bool,
}

impl Inner {
    /// Restored where that can be, booted where it cannot.
    pub(super) async fn boot(
        self: &Arc<Self>,
        spec: &MicroVmSpec,
        disk: Disk,
    ) -> anyhow::Result<Machine> {
        let began = Instant::now();
        let ground = {
            let (inner, spec) = (Arc::clone(self), spec.clone());
            Arc::new(spawn_blocking(move || inner.ground(&spec, disk)).await??)
        };
        // Held until the VMM holds it: the reader would end at a pipe without writers.
        let output = log::open(ground.seat.path()).context("could not make the log pipe")?;
        log::follow(ground.seat.path()).context("could not follow the MicroVM's log")?;
        let template = if self.host.cold_boot {
            Ok((None, String::new()))
        } else {
            let made_for = if ground.fresh {
                For::OwnDisk
            } else {
                For::AnyDisk
            };
            self.template(&ground.disks, ground.resources, made_for)
                .await
        };
        let (snapshot, key) = match template {
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
                    self.trust_template(&key).await;
                    debug!(slot = %spec.slot, key, ?templated, took = ?began.elapsed(), "MicroVM restored");
                    return Ok(machine);
                }
                Err(error) if !error.is::<Unfit>() => {
                    if error.is::<Ended>() {
                        self.doubt_template(&key).await;
                    }
                    return Err(error);
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
        let kept = kept.as_deref().map(str::trim);
        let kind = self.host.virtualization.of_disks();
        let disks = images::choose_disks(&self.images, kept, kind)
            .context("could not choose the MicroVM's disks")?;
        // Looked at each time: they may have changed since the agent's start.
        self.sums.check_own(&self.host.kernel)?;
        self.sums.check(&disks.base)?;
        self.sums.check(&disks.boot)?;
        let fresh = kept != Some(disks.rootfs_name.as_str());
        if fresh {
            gone(fs::remove_file(&named)).context("could not forget the old disk")?;
            gone(fs::remove_file(&file)).context("could not remove the old disk")?;
            disk::copy(&self.template_disk(spec.resources.disk_mib)?, &file)?;
            replace(&named, disks.rootfs_name.as_bytes(), false)
                .context("could not write the image's name")?;
        }
        Ok(Ground {
            jail: self.jail(spec.slot)?,
            disks,
            resources: spec.resources,
            allowed: allowed::of(spec),
            slot: spec.slot,
            seat,
            fresh,
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
                let (slot, mbits) = (ground.slot, ground.allowed.network_mbits);
                let tap = inner.network.open_tap(slot, ground.jail.user, mbits)?;
                let disk = ground.seat.file("disk.img");
                if let Some(mounted) = snapshot.as_ref().and_then(|found| found.disk.as_ref()) {
                    // What the machine's memory takes for granted.
                    disk::replace(mounted, &disk)?;
                }
                let mut shown = inner.shown(&ground.disks, &disk);
                shown.extend(snapshot.into_iter().flat_map(|snapshot| {
                    [
                        read_only(snapshot.state, recipe::STATE),
                        read_only(snapshot.memory, recipe::MEMORY),
                    ]
                }));
                let process = ground.jail.start(
                    &inner.host,
                    ground.resources,
                    ground.allowed,
                    &shown,
                    &output,
                )?;
                anyhow::Ok((tap, process))
            })
            .await??
        };
        let machine = self.machine(ground.slot, process)?;
        let started = self.assemble(ground, &machine, restored).await;
        if let Err(error) = started {
            // A VMM that was killed hangs up a moment before it is dead.
            let hung_up = matches!(error.downcast_ref(), Some(ApiError::Channel { .. }));
            if hung_up && timeout(DEAD_WITHIN, machine.died()).await.is_ok() {
                return Err(error.context(Ended("firecracker ended while it was told what to be")));
            }
            return Err(error);
        }
        tap.keep();
        Ok(machine)
    }

    /// From a VMM that does not know yet what it is to a guest that answers.
    async fn assemble(
        self: &Arc<Self>,
        ground: &Ground,
        machine: &Machine,
        restored: bool,
    ) -> anyhow::Result<()> {
        let api = Api::at(&ground.jail.api(&self.host));
        wait_for_api(&api, machine).await?;
        let port = seat_net::port_name(ground.slot);
        if restored {
            recipe::restore(&api, &port).await.map_err(|error| {
                let refused = matches!(error, ApiError::Refused { .. });
                let error = anyhow::Error::from(error);
                if refused { error.context(Unfit) } else { error }
            })?;
            // Its limits are the template's until here, and its tap is down.
            recipe::limit(&api, ground.allowed).await?;
        } else {
            let mac = seat_net::mac_text(ground.slot);
            let told = recipe::boot_args(self.host.virtualization);
            recipe::assemble(&api, ground.resources, ground.allowed, told, (&port, &mac)).await?;
            recipe::start(&api).await?;
        }
        self.verify(&ground.jail).await?;
        let answered = wait_for_guest(machine, self.host.boot_within).await;
        answered.map_err(|error| {
            if restored && !error.is::<Ended>() {
                return error.context(Unfit);
            }
            error
        })
    }

    /// What every VMM's chroot shows.
    pub(super) fn shown(&self, disks: &images::Disks, seat: &Path) -> Vec<Shown> {
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
    pub(super) async fn verify(&self, jail: &Jail) -> anyhow::Result<()> {
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
}

fn read_only(from: PathBuf, name: &'static str) -> Shown {
    Shown {
        from,
        name,
        read_only: true,
    }
}

/// A machine that ended before it was one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Ended(&'static str);

/// A snapshot from which no machine comes to life.
#[derive(Debug, thiserror::Error)]
#[error("the snapshot is of no use")]
struct Unfit;

/// The VMM makes its socket a moment after its process starts.
pub(super) async fn wait_for_api(api: &Api, machine: &Machine) -> anyhow::Result<()> {
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
        () = machine.died() => Err(Ended("firecracker ended at its start").into()),
    }
}

/// The guest answers its agent, though it does not know yet who it is.
pub(super) async fn wait_for_guest(machine: &Machine, within: Duration) -> anyhow::Result<()> {
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
        () = machine.died() => Err(Ended("the guest ended while it started").into()),
    }
}
