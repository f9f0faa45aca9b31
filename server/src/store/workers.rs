//! Workers' rows, their run intervals, and the tries at them.
//!
//! Every effect on a worker is preceded by a row here: the worker's own before
//! the first, an attempt before each.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use chrono::{DateTime, Utc};
use clarateach_certs::ca::Ca;
use clarateach_domain::{
    ids::{SeatNo, WorkerName, WorkshopId},
    network::NetworkHealth,
    plan::Ordinal,
    workshop::{Phase, WorkerState},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, DatabaseTransaction, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, sea_query::Expr,
};

use super::{
    Event, Store, StoreError,
    entity::{attempt, seat, worker, worker_run, workshop},
    record,
    settle::{event, ordinal},
    text::Text,
    view::network,
    workshops::sealed,
};

/// Tries kept for each verb with a worker: more than any back-off counts.
const KEPT_ATTEMPTS: u64 = 10;

/// A living worker's row.
#[derive(Debug, Clone)]
pub struct WorkerRow {
    /// The row.
    pub id: i64,
    /// Which of the workshop's workers.
    pub ordinal: Ordinal,
    /// Its name.
    pub name: WorkerName,
    /// Where it was in its life.
    pub state: WorkerState,
    /// Why, for people.
    pub reason: String,
    /// Where its agent answers.
    pub address: Option<SocketAddr>,
    /// The VM for which the request was signed, by the cloud's number; empty for a
    /// worker that is no VM.
    pub instance_id: String,
    /// The signing request last signed, PEM.
    pub csr: String,
    /// The certificate last given, PEM.
    pub certificate: String,
    /// When that ends.
    pub certificate_expires_at: Option<DateTime<Utc>>,
    /// When its agent first answered.
    pub ready_at: Option<DateTime<Utc>>,
    /// How its seats' walls stood.
    pub network: NetworkHealth,
    /// The notice that its learners' terminals were last told.
    pub told: String,
    agent_version: String,
}

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

impl WorkerRow {
    pub(super) fn read(row: worker::Model) -> Result<Self, StoreError> {
        let name = row.name.parse();
        Ok(Self {
            id: row.id,
            network: network(&row),
            ordinal: ordinal(row.ordinal)?,
            name: name.map_err(|cause| StoreError::bad("worker name", cause))?,
            state: row.state.0,
            reason: row.reason,
            address: row.address.parse().ok(),
            instance_id: row.instance_id,
            csr: row.csr,
            certificate: row.certificate,
            certificate_expires_at: row.certificate_expires_at,
            ready_at: row.ready_at,
            told: row.told,
            agent_version: row.agent_version,
        })
    }
}

/// Where a seat is.
#[derive(Debug, Clone)]
pub struct SeatPlace {
    /// From which epoch tokens count.
    pub epoch: u64,
    /// Its worker and where that worker's agent answers, once known.
    pub worker: Option<(WorkerName, SocketAddr)>,
}

/// A try that has a row.
#[derive(Debug, Clone, Copy)]
pub struct Attempt(i64);

impl Store {
    /// Notes that `verb` is about to be tried with a worker. The worker gets
    /// its row with its first try.
    pub async fn begin_attempt(
        &self,
        id: &WorkshopId,
        of: Ordinal,
        verb: &str,
        now: DateTime<Utc>,
    ) -> Result<Attempt, StoreError> {
        let txn = self.begin_write().await?;
        if verb == "create" {
            want_worker(&txn, id, of, now).await?;
        }
        drop_old_attempts(&txn, id, of, verb).await?;
        let request_id = format!("{id}-w{of}-{:016x}", rand::random::<u64>());
        let row = attempt::ActiveModel {
            workshop_id: Set(id.to_string()),
            ordinal: Set(number(of)),
            verb: Set(verb.to_owned()),
            request_id: Set(request_id),
            started_at: Set(now),
            ended_at: Set(None),
            error: Set(String::new()),
            permanent: Set(false),
            ..Default::default()
        };
        let row = attempt::Entity::insert(row).exec(&*txn).await?;
        txn.commit().await?;
        Ok(Attempt(row.last_insert_id))
    }

    /// Notes how it ended.
    pub async fn end_attempt(
        &self,
        attempt: Attempt,
        (error, permanent): (Option<&str>, bool),
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        attempt::Entity::update_many()
            .col_expr(attempt::Column::EndedAt, Expr::value(now))
            .col_expr(
                attempt::Column::Error,
                Expr::value(error.unwrap_or_default()),
            )
            .col_expr(attempt::Column::Permanent, Expr::value(permanent))
            .filter(attempt::Column::Id.eq(attempt.0))
            .exec(&*txn)
            .await?;
        txn.commit().await
    }

