//! The control plane's side of every worker's agent: one link a worker.
//!
//! Way: reconciler -> [`Agents`] -> mutual TLS -> `AgentService`, and back: every
//! change of a worker's MicroVMs wakes the worker's workshop. What is kept here
//! is only what agents said; a new process asks them again.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use clarateach_certs::ca::Ca;
use clarateach_domain::{
    egress::Egress,
    ids::{SeatNo, WorkerName, WorkshopId},
    microvm::{MicroVm, MicroVmSpec},
    network::NetworkHealth,
    plan::EpochReason,
};
use clarateach_proto::agent as pb;
use futures_util::future::join_all;
use tokio::{sync::watch, time::timeout};
use tonic::{Status, Streaming};

use crate::{
    browsers::{self, Told},
    reconciler::Wake,
};

mod enrol;
mod link;
mod network;
mod wire;

pub use enrol::Unknown;
use link::{Client, Link};

/// How long an agent may take to answer a call that only notes something.
const CALL: Duration = Duration::from_secs(10);
/// How long a seat gets to stop by itself, and the call that waits for it.
const SEAT_GRACE: Duration = Duration::from_secs(3);
const DELETE_CALL: Duration = Duration::from_secs(15);
/// Guests get twenty seconds to write what they hold.
const SYNC_CALL: Duration = Duration::from_secs(25);

/// Where a worker's agent is and how it is known.
#[derive(Clone)]
pub struct Target {
    /// The worker.
    pub name: WorkerName,
    /// Its workshop.
    pub workshop: WorkshopId,
    /// Where it listens.
    pub address: SocketAddr,
    /// The workshop's authority: signs this side's leaf, checks the other's.
    pub ca: Arc<Ca>,
}

/// What an agent last said.
#[derive(Debug, Clone)]
pub enum LinkState {
    /// Not asked yet: the first connection is being made.
    Dialling,
    /// Does not answer; why, for the log.
    Silent(String),
    /// Answers.
    Answers(Heard),
}

/// What an agent that answers said.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Its MicroVMs, by slot.
    pub seats: Arc<Vec<MicroVm>>,
    /// Its version.
    pub version: String,
    /// Its signing request, PEM.
    pub request: String,
    /// When the certificate it serves ends.
    pub certificate_expires_at: Option<DateTime<Utc>>,
    /// Differs for every connection: epochs are sent again on each.
    pub connection: u64,
    /// The policy it holds its seats to; `None` if it was never told.
    pub egress: Option<Egress>,
    /// How its seats' walls stand; `None` if it does not say.
    pub network: Option<NetworkHealth>,
    /// Whether its VM is being taken away.
    pub preempted: bool,
}

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is no connection now.
    #[error("could not {act}: the agent of {worker} does not answer")]
    Silent {
        /// In words that follow "could not".
        act: &'static str,
        /// Whose agent.
        worker: WorkerName,
    },
    /// The agent, or the way to it, said no.
    #[error("could not {act}: the agent of {worker} refused")]
    Refused {
        /// In words that follow "could not".
        act: &'static str,
        /// Whose agent.
        worker: WorkerName,
        /// What it said.
        #[source]
        cause: Box<Status>,
    },
    /// No answer in time.
    #[error("could not {act}: the agent of {worker} took too long")]
    Late {
        /// In words that follow "could not".
        act: &'static str,
        /// Whose agent.
        worker: WorkerName,
    },
}

/// All links. Cheap to clone.
#[derive(Clone)]
pub struct Agents {
    links: Arc<Mutex<HashMap<WorkerName, Link>>>,
    wake: Wake,
    browsers: Told,
}

impl Agents {
    /// No links yet; changes will wake `wake`.
    pub fn new(wake: Wake) -> Self {
        Self {
            links: Arc::default(),
            wake,
            browsers: browsers::nobody(),
        }
    }

    /// Every agent is told this, on each connection and when it changes.
    #[must_use]
    pub fn telling(self, browsers: Told) -> Self {
        Self { browsers, ..self }
    }

