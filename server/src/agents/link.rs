//! One link: dials, listens to what changes, dials again.
//!
//! The leaf it shows is minted here for one connection and never stored; the
//! connection is made anew before the leaf ends.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use chrono::Utc;
use clarateach_certs::{
    ca::{Dialler, MAX_LEAF_LIFE},
    key::Key,
};
use clarateach_domain::ids::WorkshopId;
use clarateach_proto::agent::{self as pb, agent_service_client::AgentServiceClient};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tracing::{Instrument, info, info_span, warn};

use super::{Heard, LinkState, Target, network, wire};
use crate::{browsers::Told, reconciler::Wake};

pub(super) type Client = AgentServiceClient<Channel>;

const DIAL: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);
/// 200 seats fit in far less.
const MESSAGE_LIMIT: usize = 4 << 20;

/// Counts connections over all links.
static CONNECTIONS: AtomicU64 = AtomicU64::new(1);

/// A kept connection; dropping it lets go.
pub(super) struct Link {
    pub(super) address: SocketAddr,
    pub(super) workshop: WorkshopId,
    pub(super) state: watch::Sender<LinkState>,
    pub(super) hurry: Arc<Notify>,
    /// The connection that was sent its epochs.
    pub(super) greeted: u64,
    client: watch::Receiver<Option<Client>>,
    task: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Link {
    pub(super) fn start(target: Target, wake: Wake, browsers: Told) -> Self {
        let state = watch::Sender::new(LinkState::Dialling);
        let (give, client) = watch::channel(None);
        let hurry = Arc::new(Notify::new());
        let span =
            info_span!(parent: None, "link", workshop = %target.workshop, worker = %target.name);
        let (address, workshop) = (target.address, target.workshop.clone());
        let runner = Runner {
            target,
            wake,
            state: state.clone(),
            client: give,
            hurry: hurry.clone(),
            browsers,
        };
        let task = tokio::spawn(runner.run().instrument(span)).abort_handle();
        Self {
            address,
            workshop,
            state,
            hurry,
            greeted: 0,
            client,
            task,
        }
    }

    /// The client of the present connection.
    pub(super) fn client(&self) -> Option<Client> {
        self.client.borrow().clone()
    }
}

struct Runner {
    target: Target,
    wake: Wake,
    state: watch::Sender<LinkState>,
    client: watch::Sender<Option<Client>>,
    hurry: Arc<Notify>,
    browsers: Told,
}

impl Runner {
    /// For ever: connect, listen until it ends, say so, pause, again.
    async fn run(mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let ended = self.connect_and_listen().await;
            let why = match &ended {
                Ok(()) => "the connection is renewed".to_owned(),
                Err(cause) => format!("{cause:#}"),
            };
            let renewed = ended.is_ok();
            self.client.send_replace(None);
            if !renewed {
                let before = self.state.send_replace(LinkState::Silent(why.clone()));
                if !matches!(before, LinkState::Silent(_)) {
                    info!(why, "agent fell silent");
                    self.wake.workshop(&self.target.workshop);
                }
            }
            if began.elapsed() > LAST_PAUSE * 2 {
                pause = FIRST_PAUSE;
            }
            tokio::select! {
                () = sleep(pause) => pause = (pause * 2).min(LAST_PAUSE),
                () = self.hurry.notified() => pause = FIRST_PAUSE,
            }
        }
    }

