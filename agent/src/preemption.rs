//! Google takes a spot VM away: half a minute from the word to the end.
//!
//! Way: the metadata server's word, or SIGTERM while it says so -> learners told
//! in their terminals -> disks written out -> the loop ends; the VM is Google's.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use tokio::{
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use crate::{
    fleet::{Fleet, Notice},
    metadata::Metadata,
};

/// The time between the word and the end: the least that Google promises.
const LEFT: TimeDelta = TimeDelta::seconds(30);
/// Learners are told within this.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// Disks are written out within this.
const SYNCED_WITHIN: Duration = Duration::from_secs(18);
/// Rest after a question that failed.
const AGAIN: Duration = Duration::from_secs(2);

/// Waits for the word, for ever if need be, and does what is to be done.
pub(crate) async fn watch(metadata: &Metadata, fleet: &Fleet) {
    let mut last: Option<String> = None;
    loop {
        match metadata.preempted(last.as_deref()).await {
            Ok(said) if said.is => return tell_and_sync(fleet).await,
            Ok(said) => last = Some(said.etag),
            Err(error) => {
                warn!(error = format!("{error:#}"), "preemption cannot be asked after");
                last = None;
                sleep(AGAIN).await;
            }
        }
    }
}

/// Whether it is so right now; a server that does not answer says no.
pub(crate) async fn now(metadata: &Metadata) -> bool {
    metadata.preempted(None).await.is_ok_and(|said| said.is)
}

/// Tells learners, then has the kernel write what it holds. A repeat is harmless.
pub(crate) async fn tell_and_sync(fleet: &Fleet) {
    info!("this VM is about to be taken away");
    let notice = Notice {
        kind: "preempted".to_owned(),
        message: "this machine is being taken away; your seat comes back on another in a few \
                  minutes, with the files that are saved now"
            .to_owned(),
        at: Some(Utc::now() + LEFT),
    };
    if timeout(TOLD_WITHIN, fleet.notify(Vec::new(), notice)).await.is_err() {
        warn!("not all learners could be told in time");
    }
    let synced = timeout(SYNCED_WITHIN, spawn_blocking(rustix::fs::sync)).await;
    info!(synced = matches!(synced, Ok(Ok(()))), "disks written out");
}