    /// Forgets tries that have reached what they were for.
    pub async fn clear_attempts(
        &self,
        id: &WorkshopId,
        of: Ordinal,
        verbs: &[&str],
    ) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        attempt::Entity::delete_many()
            .filter(attempt::Column::WorkshopId.eq(id.as_str()))
            .filter(attempt::Column::Ordinal.eq(number(of)))
            .filter(attempt::Column::Verb.is_in(verbs.iter().copied()))
            .exec(&*txn)
            .await?;
        txn.commit().await
    }

    /// Keeps a certificate before it is handed out: of the VM `instance_id`, empty for a
    /// worker that is none.
    pub async fn certified(
        &self,
        id: &WorkshopId,
        of: Ordinal,
        (instance_id, address): (&str, SocketAddr),
        (csr, certificate): (&str, &str),
        ends: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        worker::Entity::update_many()
            .col_expr(worker::Column::Address, Expr::value(address.to_string()))
            .col_expr(worker::Column::InstanceId, Expr::value(instance_id))
            .col_expr(worker::Column::Csr, Expr::value(csr))
            .col_expr(worker::Column::Certificate, Expr::value(certificate))
            .col_expr(worker::Column::CertificateExpiresAt, Expr::value(ends))
            .filter(living(id, of))
            .exec(&*txn)
            .await?;
        let (object, reason) = (format!("worker/{of}"), format!("valid until {ends}"));
        record(&txn, id, event("worker.certified", &object, &reason), now).await?;
        txn.commit().await?;
        self.changed(id);
        Ok(())
    }

    /// Notes that the worker's terminals were told a notice.
    pub async fn told_terminals(
        &self,
        id: &WorkshopId,
        of: Ordinal,
        notice: &str,
    ) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        worker::Entity::update_many()
            .col_expr(worker::Column::Told, Expr::value(notice))
            .filter(living(id, of))
            .exec(&*txn)
            .await?;
        txn.commit().await
    }

    /// Keeps the end of what a worker wrote that never answered. It outlives the worker.
    pub async fn evidence(
        &self,
        id: &WorkshopId,
        of: Ordinal,
        text: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let object = format!("worker/{of}");
        let data = serde_json::json!({ "log": text }).to_string();
        let told = Event {
            data: &data,
            ..event("worker.evidence", &object, "it never answered")
        };
        let txn = self.begin_write().await?;
        record(&txn, id, told, now).await?;
        txn.commit().await?;
        self.changed(id);
        Ok(())
    }

    /// The worker is gone: its row becomes history.
    pub async fn forget_worker(
        &self,
        id: &WorkshopId,
        of: Ordinal,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        let Some(row) = worker::Entity::find()
            .filter(living(id, of))
            .one(&*txn)
            .await?
        else {
            return Ok(());
        };
        set_runs(&txn, id, &row, "", false, now).await?;
        worker::Entity::update_many()
            .col_expr(
                worker::Column::State,
                Expr::value(Text(WorkerState::Deleted)),
            )
            .col_expr(worker::Column::Reason, Expr::value("nothing of it exists"))
            .col_expr(worker::Column::DeletedAt, Expr::value(now))
            .filter(worker::Column::Id.eq(row.id))
            .exec(&*txn)
            .await?;
        attempt::Entity::delete_many()
            .filter(attempt::Column::WorkshopId.eq(id.as_str()))
            .filter(attempt::Column::Ordinal.eq(number(of)))
            .exec(&*txn)
            .await?;
        let object = format!("worker/{of}");
        let gone = event("worker.deleted", &object, "nothing of it exists");
        record(&txn, id, gone, now).await?;
        txn.commit().await?;
        self.changed(id);
        Ok(())
    }

    /// What the gateway checks a workshop's tokens and workers with: its CA and
    /// the public half of its seat-token key. `None` if it is gone.
    pub async fn gateway_keys(&self, id: &WorkshopId) -> Result<Option<(Ca, String)>, StoreError> {
        let row = workshop::Entity::find_by_id(id.as_str())
            .filter(workshop::Column::Phase.ne(Text(Phase::Deleted)))
            .one(&self.db)
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let key = self
            .key
            .open_text(sealed::CA_KEY, id.as_str(), &row.ca_key_sealed)?;
        let ca = Ca::from_pem(&row.ca_certificate, &key)
            .map_err(|cause| StoreError::bad("ca_certificate", cause))?;
        Ok(Some((ca, row.seat_key_public)))
    }

    /// Where a seat is now; `None` if there is no such seat.
    pub async fn seat_place(
        &self,
        id: &WorkshopId,
        number: SeatNo,
    ) -> Result<Option<SeatPlace>, StoreError> {
        let Ok(number) = i32::try_from(number.get()) else {
            return Ok(None);
        };
        let Some(seat) = seat::Entity::find_by_id((id.to_string(), number))
            .one(&self.db)
            .await?
        else {
            return Ok(None);
        };
        let row = worker::Entity::find()
            .filter(living(id, ordinal(seat.worker)?))
            .one(&self.db)
            .await?
            .map(WorkerRow::read)
            .transpose()?;
        Ok(Some(SeatPlace {
            epoch: u64::try_from(seat.epoch).map_err(|cause| StoreError::bad("epoch", cause))?,
            worker: row.and_then(|row| Some((row.name, row.address?))),
        }))
    }

    /// How long the workshop's workers have run until `now`, all of them together.
    pub async fn worker_time(
        &self,
        id: &WorkshopId,
        now: DateTime<Utc>,
    ) -> Result<Duration, StoreError> {
        let runs = worker_run::Entity::find()
            .filter(worker_run::Column::WorkshopId.eq(id.as_str()))
            .all(&self.db)
            .await?;
        let long = |run: &worker_run::Model| (run.to_at.unwrap_or(now) - run.from_at).to_std();
        Ok(runs.iter().filter_map(|run| long(run).ok()).sum())
    }

    /// How many workers cost money now.
    pub async fn open_runs(&self) -> Result<u64, StoreError> {
        let open = worker_run::Entity::find().filter(worker_run::Column::ToAt.is_null());
        Ok(open.count(&self.db).await?)
    }

    /// Names of all workers that have a living row, of any workshop.
    pub async fn living_workers(&self) -> Result<Vec<String>, StoreError> {
        let rows = worker::Entity::find()
            .filter(worker::Column::DeletedAt.is_null())
            .all(&self.db)
            .await?;
        Ok(rows.into_iter().map(|row| row.name).collect())
    }
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

