//! Instances that exist: get, start, stop, reset, delete, labels and metadata.

use serde_json::{Value, json};

use super::Ask;
use crate::fake_gce::{
    discovery::Call,
    faults::Fault,
    instance::{Instance, State, fingerprint},
    kind::Kind,
    names::{check_labels, check_metadata},
    operation::Work,
    refusal::Refusal,
    world::{Step, World},
};

impl World {
    /// The instance of this path, by name or by id.
    pub(super) fn find_instance(&self, call: &Call) -> Result<&Instance, Refusal> {
        let (zone, wanted) = (call.path("zone"), call.path("instance"));
        let mut here = self.instances.values().filter(|i| i.place.zone == zone);
        let found = here.find(|i| i.place.name == wanted || i.id.to_string() == wanted);
        found.ok_or_else(|| {
            let project = &self.config.project;
            let path = format!("projects/{project}/zones/{zone}/instances/{wanted}");
            Refusal::not_found(&path)
        })
    }

    pub(super) fn get_instance(&self, call: &Call) -> Result<Value, Refusal> {
        Ok(self.find_instance(call)?.wire(self))
    }

    pub(super) fn serial_port(&self, call: &Call) -> Result<Value, Refusal> {
        let instance = self.find_instance(call)?;
        let port = call.get("port").unwrap_or("1");
        let start = call.get("start").and_then(|start| start.parse().ok());
        let start: usize = start.unwrap_or_default();
        let text = if port == "1" {
            instance.serial.as_str()
        } else {
            ""
        };
        let from = start.min(text.len());
        Ok(json!({
            "kind": "compute#serialPortOutput",
            "selfLink": self.config.link(&format!("{}/serialPort", instance.place.path("instances"))),
            "contents": text.get(from..).unwrap_or_default(),
            "start": from.to_string(),
            "next": text.len().to_string(),
        }))
    }

    /// Start, stop, reset, delete, and a simulated maintenance.
    pub(super) fn turn_instance(&mut self, ask: &Ask) -> Result<Value, Refusal> {
        let instance = self.find_instance(&ask.call)?;
        let (place, target, state) = (instance.place.clone(), instance.id, instance.state);
        let (busy, spot) = (instance.busy.is_some(), instance.is_spot());
        let path = place.path("instances");
        let kind = ask.call.kind;
        // To delete is always allowed; the rest waits for what is under way.
        if busy && kind != Kind::DeleteInstance {
            let path = format!("projects/{}/{path}", self.config.project);
            return Err(Refusal::not_ready(&path));
        }
        let (name, work) = match (kind, state) {
            // Google refuses to start what is suspended, and to resume what is not.
            (Kind::ResumeInstance, State::Suspended) => ("resume", Work::Start(place.clone())),
            (Kind::StartInstance, State::Running) => ("start", Work::Nothing),
            (Kind::StartInstance, state) if state != State::Suspended => {
                ("start", Work::Start(place.clone()))
            }
            (Kind::StopInstance, State::Terminated | State::Suspended) => ("stop", Work::Nothing),
            (Kind::StopInstance, _) => ("stop", Work::Stop(place.clone())),
            (Kind::ResetInstance, State::Running) => ("reset", Work::Reset(place.clone())),
            (Kind::DeleteInstance, _) => ("delete", Work::Delete(place.clone())),
            (Kind::SimulateMaintenance, State::Running) => {
                ("compute.instances.simulateMaintenanceEvent", Work::Nothing)
            }
            _ => {
                let path = format!("projects/{}/{path}", self.config.project);
                return Err(Refusal::not_ready(&path));
            }
        };
        let operation = self.operation(name, Some(&place.zone), path, target, work);
        let wire = self.open_for(ask, operation);
        if kind == Kind::SimulateMaintenance && spot {
            let after = self.config.pace.pending;
            self.schedule(after, Step::Take(place.clone(), target));
        }
        if let Some(Fault::Preempted(after)) = ask.fault {
            self.schedule(after, Step::Take(place, target));
        }
        Ok(wire)
    }

    /// New labels or new metadata, for who has seen the present ones.
    pub(super) fn change_instance(&mut self, ask: &Ask) -> Result<Value, Refusal> {
        let instance = self.find_instance(&ask.call)?;
        let (place, target) = (instance.place.clone(), instance.id);
        let body = ask.body.clone().unwrap_or_default();
        let (name, field, value, now, given) = if ask.call.kind == Kind::SetLabels {
            check_labels(&body["labels"], "labels")?;
            let labels = body.get("labels").cloned().unwrap_or_else(|| json!({}));
            let now = fingerprint(&instance.body["labels"]);
            (
                "setLabels",
                "labels",
                labels,
                now,
                &body["labelFingerprint"],
            )
        } else {
            check_metadata(&body, "metadata")?;
            let items = body.get("items").cloned().unwrap_or_else(|| json!([]));
            let now = fingerprint(&instance.body["metadata"]["items"]);
            (
                "setMetadata",
                "metadata",
                json!({"items": items}),
                now,
                &body["fingerprint"],
            )
        };
        if given.as_str() != Some(&now) {
            return Err(Refusal::fingerprint(field));
        }
        let path = place.path("instances");
        let work = Work::Change(place.clone(), field, value);
        let operation = self.operation(name, Some(&place.zone), path, target, work);
        Ok(self.open_for(ask, operation))
    }
}
