//! The far end, as the schema and `decisions` §4 have it: a control plane that
//! gives out one seat, and a worker that speaks TLS and terminals.
//!
//! Way: a test says, connection by connection, what the terminal does; the real
//! binary on a real pty is what is looked at.

#![allow(dead_code, reason = "each story uses its own part")]

use std::{
    collections::VecDeque, net::SocketAddr, path::Path, pin::Pin, sync::Arc, time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clarateach_proto::workshop::{
    Endpoints, JoinWorkshopRequest, JoinWorkshopResponse, RefreshTokenRequest,
    RefreshTokenResponse, SeatState, WatchSeatRequest, WatchSeatResponse,
    seat_service_server::{SeatService, SeatServiceServer},
};
use futures_util::{SinkExt, Stream, StreamExt};
use pty_process::{Pts, Pty, Size};
use rustix::termios::{LocalModes, Termios, tcgetattr};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    process::Child,
    sync::Mutex,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response as Upgrade},
    },
};
use tonic::{Code, Response, Status};

/// Ten times what anything here should take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One terminal connection, as the worker sees it.
pub(crate) struct Line {
    pub(crate) socket: WebSocketStream<TlsStream<TcpStream>>,
    /// What it asked for.
    pub(crate) query: String,
}

impl Line {
    pub(crate) async fn say(&mut self, control: &str) {
        self.socket.send(Message::text(control)).await.unwrap();
    }

    pub(crate) async fn output(&mut self, bytes: &[u8]) {
        self.socket
            .send(Message::binary(bytes.to_vec()))
            .await
            .unwrap();
    }

    pub(crate) async fn attached(&mut self, offset: u64) {
        self.say(&format!(
            r#"{{"type":"attached","terminal":"main","instance":"i1","offset":{offset},"oldest":0,"cols":80,"rows":24,"viewers":1}}"#
        ))
        .await;
        self.say(r#"{"type":"live"}"#).await;
    }

    /// The next frame for which `wanted` gives something.
    pub(crate) async fn next<T>(&mut self, wanted: impl Fn(&Message) -> Option<T>) -> T {
        let frames = async {
            loop {
                let frame = self.socket.next().await.expect("a frame").expect("a frame");
                if let Some(found) = wanted(&frame) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, frames).await.expect("the frame in time")
    }

    pub(crate) async fn keys(&mut self, keys: &str) {
        let mut typed = Vec::new();
        while typed.len() < keys.len() {
            typed.extend(
                self.next(|frame| match frame {
                    Message::Binary(keys) => Some(keys.to_vec()),
                    _ => None,
                })
                .await,
            );
        }
        assert_eq!(String::from_utf8_lossy(&typed), keys);
    }
}

/// A certificate authority and a worker with a leaf of it.
pub(crate) struct Far {
    listener: TcpListener,
    tls: TlsAcceptor,
    /// PEM of the CA that the worker's leaf comes from.
    pub(crate) ca: String,
    pub(crate) address: SocketAddr,
}

impl Far {
    pub(crate) async fn start() -> Self {
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let mut ca = rcgen::CertificateParams::default();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        let ca =
            rcgen::CertifiedIssuer::self_signed(ca, rcgen::KeyPair::generate().unwrap()).unwrap();
        let leaf = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = leaf.signed_by(&key, &ca).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            listener,
            tls: TlsAcceptor::from(Arc::new(config)),
            ca: ca.pem(),
        }
    }

    /// The next terminal connection, let in for its token.
    pub(crate) async fn line(&self) -> Line {
        timeout(PATIENCE, self.try_line())
            .await
            .expect("a connection in time")
            .expect("a connection")
    }

    /// The next connection, TLS agreed.
    pub(crate) async fn accept(&self) -> Result<TlsStream<TcpStream>, String> {
        let (tcp, _) = self
            .listener
            .accept()
            .await
            .map_err(|error| error.to_string())?;
        self.tls
            .accept(tcp)
            .await
            .map_err(|error| error.to_string())
    }

    pub(crate) async fn try_line(&self) -> Result<Line, String> {
        let tls = self.accept().await?;
        let mut query = String::new();
        #[allow(clippy::result_large_err, reason = "tungstenite's signature")]
        let admit = |request: &Request, mut answer: Upgrade| {
            assert_eq!(request.uri().path(), "/proxy/ws-0123456789/1/terminal");
            let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
            assert_eq!(header("authorization"), format!("Bearer {}", token()));
            assert_eq!(header("sec-websocket-protocol"), "clarateach.terminal.v1");
            request
                .uri()
                .query()
                .unwrap_or_default()
                .clone_into(&mut query);
            answer.headers_mut().insert(
                "sec-websocket-protocol",
                "clarateach.terminal.v1".parse().unwrap(),
            );
            Ok(answer)
        };
        let socket = accept_hdr_async(tls, admit)
            .await
            .map_err(|error| error.to_string())?;
        Ok(Line { socket, query })
    }

    /// A control plane whose one seat is here, trusting `ca`. Gives its address.
    pub(crate) async fn control_plane(&self, ca: &str) -> String {
        self.faulty_control_plane(ca, []).await.0
    }

    /// As [`Far::control_plane`], giving its seat and then saying these instead
    /// of the answer, one a call. Gives its address and the ids that it saw.
    pub(crate) async fn faulty_control_plane<const N: usize>(
        &self,
        ca: &str,
        faults: [Code; N],
    ) -> (String, Arc<Mutex<Vec<String>>>) {
        let ids = Arc::default();
        let url = serve(OneSeat {
            direct: endpoints(self.address),
            gateway: Endpoints::default(),
            ca: ca.to_owned(),
            faults: Mutex::new(faults.into()),
            ids: Arc::clone(&ids),
        })
        .await;
        (url, ids)
    }

    /// A control plane that is itself the only way to its one seat: nothing
    /// answers where the worker is said to be.
    pub(crate) async fn gateway(&self) -> String {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nowhere = nobody.local_addr().unwrap();
        drop(nobody);
        serve(OneSeat {
            direct: endpoints(nowhere),
            gateway: endpoints(self.address),
            ca: Self::start().await.ca,
            faults: Mutex::default(),
            ids: Arc::default(),
        })
        .await
    }
}

fn endpoints(address: SocketAddr) -> Endpoints {
    Endpoints {
        terminal: format!("wss://{address}/proxy/ws-0123456789/1/terminal"),
        files: format!("https://{address}/proxy/ws-0123456789/1/files"),
        exec: String::new(),
    }
}

async fn serve(seat: OneSeat) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(SeatServiceServer::new(seat))
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    url
}

