//! The JSON face of the same doors.
//!
//! Way: JSON -> the schema's request, every member checked by name -> the same
//! act as over gRPC -> snake-case JSON. Errors have one shape.

mod asked;
mod costs;
mod members;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, Query, Request, State},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use clarateach_proto::{
    json::{endpoints, time, word, workshop},
    workshop as pb,
};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tonic::Code;

use self::{
    asked::{create_request, egress_asked, ttl},
    members::{Body, members},
};
use super::{
    Api, Visit, auth,
    error::{ApiError, whole_seconds},
};

/// Bodies are at most so long: instructions (64 KiB) and env fit many times.
const MAX_BODY: usize = 1024 * 1024;

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
