//! Watch streams: full state first, then every change, coalesced.
//!
//! Way: a committed change -> one follower a watched workshop reads the rows
//! once -> everybody who watches it gets the same snapshot. A slow client holds
//! one message and skips to the newest state, so five hundred of them cost no
//! queue. What is not heard of (another process wrote) is found by the clock.
//! A stream outlives neither the token that opened it nor the right to it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clarateach_domain::{
    ids::{SeatNo, WorkshopId},
    seat_token::BadToken,
    workshop::Phase,
};
use clarateach_proto::workshop as pb;
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::warn;

use super::{
    Api, Visit,
    auth::{self, Pass},
    error::ApiError,
    now,
    seats::{Learner, outdated},
    wire,
};
use crate::store::{
    Notice, Store,
    view::{Workshop, WorkshopView},
};

/// How often a follower asks the database whether it missed something.
const LOOK: Duration = Duration::from_secs(5);
/// How often an owner's stream asks whether it may go on.
const STILL: Duration = Duration::from_secs(1);
/// Changes within it are told together.
const COALESCE: Duration = Duration::from_millis(50);

/// A workshop at one moment, with the notices since it was first watched.
pub(super) struct Snapshot {
    pub(super) view: WorkshopView,
    notices: Vec<(u64, Notice)>,
}

pub(super) type News = Option<Arc<Snapshot>>;

/// Followers of watched workshops.
#[derive(Clone)]
pub struct Hub {
    store: Store,
    pub(super) stop: CancellationToken,
    topics: Arc<Mutex<HashMap<WorkshopId, watch::Sender<News>>>>,
}

impl Hub {
    /// Streams end with UNAVAILABLE when `stop` is cancelled.
    pub fn new(store: Store, stop: CancellationToken) -> Self {
        Self {
            store,
            stop,
            topics: Arc::default(),
        }
    }

    /// A workshop at every moment from now on; `None` until it was first read.
    pub(super) fn subscribe(&self, workshop: &WorkshopId) -> watch::Receiver<News> {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(workshop) {
            return topic.subscribe();
        }
        let (topic, news) = watch::channel(None);
        topics.insert(workshop.clone(), topic.clone());
        tokio::spawn(self.clone().follow(workshop.clone(), topic));
        news
    }

    /// True once nobody watches, and then nobody can begin to.
    fn retire(&self, workshop: &WorkshopId, topic: &watch::Sender<News>) -> bool {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let alone = topic.receiver_count() == 0;
        if alone {
            topics.remove(workshop);
        }
        alone
    }

    async fn follow(self, workshop: WorkshopId, topic: watch::Sender<News>) {
        let mut changes = self.store.changes();
        let mut clock = interval(LOOK);
        let mut look = true;
        let mut seen = 0;
        let mut notices = Vec::new();
        loop {
            if look {
                match self.look(&workshop, &mut notices).await {
                    Ok(Some(view)) => {
                        seen = view.workshop.revision;
                        let notices = notices.clone();
                        topic.send_replace(Some(Arc::new(Snapshot { view, notices })));
                    }
                    // Purged: who watches is told by the end of the stream.
                    Ok(None) => break,
                    Err(cause) => {
                        warn!(error = ?cause, %workshop, "could not look at a watched workshop");
                    }
                }
            }
            look = tokio::select! {
                () = self.stop.cancelled() => break,
                () = topic.closed() => {
                    if self.retire(&workshop, &topic) {
                        return;
                    }
                    false
                }
                _ = clock.tick() => self.store.revision(&workshop).await.ok() != Some(seen),
                change = changes.recv() => match change {
                    Ok(changed) if changed != workshop => false,
                    Ok(_) | Err(RecvError::Lagged(_)) => {
                        tokio::time::sleep(COALESCE).await;
                        // Told more than once, by us and by the database: looked at once.
                        self.store.revision(&workshop).await.ok() != Some(seen)
                    }
                    Err(RecvError::Closed) => break,
                },
            };
        }
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.remove(&workshop);
    }

