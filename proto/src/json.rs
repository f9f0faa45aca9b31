//! Messages in the words of the JSON face: snake case, an enum's value as one lower-case
//! word, times as text. The server answers with these and the command line prints them.

use serde_json::{Value, json};

use crate::workshop::{EgressPolicy, Endpoints, Seat, Worker, Workshop};

/// The name of an enum's value without its prefix: `WORKSHOP_STATUS_RUNNING` -> `running`.
pub fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix)
        .unwrap_or(name)
        .to_ascii_lowercase()
}

/// RFC 3339 in UTC, to the millisecond.
pub fn time(at: &prost_types::Timestamp) -> String {
    let nanos = u32::try_from(at.nanos).unwrap_or_default();
    chrono::DateTime::from_timestamp(at.seconds, nanos)
        .unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Where a seat's terminal, files and runs are; `null` where that is not known.
pub fn endpoints(endpoints: Option<&Endpoints>) -> Value {
    endpoints.map_or(
        Value::Null,
        |e| json!({ "terminal": e.terminal, "files": e.files, "exec": e.exec }),
    )
}

/// A workshop, as `GET /api/workshops/ID` answers with it.
pub fn workshop(w: &Workshop) -> Value {
    let workers: Vec<_> = w.workers.iter().map(worker).collect();
    let seats: Vec<_> = w.seat_list.iter().map(seat).collect();
    let resources = w.resources.unwrap_or_default();
    json!({
        "id": w.id,
        "name": w.name,
        "seats": w.seats,
        "runtime": word(w.runtime().as_str_name(), "RUNTIME_"),
        "code": w.code,
        "status": word(w.status().as_str_name(), "WORKSHOP_STATUS_"),
        "reason": w.reason,
        "created_at": w.created_at.as_ref().map(time),
        "expires_at": w.expires_at.as_ref().map(time),
        "deleted_at": w.deleted_at.as_ref().map(time),
        "owner": w.owner,
        "template": w.template,
        "instructions": w.instructions,
        "env_names": w.env_names,
        "resources": {
            "vcpus": resources.vcpus,
            "memory_mib": resources.memory_mib,
            "disk_mib": resources.disk_mib,
            "network_mbits": resources.network_mbits,
            "disk_mib_per_second": resources.disk_mib_per_second,
            "processes": resources.processes,
        },
        "egress": w.egress.as_ref().map(egress),
        "ca_certificate": w.ca_certificate,
        "revision": w.revision,
        "workers": workers,
        "seat_list": seats,
    })
}

fn egress(e: &EgressPolicy) -> Value {
    json!({ "mode": word(e.mode().as_str_name(), "MODE_"), "allow": e.allow })
}

fn worker(w: &Worker) -> Value {
    json!({
        "name": w.name,
        "address": w.address,
        "zone": w.zone,
        "state": word(w.state().as_str_name(), "WORKER_STATE_"),
        "reason": w.reason,
        "certificate_expires_at": w.certificate_expires_at.as_ref().map(time),
        "agent_version": w.agent_version,
        "network": w.network,
    })
}

/// A seat, as a workshop's `seat_list` has it.
pub fn seat(s: &Seat) -> Value {
    json!({
        "seat": s.seat,
        "state": word(s.state().as_str_name(), "SEAT_STATE_"),
        "reason": s.reason,
        "taken": s.taken,
        "learner": s.learner,
        "joined_at": s.joined_at.as_ref().map(time),
        "last_input_at": s.last_input_at.as_ref().map(time),
        "terminals": s.terminals,
        "restarts": s.restarts,
        "epoch": s.epoch,
        "worker": s.worker,
        "endpoints": endpoints(s.endpoints.as_ref()),
        "gateway": endpoints(s.gateway.as_ref()),
    })
}
