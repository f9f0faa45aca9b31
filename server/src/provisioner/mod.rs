//! Where workers come from: the seam between the loop and a cloud, or a box.
//!
//! Way: reconciler -> [`Provisioner`] -> kernel or cloud. Every verb is
//! harmless when repeated; nothing is kept in memory only.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use clarateach_domain::{
    ending::Ending,
    enrolment::Vm,
    ids::{WorkerName, WorkshopId},
    microvm::Runtime,
    plan::Ground,
};

pub mod gcp;
pub mod local;

/// The port of every agent.
pub const AGENT_PORT: u16 = 9090;

/// One worker as it should be. Everything in it is public: no secret travels
/// to a worker this way.
#[derive(Debug, Clone)]
pub struct WorkerSpec {
    /// Its name, fixed for its life.
    pub name: WorkerName,
    /// The workshop it serves.
    pub workshop: WorkshopId,
    /// The runtime it must give.
    pub runtime: Runtime,
    /// The workshop's CA, PEM.
    pub ca_certificate: String,
    /// The public half of the workshop's seat-token key, PEM.
    pub seat_key: String,
}

/// One worker as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// What state its machine is in.
    pub ground: Ground,
    /// Where its agent answers, as soon as that is known.
    pub address: Option<SocketAddr>,
    /// Addresses beside that one by which learners may reach it.
    pub also: Vec<IpAddr>,
    /// The zone it runs in; `local` on one box.
    pub zone: String,
    /// Where a local worker's signing request and certificate lie.
    pub enrol_dir: Option<PathBuf>,
    /// Which VM it is, for one that enrols over the network.
    pub vm: Option<Vm>,
    /// Why it is down though nobody here asked for that, where its place remembers.
    pub ending: Option<Ending>,
}

impl Described {
    /// A worker of which nothing exists.
    pub fn missing(zone: &str) -> Self {
        Self {
            ground: Ground::Missing,
            address: None,
            also: vec![],
            zone: zone.to_owned(),
            enrol_dir: None,
            vm: None,
            ending: None,
        }
    }
}

/// One worker of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: WorkerName,
    /// When it was made, where that is known.
    pub made_at: Option<DateTime<Utc>>,
}

/// What costs beside a worker and belongs to none: a disk that no VM has, an address that
/// nobody uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remainder {
    /// What it is: a word for people, such as `disk`.
    pub what: &'static str,
    /// Its zone or region.
    pub place: String,
    /// Its name there.
    pub name: String,
    /// What its place knows this one by, and none that comes later under its name.
    pub id: u64,
    /// The worker that it was made for, if it says so.
    pub worker: Option<WorkerName>,
    /// When it was made, where that is known.
    pub made_at: Option<DateTime<Utc>>,
}

impl std::fmt::Display for Remainder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}/{}", self.what, self.place, self.name)
    }
}

/// An act of a provisioner that failed. Shown to instructors: the whole chain
/// is for the log, the message for people.
#[derive(Debug, thiserror::Error)]
#[error("could not {act}")]
pub struct ProvisionError {
    act: String,
    permanent: bool,
    #[source]
    cause: anyhow::Error,
}

impl ProvisionError {
    /// `act` in words that follow "could not".
    pub fn new(act: impl Into<String>, cause: impl Into<anyhow::Error>) -> Self {
        Self {
            act: act.into(),
            permanent: false,
            cause: cause.into(),
        }
    }

    /// Says that trying again cannot help: somebody must act first.
    #[must_use]
    pub fn permanent(mut self, is: bool) -> Self {
        self.permanent = is;
        self
    }

    /// Whether trying again cannot help.
    pub fn is_permanent(&self) -> bool {
        self.permanent
    }
}

/// Where a provisioner keeps what it must know of a worker after a kill: in the
/// worker's row, which is there before the provisioner is asked for anything.
#[async_trait]
pub trait Notes: Send + Sync {
    /// What was last written; empty or `None` if nothing was.
    async fn read(&self, worker: &WorkerName) -> anyhow::Result<Option<String>>;
    /// Writes it, on disk when this returns.
    async fn write(&self, worker: &WorkerName, text: &str) -> anyhow::Result<()>;
}

/// Makes workers and removes them.
#[async_trait]
pub trait Provisioner: Send + Sync {
    /// The runtimes its workers can give.
    fn runtimes(&self) -> Vec<Runtime>;
    /// Makes the worker, or repairs and starts what is there of it.
    async fn ensure(&self, worker: &WorkerSpec) -> Result<(), ProvisionError>;
    /// What is there now.
    async fn describe(&self, name: &WorkerName) -> Result<Described, ProvisionError>;
    /// Every worker of this installation, wanted or not.
    async fn list(&self) -> Result<Vec<Listed>, ProvisionError>;
    /// Ends what runs on it and keeps its disk.
    async fn stop(&self, name: &WorkerName) -> Result<(), ProvisionError>;
    /// Starts it again.
    async fn start(&self, worker: &WorkerSpec) -> Result<(), ProvisionError>;
    /// Of which VM the cloud's `token` says that it is, if the cloud signed it for
    /// this `audience`; `None` if it says that of none. Only asked of workers that
    /// are VMs.
    async fn vouched(&self, _audience: &str, _token: &str) -> Result<Option<Vm>, ProvisionError> {
        let none = anyhow::anyhow!("workers here are no VMs that anybody could vouch for");
        Err(ProvisionError::new("check who the worker is", none))
    }
    /// The end of what its machine or agent wrote of itself, for whoever must find out
    /// why that never answered; empty if it wrote nothing.
    async fn evidence(&self, _name: &WorkerName) -> Result<String, ProvisionError> {
        Ok(String::new())
    }
    /// What is left of this installation beside its workers and costs: all of it, or an
    /// error. A box has nothing of the kind.
    async fn remainders(&self) -> Result<Vec<Remainder>, ProvisionError> {
        Ok(vec![])
    }
    /// Removes one of them; one that is gone is removed.
    async fn clear(&self, _what: &Remainder) -> Result<(), ProvisionError> {
        Ok(())
    }
    /// Removes it with everything on it, in whatever state it is.
    async fn delete(&self, name: &WorkerName) -> Result<(), ProvisionError>;
}