    /// Returns when the leaf is half over; any other end is an error.
    async fn connect_and_listen(&mut self) -> anyhow::Result<()> {
        let renew_at = Instant::now() + MAX_LEAF_LIFE / 2;
        let channel = timeout(DIAL, self.endpoint()?.connect())
            .await
            .context("could not connect in time")?
            .context("could not connect")?;
        let mut client = AgentServiceClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
        let worker = timeout(DIAL, client.get_worker(pb::GetWorkerRequest {}))
            .await
            .context("it did not say who it is in time")?
            .map_err(|status| anyhow::anyhow!("it did not say who it is: {}", status.message()))?
            .into_inner();
        if worker.name != self.target.name.as_str()
            || worker.workshop_id != self.target.workshop.as_str()
        {
            bail!("it is {} of {}", worker.name, worker.workshop_id);
        }
        let mut stream = timeout(DIAL, client.watch_micro_vms(pb::WatchMicroVmsRequest {}))
            .await
            .context("it did not list its seats in time")?
            .context("it would not list its seats")?
            .into_inner();
        let connection = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        self.client.send_replace(Some(client.clone()));
        self.let_browsers_come(&mut client).await;
        let mut told = false;
        loop {
            let message = tokio::select! {
                message = stream.message() => message.context("its stream broke")?,
                () = changed(&mut self.browsers) => {
                    self.let_browsers_come(&mut client).await;
                    continue;
                }
                () = sleep_until(renew_at) => return Ok(()),
            };
            let Some(message) = message else {
                bail!("its stream ended");
            };
            let heard = Heard {
                seats: Arc::new(wire::micro_vms(&message.micro_vms)),
                version: wire::words(&worker.agent_version, 100),
                request: worker.certificate_request.clone(),
                // What it says as it is met; then what it was given over this connection.
                certificate_expires_at: if told {
                    self.expiry()
                } else {
                    wire::expiry(&worker)
                },
                connection,
                egress: network::egress(message.egress.as_ref()),
                network: network::health(message.network.as_ref(), Utc::now()),
                preempted: message.preempted,
            };
            if !std::mem::replace(&mut told, true) {
                info!(
                    version = heard.version,
                    seats = heard.seats.len(),
                    "agent answered"
                );
            }
            self.state.send_replace(LinkState::Answers(heard));
            self.wake.workshop(&self.target.workshop);
        }
    }

    /// Gives the agent the certificate that browsers know. Without it they use the gateway,
    /// so that a refusal is worth no more than a line.
    async fn let_browsers_come(&mut self, client: &mut Client) {
        let Some(access) = self.browsers.borrow_and_update().clone() else {
            return;
        };
        let request = pb::SetBrowserAccessRequest {
            certificate_chain: access.chain.clone(),
            private_key: access.key.clone(),
            origins: access.origins.clone(),
        };
        match timeout(DIAL, client.set_browser_access(request)).await {
            Ok(Ok(_)) => {}
            Ok(Err(refused)) => {
                warn!(
                    why = refused.message(),
                    "browsers cannot come to this worker"
                );
            }
            Err(_) => warn!("browsers cannot come to this worker: it did not answer in time"),
        }
    }

    /// What was installed over this connection is newer than what the agent
    /// said at its start.
    fn expiry(&self) -> Option<chrono::DateTime<Utc>> {
        match &*self.state.borrow() {
            LinkState::Answers(heard) => heard.certificate_expires_at,
            LinkState::Dialling | LinkState::Silent(_) => None,
        }
    }

    fn endpoint(&self) -> anyhow::Result<Endpoint> {
        let Target {
            name,
            workshop,
            address,
            ca,
        } = &self.target;
        let key = Key::generate().context("could not make a key")?;
        let (who, now) = (Dialler::ControlPlane, Utc::now());
        let leaf = ca
            .sign_dialler(&key, who, workshop.as_str(), now, MAX_LEAF_LIFE)
            .context("could not sign the control plane's certificate")?;
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca.certificate_pem()))
            .identity(Identity::from_pem(leaf, key.to_pem()))
            .domain_name(name.control_name(workshop));
        let endpoint = Endpoint::from_shared(format!("https://{address}"))
            .context("could not spell the agent's address")?
            .tls_config(tls)
            .context("could not set up TLS")?
            .connect_timeout(DIAL)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(5))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true);
        Ok(endpoint)
    }
}

/// Waits for news; for ever where nobody will have any.
async fn changed(told: &mut Told) {
    if told.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}
