//! What was seen of workers, written where it differs: states and walls.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clarateach_domain::{
    ids::WorkshopId, network::NetworkHealth, plan::Ordinal, workshop::WorkerState,
};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, sea_query::Expr};

use super::{
    Event, StoreError, entity::worker, record, runs::set_runs, settle::event, text::Text,
    view::network, workers::WorkerRow,
};

/// A worker as it was seen.
#[derive(Debug, Clone)]
pub struct WorkerSight {
    /// Which of the workshop's workers.
    pub ordinal: Ordinal,
    /// Where it is in its life.
    pub state: WorkerState,
    /// Why, for people.
    pub reason: String,
    /// The zone it runs in, if something of it exists.
    pub zone: String,
    /// Whether it costs money now; `None` if the provisioner could not say.
    pub runs: Option<bool>,
    /// Version of its agent, if that answers.
    pub agent_version: Option<String>,
    /// How its seats' walls stand, as last told.
    pub network: NetworkHealth,
}

/// Writes the workers that differ; true if one did.
pub(super) async fn save_workers(
    txn: &DatabaseTransaction,
    id: &WorkshopId,
    before: &BTreeMap<Ordinal, WorkerRow>,
    after: &[WorkerSight],
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut told = false;
    for new in after {
        let Some(old) = before.get(&new.ordinal) else {
            continue; // wanted, but nothing was tried yet
        };
        let Some(row) = worker::Entity::find_by_id(old.id).one(txn).await? else {
            continue;
        };
        if let Some(runs) = new.runs {
            set_runs(txn, id, &row, &new.zone, runs, now).await?;
        }
        told |= save_network(txn, id, &row, new, now).await?;
        let version = new.agent_version.as_ref().unwrap_or(&old.agent_version);
        let zone = if new.zone.is_empty() {
            &row.zone
        } else {
            &new.zone
        };
        let first = row.ready_at.is_none() && new.state == WorkerState::Ready;
        let same = (row.state.0, &row.reason, &row.agent_version, &row.zone)
            == (new.state, &new.reason, version, zone);
        if same && !first {
            continue;
        }
        told = true;
        let ready_at = row.ready_at.or(first.then_some(now));
        worker::Entity::update_many()
            .col_expr(worker::Column::State, Expr::value(Text(new.state)))
            .col_expr(worker::Column::Reason, Expr::value(new.reason.as_str()))
            .col_expr(worker::Column::Zone, Expr::value(zone.as_str()))
            .col_expr(worker::Column::AgentVersion, Expr::value(version.as_str()))
            .col_expr(worker::Column::ReadyAt, Expr::value(ready_at))
            .filter(worker::Column::Id.eq(old.id))
            .exec(txn)
            .await?;
        let (verb, object) = (
            format!("worker.{}", new.state),
            format!("worker/{}", new.ordinal),
        );
        record(txn, id, event(&verb, &object, &new.reason), now).await?;
    }
    Ok(told)
}

/// Writes how a worker's walls stand, if that differs; true if it is news.
async fn save_network(
    txn: &DatabaseTransaction,
    id: &WorkshopId,
    row: &worker::Model,
    new: &WorkerSight,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let (before, after) = (network(row), &new.network);
    let same = (&before.fault, &before.drift, before.drift_at)
        == (&after.fault, &after.drift, after.drift_at);
    if same {
        return Ok(false);
    }
    worker::Entity::update_many()
        .col_expr(worker::Column::NetworkFault, Expr::value(&after.fault))
        .col_expr(worker::Column::NetworkDrift, Expr::value(&after.drift))
        .col_expr(worker::Column::NetworkDriftAt, Expr::value(after.drift_at))
        .filter(worker::Column::Id.eq(row.id))
        .exec(txn)
        .await?;
    let Some(news) = after.news(&before) else {
        return Ok(false);
    };
    let data = serde_json::json!({
        "drift": after.drift,
        "at": after.drift_at,
        "repairs_since_start": after.repairs,
    });
    let event = Event {
        actor: &row.name,
        verb: news.verb(),
        object: &format!("worker/{}", new.ordinal),
        reason: &after.to_string(),
        data: &data.to_string(),
    };
    record(txn, id, event, now).await?;
    Ok(true)
}
