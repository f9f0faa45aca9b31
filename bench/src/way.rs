//! The three ways to one seat: straight to the guest, through the peer, through
//! the project. The client is the same in all three: one connection, HTTP/1.1,
//! TLS 1.3 with rustls except on the direct way, which has none.

use std::{net::SocketAddr, os::fd::AsFd, sync::Arc};

use anyhow::Context;
use bytes::Bytes;
use clarateach_e2e::{
    http::{Stream, tls},
    learner::Learner,
};
use clarateach_proto::workshop::Workshop;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, tungstenite::client::IntoClientRequest};

use crate::{Stand, nginx, stand::Worker};

/// What stands between the client and the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing: from inside the worker, without TLS. How fast it could be.
    Direct,
    /// nginx.
    Peer,
    /// The agent.
    Project,
}

impl Way {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Peer => "nginx",
            Self::Project => "agent",
        }
    }
}

/// A WebSocket over whatever the way needs.
pub type Socket = WebSocketStream<Box<dyn Stream>>;
/// What a request carries.
pub type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// One way to one seat.
#[derive(Clone)]
pub struct Route {
    /// Which way.
    pub way: Way,
    terminal: (SocketAddr, String),
    files: (SocketAddr, String),
    headers: HeaderMap,
    /// The process whose network the client must be in.
    inside: Option<i32>,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Route {
    /// To the seat of `stand`'s learner number `learner`, from 0.
    pub fn new(stand: &Stand, way: Way, learner: usize) -> anyhow::Result<Self> {
        Self::of(
            &stand.workshop,
            &stand.worker,
            &stand.learners[learner],
            way,
        )
    }

    /// To one learner's seat on this worker.
    pub fn of(
        workshop: &Workshop,
        worker: &Worker,
        learner: &Learner,
        way: Way,
    ) -> anyhow::Result<Self> {
        let seat = learner.seat();
        let mut headers = HeaderMap::new();
        let mut header = |name: &'static str, value: &str| -> anyhow::Result<()> {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value)?);
            Ok(())
        };
        if way == Way::Direct {
            header("clarateach-secret", &worker.secret(seat)?)?;
            header("clarateach-viewer", "bench;drive")?;
            let guest = Worker::guest(seat)?;
            return Ok(Self {
                way,
                terminal: ((guest, 3001).into(), "/terminal".into()),
                files: ((guest, 3002).into(), "/".into()),
                headers,
                inside: Some(worker.agent),
                tls: None,
            });
        }
        let mut address = worker.address;
        if way == Way::Peer {
            address.set_port(nginx::PORT);
        } else {
            header("authorization", &format!("Bearer {}", learner.joined.token))?;
        }
        let path = format!("/proxy/{}/{seat}", workshop.id);
        Ok(Self {
            way,
            terminal: (address, format!("{path}/terminal")),
            files: (address, format!("{path}/files/")),
            headers,
            inside: None,
            tls: Some(tls(&learner.joined.ca_certificate)),
        })
    }

    /// The path of a file.
    pub fn file(&self, name: &str) -> String {
        format!("{}{name}", self.files.1)
    }

    /// Opens a terminal without a subprotocol: every frame is the shell's.
    pub async fn terminal(&self, name: &str) -> anyhow::Result<Socket> {
        let (address, path) = &self.terminal;
        let url = format!("ws://{address}{path}?terminal={name}&cols=80&rows=24");
        let mut request = url.into_client_request()?;
        request.headers_mut().extend(self.headers.clone());
        let stream = self.connect(*address).await?;
        let opened = tokio_tungstenite::client_async(request, stream).await;
        let (socket, _) =
            opened.with_context(|| format!("no terminal through {}", self.way.name()))?;
        Ok(socket)
    }

    /// Opens a connection for requests to the seat's files.
    pub async fn files(&self) -> anyhow::Result<http1::SendRequest<Body>> {
        let stream = self.connect(self.files.0).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// A request to the seat's files.
    pub fn request(
        &self,
        method: http::Method,
        path: &str,
        body: Body,
    ) -> anyhow::Result<http::Request<Body>> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.files.0.to_string())
            .body(body)?;
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }

    /// The suite that TLS settles on, for the reader to compare.
    pub async fn suite(&self) -> anyhow::Result<String> {
        let Some(tls) = &self.tls else {
            return Ok("no TLS".into());
        };
        let address = self.terminal.0;
        let tcp = TcpStream::connect(address).await?;
        let connector = tokio_rustls::TlsConnector::from(tls.clone());
        let stream = connector.connect(address.ip().into(), tcp).await?;
        let suite = stream.get_ref().1.negotiated_cipher_suite();
        Ok(suite.map_or("no suite".into(), |suite| format!("{:?}", suite.suite())))
    }

    async fn connect(&self, address: SocketAddr) -> anyhow::Result<Box<dyn Stream>> {
        let tcp = match self.inside {
            None => TcpStream::connect(address).await?,
            Some(pid) => TcpStream::from_std(connect_inside(pid, address).await?)?,
        };
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(tcp));
        };
        let connector = tokio_rustls::TlsConnector::from(tls.clone());
        let stream = connector.connect(address.ip().into(), tcp).await;
        let stream = stream.with_context(|| format!("no TLS through {}", self.way.name()))?;
        Ok(Box::new(stream))
    }
}

/// Connects in another process's network. A thread of its own goes there and
/// ends; the socket stays where it was made.
pub async fn connect_inside(pid: i32, address: SocketAddr) -> anyhow::Result<std::net::TcpStream> {
    let (done, connected) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let connect = || -> std::io::Result<std::net::TcpStream> {
            let network = std::fs::File::open(format!("/proc/{pid}/ns/net"))?;
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
            let stream = std::net::TcpStream::connect(address)?;
            stream.set_nonblocking(true)?;
            Ok(stream)
        };
        let _nobody_waits = done.send(connect());
    });
    let stream = connected.await.context("the connecting thread died")?;
    stream.with_context(|| format!("could not connect to {address} inside the worker"))
}
