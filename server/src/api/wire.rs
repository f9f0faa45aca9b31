//! Between the schema and our own words. Wire types go no further.
//!
//! Way in: request -> every field checked, all faults named at once -> a wish.
//! Way out: a view -> the schema's message, with addresses as the caller
//! reaches them.

use chrono::{DateTime, Utc};
use clarateach_domain::{
    microvm::Runtime,
    seat_token,
    workshop::{Phase, Role, SeatState, WorkerState},
};
use clarateach_proto::workshop as pb;

use super::{Visit, egress};
use crate::store::{
    Notice, NoticeKind,
    principals::ApiToken,
    view::{Seat, Worker, Workshop, WorkshopView},
};

/// A moment, as the schema has it.
pub fn time(at: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.timestamp(),
        nanos: i32::try_from(at.timestamp_subsec_nanos()).unwrap_or_default(),
    }
}

/// A stretch of time, as the schema has it, in whole seconds.
pub fn span(length: std::time::Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(length.as_secs()).unwrap_or(i64::MAX),
        nanos: 0,
    }
}

fn runtime(runtime: Runtime) -> pb::Runtime {
    match runtime {
        Runtime::Firecracker => pb::Runtime::Firecracker,
        Runtime::Container => pb::Runtime::Container,
    }
}

/// A phase, as the schema has it.
pub fn status(phase: Phase) -> pb::WorkshopStatus {
    match phase {
        Phase::Provisioning => pb::WorkshopStatus::Provisioning,
        Phase::Running => pb::WorkshopStatus::Running,
        Phase::Degraded => pb::WorkshopStatus::Degraded,
        Phase::Stopping => pb::WorkshopStatus::Stopping,
        Phase::Stopped => pb::WorkshopStatus::Stopped,
        Phase::Deleting => pb::WorkshopStatus::Deleting,
        Phase::Deleted => pb::WorkshopStatus::Deleted,
        Phase::Failed => pb::WorkshopStatus::Failed,
    }
}

/// A seat's state, as the schema has it.
pub fn seat_state(state: SeatState) -> pb::SeatState {
    match state {
        SeatState::Waiting => pb::SeatState::Waiting,
        SeatState::Booting => pb::SeatState::Booting,
        SeatState::Ready => pb::SeatState::Ready,
        SeatState::Restarting => pb::SeatState::Restarting,
        SeatState::Failed => pb::SeatState::Failed,
        SeatState::Removing => pb::SeatState::Removing,
        SeatState::Stopped => pb::SeatState::Stopped,
    }
}

fn worker_state(state: WorkerState) -> pb::WorkerState {
    match state {
        WorkerState::Creating => pb::WorkerState::Creating,
        WorkerState::Booting => pb::WorkerState::Booting,
        WorkerState::Ready => pb::WorkerState::Ready,
        WorkerState::Unreachable => pb::WorkerState::Unreachable,
        WorkerState::Stopped => pb::WorkerState::Stopped,
        WorkerState::Deleting => pb::WorkerState::Deleting,
        WorkerState::Deleted => pb::WorkerState::Deleted,
    }
}

/// A workshop without its workers and seats, as lists have it.
pub fn workshop(workshop: &Workshop) -> pb::Workshop {
    pb::Workshop {
        id: workshop.id.to_string(),
        name: workshop.name.clone(),
        seats: workshop.seats,
        runtime: runtime(workshop.runtime).into(),
        code: workshop.code.to_string(),
        status: status(workshop.phase).into(),
        reason: workshop.reason.clone(),
        created_at: Some(time(workshop.created_at)),
        expires_at: Some(time(workshop.expires_at)),
        deleted_at: workshop.deleted_at.map(time),
        workers: Vec::new(),
        seat_list: Vec::new(),
        resources: Some(pb::Resources {
            vcpus: workshop.resources.vcpus,
            memory_mib: workshop.resources.memory_mib,
            disk_mib: workshop.resources.disk_mib,
            network_mbits: workshop.limits.network_mbits,
            disk_mib_per_second: workshop.limits.disk_mib_per_second,
            processes: workshop.limits.processes,
        }),
        egress: Some(egress::shown(&workshop.egress)),
        template: workshop.template.clone(),
        instructions: workshop.instructions.clone(),
        owner: workshop.owner.clone(),
        env_names: workshop.env_names.clone(),
        ca_certificate: workshop.ca_certificate.clone(),
        revision: workshop.revision,
    }
}

/// A workshop with all that belongs to it.
pub fn workshop_view(view: &WorkshopView, visit: &Visit) -> pb::Workshop {
    let mut whole = workshop(&view.workshop);
    whole.workers = view.workers.iter().map(worker).collect();
    whole.seat_list = seats(view, visit);
    whole
}

