//! Lists of what is at Google's: whole, or an error. Half a list is none: who believed it
//! would remove what is needed.

use anyhow::{bail, ensure};
use google_cloud_compute_v1::model::{Address, Disk, Instance, Operation};

use super::{
    cloud::{Cloud, absent},
    machine::{APP, INSTALLATION},
    trouble::Trouble,
};

/// Pages of a list: far more than an installation has of anything.
const PAGES: usize = 100;

/// All that a service lists of this installation, over all zones or regions. A macro, for
/// the answers have one shape and no type in common.
macro_rules! whole {
    ($cloud:expr, $service:ident, $items:ident) => {{
        let (mut found, mut page) = (Vec::new(), None);
        for _ in 0..PAGES {
            let call = $cloud.$service.aggregated_list();
            let call = call
                .set_project(&$cloud.project)
                .set_filter($cloud.own())
                .set_or_clear_page_token(page.take());
            let answer = call.send().await;
            let answer = answer.map_err(|error| Trouble::of_call(&error))?;
            let missing = &answer.unreachables;
            ensure!(
                missing.is_empty(),
                "could not be reached: {}",
                missing.join(", ")
            );
            for (scope, listed) in answer.items {
                let warning = listed.warning.as_ref().and_then(|said| said.code.as_ref());
                // An empty scope is told as a warning, too.
                let empty = warning.and_then(|code| code.name()) == Some("NO_RESULTS_ON_PAGE");
                ensure!(
                    warning.is_none() || empty,
                    "the list of {scope} is not whole: {warning:?}"
                );
                found.extend(listed.$items);
            }
            match answer.next_page_token {
                Some(next) if !next.is_empty() => page = Some(next),
                _ => return Ok(found),
            }
        }
        bail!("the list has more than {PAGES} pages")
    }};
}

impl Cloud {
    /// What has this installation's labels.
    fn own(&self) -> String {
        let installation = &self.installation;
        format!("labels.{APP}=clarateach AND labels.{INSTALLATION}={installation}")
    }

    /// Every VM of this installation.
    pub(super) async fn all(&self) -> anyhow::Result<Vec<Instance>> {
        whole!(self, instances, instances)
    }

    /// Every disk of this installation, those of VMs too.
    pub(super) async fn all_disks(&self) -> anyhow::Result<Vec<Disk>> {
        whole!(self, disks, disks)
    }

    /// Every reserved address of this installation.
    pub(super) async fn all_addresses(&self) -> anyhow::Result<Vec<Address>> {
        whole!(self, addresses, addresses)
    }

    /// The operations on a VM of this name, as far back as Google remembers.
    pub(super) async fn history(&self, zone: &str, name: &str) -> anyhow::Result<Vec<Operation>> {
        let project = &self.project;
        let link = format!(
            "https://www.googleapis.com/compute/v1/projects/{project}/zones/{zone}/instances/{name}"
        );
        let (mut found, mut page) = (Vec::new(), None);
        for _ in 0..PAGES {
            let call = self.operations.list().set_project(project).set_zone(zone);
            let call = call
                .set_filter(format!("targetLink=\"{link}\""))
                .set_or_clear_page_token(page.take());
            let answer = call.send().await;
            let answer = answer.map_err(|error| Trouble::of_call(&error))?;
            found.extend(answer.items);
            match answer.next_page_token {
                Some(next) if !next.is_empty() => page = Some(next),
                _ => return Ok(found),
            }
        }
        bail!("the list has more than {PAGES} pages")
    }

    /// Removes a disk that no VM has. By its id: another of its name stays.
    pub(super) async fn delete_disk(&self, zone: &str, id: u64) -> Result<(), Trouble> {
        let call = self.disks.delete().set_project(&self.project);
        let call = call.set_zone(zone).set_disk(id.to_string());
        absent(call.send().await).map(drop)
    }

    /// Gives a reserved address back.
    pub(super) async fn delete_address(&self, region: &str, id: u64) -> Result<(), Trouble> {
        let call = self.addresses.delete().set_project(&self.project);
        let call = call.set_region(region).set_address(id.to_string());
        absent(call.send().await).map(drop)
    }
}
