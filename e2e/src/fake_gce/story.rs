//! What a story does to a fake Google and sees of it, past the API.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde_json::{Value, json};

use super::{
    Bill, FakeGce, Fault, Kind, Ledger,
    clock::stamp,
    disk::Disk,
    instance::Place,
    ledger::{Cause, Effect, Seen},
    operation::Work,
    world::Step,
};

impl FakeGce {
    /// The next request of this kind that no other fault awaits goes wrong so.
    pub fn fault_next(&self, kind: Kind, fault: Fault) {
        self.shared.act(|world| world.faults.next(kind, fault));
    }

    /// Requests of this kind go wrong so with these odds, by the seed.
    pub fn fault_odds(&self, kind: Kind, fault: Fault, odds: f64) {
        self.shared
            .act(|world| world.faults.odds(kind, fault, odds));
    }

    /// From now on nothing is made to go wrong.
    pub fn no_more_faults(&self) {
        self.shared.act(|world| world.faults.none());
    }

    /// Google takes this instance, whatever it is doing, after this time.
    pub fn preempt(&self, zone: &str, name: &str, after: Duration) {
        let place = Place::new(zone, name);
        self.shared.act(|world| {
            let id = world.instances.get(&place).expect("no such instance").id;
            world.schedule(after, Step::Take(place, id));
        });
        self.shared.act(|_| ());
    }

    /// An operator stops this instance, with `gcloud` perhaps.
    pub fn stop_by_hand(&self, zone: &str, name: &str) {
        self.by_hand("stop", Work::Stop(Place::new(zone, name)));
    }

    /// An operator suspends this instance: it stops, and only resuming it brings it back.
    pub fn suspend_by_hand(&self, zone: &str, name: &str) {
        self.by_hand("suspend", Work::Suspend(Place::new(zone, name)));
    }

    /// An operator deletes this instance, with its disk.
    pub fn delete_by_hand(&self, zone: &str, name: &str) {
        self.by_hand("delete", Work::Delete(Place::new(zone, name)));
    }

    fn by_hand(&self, kind: &'static str, work: Work) {
        self.shared.act(|world| {
            let (Work::Stop(place) | Work::Suspend(place) | Work::Delete(place)) = &work else {
                unreachable!("those above");
            };
            let id = world.instances.get(place).expect("no such instance").id;
            let (zone, path) = (place.zone.clone(), place.path("instances"));
            let mut operation = world.operation(kind, Some(&zone), path, id, work);
            operation.cause = Cause::Story;
            world.open(operation);
        });
    }

    /// A disk that was there before.
    pub fn plant_disk(&self, zone: &str, name: &str, labels: &[(&str, &str)]) {
        self.shared.act(|world| {
            let disk = Disk {
                id: world.new_id(),
                place: Place::new(zone, name),
                gigabytes: 20,
                kind: "pd-ssd".to_owned(),
                source: ("sourceSnapshot", "global/snapshots/old".to_owned()),
                labels: labels_of(labels),
                user: None,
                auto_delete: false,
                made: world.now,
            };
            world.effect(Cause::Story, Effect::DiskMade(disk.seen()));
            world.disks.insert(disk.place.clone(), disk);
        });
    }

    /// A reserved address that was there before.
    pub fn plant_address(
        &self,
        region: &str,
        name: &str,
        address: IpAddr,
        labels: &[(&str, &str)],
    ) {
        self.shared.act(|world| {
            let id = world.new_id();
            let path = format!("regions/{region}/addresses/{name}");
            let wire = json!({
                "kind": "compute#address", "id": id.to_string(), "name": name,
                "address": address, "status": "RESERVED", "addressType": "EXTERNAL",
                "creationTimestamp": stamp(world.epoch, world.now),
                "labels": labels_of(labels), "selfLink": world.config.link(&path),
                "region": world.config.link(&format!("regions/{region}")),
            });
            let seen = Seen {
                place: region.to_owned(),
                name: name.to_owned(),
                id,
                labels: super::instance::words_of(&wire["labels"]),
                nat: Some(address),
                users: vec![],
            };
            world.effect(Cause::Story, Effect::AddressMade(seen.clone()));
            world.addresses.push((seen, wire));
        });
    }

    /// Writes to the first serial port of an instance.
    pub fn write_serial(&self, zone: &str, name: &str, text: &str) {
        let place = Place::new(zone, name);
        self.shared.act(|world| {
            let instance = world.instances.get_mut(&place);
            instance.expect("no such instance").serial.push_str(text);
        });
    }

    /// The instance as Google would show it now.
    pub fn instance(&self, zone: &str, name: &str) -> Option<Value> {
        let place = Place::new(zone, name);
        let wire = |world: &mut super::World| Some(world.instances.get(&place)?.wire(world));
        self.shared.act(wire)
    }

    /// Zone, name and status of every instance.
    pub fn instances(&self) -> Vec<(String, String, String)> {
        self.shared.act(|world| {
            let of = |i: &super::instance::Instance| {
                let status = i.wire(world)["status"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                (i.place.zone.clone(), i.place.name.clone(), status)
            };
            world.instances.values().map(of).collect()
        })
    }

    /// Zone and name of every disk.
    pub fn disks(&self) -> Vec<(String, String)> {
        let of = |place: &Place| (place.zone.clone(), place.name.clone());
        self.shared
            .act(|world| world.disks.keys().map(of).collect())
    }

    /// How much has happened to what exists.
    pub fn happened(&self) -> usize {
        self.shared.act(|world| world.ledger.effects().count())
    }

    /// Whether an operation is under way, or something of one that will be.
    pub fn works(&self) -> bool {
        self.shared.act(|world| world.next_work().is_some())
    }

    /// Everything so far.
    pub fn ledger(&self) -> Ledger {
        self.shared.act(|world| world.ledger.clone())
    }

    /// What was used so far.
    pub fn bill(&self) -> Bill {
        self.shared.act(|world| world.bill())
    }
}

fn labels_of(labels: &[(&str, &str)]) -> Value {
    let labels: BTreeMap<_, _> = labels.iter().copied().collect();
    json!(labels)
}
