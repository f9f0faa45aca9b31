//! Disks, firewalls, operations, and what a project has to begin with.

use serde_json::{Value, json};

use super::Ask;
use crate::fake_gce::{
    discovery::Call,
    instance::Place,
    kind::Kind,
    operation::{Operation, Work},
    refusal::Refusal,
    rules,
    world::World,
};

impl World {
    fn not_found(&self, path: &str) -> Refusal {
        Refusal::not_found(&format!("projects/{}/{path}", self.config.project))
    }

    pub(super) fn get_disk(&self, call: &Call) -> Result<Value, Refusal> {
        let place = Place::new(call.path("zone"), call.path("disk"));
        let disk = self.disks.get(&place);
        let disk = disk.ok_or_else(|| self.not_found(&place.path("disks")))?;
        Ok(disk.wire(self))
    }

    pub(super) fn delete_disk(&mut self, ask: &Ask) -> Result<Value, Refusal> {
        let (zone, wanted) = (ask.call.path("zone"), ask.call.path("disk"));
        let mut here = self.disks.values().filter(|d| d.place.zone == zone);
        let found = here.find(|d| d.place.name == wanted || d.id.to_string() == wanted);
        let named = Place::new(zone, wanted).path("disks");
        let disk = found.ok_or_else(|| self.not_found(&named))?;
        let (place, path) = (disk.place.clone(), disk.place.path("disks"));
        if let Some(user) = &disk.user {
            return Err(Refusal::in_use(&path, &user.path("instances")));
        }
        let (target, zone) = (disk.id, zone.to_owned());
        let work = Work::DeleteDisk(place);
        let operation = self.operation("delete", Some(&zone), path, target, work);
        Ok(self.open_for(ask, operation))
    }

    pub(super) fn delete_address(&mut self, ask: &Ask) -> Result<Value, Refusal> {
        let (region, wanted) = (ask.call.path("region"), ask.call.path("address"));
        let path = format!("regions/{region}/addresses/{wanted}");
        let mut here = self.addresses.iter().filter(|(a, _)| a.place == region);
        let found = here.find(|(a, _)| a.name == wanted || a.id.to_string() == wanted);
        let (address, _) = found.ok_or_else(|| self.not_found(&path))?;
        let (target, path) = (
            address.id,
            format!("regions/{region}/addresses/{}", address.name),
        );
        let work = Work::DeleteAddress(target);
        let mut operation = self.operation("delete", None, path, target, work);
        operation.region = Some(region.to_owned());
        Ok(self.open_for(ask, operation))
    }

    pub(super) fn get_firewall(&self, call: &Call) -> Result<Value, Refusal> {
        let name = call.path("firewall");
        let found = self.firewalls.get(name).cloned();
        found.ok_or_else(|| self.not_found(&format!("global/firewalls/{name}")))
    }

    /// Insert, patch, delete.
    pub(super) fn turn_firewall(&mut self, ask: &Ask) -> Result<Value, Refusal> {
        let mut rule = ask.body.clone().unwrap_or_default();
        if ask.call.kind == Kind::InsertFirewall {
            rules::firewall::check(&rule, &self.config)?;
            let name = rule["name"].as_str().unwrap_or_default().to_owned();
            let path = format!("global/firewalls/{name}");
            if self.firewalls.contains_key(&name) {
                return Err(Refusal::exists(&format!(
                    "projects/{}/{path}",
                    self.config.project
                )));
            }
            let id = self.new_id();
            let defaults = json!({
                "kind": "compute#firewall", "id": id.to_string(), "priority": 1000,
                "direction": "INGRESS", "network": "global/networks/default",
                "disabled": false, "selfLink": self.config.link(&path),
            });
            for (key, value) in defaults.as_object().into_iter().flatten() {
                if rule[key].is_null() {
                    rule[key] = value.clone();
                }
            }
            let sourced = ["sourceRanges", "sourceTags", "sourceServiceAccounts"];
            if rule["direction"] == "INGRESS" && sourced.iter().all(|name| rule[*name].is_null()) {
                rule["sourceRanges"] = json!(["0.0.0.0/0"]);
            }
            let work = Work::SetFirewall(name, rule);
            let operation = self.operation("insert", None, path, id, work);
            return Ok(self.open_for(ask, operation));
        }
        let present = self.get_firewall(&ask.call)?;
        let name = ask.call.path("firewall").to_owned();
        let path = format!("global/firewalls/{name}");
        let target = present["id"].as_str().and_then(|id| id.parse().ok());
        let target = target.unwrap_or_default();
        let (kind, work) = if ask.call.kind == Kind::DeleteFirewall {
            ("delete", Work::DeleteFirewall(name))
        } else {
            let mut whole = present;
            for (key, value) in rule.as_object().into_iter().flatten() {
                whole[key] = value.clone();
            }
            rules::firewall::check(&whole, &self.config)?;
            if whole["name"] != name.as_str() {
                return Err(Refusal::field(
                    "resource.name",
                    &whole["name"],
                    "A name stays.",
                ));
            }
            ("patch", Work::SetFirewall(name, whole))
        };
        let operation = self.operation(kind, None, path, target, work);
        Ok(self.open_for(ask, operation))
    }

