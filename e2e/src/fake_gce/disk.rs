//! One disk. It costs from when it is made until it is deleted, whatever its
//! instance does.

use std::time::Duration;

use serde_json::{Value, json};

use super::{clock::stamp, instance::Place, ledger::Seen, world::World};

#[derive(Debug, Clone)]
pub(crate) struct Disk {
    pub(crate) id: u64,
    pub(crate) place: Place,
    pub(crate) gigabytes: u64,
    /// `pd-ssd` and the like.
    pub(crate) kind: String,
    pub(crate) source: (&'static str, String),
    pub(crate) labels: Value,
    /// The instance that has it.
    pub(crate) user: Option<Place>,
    pub(crate) auto_delete: bool,
    pub(crate) made: Duration,
}

impl Disk {
    pub(crate) fn wire(&self, world: &World) -> Value {
        let zone = &self.place.zone;
        let link = |path: &str| world.config.link(path);
        let mut wire = json!({
            "kind": "compute#disk",
            "id": self.id.to_string(),
            "name": self.place.name,
            "creationTimestamp": stamp(world.epoch, self.made),
            "sizeGb": self.gigabytes.to_string(),
            "status": "READY",
            "type": link(&format!("zones/{zone}/diskTypes/{}", self.kind)),
            "zone": link(&format!("zones/{zone}")),
            "selfLink": link(&self.place.path("disks")),
            "labels": self.labels,
        });
        wire[self.source.0] = json!(self.source.1);
        if let Some(user) = &self.user {
            wire["users"] = json!([link(&user.path("instances"))]);
        }
        wire
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen {
            place: self.place.zone.clone(),
            name: self.place.name.clone(),
            id: self.id,
            labels: super::instance::words_of(&self.labels),
            nat: None,
            users: self.user.iter().map(|user| user.name.clone()).collect(),
        }
    }
}
