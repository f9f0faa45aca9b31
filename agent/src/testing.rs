//! A stage for tests: the real port, proxy and service before a guest that
//! logs every byte, with a fleet whose owner is the test. Loopback only.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use clarateach_certs::{
    ca::{Ca, Dialler},
    key::Key,
    tls as certs_tls,
};
use clarateach_domain::{
    ids::SeatNo,
    microvm::{MicroVmState, Runtime},
    seat_net::{FILES_PORT, TERMINAL_PORT},
    seat_token::{Claims, Mode, Signer, Verifier},
};
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    agent::control_routes,
    api::Worker,
    fleet::{Door, Fleet, SeatLife},
    proxy::Proxy,
    serve,
    tls::{Front, Identity},
};

/// The workshop of every stage.
pub(crate) const WORKSHOP: &str = "ws-abcdefghij";
/// What the control plane dials.
pub(crate) const CONTROL_NAME: &str = "w1.ws-abcdefghij.agent.clarateach.internal";
/// The seat that has a guest.
pub(crate) const SEAT: u32 = 3;
/// The guest's secret.
pub(crate) const SECRET: &str = "5ec2e7";
/// Behaviour is bounded at ten times the stated second.
pub(crate) const BOUND: Duration = Duration::from_secs(10);

// Made for these tests with `openssl genpkey -algorithm ed25519`.
const PRIVATE: &[u8] = b"-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIL6wD9PCUN06aYJOiwoaK2iagyhiOcbsHYHN4/Vm2xmT
-----END PRIVATE KEY-----
";
const PUBLIC: &[u8] = b"-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA+dtBS1Vqx1kSjOdcD5BcHgjU7R+AP6/498W11Jg5V/c=
-----END PUBLIC KEY-----
";

/// Viewers a guest was asked to close, with their codes.
pub(crate) type Closings = Arc<Mutex<Vec<(Vec<String>, u16)>>>;
/// One connection of a learner or dialler.
pub(crate) type Client = TlsStream<TcpStream>;

/// Everything a test needs to see.
pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) ca: Ca,
    pub(crate) identity: Arc<Identity>,
    pub(crate) life: watch::Sender<SeatLife>,
    pub(crate) guest: Guest,
    pub(crate) stop: CancellationToken,
    pub(crate) closed: Closings,
    /// The run directory, removed with the stage.
    _folder: TempDir,
}

/// A guest of one address that logs what reaches it.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) address: Ipv4Addr,
    log: Arc<Mutex<Vec<u8>>>,
}

impl Guest {
    /// All it was sent so far, as text.
    pub(crate) fn heard(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Heads of requests it was sent so far.
    pub(crate) fn requests(&self) -> usize {
        self.heard().matches(" HTTP/1.1\r\n").count()
    }

    async fn start() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let (a, b) = (
            (std::process::id() % 250) as u8,
            NEXT.fetch_add(1, Ordering::Relaxed),
        );
        let guest = Self {
            address: Ipv4Addr::new(127, 77, a, b),
            log: Arc::default(),
        };
        for port in [TERMINAL_PORT, FILES_PORT] {
            let listener = TcpListener::bind((guest.address, port)).await.unwrap();
            let guest = guest.clone();
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(guest.clone().serve(stream));
                }
            });
        }
        guest
    }

    /// Answers one connection: upgrades, then echoes; `/slow` streams for ever;
    /// everything else gets `ok` with headers a hostile guest would send.
    async fn serve(self, mut stream: TcpStream) {
        let mut held = Vec::new();
        loop {
            let Some(head) = self.head(&mut stream, &mut held).await else {
                return;
            };
            if head.contains("upgrade: websocket") {
                let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                    upgrade: websocket\r\nsec-websocket-accept: x\r\nset-cookie: a=b\r\n\
                    sec-websocket-protocol: clarateach.terminal.v1\r\n\r\nhello ";
                let _gone = stream.write_all(answer.as_bytes()).await;
                let _gone = stream.write_all(&held).await;
                return self.echo(stream).await;
            }
            if head.starts_with("GET /slow ") {
                let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                let _gone = stream.write_all(answer.as_bytes()).await;
                while stream.write_all(b"1\r\n.\r\n").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                return;
            }
            if !self.body(&mut stream, &mut held, &head).await {
                return;
            }
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nset-cookie: a=b\r\n\
                service-worker-allowed: /\r\nstrict-transport-security: max-age=9\r\n\
                link: </x>; rel=preload\r\nclarateach-secret: 5ec2e7\r\nx-keep: yes\r\n\
                content-security-policy: default-src *\r\naccess-control-allow-origin: *\r\n\
                location: https://evil.example/\r\nconnection: x-hop\r\nx-hop: 1\r\n\r\nok";
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    async fn echo(&self, mut stream: TcpStream) {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            self.note(&buffer[..n]);
            if stream.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
        // The learner's end is the guest's end, but what is said last arrives.
        let _gone = stream.write_all(b" bye").await;
    }

    async fn head(&self, stream: &mut TcpStream, held: &mut Vec<u8>) -> Option<String> {
        loop {
            let end = held.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head: Vec<u8> = held.drain(..end + 4).collect();
                return Some(
                    String::from_utf8_lossy(&head)
                        .to_ascii_lowercase()
                        .replacen("get ", "GET ", 1),
                );
            }
            self.more(stream, held).await?;
        }
    }

    async fn body(&self, stream: &mut TcpStream, held: &mut Vec<u8>, head: &str) -> bool {
        if head.contains("transfer-encoding: chunked") {
            loop {
                if let Some(end) = held.windows(5).position(|five| five == b"0\r\n\r\n") {
                    held.drain(..end + 5);
                    return true;
                }
                if self.more(stream, held).await.is_none() {
                    return false;
                }
            }
        }
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .and_then(|n| n.trim().parse::<usize>().ok())
            .unwrap_or(0);
        while held.len() < length {
            if self.more(stream, held).await.is_none() {
                return false;
            }
        }
        held.drain(..length);
        true
    }

    async fn more(&self, stream: &mut TcpStream, held: &mut Vec<u8>) -> Option<()> {
        let mut buffer = [0; 4096];
        let n = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
        self.note(&buffer[..n]);
        held.extend_from_slice(&buffer[..n]);
        Some(())
    }

    fn note(&self, bytes: &[u8]) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.extend_from_slice(bytes);
    }
}

