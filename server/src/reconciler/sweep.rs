//! Finds workers of this installation that no row knows; `domain/sweep.rs` says what
//! becomes of each.
//!
//! Way: the provisioner's list, whole or not at all -> minus the rows -> a fate for each.
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
use crate::{
    provisioner::Listed,
    store::{
        StoreError,
        leases::{self, Taken},
    },
};

/// How sweeps go, and what the last one found.
#[derive(Debug)]
pub(super) struct Sweeping {
    pub(super) mode: Mode,
    pub(super) grace: Duration,
    /// `None` before it was read.
    began: Option<Began>,
    /// Workers without a row, by the last sweep.
    suspects: BTreeSet<WorkerName>,
    quarantined: BTreeSet<String>,
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
        let lease = match self.store.take("sweep", &self.holder).await {
            Ok(Taken::Mine(lease)) => lease,
            Ok(Taken::Others(_)) => return,
            Err(cause) => {
                warn!(error = ?cause, "nothing is swept: the lease could not be taken");
                return;
            }
        };
        let look = Box::pin(self.look_for_strays(&mut sweeping, began));
        if self.store.hold(&lease, look).await.is_none() {
            warn!("a sweep was broken off: its lease was lost");
        } else if let Err(cause) = self.store.release(&lease).await {
            warn!(error = ?cause, "lease could not be given back");
        }
    }

    async fn look_for_strays(&self, sweeping: &mut Sweeping, began: Began) {
        // The provisioner first: a worker that comes in between has a row.
        let there = match self.provisioner.list().await {
            Ok(there) => there,
            Err(cause) => {
                warn!(error = ?cause, "workers could not be listed");
                return;
            }
        };
        let known: BTreeSet<String> = match self.store.living_workers().await {
            Ok(known) => known.into_iter().collect(),
            Err(cause) => {
                warn!(error = ?cause, "rows of workers could not be listed");
                return;
            }
        };
        let now = Utc::now();
        let mut found = BTreeMap::new();
        for Listed { name, made_at } in there {
            if known.contains(name.as_str()) {
                continue;
            }
            let stray = Stray {
                made_at,
                seen_before: sweeping.suspects.contains(&name),
                quarantined: sweeping.quarantined.contains(name.as_str()),
            };
            let fate = sweep::fate(stray, sweeping.mode, began.gap, sweeping.grace, now);
            found.insert(name, (stray, fate));
        }
        for (name, (stray, fate)) in &found {
            self.meet(name, *stray, *fate, sweeping, now).await;
        }
        // Who only reports has put nothing in quarantine yet.
        let noted = found.iter().all(|(name, (_, fate))| {
            *fate != Fate::Quarantine || sweeping.quarantined.contains(name.as_str())
        });
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
        name: &WorkerName,
        stray: Stray,
        fate: Fate,
        sweeping: &mut Sweeping,
        now: DateTime<Utc>,
    ) {
        match fate {
            Fate::Wait | Fate::Report if stray.seen_before => {}
            Fate::Wait => {
                warn!(worker = %name, "worker without a row found: it is removed unless it gets one");
            }
            Fate::Report => warn!(worker = %name, "worker without a row found: --sweep=report"),
            Fate::Quarantine => {
                if !stray.seen_before {
                    warn!(worker = %name, "worker without a row is newer than the database was \
                        at the start, which may have been put back: it is left alone and goes on costing, \
                        until you remove it, or all such workers by --sweep=all");
                }
                if sweeping.quarantined.insert(name.to_string())
                    && let Err(cause) = self.store.quarantine(name, now).await
                {
                    warn!(error = ?cause, worker = %name, "its quarantine could not be noted");
                    sweeping.quarantined.remove(name.as_str());
                }
            }
            Fate::Remove if leases::may_act().is_err() => {}
            Fate::Remove => match self.provisioner.delete(name).await {
                Ok(()) => info!(worker = %name, "worker without a row removed"),
                Err(cause) => warn!(worker = %name, error = ?cause, "worker could not be removed"),
            },
        }
    }
}