    async fn look(
        &self,
        workshop: &WorkshopId,
        notices: &mut Vec<(u64, Notice)>,
    ) -> Result<Option<WorkshopView>, crate::store::StoreError> {
        let Some(view) = self.store.workshop_view(workshop).await? else {
            return Ok(None);
        };
        let after = notices.last().map_or(0, |(revision, _)| *revision);
        notices.extend(self.store.notices_since(workshop, after).await?);
        Ok(Some(view))
    }
}

/// The end of a stream while this server stops.
pub(super) fn draining() -> Status {
    ApiError::new(
        Code::Unavailable,
        "DRAINING",
        "the control plane restarts: watch again in a moment",
    )
    .retry_after(Duration::from_secs(2))
    .into()
}

/// Carries a workshop's news to one client: `tell` makes a message of a
/// snapshot and of the notices after a revision, or ends the stream; so does
/// `over`, with what it says. Snapshots older than `at_least` are passed over: a
/// caller must not be told what was true before its own last act.
fn relay<T: Send + 'static>(
    api: &Api,
    workshop: &WorkshopId,
    (since, at_least): (u64, u64),
    over: impl Future<Output = Status> + Send + 'static,
    tell: impl Fn(&WorkshopView, &[&Notice]) -> Result<(T, bool), Status> + Send + 'static,
) -> ReceiverStream<Result<T, Status>> {
    let mut news = api.hub.subscribe(workshop);
    // One message: whoever does not read gets the newest state when they do.
    let (to_client, messages) = mpsc::channel(1);
    let stop = api.hub.stop.clone();
    tokio::spawn(async move {
        let mut over = std::pin::pin!(over);
        let mut told: Option<u64> = (since > 0).then_some(since);
        loop {
            // A place first, then the news: what is told is the newest.
            let (place, end) = tokio::select! {
                place = to_client.reserve() => (place, None),
                end = &mut over => (to_client.reserve().await, Some(end)),
            };
            let Ok(place) = place else {
                return;
            };
            if let Some(end) = end {
                place.send(Err(end));
                return;
            }
            let snapshot = loop {
                let fresh = news.borrow_and_update().clone();
                let fresh = fresh.filter(|new| new.view.workshop.revision >= at_least);
                if let Some(snapshot) = fresh {
                    let revision = snapshot.view.workshop.revision;
                    // A revision from the future is from another life of the
                    // database: start over with the full state.
                    if told.is_none_or(|told| told != revision) {
                        break snapshot;
                    }
                    if snapshot.view.workshop.phase == Phase::Deleted {
                        return;
                    }
                }
                tokio::select! {
                    biased;
                    end = &mut over => {
                        place.send(Err(end));
                        return;
                    }
                    changed = news.changed() => if changed.is_err() {
                        if stop.is_cancelled() {
                            place.send(Err(draining()));
                        }
                        return;
                    },
                    () = to_client.closed() => return,
                }
            };
            // Notices are told once: to a new watcher only those to come.
            let notices = snapshot.notices.iter();
            let notices: Vec<_> = notices
                .filter(|(revision, _)| told.is_some_and(|told| *revision > told))
                .map(|(_, notice)| notice)
                .collect();
            told = Some(snapshot.view.workshop.revision);
            match tell(&snapshot.view, &notices) {
                Ok((message, last)) => {
                    place.send(Ok(message));
                    if last {
                        return;
                    }
                }
                Err(end) => {
                    place.send(Err(end));
                    return;
                }
            }
        }
    });
    ReceiverStream::new(messages)
}

/// Returns when the pass no longer opens the workshop of `owner`, with what a
/// new call would be told.
pub(super) async fn barred(store: Store, pass: Pass, owner: String) -> Status {
    let mut clock = interval(STILL);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        match auth::still(&store, &pass).await {
            Ok(Some(who)) if auth::may(&who, auth::Deed::Workshop(&owner)) => {}
            Ok(Some(_)) => return ApiError::no_workshop().into(),
            Ok(None) => return ApiError::unknown_token().into(),
            // Nothing new can be told either while the database is away.
            Err(cause) => warn!(error = ?cause, "could not look at the token of a watch"),
        }
    }
}