/// A seat's life with this epoch, its machine running.
pub(crate) fn ready(epoch: u64) -> SeatLife {
    SeatLife {
        state: MicroVmState::Ready,
        epoch: Some(epoch),
        made_for: epoch,
        cut: None,
        life: 1,
    }
}

/// Claims of a driver of [`SEAT`] for a minute.
pub(crate) fn claims() -> Claims {
    let now = whole_second(Utc::now());
    Claims {
        workshop: WORKSHOP.parse().unwrap(),
        learner: "ln-1".into(),
        seat: SeatNo::try_from(SEAT).unwrap(),
        epoch: 2,
        sid: "stay1".parse().unwrap(),
        mode: Mode::Drive,
        issued_at: now,
        expires_at: now + Duration::from_mins(1),
        jti: "j1".into(),
    }
}

/// Claims that end in between one and two seconds.
pub(crate) fn short_claims() -> Claims {
    let mut claims = claims();
    claims.expires_at = claims.issued_at + Duration::from_secs(2);
    claims
}

fn whole_second(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(at.timestamp(), 0).unwrap()
}

/// The token's text.
pub(crate) fn sign(claims: &Claims) -> String {
    Signer::from_pem(PRIVATE, "k1")
        .unwrap()
        .sign(claims)
        .unwrap()
}

/// Checks tokens of [`WORKSHOP`].
pub(crate) fn verifier() -> Verifier {
    Verifier::from_pem(PUBLIC, WORKSHOP.parse().unwrap()).unwrap()
}

/// A fleet of one seat, whose requests a task of the test's answers.
pub(crate) fn fleet_of(
    address: Ipv4Addr,
    life: &watch::Sender<SeatLife>,
    closed: Closings,
) -> Fleet {
    let door = Door {
        address,
        secret: SECRET.into(),
        life: life.subscribe(),
    };
    let seat = SeatNo::try_from(SEAT).unwrap();
    Fleet::of_doors([(seat, door)].into(), move |viewers, code| {
        closed.lock().unwrap().push((viewers, code));
    })
}

impl Stage {
    /// A worker with one seat, epoch 2, its guest answering.
    pub(crate) async fn start() -> Self {
        Self::driven_from(vec![]).await
    }

