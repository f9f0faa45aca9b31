//! Looks at one workshop's workers: what the provisioner says, what their
//! agents say. Changes nothing but two things that every look must make so: the
//! link to an agent that can be known, and the epochs on a fresh connection.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use clarateach_certs::ca::Ca;
use clarateach_domain::{
    ending::Ending,
    ids::WorkerName,
    network::NetworkHealth,
    plan::{AgentSeen, Ground, Ordinal, SeatTries, Seen, Tries, WorkerSeen},
    workshop::Desired,
};
use tokio::{net::TcpStream, time::timeout};
use tracing::{info, warn};

use super::{Reconciler, apply::HOLD};
use crate::{
    agents::{Heard, LinkState, Target},
    provisioner::Described,
    store::{StoreError, settle::Settling, workers::WorkerRow},
};

/// How long a connection that is being made may take before it counts as none.
const PATIENCE: Duration = Duration::from_millis(1500);
/// A round trip to a far zone takes a fifth of it.
const LISTENS_WITHIN: Duration = Duration::from_secs(1);
/// Leaves live this long.
pub(super) const LEAF_LIFE: Duration = Duration::from_hours(24);

/// One look.
pub(super) struct Looked {
    /// For the policy.
    pub(super) seen: Seen,
    /// For the hands.
    pub(super) described: BTreeMap<Ordinal, Described>,
    /// Versions, of agents that answer.
    pub(super) versions: BTreeMap<Ordinal, String>,
    /// How their walls stand, of those that say.
    pub(super) networks: BTreeMap<Ordinal, NetworkHealth>,
    /// Those whose VM is being taken away, by their agents' word or their cloud's.
    pub(super) preempted: BTreeSet<Ordinal>,
}

/// What an agent that answers says beside what the policy asks: its version, how its
/// walls stand, and whether its VM is being taken away.
type Said = (String, Option<NetworkHealth>, bool);

/// A signing request that waits, as far as one does.
pub(super) fn request(described: &Described) -> Option<String> {
    let dir = described.enrol_dir.as_ref()?;
    fs::read_to_string(dir.join("request.pem")).ok()
}

impl Reconciler {
    pub(super) async fn observe(&self, of: &Settling) -> Result<Looked, StoreError> {
        let wanted = of.want.seats.iter().map(|seat| seat.worker);
        let present = of.want.desired == Desired::Present;
        let mut ordinals: BTreeSet<_> = wanted.filter(|_| present).collect();
        ordinals.extend(of.workers.keys());
        let mut looked = Looked {
            seen: Seen::default(),
            described: BTreeMap::new(),
            versions: BTreeMap::new(),
            networks: BTreeMap::new(),
            preempted: BTreeSet::new(),
        };
        let names = ordinals.iter().map(|at| WorkerName::of(&of.id, *at));
        let names: Vec<_> = names.collect();
        self.agents.forget_all_but(&of.id, &names);
        for ordinal in ordinals {
            let name = WorkerName::of(&of.id, ordinal);
            let row = of.workers.get(&ordinal);
            let described = match (self.provisioner.describe(&name).await, row) {
                (Ok(described), _) => described,
                (Err(cause), row) => {
                    warn!(worker = %name, error = ?cause, "worker could not be looked at");
                    Described {
                        ground: Ground::Unknown,
                        address: row.and_then(|row| row.address),
                        ..Described::missing("")
                    }
                }
            };
            // A cloud shows it as stopping as soon as it has said so.
            let said = described.ground == Ground::Stopping && self.agents.preempted(&name);
            let down = matches!(described.ground, Ground::Stopping | Ground::Stopped);
            if said || (down && described.ending == Some(Ending::Preempted)) {
                looked.preempted.insert(ordinal);
            }
            let (agent, said) = self.agent(of, ordinal, row, &described).await?;
            if let Some((version, network, preempted)) = said {
                looked.versions.insert(ordinal, version);
                if preempted {
                    looked.preempted.insert(ordinal);
                }
                looked
                    .networks
                    .extend(network.map(|network| (ordinal, network)));
            }
            let tries = tries(of, ordinal, described.ground, &agent);
            let worker = WorkerSeen {
                ground: described.ground,
                agent,
                ending: described.ending,
                tries,
                seat_tries: SeatTries {
                    epochs: tries_at(of, ordinal, "epochs"),
                    egress: tries_at(of, ordinal, HOLD),
                    create: tries_at(of, ordinal, "seats.create"),
                    delete: tries_at(of, ordinal, "seats.delete"),
                },
            };
            looked.seen.workers.insert(ordinal, worker);
            looked.described.insert(ordinal, described);
        }
        Ok(looked)
    }

