//! One learner: what a join gave, and what can be done with it.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use clarateach_proto::workshop::{JoinWorkshopResponse, SeatState};
use http::{Method, Request, Response};
use serde_json::Value;

use crate::{
    http::send,
    terminal::{Refused, Terminal},
};

/// One learner in a seat.
#[derive(Debug, Clone)]
pub struct Learner {
    /// What the join gave.
    pub joined: JoinWorkshopResponse,
    /// Where the terminal is, direct.
    pub terminal_url: String,
    /// Where the files are, direct.
    pub files_url: String,
    /// Where commands go, direct.
    pub exec_url: String,
    /// Where the terminal is, through the control plane.
    pub gateway_terminal_url: String,
    /// Where the files are, through the control plane.
    pub gateway_files_url: String,
}

/// What a command did.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code.
    pub exit_code: Option<i64>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Learner {
    /// From the answer to a join.
    pub fn new(joined: JoinWorkshopResponse) -> Self {
        let direct = joined.endpoints.clone().unwrap_or_default();
        let gateway = joined.gateway.clone().unwrap_or_default();
        Self {
            terminal_url: direct.terminal,
            files_url: direct.files,
            exec_url: direct.exec,
            gateway_terminal_url: gateway.terminal,
            gateway_files_url: gateway.files,
            joined,
        }
    }

    /// The seat's number.
    pub fn seat(&self) -> u32 {
        self.joined.seat
    }

    /// The seat's state when joining.
    pub fn state(&self) -> SeatState {
        self.joined.seat_state()
    }

    /// Opens the terminal, straight to the worker; `query` such as
    /// `?terminal=two`.
    pub async fn terminal(&self, query: &str) -> Result<Terminal, Refused> {
        let url = format!("{}{query}", self.terminal_url);
        Terminal::open(&url, &self.joined.token, &self.joined.ca_certificate).await
    }

    /// Opens the terminal through the control plane.
    pub async fn gateway_terminal(&self, query: &str) -> Result<Terminal, Refused> {
        let url = format!("{}{query}", self.gateway_terminal_url);
        Terminal::open(&url, &self.joined.token, &self.joined.ca_certificate).await
    }

    /// Asks something of the seat with the learner's token.
    pub async fn ask(&self, method: Method, url: &str, body: impl Into<Bytes>) -> Response<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header("authorization", format!("Bearer {}", self.joined.token))
            .body(body.into())
            .unwrap();
        send(request, &self.joined.ca_certificate).await.unwrap()
    }

    /// Writes a file.
    pub async fn put(&self, path: &str, body: impl Into<Bytes>) -> u16 {
        let url = format!("{}/{path}", self.files_url);
        self.ask(Method::PUT, &url, body).await.status().as_u16()
    }

    /// Reads a file.
    pub async fn get(&self, path: &str) -> (u16, Bytes) {
        let url = format!("{}/{path}", self.files_url);
        let answer = self.ask(Method::GET, &url, "").await;
        (answer.status().as_u16(), answer.into_body())
    }

    /// Runs a command without a terminal.
    pub async fn run(&self, command: &str) -> Ran {
        let ran = self.exec(&serde_json::json!({ "command": command })).await;
        ran.unwrap_or_else(|answer| panic!("{}: {:?}", answer.status(), answer.body()))
    }

    /// The same, with all that may be said of a command; or how it was refused.
    pub async fn exec(&self, order: &Value) -> Result<Ran, Response<Bytes>> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.exec_url)
            .header("authorization", format!("Bearer {}", self.joined.token))
            .header("content-type", "application/json")
            .body(Bytes::from(order.to_string()))
            .unwrap();
        let answer = send(request, &self.joined.ca_certificate).await.unwrap();
        if answer.status() != 200 {
            return Err(answer);
        }
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        let mut ran = Ran {
            exit_code: None,
            stdout: String::new(),
            stderr: String::new(),
        };
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let decode = |name: &str| {
                let bytes = BASE64_STANDARD.decode(line[name].as_str().unwrap_or_default());
                String::from_utf8_lossy(&bytes.unwrap()).into_owned()
            };
            ran.stdout += &decode("stdout");
            ran.stderr += &decode("stderr");
            if let Some(code) = line["exit_code"].as_i64() {
                ran.exit_code = Some(code);
            }
        }
        Ok(ran)
    }
}