    /// The same, and its control plane comes from these networks alone.
    pub(crate) async fn driven_from(sources: Vec<ipnet::IpNet>) -> Self {
        let ca = Ca::generate(WORKSHOP, Utc::now(), Duration::from_hours(1)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::open(folder.path(), CONTROL_NAME.into(), ca.certificate_pem());
        let identity = Arc::new(identity.unwrap());
        identity.install(&leaf(&ca, &identity)).unwrap();
        let guest = Guest::start().await;
        let life = watch::Sender::new(ready(2));
        let closed = Arc::default();
        let fleet = fleet_of(guest.address, &life, Arc::clone(&closed));
        let stop = CancellationToken::new();
        let open = TaskTracker::new();
        let proxy = Proxy::new(
            verifier(),
            fleet.clone(),
            &["https://class.example.org".to_owned()],
            stop.clone(),
            open.clone(),
        );
        let worker = Worker {
            name: "w1".parse().unwrap(),
            workshop: WORKSHOP.parse().unwrap(),
            runtime: Runtime::Container,
            guest_version: "test".into(),
            started_at: Utc::now(),
            fleet: fleet.clone(),
            identity: identity.clone(),
            vouched: None,
            taken: tokio::sync::watch::channel(false).1,
            proxy: proxy.clone(),
            stop: stop.clone(),
        };
        let workshop = WORKSHOP.parse().unwrap();
        let front = Front::new(&workshop, ca.certificate_pem(), identity.clone()).unwrap();
        let front = front.with_control_sources(sources);
        let door = Arc::new(serve::Door {
            front,
            identity: identity.clone(),
            control: control_routes(worker).await.unwrap(),
            proxy,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(door.serve(listener, stop.clone(), open));
        Self {
            address,
            ca,
            identity,
            life,
            guest,
            stop,
            closed,
            _folder: folder,
        }
    }

    /// Settings of a learner who trusts the workshop's CA.
    pub(crate) fn learner_settings(&self) -> rustls::ClientConfig {
        certs_tls::client(self.ca.certificate_pem()).unwrap()
    }

    /// Settings of a dialler of this CA.
    pub(crate) fn dialler_settings(
        &self,
        ca: &Ca,
        who: Dialler,
        workshop: &str,
    ) -> rustls::ClientConfig {
        let key = Key::generate().unwrap();
        let life = Duration::from_mins(10);
        let leaf = ca
            .sign_dialler(&key, who, workshop, Utc::now(), life)
            .unwrap();
        certs_tls::client_with(self.ca.certificate_pem(), &leaf, &key.to_pem()).unwrap()
    }

    /// A connection under `name`, HTTP/1.1 unless the settings say otherwise.
    pub(crate) async fn dial(
        &self,
        settings: rustls::ClientConfig,
        name: &str,
    ) -> std::io::Result<Client> {
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(settings))
            .connect(name, stream)
            .await
    }

    /// A learner's connection, by address as learners dial.
    pub(crate) async fn learner(&self) -> Client {
        let mut settings = self.learner_settings();
        settings.alpn_protocols = vec![b"http/1.1".to_vec()];
        self.dial(settings, "127.0.0.1").await.unwrap()
    }

    /// Sends `request` on a connection of its own and returns the whole answer.
    pub(crate) async fn exchange(&self, request: &str) -> String {
        let mut client = self.learner().await;
        client.write_all(request.as_bytes()).await.unwrap();
        read_to_end(&mut client).await
    }

    /// One request below the seat, with this token; `Connection: close`.
    pub(crate) async fn ask(&self, method: &str, tail: &str, token: &str, more: &str) -> String {
        self.exchange(&format!(
            "{method} /proxy/{WORKSHOP}/{tail} HTTP/1.1\r\nHost: h\r\n\
             Authorization: Bearer {token}\r\n{more}Connection: close\r\n\r\n"
        ))
        .await
    }

    /// An open terminal, its answer's head read.
    pub(crate) async fn terminal(&self, token: &str) -> (Client, String) {
        let mut client = self.learner().await;
        client.write_all(upgrade(token).as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(BOUND, client.read_u8()).await.unwrap().unwrap());
        }
        (client, String::from_utf8(head).unwrap())
    }
}

/// A browser's upgrade, the token as its second offer.
pub(crate) fn upgrade(token: &str) -> String {
    format!(
        "GET /proxy/{WORKSHOP}/{SEAT}/terminal?cols=80&rows=24 HTTP/1.1\r\nHost: h\r\n\
         Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nCookie: c=1\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: clarateach.terminal.v1, clarateach.bearer.v1.{token}\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\nclarateach-viewer: me;drive\r\n\r\n"
    )
}

/// A server certificate for the agent's key, names and addresses as in life.
pub(crate) fn leaf(ca: &Ca, identity: &Identity) -> String {
    let request = identity.request().unwrap();
    let here = [[127, 0, 0, 1].into()];
    let life = Duration::from_mins(10);
    ca.sign_agent(&request, CONTROL_NAME, &here, Utc::now(), life)
        .unwrap()
}

/// Whatever comes until the end, however it ends, within the bound.
pub(crate) async fn read_to_end(client: &mut Client) -> String {
    let mut all = Vec::new();
    let ended = timeout(BOUND, client.read_to_end(&mut all)).await;
    assert!(
        ended.is_ok(),
        "the connection did not end: {}",
        String::from_utf8_lossy(&all)
    );
    String::from_utf8_lossy(&all).into_owned()
}
