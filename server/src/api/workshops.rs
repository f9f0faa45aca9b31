//! `WorkshopService`: translate in, one act, translate out.

use std::{num::NonZeroU32, pin::Pin, time::Duration};

use clarateach_domain::ids::{JoinCode, SeatNo, WorkerName, WorkshopId};
use clarateach_proto::workshop::{self as pb, workshop_service_server::WorkshopService};
use futures_util::Stream;
use tonic::{Code, Request, Response, Status};
use tracing::{info, warn};

use super::{
    Api, Visit,
    auth::{self, Deed, Pass, may},
    error::ApiError,
    headers, now, previews, visit, watch, wire, wish,
};
use crate::store::{
    limits::Refused,
    pausing::Pause,
    principals::Principal,
    reading::Page,
    requests::RequestKey,
    sealing::random,
    seats::Upheaval,
    view::{Workshop, WorkshopView},
    workshops::{Change, NewSecrets, NewWorkshop},
};

/// Clocks differ, and a CA must outlive every leaf of its workshop.
const CA_MARGIN: Duration = Duration::from_hours(25);
const DEFAULT_PAGE: u32 = 100;
const MAX_PAGE: u32 = 500;

/// A stream of one kind of message.
pub(super) type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Api {
    /// Records the wish for a workshop.
    pub(super) async fn create(
        &self,
        who: &Principal,
        ask: pb::CreateWorkshopRequest,
        visit: &Visit,
    ) -> Result<pb::Workshop, ApiError> {
        Self::allow(who, Deed::CreateWorkshop)?;
        let wish = wish::create(ask, &self.settings)?;
        let now = now();
        let id = WorkshopId::from_random(random()?);
        let secrets = self.secrets(&id)?;
        let key = RequestKey::new(&who.id, "create", &wish.request_id, &wish.body);
        let new = NewWorkshop {
            id,
            owner_id: who.id.clone(),
            name: wish.name,
            seats: wish.seats,
            runtime: wish.runtime,
            expires_at: now + wish.ttl,
            env: wish.env,
            resources: wish.resources,
            limits: wish.limits,
            egress: wish.egress,
            template: wish.template,
            instructions: wish.instructions,
            secrets,
        };
        let limits = &self.settings.limits;
        let made = self
            .store
            .create_workshop(&who.id, new, &key, limits, now)
            .await?;
        let id = made?;
        info!(workshop = %id, owner = %who.name, "workshop wanted");
        self.wake.workshop(&id);
        self.whole(&id, visit).await
    }

    /// The keys of a new workshop; its CA outlives the longest life.
    fn secrets(&self, id: &WorkshopId) -> Result<NewSecrets, ApiError> {
        let failed = |cause: &dyn std::fmt::Debug| {
            tracing::error!(error = ?cause, workshop = %id, "could not make a workshop's keys");
            ApiError::new(tonic::Code::Internal, "INTERNAL", "could not make its keys")
        };
        // Updates may move the end by max_ttl again and again.
        let life = (self.settings.max_ttl * 10).max(Duration::from_hours(24 * 366)) + CA_MARGIN;
        let ca = clarateach_certs::ca::Ca::generate(id.as_str(), now(), life)
            .map_err(|cause| failed(&cause))?;
        let seat_key = super::seats::SeatKey::generate().map_err(|cause| failed(&cause))?;
        Ok(NewSecrets {
            code: JoinCode::from_random(random()?),
            ca_certificate: ca.certificate_pem().to_owned(),
            ca_key: ca.key_pem(),
            seat_key_public: seat_key.public,
            seat_key: seat_key.private,
        })
    }

    /// The caller's workshop of that id.
    pub(super) async fn own(&self, who: &Principal, id: &str) -> Result<Workshop, ApiError> {
        let id = wish::workshop_id(id)?;
        let workshop = self.store.workshop(&id).await?;
        workshop
            .filter(|workshop| may(who, Deed::Workshop(&workshop.owner_id)))
            .ok_or_else(ApiError::no_workshop)
    }

    async fn view(&self, id: &WorkshopId) -> Result<WorkshopView, ApiError> {
        let view = self.store.workshop_view(id).await?;
        view.ok_or_else(ApiError::no_workshop)
    }

    async fn whole(&self, id: &WorkshopId, visit: &Visit) -> Result<pb::Workshop, ApiError> {
        Ok(wire::workshop_view(&self.view(id).await?, visit))
    }

    /// One workshop with all that belongs to it.
    pub(super) async fn get(
        &self,
        who: &Principal,
        id: &str,
        visit: &Visit,
    ) -> Result<pb::Workshop, ApiError> {
        let workshop = self.own(who, id).await?;
        self.whole(&workshop.id, visit).await
    }

    /// One page of the caller's workshops.
    pub(super) async fn list(
        &self,
        who: &Principal,
        ask: &pb::ListWorkshopsRequest,
    ) -> Result<pb::ListWorkshopsResponse, ApiError> {
        let size = match ask.page_size {
            0 => DEFAULT_PAGE,
            size if size <= MAX_PAGE => size,
            _ => return Err(ApiError::field("page_size", "must be 1 to 500")),
        };
        let after = match ask.page_token.as_str() {
            "" => None,
            token => Some(token.parse().map_err(|_| {
                ApiError::field("page_token", "must be the next_page_token of a page")
            })?),
        };
        let everybody = may(who, Deed::Everything);
        let page = Page {
            owner_id: (!everybody).then(|| who.id.clone()),
            // One more tells whether there is another page.
            size: u64::from(size) + 1,
            after,
            deleted: ask.show_deleted,
        };
        let mut found = self.store.workshops(&page).await?;
        let more = found.len() > size as usize;
        found.truncate(size as usize);
        let last = found.last().filter(|_| more);
        Ok(pb::ListWorkshopsResponse {
            next_page_token: last.map(|last| last.id.to_string()).unwrap_or_default(),
            workshops: found.iter().map(wire::workshop).collect(),
        })
    }

    pub(super) async fn update(
        &self,
        who: &Principal,
        ask: pb::UpdateWorkshopRequest,
        visit: &Visit,
    ) -> Result<pb::Workshop, ApiError> {
        let workshop = self.own(who, &ask.id).await?;
        let wish = wish::update(ask, &self.settings)?;
        let now = now();
        let key = RequestKey::new(&who.id, "update", &wish.request_id, &wish.body);
        let change = Change {
            seats: wish.seats,
            expires_at: wish.ttl.map(|ttl| now + ttl),
            name: wish.name,
            instructions: wish.instructions,
            egress: wish.egress,
            evict: wish.evict,
        };
        let limits = &self.settings.limits;
        self.store
            .update_workshop(&who.id, &workshop.id, &change, &key, limits, now)
            .await??;
        self.wake.workshop(&workshop.id);
        self.whole(&workshop.id, visit).await
    }

    /// Wishes a workshop away.
    pub(super) async fn delete(
        &self,
        who: &Principal,
        ask: &pb::DeleteWorkshopRequest,
        visit: &Visit,
    ) -> Result<pb::Workshop, ApiError> {
        let workshop = self.own(who, &ask.id).await?;
        let id = workshop.id;
        let key = Self::key(who, "delete", &ask.request_id, id.as_str().as_bytes())?;
        self.store
            .delete_workshop(&who.id, &id, &key, now())
            .await??;
        info!(workshop = %id, by = %who.name, "workshop to be deleted");
        self.wake.workshop(&id);
        self.whole(&id, visit).await
    }

    /// Stops a workshop, keeping its seats and their files, or brings it back.
    async fn pause(
        &self,
        who: &Principal,
        (id, request_id): (&str, &str),
        pause: Pause,
        visit: &Visit,
    ) -> Result<pb::Workshop, ApiError> {
        let id = self.own(who, id).await?.id;
        let verb = match pause {
            Pause::Stop => "stop",
            Pause::Start => "start",
        };
        let key = Self::key(who, verb, request_id, id.as_str().as_bytes())?;
        let done = self
            .store
            .pause_workshop(&who.id, &id, pause, &key, now())
            .await?;
        done?;
        info!(workshop = %id, by = %who.name, "workshop to {verb}");
        self.wake.workshop(&id);
        self.whole(&id, visit).await
    }

    fn key(
        who: &Principal,
        verb: &str,
        request_id: &str,
        body: &[u8],
    ) -> Result<RequestKey, ApiError> {
        let request_id =
            wish::request_id(request_id).map_err(|fault| ApiError::field("request_id", fault))?;
        Ok(RequestKey::new(&who.id, verb, &request_id, body))
    }

    async fn upheave(
        &self,
        who: &Principal,
        (workshop, seat, request_id): (&str, u32, &str),
        how: Upheaval,
        visit: &Visit,
    ) -> Result<pb::Seat, ApiError> {
        let workshop = self.own(who, workshop).await?.id;
        let number = wish::seat_no(seat)?;
        let verb = match how {
            Upheaval::Reset => "reset",
            Upheaval::Revoke => "revoke",
        };
        let body = format!("{workshop}/{number}");
        let key = Self::key(who, verb, request_id, body.as_bytes())?;
        let done = self
            .store
            .upheave(&who.id, &workshop, number, how, &key, now())
            .await?;
        done.map_err(|refused| match refused {
            // The workshop is known: it is the seat that is not.
            Refused::Unknown => ApiError::no_seat(),
            other => other.into(),
        })?;
        info!(%workshop, seat = %number, by = %who.name, "seat to be {verb}");
        self.wake.workshop(&workshop);
        let view = self.view(&workshop).await?;
        let seat = view.seat(number).ok_or_else(ApiError::no_seat)?;
        Ok(wire::seat(&view, seat, visit))
    }

    /// The one thing a door reads at an agent: nothing is wanted or changed by it.
    async fn seat_log(
        &self,
        who: &Principal,
        ask: &pb::GetSeatLogRequest,
    ) -> Result<String, ApiError> {
        let workshop = self.own(who, &ask.workshop_id).await?;
        let number = SeatNo::try_from(ask.seat).map_err(|_| ApiError::no_seat())?;
        let view = self.view(&workshop.id).await?;
        let seat = view.seat(number).ok_or_else(ApiError::no_seat)?;
        let ordinal = NonZeroU32::new(seat.worker).ok_or_else(ApiError::no_seat)?;
        let worker = WorkerName::of(&workshop.id, ordinal);
        let log = self.agents.log(&worker, number).await.map_err(|cause| {
            warn!(%worker, error = ?cause, "a seat's log was not read");
            ApiError::new(
                Code::Unavailable,
                "WORKER_UNREACHABLE",
                "the seat's worker does not answer now: try again in a moment",
            )
            .retry_after(Duration::from_secs(5))
        })?;
        log.ok_or_else(|| {
            ApiError::new(
                Code::FailedPrecondition,
                "NOT_RUNNING",
                "the seat has no machine yet, so there is no log",
            )
        })
    }

    async fn caller<T>(&self, request: &Request<T>) -> Result<(Principal, Visit), ApiError> {
        let who = auth::principal(&self.store, headers(request)).await?;
        Ok((who, visit(request.extensions())))
    }
}

