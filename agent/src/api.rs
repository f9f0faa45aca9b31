//! `AgentService`: what the control plane asks of this worker.
//!
//! Way: request -> words of the domain -> one act of the fleet or identity ->
//! answer. Only connections with the control plane's certificate get here.

mod previews;
mod wire;

use std::{pin::Pin, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use clarateach_domain::{
    ids::{WorkerName, WorkshopId},
    microvm::Runtime,
};
use clarateach_proto::agent::{self as pb, agent_service_server::AgentService};
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt as _, wrappers::WatchStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use crate::{
    enrol::network::Vouched,
    fleet::{Fleet, Notice},
    proxy::Proxy,
    tls::Identity,
};

/// How long a guest may take to stop when the request does not say.
const GRACE: Duration = Duration::from_secs(5);
/// As long as a guest may ever take.
const GRACE_MAX: Duration = Duration::from_mins(1);
/// The schema level this agent speaks, oldest and newest.
const SCHEMA: u32 = 1;

/// The worker, as its service sees it.
pub(crate) struct Worker {
    /// Its name.
    pub(crate) name: WorkerName,
    /// The workshop it serves.
    pub(crate) workshop: WorkshopId,
    /// What gives a seat its machine.
    pub(crate) runtime: Runtime,
    /// Version of the guest that seats start with.
    pub(crate) guest_version: String,
    /// When this agent started.
    pub(crate) started_at: DateTime<Utc>,
    /// The seats.
    pub(crate) fleet: Fleet,
    /// The certificate in use.
    pub(crate) identity: Arc<Identity>,
    /// Who says which VM this is; none on a host that enrols through files.
    pub(crate) vouched: Option<Vouched>,
    /// Whether Google has said that it takes this VM away.
    pub(crate) taken: watch::Receiver<bool>,
    /// The learners' half, to drain it.
    pub(crate) proxy: Arc<Proxy>,
    /// Ends the streams, which would else hold the agent up for ever.
    pub(crate) stop: CancellationToken,
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AgentService for Worker {
    async fn enrol(
        &self,
        _: Request<pb::EnrolRequest>,
    ) -> Result<Response<pb::EnrolResponse>, Status> {
        let Some(vouched) = &self.vouched else {
            return Err(Status::failed_precondition(
                "this worker enrols through files: it is on no VM that Google could vouch for",
            ));
        };
        let answer = vouched.enrol(&self.identity, &self.workshop).await;
        answer.map(Response::new).map_err(|error| {
            warn!(error = &error as &dyn std::error::Error, "could not enrol");
            Status::unavailable(format!("could not enrol: {error}"))
        })
    }

    async fn get_worker(
        &self,
        _: Request<pb::GetWorkerRequest>,
    ) -> Result<Response<pb::Worker>, Status> {
        let request = self.identity.request().map_err(wire::identity_status)?;
        Ok(Response::new(pb::Worker {
            name: self.name.to_string(),
            workshop_id: self.workshop.to_string(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            guest_version: self.guest_version.clone(),
            schema_min: SCHEMA,
            schema_max: SCHEMA,
            runtime: wire::runtime(self.runtime).into(),
            certificate_expires_at: self.identity.ends().map(wire::timestamp),
            draining: self.proxy.draining(),
            certificate_request: request,
            started_at: Some(wire::timestamp(self.started_at)),
        }))
    }

    async fn create_micro_vm(
        &self,
        request: Request<pb::CreateMicroVmRequest>,
    ) -> Result<Response<pb::MicroVm>, Status> {
        if self.proxy.draining() {
            return Err(wire::draining());
        }
        let spec = wire::spec(request.into_inner().spec)?;
        let made = self.fleet.ensure(spec).await.map_err(wire::fleet_status)?;
        Ok(Response::new(wire::micro_vm(&made)))
    }

    async fn list_micro_vms(
        &self,
        _: Request<pb::ListMicroVmsRequest>,
    ) -> Result<Response<pb::ListMicroVmsResponse>, Status> {
        let now = self.fleet.watch().borrow().clone();
        Ok(Response::new(pb::ListMicroVmsResponse {
            micro_vms: now.iter().map(wire::micro_vm).collect(),
        }))
    }

    type WatchMicroVmsStream = Streamed<pb::WatchMicroVmsResponse>;

    async fn watch_micro_vms(
        &self,
        _: Request<pb::WatchMicroVmsRequest>,
    ) -> Result<Response<Self::WatchMicroVmsStream>, Status> {
        let mut revision = 0;
        let (list, standing) = (self.fleet.watch(), self.fleet.walls().standing());
        let (seats, walls) = (list.clone(), standing.clone());
        let taken = self.taken.clone();
        // Both are whole at every moment, so it does not matter which one moved.
        let seats = WatchStream::new(seats).map(|_| ());
        let walls = WatchStream::from_changes(walls).map(|_| ());
        let notice = WatchStream::from_changes(taken.clone()).map(|_| ());
        let changes = seats.merge(walls).merge(notice).map(move |()| {
            revision += 1;
            let (list, standing) = (list.borrow().clone(), standing.borrow().clone());
            Ok(pb::WatchMicroVmsResponse {
                micro_vms: list.iter().map(wire::micro_vm).collect(),
                revision,
                egress: Some(wire::egress_out(standing.egress.as_ref())),
                network: Some(wire::network_health(standing)),
                preempted: *taken.borrow(),
            })
        });
        // Named in full: tokio-stream has no such word.
        let stopped = self.stop.clone().cancelled_owned();
        let changes = futures_util::StreamExt::take_until(changes, stopped);
        Ok(Response::new(Box::pin(changes)))
    }

    async fn delete_micro_vm(
        &self,
        request: Request<pb::DeleteMicroVmRequest>,
    ) -> Result<Response<pb::DeleteMicroVmResponse>, Status> {
        let request = request.into_inner();
        let seat = wire::seat("seat", request.seat)?;
        let grace = wire::duration("grace", request.grace)?.unwrap_or(GRACE);
        self.fleet
            .remove(seat, grace.min(GRACE_MAX))
            .await
            .map_err(wire::fleet_status)?;
        Ok(Response::new(pb::DeleteMicroVmResponse {}))
    }

    async fn set_seat_epochs(
        &self,
        request: Request<pb::SetSeatEpochsRequest>,
    ) -> Result<Response<pb::SetSeatEpochsResponse>, Status> {
        let epochs = request.into_inner().epochs;
        let epochs = epochs.iter().map(wire::epoch).collect::<Result<_, _>>()?;
        self.fleet
            .set_epochs(epochs)
            .await
            .map_err(wire::fleet_status)?;
        Ok(Response::new(pb::SetSeatEpochsResponse {}))
    }

    async fn set_egress_policy(
        &self,
        request: Request<pb::SetEgressPolicyRequest>,
    ) -> Result<Response<pb::SetEgressPolicyResponse>, Status> {
        let egress = wire::egress_in(request.into_inner().egress)?;
        let walls = self.fleet.walls().clone();
        let set = tokio::task::spawn_blocking(move || walls.set_egress(&egress)).await;
        match set {
            Ok(Ok(())) => Ok(Response::new(pb::SetEgressPolicyResponse {})),
            Ok(Err(cause)) => Err(wire::network_status(cause)),
            Err(_panic) => Err(Status::internal("the policy could not be put in force")),
        }
    }

    async fn send_notice(
        &self,
        request: Request<pb::SendNoticeRequest>,
    ) -> Result<Response<pb::SendNoticeResponse>, Status> {
        let (seats, notice) = wire::notice(request.into_inner())?;
        let delivered = self.fleet.notify(seats, notice).await;
        Ok(Response::new(pb::SendNoticeResponse { delivered }))
    }

    async fn install_certificate(
        &self,
        request: Request<pb::InstallCertificateRequest>,
    ) -> Result<Response<pb::InstallCertificateResponse>, Status> {
        let chain = request.into_inner().certificate_chain;
        let ends = self
            .identity
            .install(&chain)
            .map_err(wire::identity_status)?;
        info!(%ends, "certificate renewed");
        Ok(Response::new(pb::InstallCertificateResponse {
            expires_at: Some(wire::timestamp(ends)),
        }))
    }

    async fn set_browser_access(
        &self,
        request: Request<pb::SetBrowserAccessRequest>,
    ) -> Result<Response<pb::SetBrowserAccessResponse>, Status> {
        let request = request.into_inner();
        let origins = wire::origins(&request.origins)?;
        let (chain, key) = (&request.certificate_chain, &request.private_key);
        let pem = (!chain.is_empty()).then_some((chain.as_str(), key.as_str()));
        self.identity
            .show_browsers(pem)
            .map_err(wire::identity_status)?;
        self.proxy.welcome(&origins);
        info!(certificate = pem.is_some(), ?origins, "browsers may come");
        Ok(Response::new(pb::SetBrowserAccessResponse {}))
    }

    type WatchPreviewsStream = Streamed<pb::WatchPreviewsResponse>;

    async fn watch_previews(
        &self,
        _: Request<pb::WatchPreviewsRequest>,
    ) -> Result<Response<Self::WatchPreviewsStream>, Status> {
        let pictures = previews::stream(self.fleet.clone(), self.stop.clone());
        Ok(Response::new(Box::pin(pictures)))
    }

    async fn get_seat_log(
        &self,
        request: Request<pb::GetSeatLogRequest>,
    ) -> Result<Response<pb::GetSeatLogResponse>, Status> {
        let seat = wire::seat("seat", request.into_inner().seat)?;
        let log = self.fleet.log(seat).await;
        let log =
            log.ok_or_else(|| Status::not_found("the seat has no machine here, or no log"))?;
        Ok(Response::new(pb::GetSeatLogResponse { log }))
    }

    async fn sync_seats(
        &self,
        _: Request<pb::SyncSeatsRequest>,
    ) -> Result<Response<pb::SyncSeatsResponse>, Status> {
        // What a container's learner wrote is this host's to write, whoever ends.
        let synced = match self.runtime {
            Runtime::Container => 0,
            Runtime::Firecracker => self.fleet.sync().await,
        };
        Ok(Response::new(pb::SyncSeatsResponse { synced }))
    }

    async fn drain(
        &self,
        request: Request<pb::DrainRequest>,
    ) -> Result<Response<pb::DrainResponse>, Status> {
        self.proxy.drain();
        let message = wire::message(&request.into_inner().message)?;
        info!("draining began");
        let notice = Notice {
            kind: "draining".to_owned(),
            message,
            at: None,
        };
        self.fleet.notify(Vec::new(), notice).await;
        Ok(Response::new(pb::DrainResponse {}))
    }
}