/// A token whose life the command line can read: fifteen minutes.
pub(crate) fn token() -> String {
    let claims = URL_SAFE_NO_PAD.encode(r#"{"iat":0,"exp":900}"#);
    format!("e30.{claims}.c2ln")
}

struct OneSeat {
    direct: Endpoints,
    gateway: Endpoints,
    ca: String,
    faults: Mutex<VecDeque<Code>>,
    ids: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl SeatService for OneSeat {
    async fn join_workshop(
        &self,
        request: tonic::Request<JoinWorkshopRequest>,
    ) -> Result<Response<JoinWorkshopResponse>, Status> {
        let request = request.into_inner();
        if request.code != "7K3M9QX2VB" {
            return Err(Status::not_found("no workshop has this code"));
        }
        if !request.reconnect_code.is_empty() && request.reconnect_code != "RECONNECT" {
            return Err(Status::not_found("no seat has this reconnect code"));
        }
        self.ids.lock().await.push(request.request_id);
        if let Some(fault) = self.faults.lock().await.pop_front() {
            return Err(Status::new(fault, "the answer was lost"));
        }
        Ok(Response::new(JoinWorkshopResponse {
            token: token(),
            seat: 1,
            seat_state: SeatState::Ready.into(),
            workshop_id: "ws-0123456789".into(),
            workshop_name: "Git\x1b[2J basics".into(),
            reconnect_code: "RECONNECT".into(),
            ca_certificate: self.ca.clone(),
            endpoints: Some(self.direct.clone()),
            gateway: Some(self.gateway.clone()),
            ..Default::default()
        }))
    }

    async fn refresh_token(
        &self,
        request: tonic::Request<RefreshTokenRequest>,
    ) -> Result<Response<RefreshTokenResponse>, Status> {
        let shown = request
            .metadata()
            .get("authorization")
            .map(|value| value.to_str().unwrap());
        if shown != Some(&format!("Bearer {}", token())) {
            return Err(Status::unauthenticated("no token"));
        }
        Ok(Response::new(RefreshTokenResponse {
            token: token(),
            endpoints: Some(self.direct.clone()),
            gateway: Some(self.gateway.clone()),
            ca_certificate: self.ca.clone(),
            ..Default::default()
        }))
    }

    type WatchSeatStream = Pin<Box<dyn Stream<Item = Result<WatchSeatResponse, Status>> + Send>>;

    async fn watch_seat(
        &self,
        _: tonic::Request<WatchSeatRequest>,
    ) -> Result<Response<Self::WatchSeatStream>, Status> {
        Ok(Response::new(Box::pin(futures_util::stream::empty())))
    }
}

/// Runs the binary without a terminal. Gives exit code, stdout and stderr.
pub(crate) async fn run(home: &Path, server: &str, arguments: &[&str]) -> (i32, String, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_clarateach"))
        .args(arguments)
        .env_clear()
        .env("XDG_STATE_HOME", home)
        .env("CLARATEACH_URL", server)
        .stdin(std::process::Stdio::null())
        .output();
    let output = timeout(PATIENCE, output).await.expect("an end").unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// `clarateach attach` on a pty of its own.
pub(crate) struct Attached {
    pub(crate) child: Child,
    pub(crate) pty: Pty,
    /// Kept open: the kernel forgets a terminal's settings with its last user.
    pts: Pts,
    /// How the terminal was before.
    pub(crate) before: Termios,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Attached {
    pub(crate) fn start(home: &Path, server: &str) -> Self {
        Self::start_as(home, server, &["attach"])
    }

    /// Another verb of it.
    pub(crate) fn start_as(home: &Path, server: &str, arguments: &[&str]) -> Self {
        let (pty, pts) = pty_process::open().unwrap();
        pty.resize(Size::new(40, 100)).unwrap();
        let before = tcgetattr(&pts).unwrap();
        let child = pty_process::Command::new(env!("CARGO_BIN_EXE_clarateach"))
            .args(arguments)
            .env_clear()
            .env("HOME", home)
            .env("XDG_STATE_HOME", home)
            .env("CLARATEACH_URL", server)
            .kill_on_drop(true)
            .spawn_borrowed(&pts)
            .unwrap();
        Self {
            child,
            pty,
            pts,
            before,
            seen: Arc::default(),
        }
    }

    /// Reads the screen until it has shown this.
    pub(crate) async fn until_shown(&mut self, text: &str) {
        let seen = Arc::clone(&self.seen);
        let reading = async {
            let mut buffer = [0; 4096];
            while !String::from_utf8_lossy(&seen.lock().await).contains(text) {
                let count = self.pty.read(&mut buffer).await.unwrap();
                seen.lock().await.extend_from_slice(&buffer[..count]);
            }
        };
        let shown = timeout(PATIENCE, reading).await.is_ok();
        let screen = self.screen().await;
        assert!(shown, "{text:?} was not shown, but {screen:?}");
    }

    pub(crate) async fn screen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().await).into_owned()
    }

    /// The exit code, once everything it wrote has been read.
    pub(crate) async fn ended(&mut self) -> i32 {
        const LAST: &str = "<all was read>";
        let Self {
            child, pty, seen, ..
        } = self;
        let mut buffer = [0; 4096];
        let mut code = None;
        let ending = async {
            // What we write at the far end comes after all that was written before.
            while !String::from_utf8_lossy(&seen.lock().await).contains(LAST) {
                tokio::select! {
                    count = pty.read(&mut buffer) => {
                        seen.lock().await.extend_from_slice(&buffer[..count.unwrap()]);
                    }
                    status = child.wait(), if code.is_none() => {
                        code = status.unwrap().code();
                        rustix::io::write(&self.pts, LAST.as_bytes()).unwrap();
                    }
                }
            }
        };
        timeout(PATIENCE, ending).await.expect("an end in time");
        code.expect("an exit, not a signal")
    }

    /// Whether keys are shown now.
    pub(crate) fn echoes(&self) -> bool {
        let modes = tcgetattr(&self.pts).unwrap().local_modes;
        modes.contains(LocalModes::ECHO)
    }

    /// Whether the terminal is as it was.
    pub(crate) fn is_given_back(&self) -> bool {
        let now = tcgetattr(&self.pts).unwrap();
        now.local_modes == self.before.local_modes
            && now.input_modes == self.before.input_modes
            && now.output_modes == self.before.output_modes
    }
}
