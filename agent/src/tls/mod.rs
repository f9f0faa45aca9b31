//! From a raw connection to a peer whose rights are known.
//!
//! Way: TCP -> client hello -> by its SNI one of two settings -> [`Peer`].
//! Names below `agent.clarateach.internal` must show a certificate of the
//! workshop's CA; everybody else is never asked for one, because a browser that
//! is asked bothers its user.

mod identity;

use std::{net::IpAddr, sync::Arc, time::Duration};

use clarateach_certs::{CertError, ca::Dialler, tls};
use clarateach_domain::ids::{AGENT_DOMAIN, WorkshopId};
use ipnet::IpNet;
use rustls::{ServerConfig, server::NoServerSessionStorage};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

pub(crate) use identity::{Identity, IdentityError};

/// A handshake that takes longer is given up.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// Who is at the other end, by the certificate shown in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Anybody: what they may do depends on their seat token.
    Learner,
    /// Drives this agent.
    ControlPlane,
    /// Carries learners who cannot come by themselves.
    Gateway,
}

/// Why a connection did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// It took too long.
    #[error("the handshake took longer than {HANDSHAKE_TIMEOUT:?}")]
    Slow,
    /// TLS or the network failed, a refused certificate included.
    #[error("could not shake hands")]
    Failed(#[from] std::io::Error),
    /// The certificate is of this workshop but names nobody who may come in.
    #[error("the client certificate names nobody who may come in")]
    Stranger,
    /// It asks for the control plane's door, and comes from where that never is.
    #[error("the control plane does not come from {0}")]
    Elsewhere(IpAddr),
}

/// The port's TLS settings.
pub(crate) struct Front {
    learners: Arc<ServerConfig>,
    control: Arc<ServerConfig>,
    control_plane: String,
    gateway: String,
    /// Where control plane and gateway come from; empty for anywhere.
    sources: Vec<IpNet>,
}

impl Front {
    /// Settings for one workshop's agent that shows `identity`.
    pub(crate) fn new(
        workshop: &WorkshopId,
        ca_pem: &str,
        identity: Arc<Identity>,
    ) -> Result<Self, CertError> {
        let alpn = || vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut learners = tls::server(identity.clone())?;
        learners.alpn_protocols = alpn();
        // Stateless tickets: a thousand learners who return cost no memory here.
        learners.ticketer = rustls::crypto::ring::Ticketer::new().map_err(CertError::Tls)?;
        learners.send_tls13_tickets = 1;
        let mut control = tls::server_for(ca_pem, identity)?;
        control.alpn_protocols = alpn();
        // A resumed session would not look at the certificate again.
        control.session_storage = Arc::new(NoServerSessionStorage {});
        control.send_tls13_tickets = 0;
        Ok(Self {
            learners: Arc::new(learners),
            control: Arc::new(control),
            control_plane: Dialler::ControlPlane.uri(workshop.as_str()),
            gateway: Dialler::Gateway.uri(workshop.as_str()),
            sources: vec![],
        })
    }

    /// Control plane and gateway come from these networks alone, if any are named.
    pub(crate) fn with_control_sources(mut self, sources: Vec<IpNet>) -> Self {
        self.sources = sources;
        self
    }

    /// Shakes hands and says who came.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, Peer), HandshakeError> {
        timeout(HANDSHAKE_TIMEOUT, self.shake(stream))
            .await
            .map_err(|_| HandshakeError::Slow)?
    }

    async fn shake(
        &self,
        stream: TcpStream,
    ) -> Result<(TlsStream<TcpStream>, Peer), HandshakeError> {
        let from = stream.peer_addr()?.ip().to_canonical();
        let acceptor = rustls::server::Acceptor::default();
        let start = LazyConfigAcceptor::new(acceptor, stream).await?;
        if !is_control(start.client_hello().server_name()) {
            let stream = start.into_stream(self.learners.clone()).await?;
            return Ok((stream, Peer::Learner));
        }
        if !self.sources.is_empty() && !self.sources.iter().any(|net| net.contains(&from)) {
            return Err(HandshakeError::Elsewhere(from));
        }
        let stream = start.into_stream(self.control.clone()).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let uri = chain.first().and_then(tls::uri);
        match uri {
            Some(uri) if uri == self.control_plane => Ok((stream, Peer::ControlPlane)),
            Some(uri) if uri == self.gateway => Ok((stream, Peer::Gateway)),
            _ => Err(HandshakeError::Stranger),
        }
    }
}

/// Whether a name asks for the door that wants a certificate.
fn is_control(sni: Option<&str>) -> bool {
    let Some(name) = sni else { return false };
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name.strip_suffix(AGENT_DOMAIN)
        .is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod sni {
    use super::is_control;

    #[test]
    fn names_below_the_agent_domain_want_a_certificate() {
        for (name, want) in [
            (None, false),
            (Some("w1.ws-abcdefghij.agent.clarateach.internal"), true),
            (Some("W1.WS-ABCDEFGHIJ.Agent.ClaraTeach.Internal"), true),
            (Some("w1.agent.clarateach.internal."), true),
            (Some("agent.clarateach.internal"), true),
            (Some("myagent.clarateach.internal"), false),
            (Some("agent.clarateach.internal.example.org"), false),
            (Some("class.example.org"), false),
        ] {
            assert_eq!(is_control(name), want, "{name:?}");
        }
    }
}
