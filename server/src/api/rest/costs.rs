//! What workshops have cost so far, as JSON.

use axum::{
    Json,
    extract::{Query, State},
};
use clarateach_proto::workshop as pb;
use http::HeaderMap;
use serde_json::{Value, json};

use super::super::{Api, auth, error::ApiError};

/// `?workshop_ids=ws-…`, once for each.
pub(super) async fn costs(
    State(api): State<Api>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Json<Value>, ApiError> {
    let who = auth::principal(&api.store, &headers).await?;
    let mut ask = pb::GetCostsRequest::default();
    for (name, value) in query {
        match name.as_str() {
            "workshop_ids" => ask.workshop_ids.push(value),
            _ => return Err(ApiError::field(name, "is not known here")),
        }
    }
    let said = api.costs(&who, &ask).await?;
    Ok(Json(json!({
        "costs": said.costs.iter().map(cost).collect::<Vec<_>>(),
        "price_known": said.price_known,
        "explanation": said.explanation,
    })))
}

fn cost(cost: &pb::WorkshopCost) -> Value {
    json!({
        "workshop_id": cost.workshop_id,
        "worker_time": cost.worker_time.as_ref().map_or(0, |span| span.seconds),
        "total_microusd": cost.total_microusd,
    })
}
