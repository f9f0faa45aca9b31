//! One instance: its state, its address, and how it looks on the wire.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{clock::stamp, ledger::Seen, machines::Machine, world::World};

/// Where a zonal thing is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) zone: String,
    pub(crate) name: String,
}

impl Place {
    pub(crate) fn new(zone: &str, name: &str) -> Self {
        let (zone, name) = (zone.to_owned(), name.to_owned());
        Self { zone, name }
    }

    /// Its path within the project.
    pub(crate) fn path(&self, collection: &str) -> String {
        format!("zones/{}/{collection}/{}", self.zone, self.name)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Provisioning,
    Staging,
    Running,
    Stopping,
    Terminated,
    Suspended,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Staging => "STAGING",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
            Self::Terminated => "TERMINATED",
            Self::Suspended => "SUSPENDED",
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: u64,
    pub(crate) place: Place,
    /// As asked for, with what Google adds and what was changed since.
    pub(crate) body: Value,
    pub(crate) state: State,
    /// The operation that has it in hand.
    pub(crate) busy: Option<u64>,
    pub(crate) nat: Option<IpAddr>,
    pub(crate) made: Duration,
    /// Since when it runs, if it does.
    pub(crate) runs_since: Option<Duration>,
    /// Virtual time that it has cost as a machine before.
    pub(crate) ran: Duration,
    pub(crate) serial: String,
}

impl Instance {
    pub(crate) fn is_spot(&self) -> bool {
        is_spot(&self.body)
    }

    /// A duration in its scheduling, in whole seconds.
    pub(crate) fn scheduled(&self, name: &str) -> Option<Duration> {
        let seconds = &self.body["scheduling"][name]["seconds"];
        let seconds = seconds
            .as_str()
            .map_or(seconds.as_u64(), |s| s.parse().ok());
        seconds.map(Duration::from_secs)
    }

    pub(crate) fn wants_nat(&self) -> bool {
        let configs = &self.body["networkInterfaces"][0]["accessConfigs"];
        configs
            .as_array()
            .is_some_and(|configs| !configs.is_empty())
    }

    pub(crate) fn wire(&self, world: &World) -> Value {
        let mut wire = self.body.clone();
        let zone = &self.place.zone;
        wire["kind"] = json!("compute#instance");
        wire["id"] = json!(self.id.to_string());
        wire["creationTimestamp"] = json!(stamp(world.epoch, self.made));
        wire["status"] = json!(self.state.word());
        wire["zone"] = json!(world.config.link(&format!("zones/{zone}")));
        wire["selfLink"] = json!(world.config.link(&self.place.path("instances")));
        wire["labelFingerprint"] = json!(fingerprint(&wire["labels"]));
        wire["metadata"]["fingerprint"] = json!(fingerprint(&wire["metadata"]["items"]));
        if let Some(since) = self.runs_since {
            wire["lastStartTimestamp"] = json!(stamp(world.epoch, since));
        }
        if let Some(interface) = wire["networkInterfaces"].get_mut(0) {
            interface["name"] = json!("nic0");
            let low = self.id % 60_000;
            interface["networkIP"] = json!(format!("10.128.{}.{}", low / 250, low % 250 + 2));
            if let Some(config) = interface["accessConfigs"].get_mut(0) {
                config["kind"] = json!("compute#accessConfig");
                if let Some(nat) = self.nat {
                    config["natIP"] = json!(nat);
                }
            }
        }
        wire
    }

    pub(crate) fn seen(&self) -> Seen {
        Seen {
            place: self.place.zone.clone(),
            name: self.place.name.clone(),
            id: self.id,
            labels: words_of(&self.body["labels"]),
            nat: self.nat,
            users: vec![],
        }
    }

    pub(crate) fn machine(&self, world: &World) -> Machine {
        let items = self.body["metadata"]["items"].as_array();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let entry = |item: &Value| (text(&item["key"]), text(&item["value"]));
        Machine {
            zone: self.place.zone.clone(),
            name: self.place.name.clone(),
            id: self.id,
            nat: self.nat,
            labels: words_of(&self.body["labels"]),
            metadata: items.into_iter().flatten().map(entry).collect(),
            created: world.epoch + self.made,
        }
    }
}

pub(crate) fn is_spot(body: &Value) -> bool {
    body["scheduling"]["provisioningModel"] == "SPOT" || body["scheduling"]["preemptible"] == true
}

/// Labels as text.
pub(crate) fn words_of(labels: &Value) -> BTreeMap<String, String> {
    let labels = labels.as_object().into_iter().flatten();
    let word = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    labels.filter_map(word).collect()
}

/// Changes whenever `value` does.
pub(crate) fn fingerprint(value: &Value) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE};
    URL_SAFE.encode(&Sha256::digest(value.to_string())[..8])
}
