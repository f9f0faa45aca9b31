//! The JSON face of the same doors.
//!
//! Way: JSON -> the schema's request, every member checked by name -> the same
//! act as over gRPC -> snake-case JSON. Errors have one shape.

mod costs;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, Request, State, rejection::BytesRejection},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use clarateach_proto::workshop as pb;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value, json};
use tonic::Code;

use super::{
    Api, Visit, auth,
    error::{ApiError, Violation, whole_seconds},
};

/// Bodies are at most so long: instructions (64 KiB) and env fit many times.
const MAX_BODY: usize = 1024 * 1024;
const MAX_DEPTH: usize = 3;

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.http_status(), Json(self.json())).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, whole_seconds(wait).into());
        }
        if self.code == Code::Unauthenticated {
            let bearer = header::HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

/// Everything under `/api`.
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/api/workshops", post(create).get(list))
        .route("/api/workshops/{id}", get(one).patch(update).delete(delete))
        .route("/api/costs", get(costs::costs))
        .route("/api/join", post(join))
        .route("/api/health", get(health))
        .route("/api/{*rest}", axum::routing::any(unknown))
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn(no_store))
        .with_state(api)
}

/// Answers hold tokens and codes: no cache may keep them.
async fn no_store(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let never = header::HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, never);
    response
}

async fn unknown() -> ApiError {
    ApiError::new(
        Code::NotFound,
        "ROUTE_UNKNOWN",
        "there is no such route; gRPC reflection and the README list what there is",
    )
}

async fn wrong_method() -> Response {
    let error = ApiError::new(
        Code::Unimplemented,
        "METHOD_UNKNOWN",
        "this route does not know the method",
    );
    (StatusCode::METHOD_NOT_ALLOWED, Json(error.json())).into_response()
}

