//! Workshops: made, changed, wished away.
//!
//! Way: a checked wish -> limits, row, seats, event in one transaction -> the
//! loop does the rest. What a workshop is, people read by `reading.rs`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use clarateach_domain::{
    egress::Egress,
    ids::WorkshopId,
    limits::Asked,
    microvm::{Resources, Runtime},
    workshop::{Desired, Phase},
};
use sea_orm::{ActiveValue::Set, EntityTrait};

use super::{
    Event, Store, StoreError,
    changing::Begun,
    entity::workshop,
    limits::{Limits, Refused},
    record,
    requests::{Replay, RequestKey},
    resizing::{add_seats, resize},
    text::Text,
};

/// A workshop that is asked for, checked.
#[derive(Clone)]
pub struct NewWorkshop {
    /// Its id, drawn by the caller.
    pub id: WorkshopId,
    /// The principal that owns it, by id.
    pub owner_id: String,
    /// What people call it.
    pub name: String,
    /// How many seats.
    pub seats: u32,
    /// What gives a seat its machine.
    pub runtime: Runtime,
    /// When it deletes itself.
    pub expires_at: DateTime<Utc>,
    /// Environment of every learner's shell. Secret.
    pub env: BTreeMap<String, String>,
    /// What a seat's machine has.
    pub resources: Resources,
    /// What each seat may take, where it was said.
    pub limits: Asked,
    /// What seats may reach.
    pub egress: Egress,
    /// The root filesystem.
    pub template: String,
    /// What learners read.
    pub instructions: String,
    /// The join code, its keys and its CA.
    pub secrets: NewSecrets,
}

/// What is drawn for a new workshop.
#[derive(Clone)]
pub struct NewSecrets {
    /// The join code.
    pub code: clarateach_domain::ids::JoinCode,
    /// The certificate of its own CA, PEM.
    pub ca_certificate: String,
    /// The CA's key, PEM.
    pub ca_key: String,
    /// Public half of the key that signs seat tokens, PEM.
    pub seat_key_public: String,
    /// Private half, PEM.
    pub seat_key: String,
}

/// What changes; absent fields stay as they are.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// How many seats.
    pub seats: Option<u32>,
    /// When it deletes itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// What people call it.
    pub name: Option<String>,
    /// What learners read.
    pub instructions: Option<String>,
    /// What seats may reach.
    pub egress: Option<Egress>,
    /// Let learners lose seats that must go.
    pub evict: bool,
}

/// What became of a wish.
pub type Answer<T> = Result<Result<T, Refused>, StoreError>;

/// What is sealed of a workshop, by name.
pub mod sealed {
    /// The environment.
    pub const ENV: &str = "env";
    /// The CA's key.
    pub const CA_KEY: &str = "ca key";
    /// The private key that signs seat tokens.
    pub const SEAT_KEY: &str = "seat key";
}

impl Store {
    /// Records the wish for a workshop. A repeat of the same request gets the
    /// first one's id.
    pub async fn create_workshop(
        &self,
        actor: &str,
        new: NewWorkshop,
        key: &RequestKey,
        limits: &Limits,
        now: DateTime<Utc>,
    ) -> Answer<WorkshopId> {
        let row = self.workshop_row(&new, now)?;
        let txn = self.begin_write().await?;
        match self.replay(&txn, key).await? {
            Replay::Fresh => {}
            Replay::Differs => return Ok(Err(Refused::RequestDiffers)),
            Replay::Answered(id) => {
                let id = id
                    .parse()
                    .map_err(|cause| StoreError::bad("answer", cause))?;
                return Ok(Ok(id));
            }
        }
        workshop::Entity::insert(workshop::ActiveModel::from(row))
            .exec_without_returning(&*txn)
            .await?;
        let numbers: Vec<_> = (1..=new.seats).collect();
        add_seats(&txn, &new.id, &numbers, 1, limits).await?;
        if let Err(refused) = limits.check(&txn, &new.owner_id).await? {
            return Ok(Err(refused));
        }
        let event = Event {
            actor,
            verb: "workshop.created",
            object: "",
            reason: &format!("{} seats, {}", new.seats, new.runtime),
            data: "",
        };
        record(&txn, &new.id, event, now).await?;
        self.keep_answer(&txn, key, new.id.as_str(), now).await?;
        txn.commit().await?;
        self.changed(&new.id);
        Ok(Ok(new.id))
    }