/// Opens or closes the interval in which a worker costs money.
async fn set_runs(
    txn: &DatabaseTransaction,
    id: &WorkshopId,
    row: &worker::Model,
    zone: &str,
    runs: bool,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let open = worker_run::Entity::find()
        .filter(worker_run::Column::WorkerId.eq(row.id))
        .filter(worker_run::Column::ToAt.is_null())
        .one(txn)
        .await?;
    match (open, runs) {
        (None, true) => {
            let run = worker_run::ActiveModel {
                worker_id: Set(row.id),
                workshop_id: Set(id.to_string()),
                machine_type: Set("local".to_owned()),
                zone: Set(zone.to_owned()),
                spot: Set(false),
                from_at: Set(now),
                to_at: Set(None),
                ..Default::default()
            };
            worker_run::Entity::insert(run)
                .exec_without_returning(txn)
                .await?;
        }
        (Some(open), false) => {
            worker_run::Entity::update_many()
                .col_expr(worker_run::Column::ToAt, Expr::value(now))
                .filter(worker_run::Column::Id.eq(open.id))
                .exec(txn)
                .await?;
        }
        (Some(_), true) | (None, false) => {}
    }
    Ok(())
}

/// Makes room for one more: back-offs need a count, not a history.
async fn drop_old_attempts(
    txn: &DatabaseTransaction,
    id: &WorkshopId,
    of: Ordinal,
    verb: &str,
) -> Result<(), StoreError> {
    let same = Condition::all()
        .add(attempt::Column::WorkshopId.eq(id.as_str()))
        .add(attempt::Column::Ordinal.eq(number(of)))
        .add(attempt::Column::Verb.eq(verb));
    let newest = attempt::Entity::find()
        .filter(same.clone())
        .order_by_desc(attempt::Column::Id)
        .offset(KEPT_ATTEMPTS - 1)
        .limit(1);
    if let Some(row) = newest.one(txn).await? {
        attempt::Entity::delete_many()
            .filter(same.add(attempt::Column::Id.lte(row.id)))
            .exec(txn)
            .await?;
    }
    Ok(())
}

/// The worker's row, before its first try.
async fn want_worker(
    txn: &DatabaseTransaction,
    id: &WorkshopId,
    of: Ordinal,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if worker::Entity::find()
        .filter(living(id, of))
        .one(txn)
        .await?
        .is_some()
    {
        return Ok(());
    }
    let row = worker::ActiveModel {
        workshop_id: Set(id.to_string()),
        ordinal: Set(number(of)),
        name: Set(WorkerName::of(id, of).to_string()),
        provider_ref: Set(String::new()),
        zone: Set(String::new()),
        state: Set(Text(WorkerState::Creating)),
        reason: Set("being made".to_owned()),
        address: Set(String::new()),
        instance_id: Set(String::new()),
        csr: Set(String::new()),
        certificate: Set(String::new()),
        certificate_expires_at: Set(None),
        agent_version: Set(String::new()),
        network_fault: Set(String::new()),
        network_drift: Set(String::new()),
        network_drift_at: Set(None),
        told: Set(String::new()),
        created_at: Set(now),
        ready_at: Set(None),
        deleted_at: Set(None),
        ..Default::default()
    };
    worker::Entity::insert(row)
        .exec_without_returning(txn)
        .await?;
    let object = format!("worker/{of}");
    record(
        txn,
        id,
        event("worker.creating", &object, "being made"),
        now,
    )
    .await?;
    Ok(())
}

fn living(id: &WorkshopId, of: Ordinal) -> Condition {
    Condition::all()
        .add(worker::Column::WorkshopId.eq(id.as_str()))
        .add(worker::Column::Ordinal.eq(number(of)))
        .add(worker::Column::DeletedAt.is_null())
}

fn number(of: Ordinal) -> i32 {
    i32::try_from(of.get()).unwrap_or(i32::MAX)
}
