//! Lists: filtered, in pages, and sometimes with a part missing.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};

use super::Ask;
use crate::fake_gce::{
    faults::Fault, filter::Filter, instance::fingerprint, kind::Kind, refusal::Refusal,
    world::World,
};

/// One resource of a list: its scope, such as `zones/us-central1-a`, and itself.
type Item = (String, Value);

impl World {
    /// All resources that this kind lists, by scope and name.
    fn listed(&self, kind: Kind) -> Vec<Item> {
        let zone = |zone: &str| format!("zones/{zone}");
        match kind {
            Kind::ListInstances | Kind::AggregatedInstances => {
                let all = self.instances.values();
                all.map(|i| (zone(&i.place.zone), i.wire(self))).collect()
            }
            Kind::ListDisks | Kind::AggregatedDisks => {
                let all = self.disks.values();
                all.map(|d| (zone(&d.place.zone), d.wire(self))).collect()
            }
            Kind::ListZoneOperations => {
                let all = self.operations.values().filter(|o| !o.vanished);
                let item = |o: &crate::fake_gce::operation::Operation| {
                    Some((zone(o.zone.as_ref()?), o.wire(self)))
                };
                all.filter_map(item).collect()
            }
            Kind::ListFirewalls => {
                let all = self.firewalls.values();
                all.map(|rule| ("global".to_owned(), rule.clone()))
                    .collect()
            }
            _ => {
                let all = self.addresses.iter();
                let scope = |place: &str| format!("regions/{place}");
                all.map(|(seen, wire)| (scope(&seen.place), wire.clone()))
                    .collect()
            }
        }
    }

    /// A list of one scope.
    pub(super) fn list(&self, ask: &Ask) -> Result<Value, Refusal> {
        let scope = match ask.call.get("zone") {
            Some(zone) => format!("zones/{zone}"),
            None => "global".to_owned(),
        };
        let (items, next) = self.page(ask, |item| item.0 == scope)?;
        let (kind, path) = match ask.call.kind {
            Kind::ListInstances => ("compute#instanceList", format!("{scope}/instances")),
            Kind::ListDisks => ("compute#diskList", format!("{scope}/disks")),
            Kind::ListFirewalls => ("compute#firewallList", format!("{scope}/firewalls")),
            _ => ("compute#operationList", format!("{scope}/operations")),
        };
        let items: Vec<_> = items.into_iter().map(|(_, wire)| wire).collect();
        let mut answer = json!({
            "kind": kind,
            "id": format!("projects/{}/{path}", self.config.project),
            "selfLink": self.config.link(&path),
        });
        if !items.is_empty() {
            answer["items"] = json!(items);
        }
        if let Some(next) = next {
            answer["nextPageToken"] = json!(next);
        }
        if missing(ask).as_ref() == Some(&scope) {
            answer["warning"] = unreachable(&scope);
        }
        Ok(answer)
    }

    /// A list of every scope there is.
    pub(super) fn aggregate(&self, ask: &Ask) -> Result<Value, Refusal> {
        let missing = missing(ask);
        let (items, next) = self.page(ask, |_| true)?;
        let (kind, name) = match ask.call.kind {
            Kind::AggregatedInstances => ("compute#instanceAggregatedList", "instances"),
            Kind::AggregatedDisks => ("compute#diskAggregatedList", "disks"),
            _ => ("compute#addressAggregatedList", "addresses"),
        };
        let mut scopes = Map::new();
        for scope in self.scopes(name) {
            let here = items.iter().filter(|(of, _)| *of == scope);
            let here: Vec<_> = here.map(|(_, wire)| wire).collect();
            let said = if missing.as_ref() == Some(&scope) {
                json!({"warning": unreachable(&scope)})
            } else if here.is_empty() {
                json!({"warning": warning("NO_RESULTS_ON_PAGE", &scope, "There are no results")})
            } else {
                json!({ name: here })
            };
            scopes.insert(scope, said);
        }
        let path = format!("aggregated/{name}");
        let mut answer = json!({
            "kind": kind,
            "id": format!("projects/{}/{path}", self.config.project),
            "selfLink": self.config.link(&path),
            "items": scopes,
        });
        if let Some(next) = next {
            answer["nextPageToken"] = json!(next);
        }
        if let Some(scope) = missing {
            answer["warning"] = unreachable(&scope);
            answer["unreachables"] = json!([scope]);
        }
        Ok(answer)
    }

