//! The first connection to the agent of a VM: nobody knows yet who answers there.
//!
//! Way: this side shows its leaf, the other any at all -> `Enrol` -> what it claims is
//! checked elsewhere -> `InstallCertificate` on the same connection -> the [`super::link`]
//! dials anew and checks the leaf. A man in the middle learns nothing that is secret,
//! and cannot pass the request on: the agent answers to this side's leaf alone.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use chrono::Utc;
use clarateach_certs::{ca::Dialler, key::Key, tls};
use clarateach_proto::agent::{self as pb, agent_service_client::AgentServiceClient};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use tonic::{Status, transport::Endpoint};
use tower::service_fn;

use super::{CALL, Target, link::Client};

/// For TCP and handshake.
const DIAL: Duration = Duration::from_secs(3);
/// The leaf of this side serves one enrolment.
const LEAF_LIFE: Duration = Duration::from_mins(10);

/// An agent that nobody knows yet.
pub struct Unknown {
    client: Client,
}

impl Unknown {
    /// Connects to whoever listens at the worker's address.
    ///
    /// # Errors
    ///
    /// When nobody does, within three seconds.
    pub async fn dial(target: &Target) -> anyhow::Result<Self> {
        let name = target.name.control_name(&target.workshop);
        let key = Key::generate().context("could not make a key")?;
        let (who, now) = (Dialler::ControlPlane, Utc::now());
        let leaf = target
            .ca
            .sign_dialler(&key, who, target.workshop.as_str(), now, LEAF_LIFE)
            .context("could not sign the control plane's certificate")?;
        let mut config = tls::client_to_unknown(&leaf, &key.to_pem())?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let server = ServerName::try_from(name).context("the worker's name is no DNS name")?;
        let address = target.address;
        let connect = service_fn(move |_| {
            let (connector, server) = (connector.clone(), server.clone());
            async move {
                let stream = TcpStream::connect(address).await?;
                let stream = connector.connect(server, stream).await?;
                Ok::<_, std::io::Error>(TokioIo::new(stream))
            }
        });
        // The scheme says only that TLS is not tonic's to make.
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .context("could not spell the agent's address")?;
        let channel = timeout(DIAL, endpoint.connect_with_connector(connect))
            .await
            .map_err(|_elapsed| anyhow!("its agent does not answer yet"))?
            .context("its agent does not answer yet")?;
        Ok(Self {
            client: AgentServiceClient::new(channel),
        })
    }

    /// Asks it for its signing request and for the proof of which VM it is on.
    ///
    /// # Errors
    ///
    /// When it does not answer in time, or refuses.
    pub async fn ask(&mut self) -> anyhow::Result<pb::EnrolResponse> {
        let asked = self.client.enrol(pb::EnrolRequest {});
        within(asked).await.context("the agent would not enrol")
    }

    /// Gives it its certificate.
    ///
    /// # Errors
    ///
    /// When it does not answer in time, or the certificate does not fit its key.
    pub async fn install(&mut self, chain: &str) -> anyhow::Result<()> {
        let request = pb::InstallCertificateRequest {
            certificate_chain: chain.to_owned(),
        };
        let given = within(self.client.install_certificate(request)).await;
        given
            .map(drop)
            .context("the agent would not take its certificate")
    }
}

async fn within<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> anyhow::Result<T> {
    let answer = timeout(CALL, call)
        .await
        .map_err(|_elapsed| anyhow!("it took too long"))?;
    match answer {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) => Err(anyhow!("{}", status.message())),
    }
}