/// An instructor's view; it ends after the workshop is deleted, and with the
/// token of `pass` or its right to the workshop.
pub(super) fn workshop(
    api: &Api,
    watched: &Workshop,
    pass: Pass,
    visit: Visit,
    since: u64,
) -> ReceiverStream<Result<pb::WatchWorkshopResponse, Status>> {
    let since = (since, watched.revision);
    let over = barred(api.store.clone(), pass, watched.owner_id.clone());
    relay(api, &watched.id, since, over, move |view, notices| {
        let message = pb::WatchWorkshopResponse {
            revision: view.workshop.revision,
            workshop: Some(wire::workshop_view(view, &visit)),
            notices: notices_for(None, notices),
        };
        Ok((message, view.workshop.phase == Phase::Deleted))
    })
}

/// A learner's view; it ends with the token, the seat or the workshop.
pub(super) fn seat(
    api: &Api,
    learner: Learner,
    visit: Visit,
    since: u64,
) -> ReceiverStream<Result<pb::WatchSeatResponse, Status>> {
    let left = (learner.claims.expires_at - now())
        .to_std()
        .unwrap_or_default();
    let until = Instant::now() + left;
    let over = async move {
        sleep_until(until).await;
        ApiError::from(BadToken::Expired).into()
    };
    let workshop = learner.stay.workshop.clone();
    let since = (since, learner.revision);
    relay(api, &workshop, since, over, move |view, notices| {
        let taken_back = || {
            ApiError::new(
                Code::Unauthenticated,
                "SEAT_REVOKED",
                "this seat was taken back: join again for another",
            )
        };
        let last = view.workshop.phase == Phase::Deleted;
        let notices = notices_for(Some(learner.stay.seat), notices);
        let seat = view.seat(learner.stay.seat);
        let holds = |seat: &&crate::store::view::Seat| {
            let holder = seat.holder.as_ref();
            holder.is_some_and(|holder| holder.stay == learner.stay.id)
        };
        let Some(seat) = seat.filter(holds) else {
            if last {
                return Ok((gone(view, notices), true));
            }
            return Err(taken_back().into());
        };
        if seat.epoch != learner.claims.epoch {
            return Err(outdated().into());
        }
        let ways = wire::ways(view, seat, &visit);
        let message = pb::WatchSeatResponse {
            state: wire::seat_state(seat.state).into(),
            reason: seat.reason.clone(),
            queue_position: seat.queue_position,
            endpoints: ways.direct,
            gateway: Some(ways.gateway),
            public_endpoints: ways.public,
            ..gone(view, notices)
        };
        Ok((message, last))
    })
}

/// What everybody is told, and what the learner of `seat` alone is.
fn notices_for(seat: Option<SeatNo>, all: &[&Notice]) -> Vec<pb::Notice> {
    let theirs = |notice: &&&Notice| notice.seat.is_none() || notice.seat == seat.map(SeatNo::get);
    let theirs = all.iter().filter(theirs);
    theirs.map(|notice| wire::notice(notice)).collect()
}

/// What is left to say of a seat whose workshop is gone.
fn gone(view: &WorkshopView, notices: Vec<pb::Notice>) -> pb::WatchSeatResponse {
    pb::WatchSeatResponse {
        revision: view.workshop.revision,
        state: pb::SeatState::Removing.into(),
        reason: view.workshop.reason.clone(),
        queue_position: 0,
        notices,
        expires_at: Some(wire::time(view.workshop.expires_at)),
        endpoints: None,
        public_endpoints: None,
        gateway: None,
        workshop_status: wire::status(view.workshop.phase).into(),
    }
}
