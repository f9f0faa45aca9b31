//! The calls to Google, each bounded and told as [`Trouble`] when it fails. No
//! policy: what follows is decided elsewhere.

use std::time::Duration;

use anyhow::Context as _;
use google_cloud_auth::credentials::anonymous;
use google_cloud_compute_v1::{
    client::{Addresses, Disks, Firewalls, Images, Instances, Regions, Snapshots, ZoneOperations},
    model::{Firewall, Instance, Operation, Region, operation},
};
use google_cloud_gax::{client_builder::ClientBuilder, retry_policy::NeverRetry};

use super::{
    settings::GcpSettings,
    trouble::{Class, Trouble},
};

/// One call: the crate would wait, and try a closed port, for ever.
const CALL: Duration = Duration::from_secs(20);

/// The services used, of one project.
#[derive(Debug, Clone)]
pub(super) struct Cloud {
    pub(super) project: String,
    pub(super) installation: String,
    pub(super) instances: Instances,
    pub(super) operations: ZoneOperations,
    firewalls: Firewalls,
    snapshots: Snapshots,
    images: Images,
    regions: Regions,
    pub(super) disks: Disks,
    pub(super) addresses: Addresses,
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
        let disks = build(Disks::builder(), settings).build().await;
        let addresses = build(Addresses::builder(), settings).build().await;
        Ok(Self {
            project: settings.project.clone(),
            installation: settings.installation.clone(),
            instances,
            operations: operations.context(again)?,
            firewalls: firewalls.context(again)?,
            snapshots: snapshots.context(again)?,
            images: images.context(again)?,
            regions: regions.context(again)?,
            disks: disks.context(again)?,
            addresses: addresses.context(again)?,
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

    /// What starting is to one that was suspended.
    pub(super) async fn resume(
        &self,
        zone: &str,
        name: &str,
        request_id: &str,
    ) -> Result<Operation, Trouble> {
        let call = self
            .instances
            .resume()
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
pub(super) fn absent<T>(
    answer: Result<T, google_cloud_gax::error::Error>,
) -> Result<Option<T>, Trouble> {
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
