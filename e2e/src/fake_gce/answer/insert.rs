//! `instances.insert`: the checks, the quotas, and the operation at once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Ask;
use crate::fake_gce::{
    faults::Fault,
    instance::{Place, State, is_spot},
    operation::{Fate, OperationError, Work},
    refusal::Refusal,
    rules,
    storage::gigabytes,
    world::{Step, World},
};

impl World {
    pub(super) fn insert_instance(&mut self, ask: &Ask) -> Result<Value, Refusal> {
        for name in ["sourceInstanceTemplate", "sourceMachineImage"] {
            if let Some(value) = ask.call.get(name) {
                return Err(Refusal::field(name, value, "The fake has none."));
            }
        }
        let zone = ask.call.path("zone");
        let mut body = ask.body.clone().unwrap_or_default();
        let kind = rules::instance::check(&body, zone, self)?;
        let place = Place::new(zone, body["name"].as_str().unwrap_or_default());
        body["machineType"] = json!(
            self.config
                .link(&format!("zones/{zone}/machineTypes/{kind}"))
        );
        let region = self.config.region_of(zone).unwrap_or_default().to_owned();
        let over = self.quota_over(&body, &kind, &region);
        let (path, id) = (place.path("instances"), self.new_id());
        let work = Work::Insert(place.clone(), body);
        let mut operation = self.operation("insert", Some(zone), path, id, work);
        if let Some((metric, limit)) = over {
            operation.fate = Fate::Fails(OperationError::quota(&metric, &region, limit));
        }
        let wire = self.open_for(ask, operation);
        if let Some(Fault::Preempted(after)) = ask.fault {
            self.schedule(after, Step::Take(place, id));
        }
        Ok(wire)
    }

    /// The metric of which this would take too much, and its limit.
    fn quota_over(&self, body: &Value, kind: &str, region: &str) -> Option<(String, f64)> {
        let used = self.used(region);
        let asked = asked(body, kind);
        asked.into_iter().find_map(|(metric, amount)| {
            let limit = *self.config.quotas.get(&metric)?;
            let used = used.get(&metric).copied().unwrap_or_default();
            (used + amount > limit).then_some((metric, limit))
        })
    }

    /// What instances of this region use of each metric.
    pub(super) fn used(&self, region: &str) -> BTreeMap<String, f64> {
        let mut all = BTreeMap::new();
        for (place, instance) in &self.instances {
            if self.config.region_of(&place.zone) != Some(region) {
                continue;
            }
            let kind = instance.body["machineType"].as_str().unwrap_or_default();
            let kind = kind.rsplit('/').next().unwrap_or_default();
            for (metric, amount) in asked(&instance.body, kind) {
                // A stopped instance keeps its disks and its place, no more.
                let stays = matches!(
                    metric.as_str(),
                    "INSTANCES" | "DISKS_TOTAL_GB" | "SSD_TOTAL_GB"
                );
                let down = matches!(instance.state, State::Terminated | State::Suspended);
                if stays || !down {
                    *all.entry(metric).or_insert(0.0) += amount;
                }
            }
        }
        all
    }
}

/// What one such instance takes of each metric.
fn asked(body: &Value, kind: &str) -> Vec<(String, f64)> {
    let processors = f64::from(rules::scheduling::processors(kind));
    let family = rules::scheduling::family(kind)
        .unwrap_or_default()
        .to_uppercase();
    let mut all = vec![
        ("INSTANCES".to_owned(), 1.0),
        ("IN_USE_ADDRESSES".to_owned(), 1.0),
    ];
    if is_spot(body) {
        all.push(("PREEMPTIBLE_CPUS".to_owned(), processors));
    } else if matches!(family.as_str(), "N1" | "E2") {
        all.push(("CPUS".to_owned(), processors));
    } else {
        all.push((format!("{family}_CPUS"), processors));
    }
    for disk in body["disks"].as_array().into_iter().flatten() {
        let params = &disk["initializeParams"];
        let size = gigabytes(&params["diskSizeGb"]).unwrap_or(20);
        let is_ssd = params["diskType"]
            .as_str()
            .is_some_and(|kind| !kind.ends_with("pd-standard"));
        let metric = if is_ssd {
            "SSD_TOTAL_GB"
        } else {
            "DISKS_TOTAL_GB"
        };
        all.push((
            metric.to_owned(),
            f64::from(u32::try_from(size).unwrap_or(u32::MAX)),
        ));
    }
    all
}
