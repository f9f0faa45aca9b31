//! What a fake Google has: a project, zones, images, quotas, and its pace.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use super::{
    clock::Clock,
    machines::{Machines, NoMachines},
};
use crate::fake_metadata::Keys;

/// Settings of one fake.
#[derive(Clone)]
pub struct Config {
    /// Where it listens; port 0 chooses one.
    pub listen: SocketAddr,
    /// The only project there is.
    pub project: String,
    /// Its number.
    pub project_number: u64,
    /// Zones, such as `us-central1-a`; their regions follow.
    pub zones: Vec<String>,
    /// Networks; each has a subnetwork of its own name in every region.
    pub networks: Vec<String>,
    /// Snapshots of the project, with GB.
    pub snapshots: BTreeMap<String, u64>,
    /// Images.
    pub images: Vec<Image>,
    /// Limits a region and metric, such as `N2_CPUS`; none is no limit.
    pub quotas: BTreeMap<String, f64>,
    /// Outside addresses, given out in turn.
    pub addresses: Vec<IpAddr>,
    /// The bearer token that requests must have, if any.
    pub bearer: Option<String>,
    /// Whether `preemptionNoticeDuration` is taken in this project.
    pub takes_notice_duration: bool,
    /// How long things take.
    pub pace: Pace,
    /// How time goes.
    pub clock: Clock,
    /// For odds of faults.
    pub seed: u64,
    /// Published at `/oauth2/v3/certs`, as Google's are for identity tokens.
    pub keys: Arc<Keys>,
    /// What stands behind instances.
    pub machines: Arc<dyn Machines>,
}

/// An image.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its project, which may be another.
    pub project: String,
    /// Name.
    pub name: String,
    /// Family.
    pub family: String,
    /// GB.
    pub size: u64,
}

/// How long things take, in virtual time.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Every operation stays PENDING.
    pub pending: Duration,
    /// An instance is provisioned and staged.
    pub boot: Duration,
    /// A guest shuts down when told.
    pub shutdown: Duration,
    /// From the signal to the end of a preempted instance.
    pub preemption: Duration,
    /// Anything else runs.
    pub other: Duration,
    /// A finished operation is forgotten, with its request id.
    pub memory: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            pending: Duration::from_secs(1),
            boot: Duration::from_secs(9),
            shutdown: Duration::from_secs(15),
            preemption: Duration::from_secs(30),
            other: Duration::from_secs(2),
            memory: Duration::from_hours(1),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let zones = [
            "us-central1-a",
            "us-central1-b",
            "us-central1-c",
            "us-east1-b",
        ];
        let project = "clarateach-test".to_owned();
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            project_number: 123_456_789_012,
            zones: zones.map(str::to_owned).to_vec(),
            networks: vec!["default".to_owned(), "clarateach".to_owned()],
            snapshots: BTreeMap::from([("clara2-snapshot".to_owned(), 20)]),
            images: vec![Image {
                project: project.clone(),
                name: "clarateach-worker-1".to_owned(),
                family: "clarateach-worker".to_owned(),
                size: 20,
            }],
            quotas: BTreeMap::new(),
            addresses: (1..=200).map(|n| [203, 0, 113, n].into()).collect(),
            bearer: None,
            takes_notice_duration: true,
            pace: Pace::default(),
            clock: Clock::Manual,
            seed: 0,
            keys: Keys::google(),
            machines: Arc::new(NoMachines),
            project,
        }
    }
}

impl Config {
    /// The region of a zone that exists.
    pub(crate) fn region_of<'a>(&self, zone: &'a str) -> Option<&'a str> {
        let known = self.zones.iter().any(|known| known == zone);
        zone.rsplit_once('-')
            .filter(|_| known)
            .map(|(region, _)| region)
    }

    /// The URL that Google would give to what lies at this path of the project.
    pub(crate) fn link(&self, path: &str) -> String {
        let project = &self.project;
        format!("https://www.googleapis.com/compute/v1/projects/{project}/{path}")
    }
}