#[tonic::async_trait]
impl WorkshopService for Api {
    async fn create_workshop(
        &self,
        request: Request<pb::CreateWorkshopRequest>,
    ) -> Result<Response<pb::Workshop>, Status> {
        let (who, visit) = self.caller(&request).await?;
        let made = self.create(&who, request.into_inner(), &visit).await?;
        Ok(Response::new(made))
    }

    async fn get_workshop(
        &self,
        request: Request<pb::GetWorkshopRequest>,
    ) -> Result<Response<pb::Workshop>, Status> {
        let (who, visit) = self.caller(&request).await?;
        let workshop = self.get(&who, &request.get_ref().id, &visit).await?;
        Ok(Response::new(workshop))
    }

    async fn list_workshops(
        &self,
        request: Request<pb::ListWorkshopsRequest>,
    ) -> Result<Response<pb::ListWorkshopsResponse>, Status> {
        let (who, _) = self.caller(&request).await?;
        Ok(Response::new(self.list(&who, request.get_ref()).await?))
    }

    type WatchWorkshopStream = Messages<pb::WatchWorkshopResponse>;

    async fn watch_workshop(
        &self,
        request: Request<pb::WatchWorkshopRequest>,
    ) -> Result<Response<Self::WatchWorkshopStream>, Status> {
        let (who, visit) = self.caller(&request).await?;
        let pass = Pass::of(headers(&request))?;
        let ask = request.get_ref();
        let workshop = self.own(&who, &ask.id).await?;
        let stream = watch::workshop(self, &workshop, pass, visit, ask.since_revision);
        Ok(Response::new(Box::pin(stream)))
    }