async fn health() -> Json<Value> {
    Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

type Visited = axum::Extension<Visit>;
type Body = Result<Bytes, BytesRejection>;

async fn create(
    State(api): State<Api>,
    axum::Extension(visit): Visited,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let who = auth::principal(&api.store, &headers).await?;
    let ask = create_request(members(body)?)?;
    let made = api.create(&who, ask, &visit).await?;
    Ok((StatusCode::CREATED, Json(workshop(&made))).into_response())
}

async fn list(
    State(api): State<Api>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, ApiError> {
    let who = auth::principal(&api.store, &headers).await?;
    let mut ask = pb::ListWorkshopsRequest::default();
    for (name, value) in query {
        let bad = |must: &str| ApiError::field(name.clone(), must);
        match name.as_str() {
            "page_size" => ask.page_size = value.parse().map_err(|_| bad("must be 1 to 500"))?,
            "page_token" => ask.page_token = value,
            "show_deleted" => {
                ask.show_deleted = value.parse().map_err(|_| bad("must be true or false"))?;
            }
            _ => return Err(bad("is not known here")),
        }
    }
    let page = api.list(&who, &ask).await?;
    let workshops: Vec<_> = page.workshops.iter().map(workshop).collect();
    Ok(Json(json!({
        "workshops": workshops,
        "next_page_token": page.next_page_token,
    })))
}

async fn one(
    State(api): State<Api>,
    axum::Extension(visit): Visited,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let who = auth::principal(&api.store, &headers).await?;
    Ok(Json(workshop(&api.get(&who, &id, &visit).await?)))
}

/// Changes what is said and leaves the rest.
async fn update(
    State(api): State<Api>,
    axum::Extension(visit): Visited,
    headers: HeaderMap,
    Path(id): Path<String>,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let who = auth::principal(&api.store, &headers).await?;
    let mut members = members(body)?;
    let ask = pb::UpdateWorkshopRequest {
        id,
        seats: members.said("seats").then(|| members.number("seats")),
        ttl: ttl(&mut members),
        name: members.said("name").then(|| members.text("name")),
        evict: members.truth("evict"),
        egress: egress_asked(&mut members),
        instructions: members
            .said("instructions")
            .then(|| members.text("instructions")),
        request_id: members.text("request_id"),
    };
    members.end()?;
    let changed = api.update(&who, ask, &visit).await?;
    Ok(Json(workshop(&changed)))
}

async fn delete(
    State(api): State<Api>,
    axum::Extension(visit): Visited,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let who = auth::principal(&api.store, &headers).await?;
    let ask = pb::DeleteWorkshopRequest {
        id,
        request_id: String::new(),
    };
    let gone = api.delete(&who, &ask, &visit).await?;
    Ok((StatusCode::ACCEPTED, Json(workshop(&gone))).into_response())
}

async fn join(
    State(api): State<Api>,
    axum::Extension(visit): Visited,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let mut members = members(body)?;
    let ask = pb::JoinWorkshopRequest {
        code: members.text("code"),
        display_name: members.text("display_name"),
        reconnect_code: members.text("reconnect_code"),
        request_id: members.text("request_id"),
    };
    members.end()?;
    let joined = api.join(ask, &visit).await?;
    Ok(Json(json!({
        "token": joined.token,
        "expires_at": joined.expires_at.as_ref().map(time),
        "seat": joined.seat,
        "seat_state": word(joined.seat_state().as_str_name(), "SEAT_STATE_"),
        "workshop_id": joined.workshop_id,
        "workshop_name": joined.workshop_name,
        "instructions": joined.instructions,
        "reconnect_code": joined.reconnect_code,
        "ca_certificate": joined.ca_certificate,
        "endpoints": endpoints(joined.endpoints.as_ref()),
        "gateway": endpoints(joined.gateway.as_ref()),
        "public_endpoints": endpoints(joined.public_endpoints.as_ref()),
    })))
}

/// The members of a JSON object, taken by name; what is left over is a fault.
struct Members {
    left: Map<String, Value>,
    faults: Vec<Violation>,
}

fn members(body: Body) -> Result<Members, ApiError> {
    let body = body.map_err(|refused| match refused.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::field("body", "must have at most 1 MiB"),
        _ => ApiError::field("body", "could not be read"),
    })?;
    let value = serde_json::from_slice(&body);
    match value {
        Ok(Value::Object(left)) if left.values().all(|value| shallow(value, MAX_DEPTH)) => {
            Ok(Members {
                left,
                faults: Vec::new(),
            })
        }
        Ok(_) | Err(_) => Err(ApiError::field("body", "must be a JSON object")),
    }
}

fn shallow(value: &Value, depth: usize) -> bool {
    match value {
        Value::Object(map) => depth > 0 && map.values().all(|value| shallow(value, depth - 1)),
        Value::Array(list) => depth > 0 && list.iter().all(|value| shallow(value, depth - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

impl Members {
    fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn fault(&mut self, name: &str, must: &str) {
        self.faults.push(Violation::new(name, must));
    }

    /// Whether it is there; `null` is not.
    fn said(&self, name: &str) -> bool {
        self.left.get(name).is_some_and(|value| !value.is_null())
    }

    fn truth(&mut self, name: &str) -> bool {
        match self.take(name) {
            None => false,
            Some(Value::Bool(truth)) => truth,
            Some(_) => {
                self.fault(name, "must be true or false");
                false
            }
        }
    }

    fn text(&mut self, name: &str) -> String {
        match self.take(name) {
            None => String::new(),
            Some(Value::String(text)) => text,
            Some(_) => {
                self.fault(name, "must be a string");
                String::new()
            }
        }
    }

    fn number(&mut self, name: &str) -> u32 {
        let Some(value) = self.take(name) else {
            return 0;
        };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.unwrap_or_else(|| {
            self.fault(name, "must be a whole number, not negative");
            0
        })
    }

    fn object(&mut self, name: &str) -> Option<Members> {
        if let Value::Object(left) = self.take(name)? {
            return Some(Members {
                left,
                faults: Vec::new(),
            });
        }
        self.fault(name, "must be an object");
        None
    }

    /// Adds the faults of a member that is an object itself.
    fn absorb(&mut self, name: &str, inner: Members) {
        for fault in inner.rest() {
            let field = format!("{name}.{}", fault.field);
            self.faults.push(Violation::new(field, fault.description));
        }
    }

    fn rest(mut self) -> Vec<Violation> {
        for name in self.left.keys().take(10) {
            let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            self.faults.push(Violation::new(name, "is not known here"));
        }
        self.faults
    }

    fn end(self) -> Result<(), ApiError> {
        let faults = self.rest();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(ApiError::fields(faults))
        }
    }
}

fn create_request(mut from: Members) -> Result<pb::CreateWorkshopRequest, ApiError> {
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

fn egress_asked(from: &mut Members) -> Option<pb::EgressPolicy> {
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
fn ttl(from: &mut Members) -> Option<prost_types::Duration> {
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

/// `WORKSHOP_STATUS_RUNNING` -> `running`.
fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix)
        .unwrap_or(name)
        .to_ascii_lowercase()
}

fn time(at: &prost_types::Timestamp) -> String {
    let nanos = u32::try_from(at.nanos).unwrap_or_default();
    chrono::DateTime::from_timestamp(at.seconds, nanos)
        .unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn endpoints(endpoints: Option<&pb::Endpoints>) -> Value {
    endpoints.map_or(
        Value::Null,
        |e| json!({ "terminal": e.terminal, "files": e.files, "exec": e.exec }),
    )
}

fn workshop(w: &pb::Workshop) -> Value {
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

fn egress(e: &pb::EgressPolicy) -> Value {
    json!({ "mode": word(e.mode().as_str_name(), "MODE_"), "allow": e.allow })
}

fn worker(w: &pb::Worker) -> Value {
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

fn seat(s: &pb::Seat) -> Value {
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
