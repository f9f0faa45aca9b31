//! The seats of this worker: which there are, and one task that owns each.
//!
//! Way: `api` -> [`Fleet`] -> the owner task -> a seat's task -> runtime and
//! network; and back as [`Door`]s and the watched list.

mod handle;
mod owner;
mod preview;
mod pulse;
mod ready;
mod seat;
mod shared;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clarateach_domain::{
    ids::Slot,
    limits::Asked,
    microvm::{MicroVmSpec, Resources, Runtime as RuntimeKind},
};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinSet, spawn_blocking},
    time::timeout,
};
use tracing::{error, info, warn};

pub use handle::{
    Cut, Door, EpochReason, Fleet, FleetError, FleetSettings, Notice, Preview, SeatLife,
};

use crate::{
    network::{RuleSettings, Walls, survey::Raised},
    resolver,
    rundir::{self, RunDir},
    runtime::{
        Disk, Runtime, burdens, container::ContainerRuntime, firecracker::FirecrackerRuntime,
    },
};
use owner::Owner;
use seat::Beginning;
use shared::{Shared, Turns};

/// Requests that may wait for the owner task.
const QUEUE: usize = 256;
/// How long a start waits for adopted guests. Slower ones come later.
const BEGUN_WITHIN: Duration = Duration::from_secs(3);

impl Fleet {
    /// Prepares the worker's network, adopts what runs, sweeps what is stale,
    /// then answers.
    ///
    /// Must be called inside the worker's network namespace and a private mount
    /// namespace, as root.
    pub async fn start(settings: FleetSettings) -> anyhow::Result<Fleet> {
        let began = Instant::now();
        let nameservers = settings.nameservers.clone();
        let (at_once, workshop) = (settings.boots_at_once, settings.workshop.clone());
        let cgroup = settings.cgroup.clone();
        let (run, walls, runtime) = spawn_blocking(move || prepare(&settings)).await??;
        burdens::watch(&cgroup);
        walls.guard()?;
        resolver::start(walls.clone(), &nameservers).await?;
        let (reports, inbox) = mpsc::channel(QUEUE);
        let (list, micro_vms) = watch::channel(Arc::default());
        let (requests, asked) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            run,
            workshop,
            runtime,
            doors: Arc::default(),
            reports,
            turns: Turns::new(at_once),
        });
        let fleet = Fleet {
            requests,
            doors: Arc::clone(&shared.doors),
            micro_vms,
            walls,
        };
        let mut owner = Owner::new(Arc::clone(&shared), list);
        let begins = take_over(&shared, &mut owner).await?;
        tokio::spawn(owner.run(asked, inbox));
        let adopted = begins.len();
        let all_begun = async {
            for begun in begins {
                let _ended = begun.await;
            }
        };
        if timeout(BEGUN_WITHIN, all_begun).await.is_err() {
            warn!("some adopted guests are slow to answer");
        }
        // Reports come before requests: once this is answered, they are listed.
        fleet.set_epochs(Vec::new()).await?;
        info!(adopted, took = ?began.elapsed(), "fleet started");
        Ok(fleet)
    }
}

fn prepare(settings: &FleetSettings) -> anyhow::Result<(RunDir, Walls, Arc<dyn Runtime>)> {
    let run = RunDir::open(&settings.run_dir)
        .with_context(|| format!("could not open {}", settings.run_dir.display()))?;
    let rules = RuleSettings {
        uplink: settings.uplink.clone(),
        closed: settings.closed.clone(),
    };
    Raised::note(&rules, &run.walls())?;
    let walls = Walls::raise(rules, run.egress())?;
    let network = walls.network();
    let runtime: Arc<dyn Runtime> = match settings.runtime {
        RuntimeKind::Container => Arc::new(ContainerRuntime::prepare(
            run.clone(),
            &settings.images,
            settings.uid_base,
            &settings.cgroup,
            network.clone(),
        )?),
        RuntimeKind::Firecracker => Arc::new(FirecrackerRuntime::prepare(
            run.clone(),
            &settings.images,
            settings.uid_base,
            &settings.cgroup,
            network,
            &settings.firecracker,
        )?),
    };
    Ok((run, walls, runtime))
}

/// For a spec that cannot be read: nothing is ever booted by it, it only says who
/// stands on the slot.
fn stand_in(whose: rundir::Owner, slot: Slot) -> MicroVmSpec {
    MicroVmSpec {
        seat: whose.seat,
        slot,
        incarnation: whose.incarnation,
        epoch: 0,
        resources: Resources::DEFAULT,
        limits: Asked::default(),
        seats_on_worker: 0,
        template: String::new(),
        env: BTreeMap::new(),
        workshop_name: String::new(),
    }
}

/// Starts a task for every seat that was left behind, and sweeps the rest.
async fn take_over(
    shared: &Arc<Shared>,
    owner: &mut Owner,
) -> anyhow::Result<Vec<tokio::sync::oneshot::Receiver<()>>> {
    let run = shared.run.clone();
    let (specs, unread) = spawn_blocking(move || {
        let (mut specs, mut unread) = (Vec::new(), Vec::new());
        for slot in run.slots()? {
            match run.seat(slot).spec() {
                // A spec in another slot's folder was not put there by an agent.
                Ok(spec) => specs.extend(spec.filter(|spec| spec.slot == slot)),
                Err(cause) => unread.push((slot, cause, run.seat(slot).owner())),
            }
        }
        std::io::Result::Ok((specs, unread))
    })
    .await?
    .context("could not list the seats of the run directory")?;
    let mut seats = BTreeSet::new();
    let mut slots = BTreeSet::new();
    let mut begins = Vec::new();
    for spec in specs {
        if !seats.insert(spec.seat) {
            warn!(seat = %spec.seat, slot = %spec.slot, "seat was found twice");
            continue;
        }
        slots.insert(spec.slot);
        begins.push(owner.start_seat(spec, Beginning::Adopt).1);
    }
    for (slot, cause, whose) in unread {
        // Somebody's files may be there: kept, and the slot is nobody else's.
        slots.insert(slot);
        let whose = whose.filter(|whose| seats.insert(whose.seat));
        let seat = whose.map(|whose| whose.seat.get());
        error!(%slot, ?seat, %cause, "spec could not be read: machine and disk are left alone");
        match whose {
            Some(whose) => {
                let unread = Beginning::Unread(cause.to_string());
                begins.push(owner.start_seat(stand_in(whose, slot), unread).1);
            }
            None => owner.hold(slot),
        }
    }
    let mut sweeping = JoinSet::new();
    for slot in shared.runtime.list().await? {
        if slots.contains(&slot) {
            continue;
        }
        let (runtime, dir) = (Arc::clone(&shared.runtime), shared.run.seat(slot));
        sweeping.spawn(async move {
            runtime.halt(slot, Disk::Discard).await?;
            spawn_blocking(move || dir.remove())
                .await?
                .map_err(anyhow::Error::from)
        });
        info!(%slot, "stale machine is being swept");
    }
    while let Some(swept) = sweeping.join_next().await {
        if let Err(error) = swept? {
            warn!(error = format!("{error:#}"), "stale machine was not swept");
        }
    }
    Ok(begins)
}
