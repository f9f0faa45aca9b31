//! One operation: what it will do, how far it is, how it ended.

use std::time::Duration;

use serde_json::{Value, json};

use super::{clock::stamp, instance::Place, ledger::Cause, world::World};

/// How far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Pending,
    Running,
    Done,
}

/// How it was meant to end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fate {
    Well,
    Fails(OperationError),
    Stuck,
}

/// `operation.error`, and the status that it would have been.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OperationError {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) details: Vec<Value>,
    pub(crate) status: (u16, &'static str),
}

/// What it does.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    Insert(Place, Value),
    Start(Place),
    Stop(Place),
    /// As by hand alone.
    Suspend(Place),
    Reset(Place),
    Delete(Place),
    /// Google takes it; whether that deletes it is in its scheduling.
    Take(Place),
    Change(Place, &'static str, Value),
    DeleteDisk(Place),
    /// By its id.
    DeleteAddress(u64),
    SetFirewall(String, Value),
    DeleteFirewall(String),
    Nothing,
}

#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) id: u64,
    /// None is global, or of a region.
    pub(crate) zone: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) kind: &'static str,
    /// The path of its target within the project.
    pub(crate) target: String,
    pub(crate) target_id: u64,
    pub(crate) client_id: Option<String>,
    pub(crate) progress: Progress,
    pub(crate) inserted: Duration,
    pub(crate) started: Option<Duration>,
    pub(crate) ended: Option<Duration>,
    pub(crate) fate: Fate,
    pub(crate) error: Option<OperationError>,
    pub(crate) work: Work,
    pub(crate) cause: Cause,
    pub(crate) vanished: bool,
}

impl Operation {
    pub(crate) fn name(&self) -> String {
        let (millis, id) = (self.inserted.as_millis(), self.id);
        format!("operation-{millis}-{id:x}")
    }

    /// Its path within the project.
    pub(crate) fn path(&self) -> String {
        match (&self.zone, &self.region) {
            (Some(zone), _) => format!("zones/{zone}/operations/{}", self.name()),
            (None, Some(region)) => format!("regions/{region}/operations/{}", self.name()),
            (None, None) => format!("global/operations/{}", self.name()),
        }
    }

    /// On the wire.
    pub(crate) fn wire(&self, world: &World) -> Value {
        let time = |at: Duration| stamp(world.epoch, at);
        let (status, progress) = match self.progress {
            Progress::Pending => ("PENDING", 0),
            Progress::Running => ("RUNNING", 0),
            Progress::Done => ("DONE", 100),
        };
        let mut wire = json!({
            "kind": "compute#operation",
            "id": self.id.to_string(),
            "name": self.name(),
            "operationType": self.kind,
            "targetLink": world.config.link(&self.target),
            "targetId": self.target_id.to_string(),
            "status": status,
            "user": match self.cause {
                Cause::Google => "system".to_owned(),
                Cause::Story => "operator@example.org".to_owned(),
                Cause::Request(_) => format!("control-plane@{}.iam.gserviceaccount.com", world.config.project),
            },
            "progress": progress,
            "insertTime": time(self.inserted),
            "selfLink": world.config.link(&self.path()),
        });
        if let Some(zone) = &self.zone {
            wire["zone"] = json!(world.config.link(&format!("zones/{zone}")));
        }
        if let Some(region) = &self.region {
            wire["region"] = json!(world.config.link(&format!("regions/{region}")));
        }
        if let Some(id) = &self.client_id {
            wire["clientOperationId"] = json!(id);
        }
        for (name, at) in [("startTime", self.started), ("endTime", self.ended)] {
            if let Some(at) = at {
                wire[name] = json!(time(at));
            }
        }
        if let Some(error) = &self.error {
            let mut one = json!({"code": error.code, "message": error.message});
            if !error.details.is_empty() {
                one["errorDetails"] = json!(error.details);
            }
            wire["error"] = json!({ "errors": [one] });
            wire["httpErrorStatusCode"] = json!(error.status.0);
            wire["httpErrorMessage"] = json!(error.status.1);
        }
        wire
    }
}

impl OperationError {
    fn new(code: &str, message: String, status: (u16, &'static str)) -> Self {
        Self {
            code: code.to_owned(),
            message,
            details: vec![],
            status,
        }
    }

    /// The zone has no machines. Hints come with the longer code only.
    pub(crate) fn stockout(
        project: &str,
        zone: &str,
        vm_type: &str,
        available: Option<&[String]>,
    ) -> Self {
        let message = format!(
            "The zone 'projects/{project}/zones/{zone}' does not have enough resources \
             available to fulfill the request. Try a different zone, or try again later."
        );
        let status = (503, "SERVICE UNAVAILABLE");
        let Some(available) = available else {
            return Self::new("ZONE_RESOURCE_POOL_EXHAUSTED", message, status);
        };
        let code = "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS";
        let info = json!({"errorInfo": {
            "reason": "stockout",
            "domain": "compute.googleapis.com",
            "metadatas": {
                "attachment": "",
                "vmType": vm_type,
                "zone": zone,
                "zonesAvailable": available.join(","),
            },
        }});
        let text = json!({"localizedMessage": {"locale": "en-US", "message": message}});
        Self {
            details: vec![info, text],
            ..Self::new(code, message, status)
        }
    }

    pub(crate) fn quota(metric: &str, region: &str, limit: f64) -> Self {
        let message = format!("Quota '{metric}' exceeded.  Limit: {limit:.1} in region {region}.");
        let info = json!({"quotaInfo": {
            "metricName": format!("compute.googleapis.com/{}", metric.to_lowercase()),
            "limitName": format!("{metric}-per-project-region"),
            "limit": limit,
            "dimensions": {"region": region},
        }});
        Self {
            details: vec![info],
            ..Self::new("QUOTA_EXCEEDED", message, (403, "FORBIDDEN"))
        }
    }

    pub(crate) fn failed(code: &str) -> Self {
        let message = format!("The operation failed with {code}.");
        Self::new(code, message, (500, "INTERNAL SERVER ERROR"))
    }
}
