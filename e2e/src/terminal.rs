//! A WebSocket terminal client with nothing of ours in it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::Uri;
use serde_json::Value;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};

use crate::{
    http::{Stream, connect},
    micro_vms::pace,
};

/// How long a story waits for something to be said.
pub fn patience() -> Duration {
    Duration::from_secs(30) * pace()
}

/// One open terminal.
pub struct Terminal {
    socket: WebSocketStream<Box<dyn Stream>>,
    /// Everything the shell said on this socket, repaints included.
    pub seen: Vec<u8>,
    /// Control frames not yet asked for.
    pub controls: Vec<Value>,
    /// The offset after the last counted byte.
    pub offset: u64,
    /// The shell's instance.
    pub instance: String,
    uncounted: u64,
    /// The close code, once closed.
    pub closed: Option<u16>,
}

/// Why a terminal did not open.
#[derive(Debug)]
pub struct Refused {
    /// The HTTP status, or 0 when there was no answer.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Terminal {
    /// Opens `url` with the subprotocol and the token offered as browsers do.
    pub async fn open(url: &str, token: &str, ca: &str) -> Result<Self, Refused> {
        let offer = format!("clarateach.terminal.v1, clarateach.bearer.v1.{token}");
        let mut terminal = Self::with(url, ca, &[("sec-websocket-protocol", &offer)]).await?;
        let attached = terminal.control("attached").await;
        attached["instance"]
            .as_str()
            .unwrap()
            .clone_into(&mut terminal.instance);
        terminal.offset = attached["offset"].as_u64().unwrap();
        Ok(terminal)
    }

    /// Opens `url` with these headers and nothing else.
    pub async fn with(url: &str, ca: &str, headers: &[(&str, &str)]) -> Result<Self, Refused> {
        let none = |cause: &dyn std::fmt::Display| Refused {
            status: 0,
            body: cause.to_string(),
        };
        let uri: Uri = url.parse().unwrap();
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let stream = connect(&uri, ca).await.map_err(|e| none(&e))?;
        let opened = tokio_tungstenite::client_async(request, stream).await;
        match opened {
            Ok((socket, _)) => Ok(Self {
                socket,
                seen: Vec::new(),
                controls: Vec::new(),
                offset: 0,
                instance: String::new(),
                uncounted: 0,
                closed: None,
            }),
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => Err(Refused {
                status: answer.status().as_u16(),
                body: String::from_utf8_lossy(answer.body().as_deref().unwrap_or_default())
                    .into_owned(),
            }),
            Err(other) => Err(none(&other)),
        }
    }

    /// Types.
    pub async fn type_in(&mut self, keys: impl Into<Vec<u8>>) {
        let keys: Vec<u8> = keys.into();
        self.socket.send(Message::binary(keys)).await.unwrap();
    }

    /// Sends a control frame.
    pub async fn say(&mut self, control: Value) {
        let text = control.to_string();
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Takes in one frame. `false` once the socket has ended.
    pub async fn step(&mut self) -> bool {
        match self.socket.next().await {
            Some(Ok(Message::Binary(bytes))) => {
                let painted = self.uncounted.min(bytes.len() as u64);
                self.uncounted -= painted;
                self.offset += bytes.len() as u64 - painted;
                self.seen.extend_from_slice(&bytes);
                true
            }
            Some(Ok(Message::Text(text))) => {
                let control: Value = serde_json::from_str(&text).unwrap();
                match control["type"].as_str() {
                    Some("repaint") => {
                        self.offset = control["offset"].as_u64().unwrap();
                        self.uncounted = control["bytes"].as_u64().unwrap();
                    }
                    Some("restarted") => self.offset = 0,
                    _ => {}
                }
                self.controls.push(control);
                true
            }
            Some(Ok(Message::Close(frame))) => {
                let code = frame.map_or(1005, |frame| u16::from(frame.code));
                self.closed = Some(code);
                false
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => true,
            Some(Err(_)) | None => {
                self.closed.get_or_insert(u16::from(CloseCode::Abnormal));
                false
            }
        }
    }

    /// Reads until the shell has said `text` on this socket.
    pub async fn until(&mut self, text: &str) {
        let found = tokio::time::timeout(patience(), async {
            while !self.has(text) {
                assert!(
                    self.step().await,
                    "the terminal ended ({:?}) before {text:?}; it said {:?}",
                    self.closed,
                    self.text()
                );
            }
        });
        let found = found.await.is_ok();
        assert!(
            found,
            "no {text:?} within {:?}; it said {:?}",
            patience(),
            self.text()
        );
    }

    /// Whether the shell has said `text`.
    pub fn has(&self, text: &str) -> bool {
        let text = text.as_bytes();
        self.seen.windows(text.len()).any(|window| window == text)
    }

    /// What the shell said, for people.
    pub fn text(&self) -> String {
        let tail = self.seen.len().saturating_sub(4000);
        String::from_utf8_lossy(&self.seen[tail..]).into_owned()
    }

    /// The next control frame of this type; others are kept.
    pub async fn control(&mut self, kind: &str) -> Value {
        let found = tokio::time::timeout(patience(), async {
            loop {
                let at = self.controls.iter().position(|c| c["type"] == kind);
                if let Some(at) = at {
                    return self.controls.remove(at);
                }
                assert!(
                    self.step().await,
                    "the terminal ended ({:?}) before {kind:?}",
                    self.closed
                );
            }
        });
        found.await.unwrap_or_else(|late| {
            panic!("no {kind:?} frame ({late}): {:?}", self.controls);
        })
    }

    /// Reads until the socket ends, and says with which code.
    pub async fn until_closed(&mut self) -> u16 {
        let ended = tokio::time::timeout(patience(), async { while self.step().await {} });
        assert!(ended.await.is_ok(), "still open after {:?}", patience());
        self.closed.unwrap()
    }

    /// Reads until the socket ends, which it must with this code. A guest that is
    /// slower than the agent's patience is cut without a word: only where KVM
    /// emulates guests does that count as the same.
    pub async fn must_close(&mut self, code: u16) {
        let closed = self.until_closed().await;
        let cut = pace() > 1 && closed == u16::from(CloseCode::Abnormal);
        assert!(closed == code || cut, "closed with {closed}, not {code}");
    }

    /// Runs a command and gives what it printed, found by marks around it.
    pub async fn run(&mut self, command: &str) -> String {
        self.seen.clear();
        // The marks are put together by the shell, so the echo holds neither.
        self.type_in(format!(
            "echo st\"\"art-mark; {command}; echo en\"\"d-mark\r"
        ))
        .await;
        self.until("end-mark").await;
        let text = self.text();
        let (_, printed) = text.split_once("start-mark\r\n").unwrap_or_default();
        let (printed, _) = printed.split_once("end-mark").unwrap_or_default();
        printed.trim().to_owned()
    }
}
