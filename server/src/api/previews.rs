//! Small pictures of a class's screens, from all its workers in one stream.
//!
//! Way: the workshop's view -> one follower a worker, which asks its agent again when the
//! line is cut -> one channel -> the client. It ends with the workshop, the token or this
//! server, and nobody is asked for anything then.

use std::{collections::HashMap, time::Duration};

use clarateach_domain::{
    ids::{SeatNo, WorkerName},
    workshop::Phase,
};
use clarateach_proto::{agent, workshop as pb};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;
use tracing::debug;

use super::{
    Api,
    auth::Pass,
    watch::{self, News},
};
use crate::{agents::Agents, store::view::Workshop};

/// Pictures that may wait for a slow client; its workers wait for it then.
const WAITING: usize = 64;
/// Before an agent that does not answer is asked again.
const PAUSE: Duration = Duration::from_secs(1);

type Pictures = mpsc::Sender<Result<pb::WatchPreviewsResponse, Status>>;

/// The screens of this workshop's seats, then every change of them.
pub(super) fn workshop(
    api: &Api,
    watched: &Workshop,
    pass: Pass,
) -> ReceiverStream<Result<pb::WatchPreviewsResponse, Status>> {
    let (to_client, pictures) = mpsc::channel(WAITING);
    let over = watch::barred(api.store.clone(), pass, watched.owner_id.clone());
    let news = api.hub.subscribe(&watched.id);
    let (agents, stop) = (api.agents.clone(), api.hub.stop.clone());
    tokio::spawn(async move {
        let end = tokio::select! {
            () = follow(agents, news, to_client.clone()) => None,
            () = to_client.closed() => None,
            end = over => Some(end),
            () = stop.cancelled() => Some(watch::draining()),
        };
        if let Some(end) = end {
            let _gone = to_client.send(Err(end)).await;
        }
    });
    ReceiverStream::new(pictures)
}

/// One follower for each worker that there is, until the workshop is gone.
async fn follow(agents: Agents, mut news: tokio::sync::watch::Receiver<News>, out: Pictures) {
    let mut followers: HashMap<WorkerName, AbortOnDropHandle<()>> = HashMap::new();
    loop {
        if let Some(snapshot) = news.borrow_and_update().clone() {
            if snapshot.view.workshop.phase == Phase::Deleted {
                return;
            }
            let names = snapshot.view.workers.iter();
            let names: Vec<WorkerName> = names.filter_map(|w| w.name.parse().ok()).collect();
            followers.retain(|name, _| names.contains(name));
            for name in names {
                followers.entry(name).or_insert_with_key(|name| {
                    let task = worker(agents.clone(), name.clone(), out.clone());
                    AbortOnDropHandle::new(tokio::spawn(task))
                });
            }
        }
        if news.changed().await.is_err() {
            return;
        }
    }
}

/// Carries one worker's pictures, for as long as it is followed.
async fn worker(agents: Agents, name: WorkerName, out: Pictures) {
    loop {
        match agents.previews(&name).await {
            Ok(mut pictures) => {
                while let Ok(Some(picture)) = pictures.message().await {
                    let Some(picture) = passed_on(picture) else {
                        continue;
                    };
                    if out.send(Ok(picture)).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => debug!(worker = %name, %error, "no pictures of its seats now"),
        }
        sleep(PAUSE).await;
    }
}

/// A picture as clients get it; `None` for what is no seat.
fn passed_on(picture: agent::WatchPreviewsResponse) -> Option<pb::WatchPreviewsResponse> {
    let seat = SeatNo::try_from(picture.seat).ok()?;
    Some(pb::WatchPreviewsResponse {
        seat: seat.get(),
        lines: picture.lines,
        changed_at: picture.changed_at,
        terminals: picture.terminals,
    })
}