    async fn agent(
        &self,
        of: &Settling,
        ordinal: Ordinal,
        row: Option<&WorkerRow>,
        described: &Described,
    ) -> Result<(AgentSeen, Option<Said>), StoreError> {
        let name = WorkerName::of(&of.id, ordinal);
        let reachable = matches!(described.ground, Ground::Up | Ground::Unknown);
        let (Some(address), Some(row), true) = (described.address, row, reachable) else {
            // One that stops may still have to say why.
            if described.ground != Ground::Stopping {
                self.agents.forget(&name);
            }
            return Ok((AgentSeen::Silent, None));
        };
        if asks(row, described, Utc::now()) {
            // A VM boots for a while: its agent is asked as soon as it listens.
            let asking = described.vm.is_none() || listens(address).await;
            let agent = if asking {
                AgentSeen::Asking
            } else {
                AgentSeen::Silent
            };
            return Ok((agent, None));
        }
        if row.certificate.is_empty() {
            return Ok((AgentSeen::Silent, None)); // it has not asked yet
        }
        let ca = Ca::from_pem(of.ca.certificate_pem(), &of.ca.key_pem())
            .map_err(|cause| StoreError::bad("ca_certificate", cause))?;
        self.agents.keep(Target {
            name: name.clone(),
            workshop: of.id.clone(),
            address,
            ca: Arc::new(ca),
        });
        Ok(match self.agents.heard(&name, PATIENCE).await {
            LinkState::Answers(heard) => {
                let said = (
                    heard.version.clone(),
                    heard.network.clone(),
                    heard.preempted,
                );
                let behind = described.vm.is_some() && behind(&heard, row);
                let agent = self.greet(of, ordinal, &name, (row, behind), heard).await;
                let answers = matches!(agent, AgentSeen::Answers { .. });
                (agent, answers.then_some(said))
            }
            // Its row is written before its certificate is handed over: a VM that
            // listens and is not the one it should be may never have got it.
            LinkState::Silent(_) if described.vm.is_some() && listens(address).await => {
                (AgentSeen::Asking, None)
            }
            LinkState::Dialling | LinkState::Silent(_) => (AgentSeen::Silent, None),
        })
    }

    /// Sends all epochs once on every connection, before anything else, and gives an agent
    /// that is `behind` its certificate. That is judged as it is met alone: what another
    /// control plane gave it since is not heard here.
    async fn greet(
        &self,
        of: &Settling,
        ordinal: Ordinal,
        name: &WorkerName,
        (row, behind): (&WorkerRow, bool),
        heard: Heard,
    ) -> AgentSeen {
        let greeted = self.agents.greeted(name, heard.connection);
        let behind = behind && !greeted;
        let old = heard
            .certificate_expires_at
            .or(row.certificate_expires_at)
            .is_none_or(|ends| past_half(ends, self.leaf_life, Utc::now()));
        let renew = old || behind;
        let answers = AgentSeen::Answers {
            seats: heard.seats.to_vec(),
            renew,
            egress: heard.egress,
        };
        if greeted {
            return answers;
        }
        let mine = of.want.seats.iter().filter(|seat| seat.worker == ordinal);
        // Only those it has: an epoch of a seat that comes later comes with it.
        let has = |seat| heard.seats.iter().any(|mv| mv.seat == seat);
        let epochs: Vec<_> = mine
            .filter(|want| has(want.seat))
            .map(|want| (want.seat, want.epoch, None))
            .collect();
        if !epochs.is_empty() {
            if let Err(cause) = self.agents.set_epochs(name, &epochs).await {
                warn!(worker = %name, error = ?cause, "epochs could not be sent");
                return AgentSeen::Silent;
            }
            info!(worker = %name, seats = epochs.len(), "epochs sent");
        }
        self.crash.pass("epochs", "sent");
        if !behind {
            self.agents.greet(name, heard.connection);
        }
        answers
    }
}

