//! Small pictures of every seat's screen, as they change.
//!
//! Way: every ready seat is asked twice a second while somebody watches -> what differs
//! from what was told last -> the stream. Nobody is asked when nobody watches.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use clarateach_domain::{ids::SeatNo, microvm::MicroVmState};
use clarateach_proto::agent as pb;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::wire;
use crate::fleet::{Fleet, Preview};

/// From one look at the screens to the next.
const EVERY: Duration = Duration::from_millis(500);
/// Pictures that may wait for a slow reader; looks wait for them.
const WAITING: usize = 64;

/// Starts to look; ends with its reader or with `stop`.
pub(super) fn stream(
    fleet: Fleet,
    stop: CancellationToken,
) -> ReceiverStream<Result<pb::WatchPreviewsResponse, Status>> {
    let (to_reader, pictures) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let gone = to_reader.clone();
        tokio::select! {
            () = look(fleet, to_reader) => {}
            () = gone.closed() => {}
            () = stop.cancelled() => {}
        }
    });
    ReceiverStream::new(pictures)
}

async fn look(fleet: Fleet, to_reader: mpsc::Sender<Result<pb::WatchPreviewsResponse, Status>>) {
    let mut told: HashMap<SeatNo, Preview> = HashMap::new();
    let list = fleet.watch();
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // A guest that is slow is not asked again meanwhile, and holds up nobody else.
    let (mut looks, mut asked) = (FuturesUnordered::new(), HashSet::new());
    loop {
        tokio::select! {
            _ = tick.tick() => {
                let seats = list.borrow().clone();
                for vm in seats.iter().filter(|vm| asked.insert(vm.seat)) {
                    looks.push(ask(fleet.clone(), vm.seat, vm.state == MicroVmState::Ready));
                }
                told.retain(|seat, _| seats.iter().any(|vm| vm.seat == *seat));
            }
            Some((seat, shown)) = looks.next() => {
                asked.remove(&seat);
                let Some(shown) = shown.filter(|shown| told.get(&seat) != Some(shown)) else {
                    continue;
                };
                let picture = wire::preview(seat, &shown);
                told.insert(seat, shown);
                if to_reader.send(Ok(picture)).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn ask(fleet: Fleet, seat: SeatNo, ready: bool) -> (SeatNo, Option<Preview>) {
    if ready {
        (seat, fleet.preview(seat).await)
    } else {
        // What its last machine showed is not there any more.
        (seat, Some(Preview::default()))
    }
}
