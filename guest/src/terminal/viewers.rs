//! Everybody who has a terminal of this seat open, for the agent's word: close
//! these, with this code. Also whom the learner lets type.
//!
//! Way: control -> `close` -> the signal that each viewer's task waits on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// How a socket is to be closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closing {
    /// WebSocket close code.
    pub(crate) code: u16,
    /// For people.
    pub(crate) reason: String,
}

struct Open {
    viewer: String,
    close: watch::Sender<Option<Closing>>,
}

#[derive(Default)]
struct Table {
    open: BTreeMap<u64, Open>,
    next: u64,
    consents: BTreeSet<String>,
}

/// Cheap handle.
#[derive(Clone, Default)]
pub(crate) struct Viewers(Arc<Mutex<Table>>);

/// One open socket: its number, and when it must close. Leaves by being dropped.
pub(crate) struct Place {
    viewers: Viewers,
    /// Unique in this guest.
    pub(crate) key: u64,
    /// Says when to close.
    pub(crate) closing: watch::Receiver<Option<Closing>>,
}

impl Viewers {
    /// Somebody came.
    pub(crate) fn enter(&self, viewer: &str) -> Place {
        let (close, closing) = watch::channel(None);
        let mut table = self.table();
        table.next += 1;
        let key = table.next;
        table.open.insert(
            key,
            Open {
                viewer: viewer.to_owned(),
                close,
            },
        );
        Place {
            viewers: self.clone(),
            key,
            closing,
        }
    }

    /// How many sockets are open.
    pub(crate) fn count(&self) -> usize {
        self.table().open.len()
    }

    /// Closes all sockets of these viewers; answers how many.
    pub(crate) fn close(&self, viewers: &[String], code: u16, reason: &str) -> usize {
        self.close_where(
            |viewer| viewers.iter().any(|named| named == viewer),
            code,
            reason,
        )
    }

    /// Closes every socket; answers how many.
    pub(crate) fn close_all(&self, code: u16, reason: &str) -> usize {
        self.close_where(|_| true, code, reason)
    }

    /// The learner lets a helper type, or no longer.
    pub(crate) fn consent(&self, viewer: &str, allow: bool) {
        let mut table = self.table();
        if !allow {
            table.consents.remove(viewer);
        } else if table.open.values().any(|open| open.viewer == viewer) {
            // Only somebody who is here: a consent is not given in advance.
            table.consents.insert(viewer.to_owned());
        }
    }

    /// Whether the learner lets this helper type.
    pub(crate) fn consented(&self, viewer: &str) -> bool {
        self.table().consents.contains(viewer)
    }

    fn close_where(&self, chosen: impl Fn(&str) -> bool, code: u16, reason: &str) -> usize {
        let closing = Closing {
            code,
            reason: reason.to_owned(),
        };
        let table = self.table();
        let chosen = table.open.values().filter(|open| chosen(&open.viewer));
        let mut told = 0;
        for open in chosen {
            open.close.send_replace(Some(closing.clone()));
            told += 1;
        }
        told
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.viewers.table();
        let Some(left) = table.open.remove(&self.key) else {
            return;
        };
        // A consent ends with the helper's last socket.
        if !table.open.values().any(|open| open.viewer == left.viewer) {
            table.consents.remove(&left.viewer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_named_are_closed_and_nobody_else() {
        let viewers = Viewers::default();
        let places = ["a", "b", "a", "c"].map(|viewer| viewers.enter(viewer));
        assert_eq!(viewers.count(), 4);
        assert_eq!(viewers.close(&["a".into(), "x".into()], 4403, "revoked"), 2);
        let told = |place: &Place| place.closing.borrow().as_ref().map(|closing| closing.code);
        assert_eq!(
            places.each_ref().map(told),
            [Some(4403), None, Some(4403), None]
        );
        assert_eq!(viewers.close_all(1012, "restart"), 4);
        drop(places);
        assert_eq!(viewers.count(), 0);
    }

    #[test]
    fn a_consent_is_for_who_is_here_and_ends_with_them() {
        let viewers = Viewers::default();
        viewers.consent("teacher", true);
        assert!(!viewers.consented("teacher"), "not in advance");
        let first = viewers.enter("teacher");
        let second = viewers.enter("teacher");
        viewers.consent("teacher", true);
        drop(first);
        assert!(viewers.consented("teacher"), "still here");
        drop(second);
        let _again = viewers.enter("teacher");
        assert!(!viewers.consented("teacher"), "gone with the last socket");
    }
}
