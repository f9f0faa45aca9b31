//! A real guest as a plain process on loopback, and clients with nothing of
//! ours in them.
#![allow(dead_code, missing_docs, unreachable_pub)] // each test file uses its part
#![allow(clippy::print_stdout)] // a skipped test must say so
#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use clarateach_proto::guest::{
    Configure, Request as ControlRequest, Response as ControlResponse, Shutdown, request::Verb,
};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _},
};

pub const SECRET: &str = "00112233445566778899aabbccddeeff";
/// Ten times what anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Guest {
    process: Child,
    folder: tempfile::TempDir,
    pub terminal: String,
    pub files: String,
}

impl Guest {
    /// Started and told who it is.
    pub async fn start() -> Self {
        let guest = Self::start_unconfigured();
        guest.configure().await;
        guest
    }

    pub fn start_unconfigured() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir(&home).unwrap();
        open_up(folder.path());
        let (uid, gid) = learner();
        std::os::unix::fs::chown(&home, Some(uid), Some(gid)).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_clarateach-guest"))
            .args(["--runtime", "process"])
            .args([
                "--terminal-listen",
                "127.0.0.1:0",
                "--files-listen",
                "127.0.0.1:0",
            ])
            .args(["--uid", &uid.to_string(), "--gid", &gid.to_string()])
            .arg("--home")
            .arg(&home)
            .arg("--control")
            .arg(folder.path().join("control.sock"))
            .arg("--addresses-file")
            .arg(folder.path().join("addresses"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + PATIENCE;
        let addresses = loop {
            match std::fs::read_to_string(folder.path().join("addresses")) {
                Ok(addresses) => break addresses,
                Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
                Err(cause) => panic!("the guest did not start: {cause}"),
            }
        };
        let mut lines = addresses.lines().map(str::to_owned);
        Self {
            process,
            terminal: lines.next().unwrap(),
            files: lines.next().unwrap(),
            folder,
        }
    }

    pub async fn configure(&self) {
        let configure = Configure {
            hostname: "seat-7".into(),
            seat: 7,
            secret: SECRET.into(),
            env: [("LESSON".to_owned(), "one".to_owned())].into(),
            workshop_name: "Rust".into(),
            ..Configure::default()
        };
        self.control(Verb::Configure(configure)).await;
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    pub fn workspace(&self) -> PathBuf {
        self.home().join("workspace")
    }

    /// One verb over a connection of its own.
    pub async fn control(&self, verb: Verb) -> ControlResponse {
        let mut stream = UnixStream::connect(self.folder.path().join("control.sock"))
            .await
            .unwrap();
        let request = ControlRequest {
            id: 42,
            verb: Some(verb),
        };
        stream
            .write_all(&request.encode_length_delimited_to_vec())
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = vec![];
        stream.read_to_end(&mut answer).await.unwrap();
        let response = ControlResponse::decode_length_delimited(&answer[..]).unwrap();
        assert_eq!(response.id, 42);
        response
    }

    /// A terminal with control frames.
    pub async fn attach(&self, query: &str) -> Terminal {
        self.attach_as("learner;drive", query).await
    }

    pub async fn attach_as(&self, viewer: &str, query: &str) -> Terminal {
        self.try_attach(viewer, query, Some("clarateach.terminal.v1"))
            .await
            .unwrap()
    }

    pub async fn try_attach(
        &self,
        viewer: &str,
        query: &str,
        protocol: Option<&str>,
    ) -> Result<Terminal, tokio_tungstenite::tungstenite::Error> {
        let mut request = format!("ws://{}/terminal?{query}", self.terminal)
            .into_client_request()
            .unwrap();
        let headers = request.headers_mut();
        headers.insert("clarateach-secret", SECRET.parse().unwrap());
        headers.insert("clarateach-viewer", viewer.parse().unwrap());
        if let Some(protocol) = protocol {
            headers.insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        self.handshake(request, protocol, None).await
    }

    /// One whose own buffer is small: what it does not read is soon felt.
    pub async fn attach_narrow(&self, query: &str) -> Terminal {
        let protocol = "clarateach.terminal.v1";
        let mut request = format!("ws://{}/terminal?{query}", self.terminal)
            .into_client_request()
            .unwrap();
        let headers = request.headers_mut();
        headers.insert("clarateach-secret", SECRET.parse().unwrap());
        headers.insert("clarateach-viewer", "learner;drive".parse().unwrap());
        headers.insert("sec-websocket-protocol", protocol.parse().unwrap());
        self.handshake(request, Some(protocol), Some(256 * 1024))
            .await
            .unwrap()
    }

    async fn handshake(
        &self,
        request: Request<()>,
        protocol: Option<&str>,
        buffer: Option<u32>,
    ) -> Result<Terminal, tokio_tungstenite::tungstenite::Error> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        if let Some(buffer) = buffer {
            socket.set_recv_buffer_size(buffer)?;
        }
        let stream = socket.connect(self.terminal.parse().unwrap()).await?;
        stream.set_nodelay(true)?;
        let (socket, response) =
            tokio_tungstenite::client_async(request, MaybeTlsStream::Plain(stream)).await?;
        assert_eq!(
            response
                .headers()
                .get("sec-websocket-protocol")
                .map(|value| value.to_str().unwrap()),
            protocol
        );
        Ok(Terminal {
            socket,
            acks: false,
            offset: 0,
            uncounted: 0,
            output: vec![],
            frames: vec![],
            closed: None,
        })
    }

    /// A request to the files port; body whole.
    pub async fn dav(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> (Response<()>, Bytes) {
        send(&self.files, method, path, headers, body).await
    }

    /// A command, its answer as lines.
    pub async fn exec(&self, order: &Value) -> (u16, Vec<Value>) {
        let (response, body) = send(&self.terminal, "POST", "/exec", &[], order.to_string()).await;
        let lines = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).unwrap())
            .collect();
        (response.status().as_u16(), lines)
    }

    /// Tells it to stop and answers how long it took.
    pub async fn shut_down(&mut self, grace: Duration) -> Duration {
        let began = Instant::now();
        let grace_millis = u32::try_from(grace.as_millis()).unwrap();
        self.control(Verb::Shutdown(Shutdown { grace_millis }))
            .await;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return began.elapsed();
            }
            assert!(began.elapsed() < PATIENCE, "the guest did not stop");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|status| status.is_none()) {
            // In order, so that its shells end with it.
            Command::new("kill")
                .arg(self.process.id().to_string())
                .status()
                .ok();
            let until = Instant::now() + Duration::from_secs(5);
            while Instant::now() < until {
                if self.process.try_wait().is_ok_and(|status| status.is_some()) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            self.process.kill().ok();
            self.process.wait().ok();
        }
    }
}

