//! Workers' rows: their life, their certificates, and where their seats are.
//!
//! Every effect on a worker is preceded by a row: the worker's own before
//! the first, an attempt ([`super::attempts`]) before each.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use clarateach_certs::ca::Ca;
use clarateach_domain::{
    ids::{SeatNo, WorkerName, WorkshopId},
    network::NetworkHealth,
    plan::Ordinal,
    workshop::{Phase, WorkerState},
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, DatabaseTransaction, EntityTrait, QueryFilter,
    sea_query::Expr,
};

use super::{
    Event, Store, StoreError,
    entity::{attempt, seat, worker, workshop},
    record,
    runs::set_runs,
    settle::{event, ordinal},
    text::Text,
    view::network,
    workshops::sealed,
};

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
    pub(super) agent_version: String,
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

impl Store {
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

    /// Names of all workers that have a living row, of any workshop.
    pub async fn living_workers(&self) -> Result<Vec<String>, StoreError> {
        let rows = worker::Entity::find()
            .filter(worker::Column::DeletedAt.is_null())
            .all(&self.db)
            .await?;
        Ok(rows.into_iter().map(|row| row.name).collect())
    }
}

/// The worker's row, before its first try.
pub(super) async fn want_worker(
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

pub(super) fn number(of: Ordinal) -> i32 {
    i32::try_from(of.get()).unwrap_or(i32::MAX)
}
