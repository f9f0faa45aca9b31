//! The calls to Google, each bounded and told as [`Trouble`] when it fails. No
//! policy: what follows is decided elsewhere.

use std::time::Duration;

use anyhow::Context as _;
use google_cloud_auth::credentials::anonymous;
use google_cloud_compute_v1::{
    client::{Firewalls, Images, Instances, Regions, Snapshots, ZoneOperations},
    model::{Firewall, Instance, Operation, Region, operation},
};
use google_cloud_gax::{client_builder::ClientBuilder, retry_policy::NeverRetry};

use super::{
    machine::{APP, INSTALLATION},
    settings::GcpSettings,
    trouble::{Class, Trouble},
};

/// One call: the crate would wait, and try a closed port, for ever.
const CALL: Duration = Duration::from_secs(20);
/// Pages of a list: far more than an installation has VMs.
const PAGES: usize = 100;

/// The services used, of one project.
#[derive(Debug, Clone)]
pub(super) struct Cloud {
    project: String,
    installation: String,
    instances: Instances,
    operations: ZoneOperations,
    firewalls: Firewalls,
    snapshots: Snapshots,
    images: Images,
    regions: Regions,
}

/// How an operation stands.
#[derive(Debug)]
pub(super) enum Standing {
    /// It goes on.
    Running,
    /// It ended well.
    Done,
    /// It ended badly.
    Failed(Trouble),
    /// Google does not know it (any more).
    Forgotten,
}

impl Cloud {
    /// Connects with the application's default credentials; nothing is called yet.
    pub(super) async fn open(settings: &GcpSettings) -> anyhow::Result<Self> {
        let instances = build(Instances::builder(), settings)
            .build()
            .await
            .context(
                "could not find credentials for Google Cloud: run `gcloud auth \
                      application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS",
            )?;
        // The same credentials were found already.
        let again = "could not find credentials for Google Cloud";
        let operations = build(ZoneOperations::builder(), settings).build().await;
        let firewalls = build(Firewalls::builder(), settings).build().await;
        let snapshots = build(Snapshots::builder(), settings).build().await;
        let images = build(Images::builder(), settings).build().await;
        let regions = build(Regions::builder(), settings).build().await;
        Ok(Self {
            project: settings.project.clone(),
            installation: settings.installation.clone(),
            instances,
            operations: operations.context(again)?,
            firewalls: firewalls.context(again)?,
            snapshots: snapshots.context(again)?,
            images: images.context(again)?,
            regions: regions.context(again)?,
        })
    }

    /// Asks for a VM.
    pub(super) async fn insert(
        &self,
        zone: &str,
        request_id: &str,
        vm: Instance,
    ) -> Result<Operation, Trouble> {
        let call = self
            .instances
            .insert()
            .set_project(&self.project)
            .set_zone(zone);
        let call = call.set_request_id(request_id).set_body(vm);
        call.send().await.map_err(|error| Trouble::of_call(&error))
    }

    /// The VM; `None` if there is none.
    pub(super) async fn get(&self, zone: &str, name: &str) -> Result<Option<Instance>, Trouble> {
        let call = self
            .instances
            .get()
            .set_project(&self.project)
            .set_zone(zone);
        absent(call.set_instance(name).send().await)
    }

    pub(super) async fn start(
        &self,
        zone: &str,
        name: &str,
        request_id: &str,
    ) -> Result<Operation, Trouble> {
        let call = self
            .instances
            .start()
            .set_project(&self.project)
            .set_zone(zone);
        let call = call.set_instance(name).set_request_id(request_id);
        call.send().await.map_err(|error| Trouble::of_call(&error))
    }

    pub(super) async fn stop(
        &self,
        zone: &str,
        name: &str,
        request_id: &str,
    ) -> Result<Operation, Trouble> {
        let call = self
            .instances
            .stop()
            .set_project(&self.project)
            .set_zone(zone);
        let call = call.set_instance(name).set_request_id(request_id);
        call.send().await.map_err(|error| Trouble::of_call(&error))
    }

    /// Removes the VM and its boot disk; `None` if there is none.
    pub(super) async fn delete(
        &self,
        zone: &str,
        name: &str,
        request_id: &str,
    ) -> Result<Option<Operation>, Trouble> {
        let call = self
            .instances
            .delete()
            .set_project(&self.project)
            .set_zone(zone);
        absent(
            call.set_instance(name)
                .set_request_id(request_id)
                .send()
                .await,
        )
    }

    /// How an operation stands.
    pub(super) async fn operation(&self, zone: &str, name: &str) -> Result<Standing, Trouble> {
        let call = self
            .operations
            .get()
            .set_project(&self.project)
            .set_zone(zone);
        let found = absent(call.set_operation(name).send().await)?;
        Ok(found.as_ref().map_or(Standing::Forgotten, standing))
    }

    /// The operation that a request with this id began, as far as Google still
    /// tells: for an answer that was lost.
    pub(super) async fn begun(
        &self,
        zone: &str,
        request_id: &str,
    ) -> Result<Option<Operation>, Trouble> {
        let call = self
            .operations
            .list()
            .set_project(&self.project)
            .set_zone(zone);
        let call = call.set_filter(format!("clientOperationId={request_id}"));
        let answer = call
            .send()
            .await
            .map_err(|error| Trouble::of_call(&error))?;
        let ours = |op: &Operation| op.client_operation_id.as_deref() == Some(request_id);
        Ok(answer.items.into_iter().find(ours))
    }

