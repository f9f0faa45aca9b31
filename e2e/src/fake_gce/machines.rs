//! What stands behind an instance: nothing, or a real local worker of a story.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use async_trait::async_trait;
use tokio::sync::mpsc;

/// An instance as a machine sees itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Zone.
    pub zone: String,
    /// Name.
    pub name: String,
    /// Id.
    pub id: u64,
    /// The outside address it has now.
    pub nat: Option<IpAddr>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Metadata.
    pub metadata: BTreeMap<String, String>,
    /// When it was made.
    pub created: SystemTime,
}

/// Called when an instance would do these. Calls for one name come one after
/// another, in order; those for different names at once.
#[async_trait]
pub trait Machines: Send + Sync {
    /// It runs, with the address it has now: made, started again, or reset.
    async fn boot(&self, machine: &Machine);
    /// Google will take it: the time between notice and stop begins.
    async fn notice(&self, _machine: &Machine) {}
    /// It stopped; its disk stays.
    async fn stop(&self, machine: &Machine);
    /// It is gone for good.
    async fn delete(&self, machine: &Machine);
}

/// Nothing stands behind.
#[derive(Debug, Default, Clone, Copy)]
pub struct NoMachines;

#[async_trait]
impl Machines for NoMachines {
    async fn boot(&self, _machine: &Machine) {}
    async fn stop(&self, _machine: &Machine) {}
    async fn delete(&self, _machine: &Machine) {}
}

/// What is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Boot,
    Notice,
    Stop,
    Delete,
}

/// Takes turns to the machines without making the fake wait.
pub(crate) struct Teller {
    machines: Arc<dyn Machines>,
    lines: HashMap<String, mpsc::UnboundedSender<(Turn, Machine)>>,
    open: Arc<AtomicUsize>,
}

impl Teller {
    pub(crate) fn new(machines: Arc<dyn Machines>) -> Self {
        Self {
            machines,
            lines: HashMap::new(),
            open: Arc::default(),
        }
    }

    pub(crate) fn tell(&mut self, turn: Turn, machine: Machine) {
        let (machines, open) = (self.machines.clone(), self.open.clone());
        let line = self.lines.entry(machine.name.clone()).or_insert_with(|| {
            let (line, mut turns) = mpsc::unbounded_channel();
            tokio::spawn(async move {
                while let Some((turn, machine)) = turns.recv().await {
                    match turn {
                        Turn::Boot => machines.boot(&machine).await,
                        Turn::Notice => machines.notice(&machine).await,
                        Turn::Stop => machines.stop(&machine).await,
                        Turn::Delete => machines.delete(&machine).await,
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                }
            });
            line
        });
        self.open.fetch_add(1, Ordering::SeqCst);
        line.send((turn, machine)).expect("the line listens");
    }

    /// Turns not yet taken.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}
