//! What all seats of a fleet share, and the queue in which they boot.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use clarateach_domain::ids::WorkshopId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::{handle::Doors, seat::Report};
use crate::{rundir::RunDir, runtime::Runtime};

/// What every seat's task has.
pub(super) struct Shared {
    pub(super) run: RunDir,
    pub(super) workshop: WorkshopId,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) doors: Doors,
    pub(super) reports: mpsc::Sender<Report>,
    pub(super) turns: Turns,
}

/// The queue: so many boot at once, first come, first served.
pub(super) struct Turns {
    permits: Arc<Semaphore>,
    next: AtomicU64,
}

impl Turns {
    /// A queue with room for `at_once`.
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(at_once.max(1))),
            next: AtomicU64::new(1),
        }
    }

    /// A place at the end of the queue.
    pub(super) fn take(&self) -> Turn {
        Turn {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            permits: Arc::clone(&self.permits),
            came: watch::Sender::new(false),
        }
    }
}

/// One place in the queue.
#[derive(Clone)]
pub(super) struct Turn {
    number: u64,
    permits: Arc<Semaphore>,
    came: watch::Sender<bool>,
}

impl Turn {
    /// Lower numbers come first.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Waits for the turn; it lasts as long as the permit is held.
    pub(super) async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed, so always some.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        self.came.send_replace(true);
        permit
    }

    /// Returns once when the turn came, and never again.
    pub(super) async fn came(&mut self) {
        let mut came = self.came.subscribe();
        if came.wait_for(|came| *came).await.is_err() {
            std::future::pending::<()>().await;
        }
        // Heard: from now on a channel on which nothing ever comes.
        self.came = watch::Sender::new(false);
    }
}