    fn workshop_row(
        &self,
        new: &NewWorkshop,
        now: DateTime<Utc>,
    ) -> Result<workshop::Model, StoreError> {
        let id = new.id.as_str();
        let seal = |what, secret: &[u8]| self.key.seal(what, id, secret);
        let json = |value: serde_json::Result<String>| {
            value.map_err(|cause| StoreError::bad("wish", cause))
        };
        let names: Vec<_> = new.env.keys().collect();
        let env = json(serde_json::to_string(&new.env))?;
        Ok(workshop::Model {
            id: id.to_owned(),
            owner_id: new.owner_id.clone(),
            name: new.name.clone(),
            seats: signed(new.seats),
            runtime: Text(new.runtime),
            code: new.secrets.code.as_str().to_owned(),
            desired: Text(Desired::Present),
            phase: Text(Phase::Provisioning),
            reason: "waiting for its workers".to_owned(),
            generation: 1,
            revision: 0,
            ran: false,
            since: now,
            notified: None,
            vcpus: signed(new.resources.vcpus),
            memory_mib: signed(new.resources.memory_mib),
            disk_mib: signed(new.resources.disk_mib),
            network_mbits: signed(new.limits.network_mbits),
            disk_mib_per_second: signed(new.limits.disk_mib_per_second),
            processes: signed(new.limits.processes),
            egress: egress_column(&new.egress)?,
            template: new.template.clone(),
            instructions: new.instructions.clone(),
            env_names: json(serde_json::to_string(&names))?,
            env_sealed: seal(sealed::ENV, env.as_bytes())?,
            ca_certificate: new.secrets.ca_certificate.clone(),
            ca_key_sealed: seal(sealed::CA_KEY, new.secrets.ca_key.as_bytes())?,
            seat_key_public: new.secrets.seat_key_public.clone(),
            seat_key_sealed: seal(sealed::SEAT_KEY, new.secrets.seat_key.as_bytes())?,
            created_at: now,
            expires_at: new.expires_at,
            deleted_at: None,
        })
    }

    /// Changes a workshop that is not being removed.
    pub async fn update_workshop(
        &self,
        actor: &str,
        id: &WorkshopId,
        change: &Change,
        key: &RequestKey,
        limits: &Limits,
        now: DateTime<Utc>,
    ) -> Answer<()> {
        let (txn, row) = match self.begin_change(id, key).await? {
            Begun::Open(txn, row) => (txn, row),
            Begun::Over(answer) => return Ok(answer),
        };
        if let Err(refused) = alive(&row, now) {
            return Ok(Err(refused));
        }
        let mut said = Vec::new();
        let mut data = String::new();
        let mut next: workshop::ActiveModel = (*row).clone().into();
        next.generation = Set(row.generation + 1);
        if let Some(name) = &change.name {
            next.name = Set(name.clone());
            said.push(format!("name {name:?}"));
        }
        if let Some(text) = &change.instructions {
            next.instructions = Set(text.clone());
            said.push("instructions".to_owned());
        }
        if let Some(egress) = &change.egress {
            let column = egress_column(egress)?;
            data = format!(r#"{{"egress":{column}}}"#);
            next.egress = Set(column);
            said.push(format!("egress {}", egress.mode()));
        }
        if let Some(end) = change.expires_at {
            next.expires_at = Set(end);
            // The notices of the new end are due again.
            next.notified = Set(None);
            said.push(format!("ends {end}"));
        }
        if let Some(seats) = change.seats {
            let resized = resize(&txn, &row, seats, change.evict, limits, now).await?;
            let Ok(changed) = resized else {
                return Ok(resized.map(|_| ()));
            };
            next.seats = Set(signed(seats));
            if changed && row.desired.0 == Desired::Present {
                next.since = Set(now);
            }
            said.push(format!("{seats} seats"));
        }
        workshop::Entity::update(next).exec(&*txn).await?;
        if let Err(refused) = limits.check(&txn, &row.owner_id).await? {
            return Ok(Err(refused));
        }
        let event = Event {
            actor,
            verb: "workshop.updated",
            object: "",
            reason: &said.join(", "),
            data: &data,
        };
        record(&txn, id, event, now).await?;
        self.end_change(txn, id, key, now).await?;
        Ok(Ok(()))
    }

    /// Wishes a workshop away. Asked twice, nothing changes.
    pub async fn delete_workshop(
        &self,
        actor: &str,
        id: &WorkshopId,
        key: &RequestKey,
        now: DateTime<Utc>,
    ) -> Answer<()> {
        let (txn, row) = match self.begin_change(id, key).await? {
            Begun::Open(txn, row) => (txn, row),
            Begun::Over(answer) => return Ok(answer),
        };
        if row.desired.0 != Desired::Absent {
            let next = workshop::ActiveModel {
                id: Set(row.id.clone()),
                desired: Set(Text(Desired::Absent)),
                phase: Set(Text(Phase::Deleting)),
                reason: Set("removing its seats and workers".to_owned()),
                generation: Set(row.generation + 1),
                since: Set(now),
                ..Default::default()
            };
            workshop::Entity::update(next).exec(&*txn).await?;
            let event = Event {
                actor,
                verb: "workshop.deleted",
                object: "",
                reason: "asked to",
                data: "",
            };
            record(&txn, id, event, now).await?;
        }
        self.end_change(txn, id, key, now).await?;
        Ok(Ok(()))
    }
}

fn egress_column(egress: &Egress) -> Result<String, StoreError> {
    serde_json::to_string(egress).map_err(|cause| StoreError::bad("egress", cause))
}

/// Refuses to change what is over.
pub(super) fn alive(row: &workshop::Model, now: DateTime<Utc>) -> Result<(), Refused> {
    if row.desired.0 == Desired::Absent {
        return Err(Refused::Deleting);
    }
    if now >= row.expires_at {
        return Err(Refused::Over);
    }
    Ok(())
}

/// Columns are signed; what was checked at the door fits.
pub(super) fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
