//! The schema's messages, spelled as in the JSON face.

use clarateach_proto::workshop as pb;
use http::Response;
use serde_json::{Value, json};
use tonic_types::StatusExt as _;

use crate::kit::Refused;

fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix)
        .unwrap_or(name)
        .to_ascii_lowercase()
}

pub(crate) fn workshop(from: &pb::Workshop) -> Value {
    let seats: Vec<_> = from.seat_list.iter().map(seat).collect();
    let workers = from.workers.iter();
    let workers =
        workers.map(|one| json!({ "state": word(one.state().as_str_name(), "WORKER_STATE_") }));
    let egress = from.egress.clone().unwrap_or_default();
    json!({
        "id": from.id,
        "name": from.name,
        "seats": from.seats,
        "runtime": word(from.runtime().as_str_name(), "RUNTIME_"),
        "code": from.code,
        "status": word(from.status().as_str_name(), "WORKSHOP_STATUS_"),
        "owner": from.owner,
        "template": from.template,
        "instructions": from.instructions,
        "env_names": from.env_names,
        "egress": { "mode": word(egress.mode().as_str_name(), "MODE_"), "allow": egress.allow },
        "workers": workers.collect::<Vec<_>>(),
        "seat_list": seats,
    })
}

pub(crate) fn seat(from: &pb::Seat) -> Value {
    json!({
        "seat": from.seat,
        "state": word(from.state().as_str_name(), "SEAT_STATE_"),
        "taken": from.taken,
        "learner": from.learner,
    })
}

/// A message of a workshop's watch.
pub(crate) fn change(told: &pb::WatchWorkshopResponse) -> Value {
    let mut all = workshop(told.workshop.as_ref().expect("the whole workshop"));
    all["notices"] = notices(&told.notices);
    all
}

/// A message of a seat's watch.
pub(crate) fn news(told: &pb::WatchSeatResponse) -> Value {
    json!({
        "state": word(told.state().as_str_name(), "SEAT_STATE_"),
        "workshop_status": word(told.workshop_status().as_str_name(), "WORKSHOP_STATUS_"),
        "notices": notices(&told.notices),
    })
}

fn notices(all: &[pb::Notice]) -> Value {
    all.iter()
        .map(|one| json!({ "kind": word(one.kind().as_str_name(), "KIND_") }))
        .collect()
}

pub(crate) fn token(from: &pb::ApiToken) -> Value {
    json!({
        "id": from.id,
        "label": from.label,
        "principal": from.principal,
        "role": word(from.role().as_str_name(), "ROLE_"),
    })
}

pub(crate) fn joined(from: &pb::JoinWorkshopResponse) -> Value {
    json!({
        "seat": from.seat,
        "workshop_id": from.workshop_id,
        "workshop_name": from.workshop_name,
        "instructions": from.instructions,
        "reconnect_code": from.reconnect_code,
    })
}

impl From<tonic::Status> for Refused {
    fn from(status: tonic::Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        let fields = details
            .bad_request()
            .map(|bad| bad.field_violations.clone());
        let fields: Vec<_> = fields
            .unwrap_or_default()
            .into_iter()
            .map(|one| one.field)
            .collect();
        Self(json!({ "grpc": format!("{:?}", status.code()), "reason": reason, "fields": fields }))
    }
}

/// What a seat answers with, unless it refuses.
pub(crate) fn answered(answer: Response<bytes::Bytes>) -> Result<bytes::Bytes, Refused> {
    if answer.status().is_success() {
        return Ok(answer.into_body());
    }
    Err(refused(answer.status().as_u16(), answer.body()))
}

pub(crate) fn refused(status: u16, body: &[u8]) -> Refused {
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    Refused(json!({ "http": status, "reason": said["error"]["reason"] }))
}
