//! One TLS connection to an agent, as the gateway.
//!
//! The name that is dialled asks the agent for a client certificate; the leaf
//! shown is one that sees only `/proxy/**`.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::Context as _;
use chrono::Utc;
use clarateach_certs::{
    ca::{Ca, Dialler, MAX_LEAF_LIFE},
    key::Key,
    tls,
};
use clarateach_domain::ids::{WorkerName, WorkshopId};
use futures_util::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::pki_types::ServerName;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower::Service;

const DIAL: Duration = Duration::from_secs(5);

/// Dials one worker, whatever the URI says.
#[derive(Clone)]
pub(super) struct Dial {
    address: SocketAddr,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Dial {
    /// With a leaf minted now.
    pub(super) fn new(
        ca: &Ca,
        workshop: &WorkshopId,
        worker: &WorkerName,
        address: SocketAddr,
    ) -> anyhow::Result<Self> {
        let key = Key::generate().context("could not make a key")?;
        let who = Dialler::Gateway;
        let leaf = ca
            .sign_dialler(&key, who, workshop.as_str(), Utc::now(), MAX_LEAF_LIFE)
            .context("could not sign the gateway's certificate")?;
        let mut config = tls::client_with(ca.certificate_pem(), &leaf, &key.to_pem())
            .context("could not set up TLS")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = worker.control_name(workshop);
        Ok(Self {
            address,
            name: ServerName::try_from(name).context("could not spell the agent's name")?,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }
}

impl Service<Uri> for Dial {
    type Response = Line;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Line>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let dialled = timeout(DIAL, async {
                let tcp = TcpStream::connect(this.address).await?;
                tcp.set_nodelay(true)?;
                this.tls.connect(this.name, tcp).await
            });
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the agent did not answer");
            Ok(Line(TokioIo::new(dialled.await.map_err(late)??)))
        })
    }
}

/// The connection, as hyper's client wants it.
pub(super) struct Line(TokioIo<TlsStream<TcpStream>>);

impl Connection for Line {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, room)
    }
}

impl Write for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