/// Any request, with the secret unless the headers bring their own.
pub async fn send(
    address: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> (Response<()>, Bytes) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address);
    if !headers.iter().any(|(name, _)| *name == "clarateach-secret") {
        request = request.header("clarateach-secret", SECRET);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).unwrap();
    let response = sender.send_request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), body)
}

/// Whom shells run as: another user when that can be had.
pub fn learner() -> (u32, u32) {
    if is_root() {
        return (1000, 1000);
    }
    let own = std::fs::metadata("/proc/self").unwrap();
    (own.uid(), own.gid())
}

pub fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn open_up(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

pub struct Terminal {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Whether it says what it has "drawn".
    pub acks: bool,
    /// Of the next byte of the shell's output.
    pub offset: u64,
    uncounted: usize,
    /// All counted output.
    pub output: Vec<u8>,
    /// All text frames.
    pub frames: Vec<Value>,
    /// The close code, once closed; 0 without one.
    pub closed: Option<u16>,
}

impl Terminal {
    pub async fn keys(&mut self, keys: impl Into<Bytes>) {
        self.socket
            .send(Message::Binary(keys.into()))
            .await
            .unwrap();
    }

    pub async fn say(&mut self, frame: &str) {
        self.socket.send(Message::text(frame)).await.unwrap();
    }

    /// Takes one frame; false when there are no more.
    pub async fn step(&mut self) -> bool {
        match self.socket.next().await {
            Some(Ok(Message::Binary(data))) => {
                let drawn = self.uncounted.min(data.len());
                self.uncounted -= drawn;
                let counted = &data[drawn..];
                self.offset += counted.len() as u64;
                self.output.extend_from_slice(counted);
                if self.acks && !counted.is_empty() {
                    let ack = format!(r#"{{"type":"ack","offset":{}}}"#, self.offset);
                    self.say(&ack).await;
                }
            }
            Some(Ok(Message::Text(text))) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                match frame["type"].as_str() {
                    Some("attached") => self.offset = frame["offset"].as_u64().unwrap(),
                    Some("repaint") => {
                        self.offset = frame["offset"].as_u64().unwrap();
                        self.uncounted = usize::try_from(frame["bytes"].as_u64().unwrap()).unwrap();
                    }
                    _ => {}
                }
                self.frames.push(frame);
            }
            Some(Ok(Message::Close(frame))) => {
                self.closed = Some(frame.map_or(0, |frame| frame.code.into()));
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => {
                self.closed.get_or_insert(0);
                return false;
            }
        }
        true
    }

    /// Reads until so, or fails the test.
    pub async fn until(&mut self, what: &str, mut enough: impl FnMut(&Self) -> bool) {
        let done = timeout(PATIENCE, async {
            while !enough(self) {
                assert!(
                    self.step().await,
                    "closed ({:?}) before {what}",
                    self.closed
                );
            }
        })
        .await;
        assert!(
            done.is_ok(),
            "{what} did not come; frames {:?}, output {:?}",
            self.frames,
            self.tail()
        );
    }

    /// Reads until the output holds this. Looks at new output only: a flood
    /// must not be searched from its beginning with every frame.
    pub async fn until_says(&mut self, text: &str) {
        let mut seen = 0_usize;
        self.until(text, |terminal| {
            let from = seen.saturating_sub(text.len());
            seen = terminal.output.len();
            holds(&terminal.output[from..], text)
        })
        .await;
    }

    pub async fn until_frame(&mut self, kind: &str) -> Value {
        self.until(kind, |terminal| {
            terminal.frames.iter().any(|frame| frame["type"] == kind)
        })
        .await;
        self.frame(kind).unwrap()
    }

    /// Reads until the socket is closed; answers the code.
    pub async fn until_closed(&mut self) -> u16 {
        timeout(PATIENCE, async { while self.step().await {} })
            .await
            .expect("not closed");
        self.closed.unwrap()
    }

    pub fn says(&self, text: &str) -> bool {
        holds(&self.output, text)
    }

    pub fn frame(&self, kind: &str) -> Option<Value> {
        self.frames
            .iter()
            .find(|frame| frame["type"] == kind)
            .cloned()
    }

    pub fn kinds(&self) -> Vec<&str> {
        self.frames
            .iter()
            .filter_map(|frame| frame["type"].as_str())
            .collect()
    }

    pub fn tail(&self) -> String {
        let from = self.output.len().saturating_sub(400);
        String::from_utf8_lossy(&self.output[from..]).into_owned()
    }
}

/// For a test that cannot be run here; never silent.
pub fn skipped(why: &str) {
    println!("SKIPPED: {why}");
}

fn holds(output: &[u8], text: &str) -> bool {
    output
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}