    fn scopes(&self, name: &str) -> Vec<String> {
        let zones = self.config.zones.iter();
        if name != "addresses" {
            return zones.map(|zone| format!("zones/{zone}")).collect();
        }
        let mut regions: Vec<_> = zones
            .filter_map(|zone| self.config.region_of(zone))
            .map(|region| format!("regions/{region}"))
            .collect();
        regions.dedup();
        regions
    }

    /// One page of what is wanted, and the token of the next.
    fn page(
        &self,
        ask: &Ask,
        wanted: impl Fn(&Item) -> bool,
    ) -> Result<(Vec<Item>, Option<String>), Refusal> {
        let filter = ask.call.get("filter").filter(|text| !text.is_empty());
        let parsed = filter.map(Filter::parse).transpose()?;
        let missing = missing(ask);
        let fits = |item: &Item| {
            wanted(item)
                && Some(&item.0) != missing.as_ref()
                && parsed.as_ref().is_none_or(|filter| filter.takes(&item.1))
        };
        let mut items: Vec<_> = self
            .listed(ask.call.kind)
            .into_iter()
            .filter(fits)
            .collect();
        match ask.call.get("orderBy") {
            None | Some("" | "name") => {}
            Some("creationTimestamp desc") => items.reverse(),
            Some(other) => return Err(Refusal::field("orderBy", other, "Not an order.")),
        }
        // A token belongs to one list: with another filter it is worth nothing.
        let list = fingerprint(&json!([ask.call.kind.id(), filter]));
        let key = |item: &Item| item.1["id"].as_str().unwrap_or_default().to_owned();
        let mut from = 0;
        if let Some(token) = ask.call.get("pageToken").filter(|token| !token.is_empty()) {
            let refuse = || Refusal::field("pageToken", token, "Invalid page token.");
            let text = URL_SAFE_NO_PAD.decode(token).map_err(|_| refuse())?;
            let text = String::from_utf8(text).map_err(|_| refuse())?;
            let (of, at) = text.split_once(' ').ok_or_else(refuse)?;
            if of != list {
                return Err(refuse());
            }
            let (place, last) = at.split_once(' ').ok_or_else(refuse)?;
            // What was deleted between two pages moves nothing past the reader.
            from = match items.iter().position(|item| key(item) == last) {
                Some(at) => at + 1,
                None => place.parse().map_err(|_| refuse())?,
            };
        }
        let most = match ask.call.get("maxResults").map(str::parse::<usize>) {
            None | Some(Ok(0)) => 500,
            Some(Ok(most)) if most <= 500 => most,
            Some(_) => return Err(Refusal::field("maxResults", "", "Must be 0 to 500.")),
        };
        let rest = items.split_off(from.min(items.len()));
        let page: Vec<_> = rest.iter().take(most).cloned().collect();
        let next = (rest.len() > most).then(|| {
            let last = key(page.last().expect("a page that is full"));
            URL_SAFE_NO_PAD.encode(format!("{list} {} {last}", from + most - 1))
        });
        Ok((page, next))
    }
}

/// The scope that is missing, whether or not the client allowed for that: Google's
/// own client cannot say `returnPartialSuccess`, and must see the warning.
fn missing(ask: &Ask) -> Option<String> {
    match &ask.fault {
        Some(Fault::Partial(zone)) => Some(format!("zones/{zone}")),
        _ => None,
    }
}

fn unreachable(scope: &str) -> Value {
    warning("UNREACHABLE", scope, "The following could not be reached")
}

fn warning(code: &str, scope: &str, what: &str) -> Value {
    json!({
        "code": code,
        "message": format!("{what}: '{scope}'."),
        "data": [{"key": "scope", "value": scope}],
    })
}