fn worker(worker: &Worker) -> pb::Worker {
    pb::Worker {
        name: worker.name.clone(),
        address: worker.address.clone(),
        zone: worker.zone.clone(),
        state: worker_state(worker.state).into(),
        reason: worker.reason.clone(),
        certificate_expires_at: worker.certificate_expires_at.map(time),
        agent_version: worker.agent_version.clone(),
        network: worker.network.to_string(),
    }
}

/// All seats, by number.
pub fn seats(view: &WorkshopView, visit: &Visit) -> Vec<pb::Seat> {
    view.seats
        .iter()
        .map(|one| seat(view, one, visit))
        .collect()
}

/// One seat.
pub fn seat(view: &WorkshopView, seat: &Seat, visit: &Visit) -> pb::Seat {
    let holder = seat.holder.as_ref();
    let ways = ways(view, seat, visit);
    pb::Seat {
        workshop_id: view.workshop.id.to_string(),
        seat: seat.seat.get(),
        state: seat_state(seat.state).into(),
        reason: seat.reason.clone(),
        taken: holder.is_some(),
        learner: holder.map(|h| h.display_name.clone()).unwrap_or_default(),
        joined_at: holder.map(|h| time(h.joined_at)),
        last_input_at: seat.last_input_at.map(time),
        endpoints: ways.direct,
        gateway: Some(ways.gateway),
        terminals: seat.terminals,
        restarts: seat.restarts,
        epoch: seat.epoch,
        worker: view
            .worker_of(seat)
            .map(|worker| worker.name.clone())
            .unwrap_or_default(),
    }
}

/// The ways to a seat.
pub struct Ways {
    /// Straight to its worker, under the workshop's own CA; `None` until it is known.
    pub direct: Option<pb::Endpoints>,
    /// Straight to its worker, by a name that browsers know; `None` where it has none.
    pub public: Option<pb::Endpoints>,
    /// Through this server.
    pub gateway: pb::Endpoints,
}

/// The ways to a seat, as this caller may go them.
pub fn ways(view: &WorkshopView, seat: &Seat, visit: &Visit) -> Ways {
    let worker = view.worker_of(seat);
    let worker = worker.filter(|worker| !worker.address.is_empty());
    let straight = |authority: &str| endpoints(&format!("https://{authority}"), view, seat);
    let named = worker
        .zip(visit.workers.as_deref())
        .and_then(|(worker, domain)| domain.authority(&worker.name, &worker.address));
    Ways {
        direct: worker.map(|worker| straight(&worker.address)),
        public: named.map(|authority| straight(&authority)),
        gateway: endpoints(&visit.base, view, seat),
    }
}

/// `base` is `http(s)://HOST[:PORT]`.
fn endpoints(base: &str, view: &WorkshopView, seat: &Seat) -> pb::Endpoints {
    let path = format!("/proxy/{}/{}", view.workshop.id, seat.seat);
    // http -> ws, https -> wss
    let socket = base.replacen("http", "ws", 1);
    pb::Endpoints {
        terminal: format!("{socket}{path}/terminal"),
        files: format!("{base}{path}/files"),
        exec: format!("{base}{path}/exec"),
    }
}

/// A notice.
pub fn notice(notice: &Notice) -> pb::Notice {
    let kind = match notice.kind {
        NoticeKind::Preempted => pb::notice::Kind::Preempted,
        NoticeKind::Expiring => pb::notice::Kind::Expiring,
        NoticeKind::Draining => pb::notice::Kind::Draining,
        NoticeKind::Help => pb::notice::Kind::Help,
        NoticeKind::Collected => pb::notice::Kind::Collected,
    };
    pb::Notice {
        kind: kind.into(),
        message: notice.message.clone(),
        at: notice.at.map(time),
    }
}

/// A token, without its text.
pub fn api_token(token: &ApiToken) -> pb::ApiToken {
    let role = match token.principal.role {
        Role::Admin => pb::Role::Admin,
        Role::Instructor => pb::Role::Instructor,
    };
    pb::ApiToken {
        id: token.id.clone(),
        label: token.label.clone(),
        principal: token.principal.name.clone(),
        role: role.into(),
        created_at: Some(time(token.created_at)),
        revoked_at: token.revoked_at.map(time),
    }
}

/// The life of a seat token from `now`, in whole seconds.
pub fn token_end(now: DateTime<Utc>, life: std::time::Duration) -> DateTime<Utc> {
    let start = DateTime::from_timestamp(now.timestamp(), 0).unwrap_or(now);
    start + life.min(seat_token::MAX_LIFE)
}
