//! How a seat begins: written on disk or taken over, and its machine booted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clarateach_domain::microvm::{MicroVmSpec, MicroVmState};
use tokio::{task::spawn_blocking, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, info, warn};

use super::{
    super::{
        ready,
        shared::{Shared, Turn},
    },
    Beginning, Phase, Seat,
};
use crate::{
    rundir::SeatDir,
    runtime::{Disk, Machine},
};

/// How long a boot that was called off may go on by itself, and from then on how
/// often its machine is ended.
const CALLED_OFF_EVERY: Duration = Duration::from_secs(1);

impl Seat {
    /// Writes what must be on disk, or takes over what is there.
    pub(super) async fn begin(&mut self, beginning: Beginning) -> Phase {
        let (begun, disk, clear) = match beginning {
            Beginning::New => {
                let begun = self.begin_new().await;
                (begun.map(|()| None), Disk::Discard, false)
            }
            Beginning::Adopt => (self.adopt().await, Disk::Keep, true),
            Beginning::Unread(why) => (Err(self.leave_alone(&why).await), Disk::Keep, true),
        };
        match begun {
            Ok(Some(machine)) => self.look_after(machine),
            Ok(None) => self.boot(disk, clear).await,
            Err(error) => {
                self.fail(&error).await;
                Phase::Failed
            }
        }
    }

    async fn begin_new(&mut self) -> anyhow::Result<()> {
        let (dir, spec) = (self.dir.clone(), self.spec.clone());
        let epoch = spawn_blocking(move || {
            dir.make()?;
            let epoch = dir.epoch().unwrap_or(0).max(spec.epoch);
            dir.write_epoch(epoch, false)?;
            dir.write_owner(&spec)?;
            dir.write_spec(&spec)?;
            std::io::Result::Ok(epoch)
        })
        .await?
        .context("could not write the seat's spec")?;
        self.put_epoch(Some(epoch), None);
        Ok(())
    }

    /// A seat that nobody can tell enough of to run it, and why not.
    async fn leave_alone(&mut self, why: &str) -> anyhow::Error {
        let dir = self.dir.clone();
        let epoch = spawn_blocking(move || dir.epoch()).await.ok().flatten();
        self.put_epoch(epoch, None);
        anyhow::anyhow!(
            "the seat's spec could not be read ({why}): its machine and files are left alone \
             until it is reset or removed"
        )
    }

    /// Takes over a machine that runs and answers; one that does not is dead.
    async fn adopt(&mut self) -> anyhow::Result<Option<Machine>> {
        let (dir, spec) = (self.dir.clone(), self.spec.clone());
        let (epoch, secret) = spawn_blocking(move || {
            // An agent that did not write it yet may have left the folder.
            if let Err(error) = dir.write_owner(&spec) {
                warn!(%error, "could not note whose the seat's folder is");
            }
            (dir.epoch(), dir.secret())
        })
        .await?;
        self.put_epoch(epoch, None);
        let machine = self.shared.runtime.adopt(self.spec.slot).await?;
        let (Some(machine), Some(secret)) = (machine, secret) else {
            info!("machine was not running any more");
            return Ok(None);
        };
        let configure = ready::identity(&self.spec, &secret);
        let port = (&*self.shared.runtime, self.spec.slot);
        let within = self.shared.runtime.patience() / 2;
        let answered = ready::make_ready(machine.control(), configure, port, within).await;
        if let Err(error) = answered {
            warn!(error = format!("{error:#}"), "adopted guest did not answer");
            return Ok(None);
        }
        self.open_door(secret.into());
        self.become_ready().await;
        info!("machine adopted");
        Ok(Some(machine))
    }

    /// Starts the machine in a task of its own. `clear` ends first what may be
    /// left of an earlier one.
    pub(super) async fn boot(&mut self, disk: Disk, clear: bool) -> Phase {
        let secret: Arc<str> = fresh_secret().into();
        self.open_door(Arc::clone(&secret));
        let turn = self.shared.turns.take();
        let cancel = CancellationToken::new();
        let task = tokio::spawn(
            boot(
                Arc::clone(&self.shared),
                self.dir.clone(),
                self.spec.clone(),
                secret,
                (disk, clear),
                turn.clone(),
                cancel.clone(),
            )
            .in_current_span(),
        );
        self.vm.state = MicroVmState::Queued;
        self.tell(Some(turn.number())).await;
        Phase::Booting { task, turn, cancel }
    }
}

/// The whole way from a turn in the queue to a guest that answers.
async fn boot(
    shared: Arc<Shared>,
    dir: SeatDir,
    spec: MicroVmSpec,
    secret: Arc<str>,
    (disk, clear): (Disk, bool),
    turn: Turn,
    cancel: CancellationToken,
) -> anyhow::Result<Machine> {
    let began = Instant::now();
    let permit = tokio::select! {
        permit = turn.wait() => permit,
        () = cancel.cancelled() => anyhow::bail!("the boot was called off"),
    };
    if clear {
        shared.runtime.halt(spec.slot, disk).await?;
    }
    let written = Arc::clone(&secret);
    spawn_blocking(move || dir.write_secret(&written))
        .await?
        .context("could not write the guest's secret")?;
    let waited = began.elapsed();
    let mut booting = std::pin::pin!(shared.runtime.boot(&spec, disk));
    let machine = tokio::select! {
        machine = &mut booting => machine?,
        () = cancel.cancelled() => {
            // Never dropped half way: its machine is ended until it sees so itself.
            while timeout(CALLED_OFF_EVERY, &mut booting).await.is_err() {
                if let Err(error) = shared.runtime.halt(spec.slot, Disk::Keep).await {
                    debug!(error = format!("{error:#}"), "boot was not called off yet");
                }
            }
            anyhow::bail!("the boot was called off");
        }
    };
    let started = began.elapsed();
    // The guest's own start needs no turn: the next machine may be built beside it.
    drop(permit);
    let configure = ready::identity(&spec, &secret);
    let port = (&*shared.runtime, spec.slot);
    let patience = shared.runtime.patience();
    let answered = tokio::select! {
        ready = ready::make_ready(machine.control(), configure, port, patience) => ready,
        () = machine.died() => Err(anyhow::anyhow!("the guest ended while it started")),
        () = cancel.cancelled() => Err(anyhow::anyhow!("the boot was called off")),
    };
    debug!(?waited, ?started, took = ?began.elapsed(), ready = answered.is_ok(), "boot ended");
    match answered {
        Ok(()) => Ok(machine),
        Err(error) => {
            shared.runtime.halt(spec.slot, Disk::Keep).await?;
            Err(error)
        }
    }
}

/// 32 bytes of the kernel's randomness, in hex.
fn fresh_secret() -> String {
    let (high, low): (u128, u128) = rand::random();
    format!("{high:032x}{low:032x}")
}
