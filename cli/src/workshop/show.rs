//! Workshops on stdout: a table, JSON as the server's own JSON face has it, or ids.

use clarateach_proto::workshop::{Runtime, Workshop};
use serde_json::{Value, json};

use crate::{
    config::Format,
    failure::Failure,
    output::{columns, plain, print},
};

/// A status in one lower-case word.
pub(super) fn status(workshop: &Workshop) -> String {
    let name = workshop.status().as_str_name();
    name.trim_start_matches("WORKSHOP_STATUS_").to_lowercase()
}

fn egress(workshop: &Workshop) -> Value {
    workshop.egress.as_ref().map_or(Value::Null, |egress| {
        let mode = egress.mode().as_str_name();
        json!({
            "mode": mode.trim_start_matches("MODE_").to_lowercase(),
            "allow": egress.allow,
        })
    })
}

fn runtime(workshop: &Workshop) -> &'static str {
    match workshop.runtime() {
        Runtime::Firecracker => "firecracker",
        Runtime::Container => "container",
        Runtime::Unspecified => "unspecified",
    }
}

pub(super) fn many(all: &[Workshop], format: Format, headers: bool) -> Result<(), Failure> {
    match format {
        Format::Json => print(&pretty(&json!({
            "workshops": all.iter().map(as_json).collect::<Vec<_>>()
        }))),
        Format::Name if all.is_empty() => Ok(()),
        Format::Name => print(&ids(all)),
        Format::Table | Format::Wide => {
            let wide = format == Format::Wide;
            let mut rows = Vec::new();
            if headers {
                rows.push(cells(
                    ["ID", "NAME", "STATUS", "SEATS", "CODE"],
                    ["RUNTIME", "OWNER", "REASON"],
                    wide,
                ));
            }
            for one in all {
                let seats = one.seats.to_string();
                let (name, owner, reason) =
                    (plain(&one.name), plain(&one.owner), plain(&one.reason));
                rows.push(cells(
                    [&one.id, &name, &status(one), &seats, &one.code],
                    [runtime(one), &owner, &reason],
                    wide,
                ));
            }
            if rows.is_empty() {
                return Ok(());
            }
            print(&columns(&rows))
        }
    }
}

pub(super) fn one(workshop: &Workshop, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => print(&pretty(&as_json(workshop))),
        _ => many(std::slice::from_ref(workshop), format, true),
    }
}

fn cells(narrow: [&str; 5], wide: [&str; 3], is_wide: bool) -> Vec<String> {
    let wide = wide.iter().filter(|_| is_wide);
    narrow.iter().chain(wide).map(ToString::to_string).collect()
}

fn ids(all: &[Workshop]) -> String {
    let ids: Vec<&str> = all.iter().map(|one| one.id.as_str()).collect();
    ids.join("\n")
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

fn as_json(workshop: &Workshop) -> Value {
    let time = |at: &Option<prost_types::Timestamp>| at.as_ref().map(ToString::to_string);
    json!({
        "id": workshop.id,
        "name": workshop.name,
        "seats": workshop.seats,
        "runtime": runtime(workshop),
        "code": workshop.code,
        "status": status(workshop),
        "reason": workshop.reason,
        "owner": workshop.owner,
        "egress": egress(workshop),
        "created_at": time(&workshop.created_at),
        "expires_at": time(&workshop.expires_at),
    })
}
