//! How disks come with instances and stay or go after them; and what all costs.

use serde_json::{Value, json};

use super::{
    disk::Disk,
    instance::{Instance, Place},
    ledger::{Cause, Effect},
    world::World,
};

/// What was used so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bill {
    /// Seconds in which an instance ran.
    pub machine_seconds: f64,
    /// Gigabytes times seconds of disks, also of stopped instances.
    pub disk_gigabyte_seconds: f64,
}

impl World {
    /// The name of the disk in this place of an instance's list.
    pub(crate) fn disk_name(instance: &str, place: usize, disk: &Value) -> String {
        let params = &disk["initializeParams"];
        let named = params["diskName"].as_str().map(str::to_owned);
        named.unwrap_or_else(|| match place {
            0 => instance.to_owned(),
            n => format!("{instance}-{n}"),
        })
    }

    pub(crate) fn make_disks(&mut self, cause: Cause, instance: &Instance) {
        let disks = instance.body["disks"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for (place, asked) in disks.iter().enumerate() {
            let params = &asked["initializeParams"];
            let name = Self::disk_name(&instance.place.name, place, asked);
            let source = ["sourceSnapshot", "sourceImage"];
            let source = source.into_iter().find(|name| params[*name].is_string());
            let source = source.unwrap_or("sourceImage");
            let kind = params["diskType"]
                .as_str()
                .and_then(|kind| kind.rsplit('/').next());
            let disk = Disk {
                id: self.new_id(),
                place: Place::new(&instance.place.zone, &name),
                gigabytes: gigabytes(&params["diskSizeGb"]).unwrap_or(20),
                kind: kind.unwrap_or("pd-standard").to_owned(),
                source: (
                    source,
                    params[source].as_str().unwrap_or_default().to_owned(),
                ),
                labels: params.get("labels").cloned().unwrap_or_else(|| json!({})),
                user: Some(instance.place.clone()),
                auto_delete: asked["autoDelete"] == true,
                made: self.now,
            };
            self.effect(cause, Effect::DiskMade(disk.seen()));
            self.disks.insert(disk.place.clone(), disk);
        }
    }

    /// Its instance is gone: disks that were to go with it go.
    pub(crate) fn leave_disks(&mut self, cause: Cause, user: &Place) {
        let of = self
            .disks
            .values()
            .filter(|disk| disk.user.as_ref() == Some(user));
        let of: Vec<_> = of
            .map(|disk| (disk.place.clone(), disk.auto_delete))
            .collect();
        for (place, goes) in of {
            self.disks.get_mut(&place).expect("just seen").user = None;
            if goes {
                self.remove_disk(cause, &place);
            }
        }
    }

    pub(crate) fn remove_disk(&mut self, cause: Cause, place: &Place) {
        if let Some(disk) = self.disks.remove(place) {
            self.disk_cost += cost(&disk, self);
            self.effect(cause, Effect::DiskDeleted(disk.seen()));
        }
    }

    pub(crate) fn remove_address(&mut self, cause: Cause, id: u64) {
        let at = self.addresses.iter().position(|(seen, _)| seen.id == id);
        if let Some(at) = at {
            let (seen, _) = self.addresses.remove(at);
            self.effect(cause, Effect::AddressDeleted(seen));
        }
    }

    pub(crate) fn bill(&self) -> Bill {
        let running = self.instances.values().map(|instance| {
            let now = instance
                .runs_since
                .map(|since| self.now.saturating_sub(since));
            (instance.ran + now.unwrap_or_default()).as_secs_f64()
        });
        let held = self.disks.values().map(|disk| cost(disk, self));
        Bill {
            machine_seconds: self.machine_cost + running.sum::<f64>(),
            disk_gigabyte_seconds: self.disk_cost + held.sum::<f64>(),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "gigabytes")]
fn cost(disk: &Disk, world: &World) -> f64 {
    disk.gigabytes as f64 * world.now.saturating_sub(disk.made).as_secs_f64()
}

/// Google takes and gives 64-bit numbers as text.
pub(crate) fn gigabytes(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