    async fn update_workshop(
        &self,
        request: Request<pb::UpdateWorkshopRequest>,
    ) -> Result<Response<pb::Workshop>, Status> {
        let (who, visit) = self.caller(&request).await?;
        let changed = self.update(&who, request.into_inner(), &visit).await?;
        Ok(Response::new(changed))
    }

    async fn stop_workshop(
        &self,
        request: Request<pb::StopWorkshopRequest>,
    ) -> Result<Response<pb::Workshop>, Status> {
        let (who, visit) = self.caller(&request).await?;
        let ask = request.get_ref();
        let what = (ask.id.as_str(), ask.request_id.as_str());
        let workshop = self.pause(&who, what, Pause::Stop, &visit).await?;
        Ok(Response::new(workshop))
    }

    async fn start_workshop(
        &self,
        request: Request<pb::StartWorkshopRequest>,
    ) -> Result<Response<pb::Workshop>, Status> {
        let (who, visit) = self.caller(&request).await?;
        let ask = request.get_ref();
        let what = (ask.id.as_str(), ask.request_id.as_str());
        let workshop = self.pause(&who, what, Pause::Start, &visit).await?;
        Ok(Response::new(workshop))
    }

    async fn delete_workshop(
        &self,
        request: Request<pb::DeleteWorkshopRequest>,
    ) -> Result<Response<pb::Workshop>, Status> {
        let (who, visit) = self.caller(&request).await?;
        let gone = self.delete(&who, request.get_ref(), &visit).await?;
        Ok(Response::new(gone))
    }

