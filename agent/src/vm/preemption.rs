//! Google takes a spot VM away: half a minute between its notice and the end.
//!
//! Way: `instance/preempted` turns TRUE -> the control plane hears it on its stream, and
//! learners' terminals are told (and guests write what they hold to their disks, see the guest's `Notify`) -> this host's disks
//! are written. The VM's own disk stays, and the next start finds the seats' on it.
//! <https://cloud.google.com/compute/docs/instances/spot>

use std::{convert::Infallible, time::Duration};

use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use crate::{
    fleet::{Fleet, Notice},
    metadata::Metadata,
};

const PREEMPTED: &str = "instance/preempted";
/// After an error, until it is asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// How long guests may take to show the notice.
const TOLD_WITHIN: Duration = Duration::from_millis(1500);
/// How long their disks get before the host's are written: of the half minute, half.
const SYNCED_WITHIN: Duration = Duration::from_secs(5);

/// Waits for the notice and does what it asks for; again when the VM came back by
/// itself.
pub(crate) async fn watch(
    metadata: Metadata,
    fleet: &Fleet,
    taken: &watch::Sender<bool>,
) -> Infallible {
    let mut known = String::from("0");
    loop {
        match metadata.changed(PREEMPTED, &known).await {
            Ok(value) => {
                let preempted = value.text.eq_ignore_ascii_case("true");
                let told = taken.send_replace(preempted);
                if preempted && !told {
                    info!("Google takes this VM away");
                    save(
                        fleet,
                        "Google takes this machine away; your files are saved and come \
                                  back with it",
                    )
                    .await;
                }
                known = value.etag;
            }
            Err(cause) => {
                warn!(
                    error = &cause as &dyn std::error::Error,
                    "notice could not be awaited"
                );
                sleep(PAUSE).await;
            }
        }
    }
}

/// Tells learners and has everything written to disks. Harmless when repeated: also
/// done when the host itself goes down.
pub(crate) async fn save(fleet: &Fleet, message: &str) {
    let notice = Notice {
        kind: "preempted".to_owned(),
        message: message.to_owned(),
        at: None,
    };
    match timeout(TOLD_WITHIN, fleet.notify(Vec::new(), notice)).await {
        Ok(seats) => info!(seats, "learners are told"),
        Err(_elapsed) => warn!("not every guest took the notice in time"),
    }
    for _ in 0..2 {
        // Guests' disks are files here: what guests wrote by now, and a little later.
        let _written = spawn_blocking(rustix::fs::sync).await;
        sleep(SYNCED_WITHIN / 2).await;
    }
    let _written = spawn_blocking(rustix::fs::sync).await;
    info!("disks are written");
}
