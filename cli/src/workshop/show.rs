//! Workshops on stdout: a table, JSON as the server's own JSON face has it, or ids.

use std::time::SystemTime;

use clarateach_proto::workshop::{Endpoints, Runtime, Seat, Worker, Workshop};
use serde_json::{Value, json};

use crate::{
    config::{Format, Show},
    failure::Failure,
    output::{ago, columns, list, plain, pretty, print},
};

const NARROW: [&str; 5] = ["ID", "NAME", "STATUS", "SEATS", "CODE"];
const WIDE: [&str; 4] = ["RUNTIME", "OWNER", "ENDS", "REASON"];

/// A status in one lower-case word.
pub(super) fn status(workshop: &Workshop) -> String {
    word(workshop.status().as_str_name(), "WORKSHOP_STATUS_")
}

/// `SEAT_STATE_READY` -> `ready`.
pub(crate) fn word(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
}

fn runtime(workshop: &Workshop) -> &'static str {
    match workshop.runtime() {
        Runtime::Firecracker => "firecracker",
        Runtime::Container => "container",
        Runtime::Unspecified => "unspecified",
    }
}

pub(super) fn many(all: &[Workshop], show: Show) -> Result<(), Failure> {
    let now = SystemTime::now();
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            vec![
                one.id.clone(),
                plain(&one.name),
                status(one),
                one.seats.to_string(),
                one.code.clone(),
                runtime(one).to_owned(),
                plain(&one.owner),
                ago(one.expires_at.as_ref(), now),
                plain(&one.reason),
            ]
        })
        .collect();
    list(
        show,
        &NARROW,
        &WIDE,
        &rows,
        || json!({ "workshops": all.iter().map(as_json).collect::<Vec<_>>() }),
    )
}

/// The row alone; JSON has everything all the same.
pub(super) fn brief(workshop: &Workshop, show: Show) -> Result<(), Failure> {
    match show.output {
        Format::Json => print(&pretty(&as_json(workshop))),
        Format::Table | Format::Wide | Format::Name => many(std::slice::from_ref(workshop), show),
    }
}

/// The row, and below it what else there is to know.
pub(super) fn one(workshop: &Workshop, cost: Option<String>, show: Show) -> Result<(), Failure> {
    brief(workshop, show)?;
    if matches!(show.output, Format::Json | Format::Name) {
        return Ok(());
    }
    let mut details = details(workshop);
    if let Some(cost) = cost {
        details.push(vec!["cost".into(), cost]);
    }
    print(&format!("\n{}", columns(&details)))?;
    if workshop.seat_list.is_empty() {
        return Ok(());
    }
    print("")?;
    crate::seats::print_all(&workshop.seat_list, show)
}

fn details(workshop: &Workshop) -> Vec<Vec<String>> {
    let now = SystemTime::now();
    let mut rows = vec![
        vec!["made".into(), ago(workshop.created_at.as_ref(), now)],
        vec!["ends".into(), ago(workshop.expires_at.as_ref(), now)],
    ];
    let mut say = |name: &str, text: String| {
        if !text.is_empty() {
            rows.push(vec![name.to_owned(), text]);
        }
    };
    say("reason", plain(&workshop.reason));
    if let Some(egress) = &workshop.egress {
        let mode = word(egress.mode().as_str_name(), "MODE_");
        say(
            "egress",
            format!("{mode} {}", plain(&egress.allow.join(", ")))
                .trim()
                .to_owned(),
        );
    }
    for worker in &workshop.workers {
        let state = word(worker.state().as_str_name(), "WORKER_STATE_");
        let line = [
            &worker.name,
            &state,
            &worker.address,
            &worker.reason,
            &worker.network,
        ];
        let line: Vec<String> = line.iter().map(|part| plain(part)).collect();
        say("worker", line.join("  ").trim_end().to_owned());
    }
    rows
}

fn time(at: Option<&prost_types::Timestamp>) -> Option<String> {
    at.map(ToString::to_string)
}

/// As `GET /api/workshops/ID` has it.
pub(super) fn as_json(workshop: &Workshop) -> Value {
    let egress = workshop.egress.as_ref().map(|egress| {
        json!({ "mode": word(egress.mode().as_str_name(), "MODE_"), "allow": egress.allow })
    });
    let resources = workshop.resources.unwrap_or_default();
    json!({
        "id": workshop.id,
        "name": workshop.name,
        "seats": workshop.seats,
        "runtime": runtime(workshop),
        "code": workshop.code,
        "status": status(workshop),
        "reason": workshop.reason,
        "owner": workshop.owner,
        "egress": egress,
        "created_at": time(workshop.created_at.as_ref()),
        "expires_at": time(workshop.expires_at.as_ref()),
        "deleted_at": time(workshop.deleted_at.as_ref()),
        "template": workshop.template,
        "instructions": workshop.instructions,
        "env_names": workshop.env_names,
        "resources": {
            "vcpus": resources.vcpus,
            "memory_mib": resources.memory_mib,
            "disk_mib": resources.disk_mib,
            "network_mbits": resources.network_mbits,
            "disk_mib_per_second": resources.disk_mib_per_second,
            "processes": resources.processes,
        },
        "ca_certificate": workshop.ca_certificate,
        "revision": workshop.revision,
        "workers": workshop.workers.iter().map(worker).collect::<Vec<_>>(),
        "seat_list": workshop.seat_list.iter().map(seat).collect::<Vec<_>>(),
    })
}

fn worker(worker: &Worker) -> Value {
    json!({
        "name": worker.name,
        "address": worker.address,
        "zone": worker.zone,
        "state": word(worker.state().as_str_name(), "WORKER_STATE_"),
        "reason": worker.reason,
        "certificate_expires_at": time(worker.certificate_expires_at.as_ref()),
        "agent_version": worker.agent_version,
        "network": worker.network,
    })
}

/// One seat, as the server's JSON face has it.
pub(crate) fn seat(seat: &Seat) -> Value {
    let ways = |ways: Option<&Endpoints>| {
        ways.map(|e| json!({ "terminal": e.terminal, "files": e.files, "exec": e.exec }))
    };
    json!({
        "seat": seat.seat,
        "state": word(seat.state().as_str_name(), "SEAT_STATE_"),
        "reason": seat.reason,
        "taken": seat.taken,
        "learner": seat.learner,
        "joined_at": time(seat.joined_at.as_ref()),
        "last_input_at": time(seat.last_input_at.as_ref()),
        "terminals": seat.terminals,
        "restarts": seat.restarts,
        "epoch": seat.epoch,
        "worker": seat.worker,
        "endpoints": ways(seat.endpoints.as_ref()),
        "gateway": ways(seat.gateway.as_ref()),
    })
}
