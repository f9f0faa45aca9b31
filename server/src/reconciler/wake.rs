//! Says which workshop changed. Way: doors and links -> [`Wake`] -> the loop.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use clarateach_domain::ids::WorkshopId;
use tokio::sync::Notify;

/// A cheap handle. Waking twice before the loop looks is waking once; a wake
/// that is lost with the process is made good by the clock.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    woken: Mutex<BTreeSet<WorkshopId>>,
    notify: Notify,
}

impl Wake {
    /// Has the loop look at this workshop soon.
    pub fn workshop(&self, id: &WorkshopId) {
        let mut woken = self.0.woken.lock().unwrap_or_else(PoisonError::into_inner);
        woken.insert(id.clone());
        drop(woken);
        self.0.notify.notify_one();
    }

    /// Waits until at least one was woken; only the loop asks.
    pub(super) async fn woken(&self) -> BTreeSet<WorkshopId> {
        loop {
            let woken = {
                let mut woken = self.0.woken.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut *woken)
            };
            if !woken.is_empty() {
                return woken;
            }
            self.0.notify.notified().await;
        }
    }
}
