//! From a well-formed call to its answer: what it reads, or the operation that
//! it begins.

mod insert;
mod instances;
mod lists;
mod others;

use serde_json::Value;

use super::{
    discovery::{Call, DISCOVERY},
    faults::Fault,
    kind::Kind,
    ledger::Cause,
    operation::{Fate, Operation, OperationError},
    refusal::Refusal,
    schema::{Side, check},
    world::World,
};

/// One request, as the world sees it.
pub(crate) struct Ask {
    pub(crate) number: u64,
    pub(crate) call: Call,
    pub(crate) body: Option<Value>,
    pub(crate) fault: Option<Fault>,
}

impl World {
    /// Answers, and begins what is to begin.
    pub(crate) fn answer(&mut self, ask: &Ask) -> Result<Value, Refusal> {
        let call = &ask.call;
        let of = &DISCOVERY.methods[call.kind.id()];
        let is_image = matches!(call.kind, Kind::GetImage | Kind::GetImageFamily);
        if call.path("project") != self.config.project && !is_image {
            let path = format!("projects/{}", call.path("project"));
            return Err(Refusal::not_found(&path));
        }
        if let Some(zone) = call.get("zone")
            && self.config.region_of(zone).is_none()
        {
            let path = format!("projects/{}/zones/{zone}", self.config.project);
            return Err(Refusal::not_found(&path));
        }
        match (&of.request, &ask.body) {
            (Some(message), Some(body)) => check(message, body, Side::Client)?,
            (Some(_), None) => return Err(Refusal::required("resource")),
            (None, Some(body)) if body.as_object().is_none_or(|b| !b.is_empty()) => {
                return Err(Refusal::payload("resource", "No body is taken"));
            }
            (None, _) => {}
        }
        let answer = match self.repeated(ask)? {
            Some(answer) => answer,
            None => self.act(ask)?,
        };
        if let Some(message) = &of.response {
            let said = check(message, &answer, Side::Google);
            assert!(said.is_ok(), "the fake itself errs: {said:?} in {answer}");
        }
        Ok(answer)
    }

    fn act(&mut self, ask: &Ask) -> Result<Value, Refusal> {
        match ask.call.kind {
            Kind::InsertInstance => self.insert_instance(ask),
            Kind::GetInstance => self.get_instance(&ask.call),
            Kind::SerialPort => self.serial_port(&ask.call),
            Kind::StartInstance
            | Kind::ResumeInstance
            | Kind::StopInstance
            | Kind::ResetInstance
            | Kind::DeleteInstance
            | Kind::SimulateMaintenance => self.turn_instance(ask),
            Kind::SetLabels | Kind::SetMetadata => self.change_instance(ask),
            Kind::ListInstances
            | Kind::ListDisks
            | Kind::ListZoneOperations
            | Kind::ListFirewalls => self.list(ask),
            Kind::AggregatedInstances | Kind::AggregatedDisks | Kind::AggregatedAddresses => {
                self.aggregate(ask)
            }
            Kind::GetDisk => self.get_disk(&ask.call),
            Kind::DeleteDisk => self.delete_disk(ask),
            Kind::DeleteAddress => self.delete_address(ask),
            Kind::GetFirewall => self.get_firewall(&ask.call),
            Kind::InsertFirewall | Kind::PatchFirewall | Kind::DeleteFirewall => {
                self.turn_firewall(ask)
            }
            Kind::GetZoneOperation
            | Kind::GetGlobalOperation
            | Kind::WaitZoneOperation
            | Kind::WaitGlobalOperation => {
                let operation = self.find_operation(&ask.call)?;
                Ok(operation.wire(self))
            }
            Kind::GetImage | Kind::GetImageFamily => self.get_image(&ask.call),
            Kind::GetSnapshot => self.get_snapshot(&ask.call),
            Kind::GetRegion => self.get_region(&ask.call),
            Kind::GetZone => Ok(self.get_zone(&ask.call)),
        }
    }

    /// The operation that the same request began before.
    fn repeated(&self, ask: &Ask) -> Result<Option<Value>, Refusal> {
        let Some(id) = ask.call.get("requestId") else {
            return Ok(None);
        };
        let uuid = uuid::Uuid::parse_str(id).ok().filter(|uuid| !uuid.is_nil());
        if uuid.is_none() {
            let why = "Must be a UUID other than zero.";
            return Err(Refusal::field("requestId", id, why));
        }
        let Some((same, operation)) = self.requests.get(id) else {
            return Ok(None);
        };
        if *same != ask.fingerprint() {
            let why = "It was used for another request.";
            return Err(Refusal::field("requestId", id, why));
        }
        Ok(self.operations.get(operation).map(|o| o.wire(self)))
    }

    /// Opens this operation for this request, with what the fault makes of it.
    pub(crate) fn open_for(&mut self, ask: &Ask, mut operation: Operation) -> Value {
        operation.cause = Cause::Request(ask.number);
        operation.client_id = ask.call.get("requestId").map(str::to_owned);
        let zone = ask.call.get("zone").unwrap_or("global");
        let region = self.config.region_of(zone).unwrap_or("global");
        match &ask.fault {
            Some(Fault::Stockout(available)) => {
                let kind = self.machine_type(ask);
                let (project, available) = (&self.config.project, available.as_deref());
                let error = OperationError::stockout(project, zone, &kind, available);
                operation.fate = Fate::Fails(error);
            }
            Some(Fault::OperationQuota(metric)) => {
                let limit = self.config.quotas.get(metric).copied().unwrap_or_default();
                operation.fate = Fate::Fails(OperationError::quota(metric, region, limit));
            }
            Some(Fault::Failed(code)) => operation.fate = Fate::Fails(OperationError::failed(code)),
            Some(Fault::Stuck) => operation.fate = Fate::Stuck,
            Some(Fault::Vanished) => operation.vanished = true,
            _ => {}
        }
        let wire = operation.wire(self);
        let id = self.open(operation);
        if let Some(request) = ask.call.get("requestId") {
            let entry = (ask.fingerprint(), id);
            self.requests.insert(request.to_owned(), entry);
        }
        wire
    }

    fn machine_type(&self, ask: &Ask) -> String {
        let own = ask.body.as_ref().map(|body| &body["machineType"]);
        let there = || Some(&self.find_instance(&ask.call).ok()?.body["machineType"]);
        let url = own
            .or_else(there)
            .and_then(Value::as_str)
            .unwrap_or_default();
        url.rsplit('/').next().unwrap_or_default().to_owned()
    }
}

impl Ask {
    /// The same for the same request.
    fn fingerprint(&self) -> String {
        format!("{:?} {:?}", self.call, self.body)
    }
}
