//! Finds what there is of this installation that no row knows: workers, and what costs
//! beside them. `domain/sweep.rs` says what becomes of each.
//!
//! Way: the provisioner's lists, whole or not at all -> minus the rows -> a fate for each.
//! What was put in quarantine is an event, so that a later start knows it too.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use chrono::{DateTime, Utc};
use clarateach_domain::{
    ids::WorkerName,
    sweep::{self, Fate, Gap, Mode, Stray},
};
use tracing::{info, warn};

use super::Reconciler;
use crate::{provisioner::Remainder, store::StoreError};

/// How sweeps go, and what the last one found.
#[derive(Debug)]
pub(super) struct Sweeping {
    pub(super) mode: Mode,
    pub(super) grace: Duration,
    /// `None` before it was read.
    began: Option<Began>,
    /// What was without a row by the last sweep; nothing of a list that could not be had.
    suspects: BTreeSet<String>,
    quarantined: BTreeSet<String>,
}

/// Something without a row.
enum Found {
    Worker(WorkerName),
    Beside(Remainder),
}

impl std::fmt::Display for Found {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Worker(name) => name.fmt(out),
            Self::Beside(what) => what.fmt(out),
        }
    }
}

/// How the database was when this process began.
#[derive(Debug, Clone, Copy)]
struct Began {
    gap: Gap,
    /// Whether a sweep has judged every worker since then.
    judged: bool,
}

impl Sweeping {
    pub(super) fn new(mode: Mode) -> Self {
        Self {
            mode,
            grace: sweep::GRACE,
            began: None,
            suspects: BTreeSet::new(),
            quarantined: BTreeSet::new(),
        }
    }
}

impl Reconciler {
    /// Notes how new the database is, before this process writes into it.
    pub(super) async fn note_newest_row(&self) {
        let mut sweeping = self.sweeping.lock().await;
        if sweeping.began.is_some() {
            return;
        }
        let read = async {
            let gap = self.store.sweep_gap(Utc::now()).await?;
            Ok::<_, StoreError>((gap, self.store.quarantined().await?))
        };
        match read.await {
            Ok((gap, quarantined)) => {
                sweeping.began = Some(Began { gap, judged: false });
                sweeping.quarantined = quarantined.into_iter().collect();
            }
            Err(cause) => warn!(error = ?cause, "nothing is swept: the newest row was not found"),
        }
    }

    /// One look; none while another is under way.
    pub(super) async fn sweep(&self) {
        let Ok(mut sweeping) = self.sweeping.try_lock() else {
            return;
        };
        let Some(began) = sweeping.began else {
            return;
        };
        // The provisioner first: a worker that comes in between has a row.
        let there = match self.provisioner.list().await {
            Ok(there) => there,
            Err(cause) => {
                warn!(error = ?cause, "workers could not be listed");
                return;
            }
        };
        let beside = self.provisioner.remainders().await.unwrap_or_else(|cause| {
            // That much may be forbidden where workers are not.
            warn!(error = ?cause, "what is left beside workers could not be listed");
            vec![]
        });
        let known: BTreeSet<String> = match self.store.living_workers().await {
            Ok(known) => known.into_iter().collect(),
            Err(cause) => {
                warn!(error = ?cause, "rows of workers could not be listed");
                return;
            }
        };
        let now = Utc::now();
        let without_row = |worker: &WorkerName| !known.contains(worker.as_str());
        let there = there.into_iter().filter(|listed| without_row(&listed.name));
        // What is a worker's own may be needed again: it goes when its worker's row is gone.
        let beside = beside
            .into_iter()
            .filter(|what| what.worker.as_ref().is_none_or(without_row));
        let there = there.map(|listed| (listed.made_at, Found::Worker(listed.name)));
        let beside = beside.map(|what| (what.made_at, Found::Beside(what)));
        let mut found = BTreeMap::new();
        for (made_at, what) in there.chain(beside) {
            let name = what.to_string();
            let stray = Stray {
                made_at,
                seen_before: sweeping.suspects.contains(&name),
                quarantined: sweeping.quarantined.contains(&name),
            };
            let fate = sweep::fate(stray, sweeping.mode, began.gap, sweeping.grace, now);
            self.meet(&what, stray, fate, &mut sweeping, now).await;
            found.insert(name, fate);
        }
        // Who only reports has put nothing in quarantine yet.
        let noted = found
            .iter()
            .all(|(name, fate)| *fate != Fate::Quarantine || sweeping.quarantined.contains(name));
        if noted && sweeping.mode != Mode::Report && !began.judged {
            match self.store.swept(now).await {
                Ok(()) => {
                    sweeping.began = Some(Began {
                        judged: true,
                        ..began
                    });
                }
                Err(cause) => warn!(error = ?cause, "a sweep could not be noted"),
            }
        }
        sweeping.suspects = found.into_keys().collect();
    }

    async fn meet(
        &self,
        what: &Found,
        stray: Stray,
        fate: Fate,
        sweeping: &mut Sweeping,
        now: DateTime<Utc>,
    ) {
        match fate {
            Fate::Wait | Fate::Report if stray.seen_before => {}
            Fate::Wait => {
                warn!(%what, "found without a row: it is removed unless it gets one");
            }
            Fate::Report => warn!(%what, "found without a row: --sweep=report"),
            Fate::Quarantine => {
                if !stray.seen_before {
                    warn!(%what, "found without a row, and newer than the database was \
                        at the start, which may have been put back: it is left alone and goes on costing, \
                        until you remove it, or all such things by --sweep=all");
                }
                let name = what.to_string();
                if sweeping.quarantined.insert(name.clone())
                    && let Err(cause) = self.store.quarantine(&name, now).await
                {
                    warn!(error = ?cause, %what, "its quarantine could not be noted");
                    sweeping.quarantined.remove(&name);
                }
            }
            Fate::Remove => {
                let removed = match what {
                    Found::Worker(name) => self.provisioner.delete(name).await,
                    Found::Beside(what) => self.provisioner.clear(what).await,
                };
                match removed {
                    Ok(()) => info!(%what, "removed, since no row knows it"),
                    Err(cause) => warn!(%what, error = ?cause, "could not be removed"),
                }
            }
        }
    }
}