    /// The operation of this path, by name or by id, unless it is forgotten.
    pub(crate) fn find_operation(&self, call: &Call) -> Result<&Operation, Refusal> {
        let (zone, wanted) = (call.get("zone"), call.path("operation"));
        let mut all = self
            .operations
            .values()
            .filter(|o| o.zone.as_deref() == zone && o.region.is_none() && !o.vanished);
        let found = all.find(|o| o.id.to_string() == wanted || o.name() == wanted);
        found.ok_or_else(|| {
            let scope = zone.map_or("global".to_owned(), |zone| format!("zones/{zone}"));
            self.not_found(&format!("{scope}/operations/{wanted}"))
        })
    }

    pub(super) fn get_image(&self, call: &Call) -> Result<Value, Refusal> {
        let project = call.path("project");
        let found = self.config.images.iter().find(|image| {
            image.project == project
                && (Some(image.family.as_str()) == call.get("family")
                    || Some(image.name.as_str()) == call.get("image"))
        });
        let path = || match (call.get("family"), call.get("image")) {
            (Some(family), _) => format!("projects/{project}/global/images/family/{family}"),
            (_, name) => format!(
                "projects/{project}/global/images/{}",
                name.unwrap_or_default()
            ),
        };
        let image = found.ok_or_else(|| Refusal::not_found(&path()))?;
        Ok(json!({
            "kind": "compute#image", "name": image.name, "family": image.family,
            "diskSizeGb": image.size.to_string(), "status": "READY",
        }))
    }

    pub(super) fn get_snapshot(&self, call: &Call) -> Result<Value, Refusal> {
        let name = call.path("snapshot");
        let size = self.config.snapshots.get(name);
        let size = size.ok_or_else(|| self.not_found(&format!("global/snapshots/{name}")))?;
        Ok(json!({
            "kind": "compute#snapshot", "name": name,
            "diskSizeGb": size.to_string(), "status": "READY",
        }))
    }

    pub(super) fn get_region(&self, call: &Call) -> Result<Value, Refusal> {
        let region = call.path("region");
        let zones = self.config.zones.iter();
        let zones = zones.filter(|zone| self.config.region_of(zone) == Some(region));
        let link = |zone: &String| self.config.link(&format!("zones/{zone}"));
        let zones: Vec<_> = zones.map(link).collect();
        if zones.is_empty() {
            return Err(self.not_found(&format!("regions/{region}")));
        }
        let used = self.used(region);
        let quota = |(metric, limit): (&String, &f64)| {
            let usage = used.get(metric).copied().unwrap_or_default();
            json!({"metric": metric, "limit": limit, "usage": usage})
        };
        let quotas: Vec<_> = self.config.quotas.iter().map(quota).collect();
        Ok(json!({
            "kind": "compute#region", "name": region, "status": "UP",
            "zones": zones, "quotas": quotas,
        }))
    }

    pub(super) fn get_zone(&self, call: &Call) -> Value {
        let zone = call.path("zone");
        let region = self.config.region_of(zone).unwrap_or_default();
        json!({
            "kind": "compute#zone", "name": zone, "status": "UP",
            "region": self.config.link(&format!("regions/{region}")),
        })
    }
}