/// Whether the agent needs a certificate that it cannot be given over the link: its
/// first, or one for another address.
fn asks(row: &WorkerRow, described: &Described, now: DateTime<Utc>) -> bool {
    if let Some(vm) = &described.vm {
        let fits = row.instance_id == vm.instance_id
            && row.address == described.address
            && row.certificate_expires_at.is_some_and(|ends| ends > now);
        return !fits;
    }
    let Some(request) = request(described) else {
        return false;
    };
    let given = described.enrol_dir.as_ref();
    let given = given.and_then(|dir| fs::read_to_string(dir.join("certificate.pem")).ok());
    let fits = row.csr == request
        && row.address == described.address
        && row.certificate_expires_at.is_some_and(|ends| ends > now)
        && given.is_some_and(|given| given == row.certificate);
    !fits
}

/// Whether an agent has another certificate than its row, by its end: the row is written
/// before it is handed over, and this server's last life may have ended between. The one it
/// had may be of another address, and no learner would take it.
fn behind(heard: &Heard, row: &WorkerRow) -> bool {
    let seconds = |at: DateTime<Utc>| at.timestamp();
    let has = heard.certificate_expires_at.map(seconds);
    has.is_some() && has != row.certificate_expires_at.map(seconds)
}

async fn listens(address: SocketAddr) -> bool {
    let connected = timeout(LISTENS_WITHIN, TcpStream::connect(address)).await;
    matches!(connected, Ok(Ok(_)))
}

/// Renewed at half life, counted from the end.
fn past_half(ends: DateTime<Utc>, life: Duration, now: DateTime<Utc>) -> bool {
    let half = TimeDelta::from_std(life / 2).unwrap_or_default();
    ends - half <= now
}

/// The tries at what is due next with this worker.
fn tries(of: &Settling, ordinal: Ordinal, ground: Ground, agent: &AgentSeen) -> Tries {
    let present = of.want.desired == Desired::Present;
    let needed = present && of.want.seats.iter().any(|seat| seat.worker == ordinal);
    let verb = match (of.want.desired, ground, agent) {
        (Desired::Stopped, _, _) => "stop",
        (Desired::Absent, _, _) => "delete",
        (Desired::Present, _, _) if !needed => "delete",
        (Desired::Present, Ground::Stopped, _) => "start",
        (Desired::Present, Ground::Up | Ground::Making, AgentSeen::Asking) => "enrol",
        (Desired::Present, Ground::Up | Ground::Unknown, AgentSeen::Answers { .. }) => "renew",
        (Desired::Present, _, _) => "create",
    };
    tries_at(of, ordinal, verb)
}

fn tries_at(of: &Settling, ordinal: Ordinal, verb: &str) -> Tries {
    let mine = of.attempts.iter();
    let mine = mine.filter(|(at, of, _)| *at == ordinal && of == verb);
    mine.fold(Tries::default(), |tries, (_, _, row)| Tries {
        count: tries.count + 1,
        last: tries.last.max(Some(row.started_at)),
        error: row.error.clone(),
        permanent: row.permanent,
    })
}
