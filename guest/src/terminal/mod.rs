//! The terminals of a seat: up to eight named shells that outlive every
//! socket.
//!
//! `attach` opens the door, `viewer` moves frames, `session` owns a shell;
//! `state`, `feed`, `crew`, `flow`, `history`, `screen`, `partial`, `keys` and
//! `wire` are the rules, without any IO.

pub(crate) mod attach;
mod crew;
mod feed;
mod flow;
mod history;
mod keys;
mod partial;
mod screen;
mod session;
mod state;
mod viewer;
pub(crate) mod viewers;
pub(crate) mod wire;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use http::StatusCode;
use tracing::warn;

use self::{
    session::Session,
    wire::{Attach, Mode, Notice, Size},
};
use crate::{
    reaper::Reaper,
    reply::Refusal,
    seat::{Identity, Seat},
};

/// Living shells a seat has at most.
const MAX_TERMINALS: usize = 8;

type Table = BTreeMap<String, Arc<Session>>;

/// Cheap handle.
#[derive(Clone)]
pub(crate) struct Terminals {
    seat: Seat,
    reaper: Reaper,
    table: Arc<Mutex<Table>>,
}

impl Terminals {
    /// None yet.
    pub(crate) fn new(seat: Seat, reaper: Reaper) -> Self {
        Self {
            seat,
            reaper,
            table: Arc::default(),
        }
    }

    /// How many shells live.
    pub(crate) fn live(&self) -> usize {
        self.table().len()
    }

    /// The last `most` lines of the terminal that wrote last, and when it did, in
    /// milliseconds since 1970.
    pub(crate) fn preview(&self, most: usize) -> (Vec<String>, i64) {
        let table = self.table();
        let last = table.values().max_by_key(|session| session.wrote_millis());
        last.map_or_else(Default::default, |session| {
            let lines = session.state().screen.last_lines(most);
            (lines, session.wrote_millis())
        })
    }

    /// The names of all that live.
    pub(crate) fn names(&self) -> Vec<String> {
        self.table().keys().cloned().collect()
    }

    /// Shows something in every terminal.
    pub(crate) fn notify(&self, notice: &Notice) {
        for session in self.table().values() {
            session.notify(notice);
        }
    }

    /// The learner lets a helper type, or no longer, everywhere.
    pub(crate) fn consent(&self, viewer: &str, allow: bool) {
        self.seat.viewers().consent(viewer, allow);
        if !allow {
            for session in self.table().values() {
                session.dismiss(viewer);
            }
        }
    }

    /// The terminal of that name; the learner's asking starts it.
    fn find_or_start(
        &self,
        identity: &Identity,
        attach: &Attach,
        mode: Mode,
    ) -> Result<Arc<Session>, Refusal> {
        let mut table = self.table();
        if let Some(session) = table.get(&attach.terminal) {
            return Ok(session.clone());
        }
        if mode != Mode::Drive {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "NO_SUCH_TERMINAL",
                "the learner has no such terminal open",
            ));
        }
        if table.len() >= MAX_TERMINALS {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                "TOO_MANY_TERMINALS",
                format!("a seat has at most {MAX_TERMINALS} terminals; end a shell first"),
            ));
        }
        let shared = self.table.clone();
        let session = Session::start(
            &attach.terminal,
            &self.seat,
            identity,
            &self.reaper,
            attach.size.unwrap_or(Size::DEFAULT),
            move |ended| {
                // The next to attach gets a new shell.
                shared
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .remove(&ended.name);
                crate::sys::give_memory_back();
            },
        )
        .map_err(|cause| {
            warn!(%cause, terminal = attach.terminal, "could not start a shell");
            Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "NO_SHELL",
                format!("the shell could not be started: {cause}"),
            )
            .retry_after(1)
        })?;
        table.insert(attach.terminal.clone(), session.clone());
        Ok(session)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
