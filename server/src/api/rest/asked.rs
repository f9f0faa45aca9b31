//! What is asked for in JSON, as the schema's requests.

use clarateach_proto::workshop as pb;
use serde_json::Value;

use super::{super::error::ApiError, members::Members};

/// What a call to make a workshop asks for.
pub(super) fn create_request(mut from: Members) -> Result<pb::CreateWorkshopRequest, ApiError> {
    let mut ask = pb::CreateWorkshopRequest {
        name: from.text("name"),
        seats: from.number("seats"),
        runtime: runtime(&from.text("runtime")).into(),
        ttl: ttl(&mut from),
        template: from.text("template"),
        instructions: from.text("instructions"),
        request_id: from.text("request_id"),
        ..Default::default()
    };
    if let Some(mut resources) = from.object("resources") {
        ask.resources = Some(pb::Resources {
            vcpus: resources.number("vcpus"),
            memory_mib: resources.number("memory_mib"),
            disk_mib: resources.number("disk_mib"),
            network_mbits: resources.number("network_mbits"),
            disk_mib_per_second: resources.number("disk_mib_per_second"),
            processes: resources.number("processes"),
        });
        from.absorb("resources", resources);
    }
    if let Some(mut env) = from.object("env") {
        let names: Vec<_> = env.left.keys().cloned().collect();
        ask.env = names
            .into_iter()
            .map(|name| {
                let value = env.text(&name);
                (name, value)
            })
            .collect();
        from.absorb("env", env);
    }
    ask.egress = egress_asked(&mut from);
    from.end()?;
    Ok(ask)
}

/// What seats shall reach, if it is said.
pub(super) fn egress_asked(from: &mut Members) -> Option<pb::EgressPolicy> {
    let mut egress = from.object("egress")?;
    // `allow-list` too: the command line spells it so.
    let mode = format!(
        "MODE_{}",
        egress.text("mode").to_ascii_uppercase().replace('-', "_")
    );
    let mode = pb::egress_policy::Mode::from_str_name(&mode);
    // A number that no mode has: refused with the others' words.
    let mode = mode.map_or(-1, i32::from);
    let allow = match egress.take("allow") {
        None => Vec::new(),
        Some(value) => serde_json::from_value(value).unwrap_or_else(|_| {
            egress.fault("allow", "must be a list of strings");
            Vec::new()
        }),
    };
    from.absorb("egress", egress);
    Some(pb::EgressPolicy { mode, allow })
}

/// `firecracker` or `container`; anything else is refused later, with the rest.
fn runtime(text: &str) -> pb::Runtime {
    pb::Runtime::from_str_name(&format!("RUNTIME_{}", text.to_ascii_uppercase()))
        .filter(|_| text.bytes().all(|b| b.is_ascii_lowercase()))
        .unwrap_or(pb::Runtime::Unspecified)
}

/// Whole seconds as a number, or a span: `"90m"`, `"4h"`, `"3600s"`.
pub(super) fn ttl(from: &mut Members) -> Option<prost_types::Duration> {
    let seconds = match from.take("ttl")? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => crate::config::span(&text)
            .ok()
            .and_then(|span| i64::try_from(span.as_secs()).ok()),
        _ => None,
    };
    if seconds.is_none() {
        from.fault(
            "ttl",
            "must be seconds, or a span such as \"90m\" or \"4h\"",
        );
    }
    seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 })
}