    /// Keeps a connection to this agent from now on. The same target again
    /// changes nothing; another address replaces the connection.
    pub fn keep(&self, target: Target) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |link: &Link| link.address == target.address;
        if !links.get(&target.name).is_some_and(same) {
            let name = target.name.clone();
            let link = Link::start(target, self.wake.clone(), self.browsers.clone());
            links.insert(name, link);
        }
    }

    /// Lets go of an agent.
    pub fn forget(&self, worker: &WorkerName) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.remove(worker);
    }

    /// Lets go of the agents of this workshop but those of `workers`: the others are gone,
    /// and another control plane may have removed them.
    pub fn forget_all_but(&self, workshop: &WorkshopId, workers: &[WorkerName]) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|name, link| link.workshop != *workshop || workers.contains(name));
    }

    /// Workshops of which agents are dialled.
    pub fn workshops(&self) -> BTreeSet<WorkshopId> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.values().map(|link| link.workshop.clone()).collect()
    }

    /// Dials again at once: the agent has just got a certificate.
    pub fn hurry(&self, worker: &WorkerName) {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(worker) {
            link.hurry.notify_one();
        }
    }

    /// Whether this connection was sent its epochs.
    pub fn greeted(&self, worker: &WorkerName, connection: u64) -> bool {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links
            .get(worker)
            .is_some_and(|link| link.greeted == connection)
    }

    /// Notes that it was.
    pub fn greet(&self, worker: &WorkerName, connection: u64) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get_mut(worker) {
            link.greeted = connection;
        }
    }

    /// What the agent last said; a connection being made gets `patience`.
    pub async fn heard(&self, worker: &WorkerName, patience: Duration) -> LinkState {
        let Some(mut state) = self.state(worker) else {
            return LinkState::Silent("it is not dialled".to_owned());
        };
        let known = state.wait_for(|state| !matches!(state, LinkState::Dialling));
        let _ = timeout(patience, known).await;
        state.borrow().clone()
    }

    /// Whether the agent said last that its VM is being taken away.
    pub fn preempted(&self, worker: &WorkerName) -> bool {
        let state = self.state(worker);
        state.is_some_and(
            |state| matches!(&*state.borrow(), LinkState::Answers(heard) if heard.preempted),
        )
    }

    /// Has the agent start all of these, side by side. The first failure is the
    /// answer; the others were tried all the same.
    pub async fn create(
        &self,
        worker: &WorkerName,
        specs: Vec<MicroVmSpec>,
    ) -> Result<(), AgentError> {
        const ACT: &str = "start seats";
        let client = self.client(worker, ACT)?;
        let calls = specs.into_iter().map(|spec| {
            let mut client = client.clone();
            let request = wire::create(spec);
            async move { client.create_micro_vm(request).await.map(drop) }
        });
        let answers = self.all(worker, ACT, CALL, calls).await;
        self.refresh(worker, &client).await;
        answers
    }

    /// Has the agent end all of these; returns when they are gone.
    pub async fn delete(&self, worker: &WorkerName, seats: &[SeatNo]) -> Result<(), AgentError> {
        const ACT: &str = "end seats";
        let client = self.client(worker, ACT)?;
        let calls = seats.iter().map(|seat| {
            let mut client = client.clone();
            let request = pb::DeleteMicroVmRequest {
                seat: seat.get(),
                grace: prost_types::Duration::try_from(SEAT_GRACE).ok(),
            };
            async move { client.delete_micro_vm(request).await.map(drop) }
        });
        let answers = self.all(worker, ACT, DELETE_CALL, calls).await;
        self.refresh(worker, &client).await;
        answers
    }

    /// Holds the agent to these epochs; on its disk when this returns.
    pub async fn set_epochs(
        &self,
        worker: &WorkerName,
        epochs: &[(SeatNo, u64, Option<EpochReason>)],
    ) -> Result<(), AgentError> {
        const ACT: &str = "send epochs";
        let client = self.client(worker, ACT)?;
        let request = wire::epochs(epochs);
        let mut caller = client.clone();
        let call = async move { caller.set_seat_epochs(request).await.map(drop) };
        let answer = self.all(worker, ACT, CALL, [call]).await;
        self.refresh(worker, &client).await;
        answer
    }

    /// Holds the worker's seats to this policy: on the agent's disk and in force
    /// when this returns. That it is, the agent says by itself too.
    pub async fn set_egress(&self, worker: &WorkerName, egress: &Egress) -> Result<(), AgentError> {
        const ACT: &str = "set what seats may reach";
        let mut client = self.client(worker, ACT)?;
        let request = network::set_egress(egress);
        let call = async move { client.set_egress_policy(request).await.map(drop) };
        self.all(worker, ACT, CALL, [call]).await
    }

    /// Shows a notice in every terminal of the worker; how many guests took it.
    pub async fn notify(
        &self,
        worker: &WorkerName,
        kind: &str,
        message: &str,
        at: DateTime<Utc>,
    ) -> Result<(), AgentError> {
        const ACT: &str = "send a notice";
        let mut client = self.client(worker, ACT)?;
        let request = pb::SendNoticeRequest {
            seats: vec![],
            kind: kind.to_owned(),
            message: message.to_owned(),
            at: Some(wire::timestamp(at)),
        };
        let call = async move { client.send_notice(request).await.map(drop) };
        self.all(worker, ACT, CALL, [call]).await
    }

    /// Tells learners that the worker is about to be stopped, and has what they wrote put
    /// on its disks.
    pub async fn settle(&self, worker: &WorkerName, at: DateTime<Utc>) -> Result<(), AgentError> {
        const ACT: &str = "put the seats' files on disk";
        let message = "your instructor stops the workshop now; your files are kept";
        // Files matter more than words: who could not be told is settled all the same.
        let told = self.notify(worker, "draining", message, at).await;
        let mut client = self.client(worker, ACT)?;
        let call = async move { client.sync_seats(pb::SyncSeatsRequest {}).await.map(drop) };
        self.all(worker, ACT, SYNC_CALL, [call]).await?;
        told
    }

    /// The end of what a seat's machine logged, at most 64 KiB; `None` when there
    /// is no machine, or nothing of it yet.
    pub async fn log(
        &self,
        worker: &WorkerName,
        seat: SeatNo,
    ) -> Result<Option<String>, AgentError> {
        const ACT: &str = "read a seat's log";
        let mut client = self.client(worker, ACT)?;
        let request = pb::GetSeatLogRequest { seat: seat.get() };
        let worker = worker.clone();
        match timeout(CALL, client.get_seat_log(request)).await {
            Ok(Ok(answer)) => Ok(Some(answer.into_inner().log)),
            Ok(Err(none)) if none.code() == tonic::Code::NotFound => Ok(None),
            Ok(Err(cause)) => Err(AgentError::Refused {
                act: ACT,
                worker,
                cause: Box::new(cause),
            }),
            Err(_) => Err(AgentError::Late { act: ACT, worker }),
        }
    }

    /// What the worker's seats show: each seat's screen, then every change.
    pub async fn previews(
        &self,
        worker: &WorkerName,
    ) -> Result<Streaming<pb::WatchPreviewsResponse>, AgentError> {
        const ACT: &str = "watch the seats' screens";
        let mut client = self.client(worker, ACT)?;
        let worker = worker.clone();
        match timeout(CALL, client.watch_previews(pb::WatchPreviewsRequest {})).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(cause)) => Err(AgentError::Refused {
                act: ACT,
                worker,
                cause: Box::new(cause),
            }),
            Err(_) => Err(AgentError::Late { act: ACT, worker }),
        }
    }

    /// Gives the agent a new certificate.
    pub async fn install(&self, worker: &WorkerName, chain: &str) -> Result<(), AgentError> {
        const ACT: &str = "renew the certificate";
        let mut client = self.client(worker, ACT)?;
        let request = pb::InstallCertificateRequest {
            certificate_chain: chain.to_owned(),
        };
        let call = async move { client.install_certificate(request).await.map(drop) };
        self.all(worker, ACT, CALL, [call]).await?;
        self.installed(worker, chain);
        Ok(())
    }

    /// Remembers what was just installed, until the agent says it itself.
    fn installed(&self, worker: &WorkerName, chain: &str) {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(worker) {
            link.state.send_if_modified(|state| {
                if let LinkState::Answers(heard) = state {
                    heard.certificate_expires_at = clarateach_certs::tls::expiry(chain).ok();
                }
                false
            });
        }
    }

    fn state(&self, worker: &WorkerName) -> Option<watch::Receiver<LinkState>> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.get(worker).map(|link| link.state.subscribe())
    }

    fn client(&self, worker: &WorkerName, act: &'static str) -> Result<Client, AgentError> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let client = links.get(worker).and_then(Link::client);
        client.ok_or_else(|| AgentError::Silent {
            act,
            worker: worker.clone(),
        })
    }

    /// Waits for all calls, each within `limit`; the first failure is the answer.
    async fn all<F: Future<Output = Result<(), Status>>>(
        &self,
        worker: &WorkerName,
        act: &'static str,
        limit: Duration,
        calls: impl IntoIterator<Item = F>,
    ) -> Result<(), AgentError> {
        let bounded = calls.into_iter().map(|call| timeout(limit, call));
        for answer in join_all(bounded).await {
            let worker = worker.clone();
            match answer {
                Ok(Ok(())) => {}
                Ok(Err(cause)) => {
                    let cause = Box::new(cause);
                    return Err(AgentError::Refused { act, worker, cause });
                }
                Err(_) => return Err(AgentError::Late { act, worker }),
            }
        }
        Ok(())
    }

    /// Reads the agent's list now, so that the next look sees what was just done.
    async fn refresh(&self, worker: &WorkerName, client: &Client) {
        let mut client = client.clone();
        let list = client.list_micro_vms(pb::ListMicroVmsRequest {});
        let Ok(Ok(answer)) = timeout(CALL, list).await else {
            return; // the stream will tell
        };
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(worker) {
            let seats = Arc::new(wire::micro_vms(&answer.into_inner().micro_vms));
            link.state.send_if_modified(|state| {
                if let LinkState::Answers(heard) = state {
                    heard.seats = seats;
                }
                false
            });
        }
    }
}