    /// The operations on a VM of this name, as far back as Google remembers: all of them,
    /// or an error, as with [`Self::all`].
    pub(super) async fn history(&self, zone: &str, name: &str) -> anyhow::Result<Vec<Operation>> {
        let project = &self.project;
        let link = format!(
            "https://www.googleapis.com/compute/v1/projects/{project}/zones/{zone}/instances/{name}"
        );
        let mut found = Vec::new();
        let mut page = None;
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
        anyhow::bail!("the list has more than {PAGES} pages")
    }

    /// Every VM with this installation's labels, in all zones: all of them, or an
    /// error. Half a list is none: who believed it would remove what it needs.
    pub(super) async fn all(&self) -> anyhow::Result<Vec<Instance>> {
        let filter = format!(
            "labels.{APP}=clarateach AND labels.{INSTALLATION}={}",
            self.installation
        );
        let mut found = Vec::new();
        let mut page = None;
        for _ in 0..PAGES {
            let call = self.instances.aggregated_list().set_project(&self.project);
            let call = call
                .set_filter(&filter)
                .set_or_clear_page_token(page.take());
            let answer = call
                .send()
                .await
                .map_err(|error| Trouble::of_call(&error))?;
            anyhow::ensure!(
                answer.unreachables.is_empty(),
                "zones could not be reached: {}",
                answer.unreachables.join(", ")
            );
            for (scope, listed) in answer.items {
                let partial = listed.warning.as_ref().and_then(|w| w.code.as_ref());
                // An empty zone is told as a warning, too.
                let empty = partial.and_then(|code| code.name()) == Some("NO_RESULTS_ON_PAGE");
                anyhow::ensure!(
                    partial.is_none() || empty,
                    "the list of {scope} is not whole: {partial:?}"
                );
                found.extend(listed.instances);
            }
            match answer.next_page_token {
                Some(next) if !next.is_empty() => page = Some(next),
                _ => return Ok(found),
            }
        }
        anyhow::bail!("the list has more than {PAGES} pages")
    }

    /// A firewall rule of the project.
    pub(super) async fn firewall(&self, name: &str) -> Result<Option<Firewall>, Trouble> {
        let call = self.firewalls.get().set_project(&self.project);
        absent(call.set_firewall(name).send().await)
    }

    /// Makes a firewall rule; one that is there by now is none the worse.
    pub(super) async fn make_firewall(&self, rule: Firewall) -> Result<(), Trouble> {
        let call = self.firewalls.insert().set_project(&self.project);
        match call.set_body(rule).send().await {
            Ok(_begun) => Ok(()),
            Err(error) => match Trouble::of_call(&error) {
                trouble if trouble.class == Class::Exists => Ok(()),
                trouble => Err(trouble),
            },
        }
    }

    /// How large a snapshot's disk is, in GB.
    pub(super) async fn snapshot(&self, name: &str) -> Result<Option<i64>, Trouble> {
        let call = self.snapshots.get().set_project(&self.project);
        let found = absent(call.set_snapshot(name).send().await)?;
        Ok(found.map(|snapshot| snapshot.disk_size_gb.unwrap_or_default()))
    }

    /// How large the disk of a family's newest image is, in GB.
    pub(super) async fn image(&self, family: &str) -> Result<Option<i64>, Trouble> {
        let call = self.images.get_from_family().set_project(&self.project);
        let found = absent(call.set_family(family).send().await)?;
        Ok(found.map(|image| image.disk_size_gb.unwrap_or_default()))
    }

    /// A region, with the project's quotas in it.
    pub(super) async fn region(&self, name: &str) -> Result<Option<Region>, Trouble> {
        let call = self.regions.get().set_project(&self.project);
        absent(call.set_region(name).send().await)
    }

    /// The end of what the VM wrote to its serial port; empty if there is no VM.
    pub(super) async fn serial(&self, zone: &str, name: &str) -> Result<String, Trouble> {
        let call = self.instances.get_serial_port_output();
        let call = call.set_project(&self.project).set_zone(zone);
        let answer = absent(call.set_instance(name).send().await)?;
        Ok(answer.and_then(|log| log.contents).unwrap_or_default())
    }
}

/// The same bounds for every client. One try a call: the reconciler tries again,
/// later each time, and two such loops would multiply.
fn build<F, C>(builder: ClientBuilder<F, C>, settings: &GcpSettings) -> ClientBuilder<F, C>
where
    C: From<google_cloud_auth::credentials::Credentials>,
{
    let builder = builder
        .with_retry_policy(NeverRetry)
        .with_attempt_timeout(CALL);
    match &settings.endpoint {
        // A fake on this machine, which the settings have made sure of.
        Some(endpoint) => builder
            .with_endpoint(endpoint)
            .with_credentials(anonymous::Builder::new().build()),
        None => builder,
    }
}

/// 404 is an answer.
fn absent<T>(answer: Result<T, google_cloud_gax::error::Error>) -> Result<Option<T>, Trouble> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) => match Trouble::of_call(&error) {
            trouble if trouble.class == Class::Gone => Ok(None),
            trouble => Err(trouble),
        },
    }
}

/// Ended well only without an error in it: the crate calls both well.
pub(super) fn standing(operation: &Operation) -> Standing {
    if operation.status != Some(operation::Status::Done) {
        return Standing::Running;
    }
    Trouble::of_operation(operation).map_or(Standing::Done, Standing::Failed)
}
