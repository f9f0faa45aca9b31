//! How long an admitted connection may go on.
//!
//! A session ends when the newest token of its stay ends, when the seat's epoch
//! passes its token's, when the machine goes, or when the agent drains. Any
//! request with a newer token of the same stay and epoch moves the end of all
//! its sessions. Way: permit -> [`Stays::open`] -> [`Session::ended`].

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use clarateach_domain::{
    ids::{SeatNo, StayId},
    microvm::MicroVmState,
    seat_token::Claims,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::admit::Permit;
use crate::fleet::{Cut, SeatLife};

/// Why a session ends, and the WebSocket code its learner sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its token ended and no newer one came.
    Expired,
    /// The seat was taken from its learner.
    Revoked,
    /// The seat was reset.
    Reset,
    /// The seat is gone.
    Deleted,
    /// The machine or the agent restarts.
    Restarted,
}

impl Ending {
    /// As in `decisions.md` §4.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Expired => 4401,
            Self::Revoked => 4403,
            Self::Reset => 4409,
            Self::Deleted => 4410,
            Self::Restarted => 1012,
        }
    }

    /// For people, well within a close frame's 123 bytes.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Expired => "the seat token has expired",
            Self::Revoked => "the seat was taken away",
            Self::Reset => "the seat was reset",
            Self::Deleted => "the seat is gone",
            Self::Restarted => "restarting: connect again",
        }
    }
}

/// One learner's stay under one epoch.
type Key = (SeatNo, StayId, u64);

struct Stay {
    deadline: watch::Sender<Instant>,
    open: usize,
}

/// Every stay that has a session open.
pub(crate) struct Stays {
    table: Mutex<HashMap<Key, Stay>>,
    viewers: AtomicU64,
    stop: CancellationToken,
}

impl Stays {
    /// None yet; all end when `stop` is cancelled.
    pub(crate) fn new(stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            viewers: AtomicU64::new(1),
            stop,
        })
    }

    /// Moves the end of the stay's sessions to `until`, never back.
    pub(crate) fn renew(&self, claims: &Claims, until: Instant) {
        if let Some(stay) = self.lock().get(&key(claims)) {
            stay.deadline.send_if_modified(|end| {
                let later = until > *end;
                *end = until.max(*end);
                later
            });
        }
    }

    /// Begins a session that may go on until `until`.
    pub(crate) fn open(self: &Arc<Self>, permit: &Permit, until: Instant) -> Session {
        let key = key(&permit.claims);
        let mut table = self.lock();
        let stay = table.entry(key.clone()).or_insert_with(|| Stay {
            deadline: watch::Sender::new(until),
            open: 0,
        });
        stay.open += 1;
        stay.deadline.send_if_modified(|end| {
            let later = until > *end;
            *end = until.max(*end);
            later
        });
        let deadline = stay.deadline.subscribe();
        drop(table);
        let number = self.viewers.fetch_add(1, Ordering::Relaxed);
        let mut life = permit.door.life.clone();
        let boot = life.borrow_and_update().life;
        Session {
            viewer: format!("{}.{number}", permit.claims.sid),
            boot,
            life,
            deadline,
            stop: self.stop.clone(),
            key,
            stays: self.clone(),
        }
    }

    fn close(&self, key: &Key) {
        let mut table = self.lock();
        if let Some(stay) = table.get_mut(key) {
            stay.open -= 1;
            if stay.open == 0 {
                table.remove(key);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Stay>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(claims: &Claims) -> Key {
    (claims.seat, claims.sid.clone(), claims.epoch)
}

/// One connection's leave to go on.
pub(crate) struct Session {
    /// Names this connection to the guest, in `clarateach-viewer`.
    pub(crate) viewer: String,
    boot: u64,
    life: watch::Receiver<SeatLife>,
    deadline: watch::Receiver<Instant>,
    stop: CancellationToken,
    key: Key,
    stays: Arc<Stays>,
}

impl Session {
    /// The seat it is on.
    pub(crate) fn seat(&self) -> SeatNo {
        self.key.0
    }

    /// Returns when it must end, and why. Dropping and calling again is fine.
    pub(crate) async fn ended(&mut self) -> Ending {
        loop {
            let judged = judge(&self.life.borrow_and_update(), self.key.2, self.boot);
            if let Some(ending) = judged {
                return ending;
            }
            let deadline = *self.deadline.borrow_and_update();
            tokio::select! {
                biased;
                changed = self.life.changed() => {
                    if changed.is_err() {
                        return Ending::Deleted;
                    }
                }
                // The sender lives in the table for as long as this session does.
                _ = self.deadline.changed() => {}
                () = self.stop.cancelled() => return Ending::Restarted,
                () = sleep_until(deadline) => return Ending::Expired,
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stays.close(&self.key);
    }
}

/// Whether a session with a token of `epoch`, opened in machine life `boot`,
/// must end in this life of its seat.
fn judge(life: &SeatLife, epoch: u64, boot: u64) -> Option<Ending> {
    if life.cut == Some(Cut::Deleted) || life.state == MicroVmState::Stopping {
        return Some(Ending::Deleted);
    }
    if life.epoch.is_none_or(|inforce| inforce > epoch) {
        return Some(match life.cut {
            Some(Cut::Reset) => Ending::Reset,
            _ => Ending::Revoked,
        });
    }
    let same_machine = life.life == boot && life.state == MicroVmState::Ready;
    (!same_machine).then_some(Ending::Restarted)
}

#[cfg(test)]
mod tests;
