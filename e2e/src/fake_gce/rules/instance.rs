//! A body of `instances.insert` that Compute would take.

use serde_json::{Value, json};

use super::scheduling;
use crate::fake_gce::{
    instance::Place,
    names::{check_labels, check_metadata, is_name, last_part, name_of},
    operation::{Operation, Progress, Work},
    refusal::Refusal,
    storage::gigabytes,
    world::World,
};

const DISK_TYPES: [&str; 5] = [
    "pd-standard",
    "pd-balanced",
    "pd-ssd",
    "pd-extreme",
    "hyperdisk-balanced",
];

/// Checks it all and answers with its machine type.
pub(crate) fn check(body: &Value, zone: &str, world: &World) -> Result<String, Refusal> {
    let name = name_of(body)?;
    let place = Place::new(zone, name);
    let project = &world.config.project;
    let kind = body["machineType"].as_str();
    let kind = kind.ok_or_else(|| Refusal::required("resource.machineType"))?;
    let known = last_part(kind, project, &format!("zones/{zone}/machineTypes"));
    let Some(known) = known else {
        let why = "The referenced machine type is not in this zone, or its URL is malformed.";
        return Err(Refusal::field("resource.machineType", kind, why));
    };
    if scheduling::family(known).is_none() {
        return Err(Refusal::not_found(kind));
    }
    scheduling::check(body, known, &world.config)?;
    check_labels(&body["labels"], "resource.labels")?;
    check_metadata(&body["metadata"], "resource.metadata")?;
    check_network(body, zone, world)?;
    for tag in body["tags"]["items"].as_array().into_iter().flatten() {
        if !tag.as_str().is_some_and(is_name) {
            return Err(Refusal::field("resource.tags.items", tag, "Not a tag."));
        }
    }
    check_accounts(body)?;
    check_disks(body, &place, world)?;
    let being_made = |o: &Operation| {
        let same = matches!(&o.work, Work::Insert(at, _) if *at == place);
        // From RUNNING on the instance itself holds the name, and no longer than it is there:
        // a stuck operation of one that was deleted does not.
        same && o.progress == Progress::Pending
    };
    if world.instances.contains_key(&place) || world.operations.values().any(being_made) {
        let path = format!("projects/{project}/{}", place.path("instances"));
        return Err(Refusal::exists(&path));
    }
    Ok(known.to_owned())
}

fn check_disks(body: &Value, place: &Place, world: &World) -> Result<(), Refusal> {
    let disks = body["disks"].as_array().map_or(&[][..], Vec::as_slice);
    if disks.iter().filter(|disk| disk["boot"] == true).count() != 1 || disks[0]["boot"] != true {
        let why = "Exactly one boot disk must be given, as the first.";
        return Err(Refusal::field("resource.disks", disks.len(), why));
    }
    for (at, disk) in disks.iter().enumerate() {
        let params = &disk["initializeParams"];
        let field = |name: &str| format!("resource.disks[{at}].initializeParams.{name}");
        let named = World::disk_name(&place.name, at, disk);
        if !is_name(&named) {
            return Err(Refusal::field(&field("diskName"), &named, "Not a name."));
        }
        let named = Place::new(&place.zone, &named);
        if world.disks.contains_key(&named) {
            let path = format!("projects/{}/{}", world.config.project, named.path("disks"));
            return Err(Refusal::exists(&path));
        }
        check_labels(&params["labels"], &field("labels"))?;
        if let Some(kind) = params["diskType"].as_str() {
            let types = format!("zones/{}/diskTypes", place.zone);
            let known = last_part(kind, &world.config.project, &types);
            if !known.is_some_and(|kind| DISK_TYPES.contains(&kind)) {
                return Err(Refusal::field(
                    &field("diskType"),
                    kind,
                    "No such type here.",
                ));
            }
        }
        let least = source_size(params, world)?;
        let size = gigabytes(&params["diskSizeGb"]);
        if size.is_some_and(|size| size < least || size > 65_536) {
            let why = format!("Must be from {least} to 65536.");
            return Err(Refusal::field(
                &field("diskSizeGb"),
                &params["diskSizeGb"],
                &why,
            ));
        }
    }
    Ok(())
}

/// The size of what the disk is made from, of which there must be one.
fn source_size(params: &Value, world: &World) -> Result<u64, Refusal> {
    let config = &world.config;
    match (
        params["sourceSnapshot"].as_str(),
        params["sourceImage"].as_str(),
    ) {
        (Some(url), None) => {
            let name = last_part(url, &config.project, "global/snapshots");
            let found = name.and_then(|name| config.snapshots.get(name));
            found.copied().ok_or_else(|| Refusal::not_found(url))
        }
        (None, Some(url)) => {
            let found = config.images.iter().find(|image| {
                let of = |place: &str| last_part(url, &image.project, place);
                of("global/images/family") == Some(&image.family)
                    || of("global/images") == Some(&image.name)
            });
            found
                .map(|image| image.size)
                .ok_or_else(|| Refusal::not_found(url))
        }
        _ => {
            let why = "Exactly one source must be given.";
            Err(Refusal::field(
                "resource.disks[0].initializeParams",
                json!({}),
                why,
            ))
        }
    }
}

fn check_network(body: &Value, zone: &str, world: &World) -> Result<(), Refusal> {
    let config = &world.config;
    let interfaces = body["networkInterfaces"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let [interface] = interfaces else {
        let why = "One network interface must be given.";
        return Err(Refusal::field(
            "resource.networkInterfaces",
            interfaces.len(),
            why,
        ));
    };
    let known = |name: Option<&str>| name.is_some_and(|n| config.networks.iter().any(|k| k == n));
    if let Some(url) = interface["network"].as_str()
        && !known(last_part(url, &config.project, "global/networks"))
    {
        return Err(Refusal::not_found(url));
    }
    if let Some(url) = interface["subnetwork"].as_str() {
        let region = config.region_of(zone).unwrap_or_default();
        let place = format!("regions/{region}/subnetworks");
        if !known(last_part(url, &config.project, &place)) {
            return Err(Refusal::not_found(url));
        }
    }
    let configs = interface["accessConfigs"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    if configs.len() > 1 {
        let why = "At most one access config.";
        return Err(Refusal::field(
            "resource.networkInterfaces[0].accessConfigs",
            configs.len(),
            why,
        ));
    }
    let fixed = configs.first().and_then(|config| config["natIP"].as_str());
    if let Some(address) = fixed
        && !world
            .addresses
            .iter()
            .any(|(_, wire)| wire["address"] == address)
    {
        let at = "resource.networkInterfaces[0].accessConfigs[0].natIP";
        return Err(Refusal::field(at, address, "Not a reserved address."));
    }
    Ok(())
}

fn check_accounts(body: &Value) -> Result<(), Refusal> {
    let accounts = body["serviceAccounts"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    if accounts.len() > 1 {
        let why = "At most one service account.";
        return Err(Refusal::field(
            "resource.serviceAccounts",
            accounts.len(),
            why,
        ));
    }
    for account in accounts {
        let email = account["email"].as_str().unwrap_or_default();
        if email != "default" && !email.contains('@') {
            let at = "resource.serviceAccounts[0].email";
            return Err(Refusal::field(at, email, "Not a service account."));
        }
        for scope in account["scopes"].as_array().into_iter().flatten() {
            let known = |scope: &str| scope.starts_with("https://www.googleapis.com/auth/");
            if !scope.as_str().is_some_and(known) {
                let at = "resource.serviceAccounts[0].scopes";
                return Err(Refusal::field(at, scope, "Not a scope."));
            }
        }
    }
    Ok(())
}
