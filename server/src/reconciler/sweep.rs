//! Finds workers of this installation that no row knows, and removes them.
//!
//! A row is written before its worker, so such a worker is left over from a
//! database that was put back to an earlier day, or was removed. Seen twice, a
//! minute apart, before it goes.

use std::collections::BTreeSet;

use tracing::{info, warn};

use super::Reconciler;

impl Reconciler {
    /// One look; none while another is under way.
    pub(super) async fn sweep(&self) {
        let Ok(mut suspects) = self.suspects.try_lock() else {
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
        let known = match self.store.living_workers().await {
            Ok(known) => known,
            Err(cause) => {
                warn!(error = ?cause, "rows of workers could not be listed");
                return;
            }
        };
        let mut found = BTreeSet::new();
        for name in there {
            if known.iter().any(|known| known == name.as_str()) {
                continue;
            }
            found.insert(name.to_string());
            if !suspects.contains(name.as_str()) {
                warn!(worker = %name, "worker without a row found");
                continue;
            }
            match self.provisioner.delete(&name).await {
                Ok(()) => info!(worker = %name, "worker without a row removed"),
                Err(cause) => warn!(worker = %name, error = ?cause, "worker could not be removed"),
            }
        }
        *suspects = found;
    }
}