    async fn estimate_cost(
        &self,
        request: Request<pb::EstimateCostRequest>,
    ) -> Result<Response<pb::EstimateCostResponse>, Status> {
        self.caller(&request).await?;
        Ok(Response::new(self.estimate(request.get_ref())?))
    }

    async fn get_costs(
        &self,
        request: Request<pb::GetCostsRequest>,
    ) -> Result<Response<pb::GetCostsResponse>, Status> {
        let (who, _) = self.caller(&request).await?;
        let costs = self.costs(&who, request.get_ref()).await?;
        Ok(Response::new(costs))
    }

    async fn list_seats(
        &self,
        request: Request<pb::ListSeatsRequest>,
    ) -> Result<Response<pb::ListSeatsResponse>, Status> {
        let (who, visit) = self.caller(&request).await?;
        let workshop = self.own(&who, &request.get_ref().workshop_id).await?;
        let view = self.view(&workshop.id).await?;
        Ok(Response::new(pb::ListSeatsResponse {
            seats: wire::seats(&view, &visit),
            revision: view.workshop.revision,
        }))
    }

    async fn reset_seat(
        &self,
        request: Request<pb::ResetSeatRequest>,
    ) -> Result<Response<pb::Seat>, Status> {
        let (who, visit) = self.caller(&request).await?;
        let ask = request.get_ref();
        let what = (ask.workshop_id.as_str(), ask.seat, ask.request_id.as_str());
        let seat = self.upheave(&who, what, Upheaval::Reset, &visit).await?;
        Ok(Response::new(seat))
    }

    async fn revoke_seat(
        &self,
        request: Request<pb::RevokeSeatRequest>,
    ) -> Result<Response<pb::Seat>, Status> {
        let (who, visit) = self.caller(&request).await?;
        let ask = request.get_ref();
        let what = (ask.workshop_id.as_str(), ask.seat, ask.request_id.as_str());
        let seat = self.upheave(&who, what, Upheaval::Revoke, &visit).await?;
        Ok(Response::new(seat))
    }

    async fn observe_seat(
        &self,
        request: Request<pb::ObserveSeatRequest>,
    ) -> Result<Response<pb::ObserveSeatResponse>, Status> {
        let (who, visit) = self.caller(&request).await?;
        let way = self.observe(&who, request.get_ref(), &visit).await?;
        Ok(Response::new(way))
    }

    type WatchPreviewsStream = Messages<pb::WatchPreviewsResponse>;

    async fn watch_previews(
        &self,
        request: Request<pb::WatchPreviewsRequest>,
    ) -> Result<Response<Self::WatchPreviewsStream>, Status> {
        let (who, _) = self.caller(&request).await?;
        let pass = Pass::of(headers(&request))?;
        let workshop = self.own(&who, &request.get_ref().workshop_id).await?;
        let stream = previews::workshop(self, &workshop, pass);
        Ok(Response::new(Box::pin(stream)))
    }

    async fn collect_seat(
        &self,
        request: Request<pb::CollectSeatRequest>,
    ) -> Result<Response<pb::CollectSeatResponse>, Status> {
        let (who, visit) = self.caller(&request).await?;
        let way = self.collect(&who, request.get_ref(), &visit).await?;
        Ok(Response::new(way))
    }

    async fn get_seat_log(
        &self,
        request: Request<pb::GetSeatLogRequest>,
    ) -> Result<Response<pb::GetSeatLogResponse>, Status> {
        let (who, _) = self.caller(&request).await?;
        let log = self.seat_log(&who, request.get_ref()).await?;
        Ok(Response::new(pb::GetSeatLogResponse { log }))
    }
}
