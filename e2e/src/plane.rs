//! A control plane beside others of the same database: a real process that a story kills,
//! puts to sleep and wakes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use clarateach_proto::workshop::{
    seat_service_client::SeatServiceClient, workshop_service_client::WorkshopServiceClient,
};
use http::{Method, Request};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tonic::transport::Channel;

use crate::{
    house::{Bearer, Workshops, binary, free_port, patience},
    http::send,
    wait::until,
};

/// Who sleeps or is cut off gives no answer.
const ANSWER: Duration = Duration::from_secs(5);

/// One control plane.
pub struct Plane {
    /// Where it listens.
    pub url: String,
    data: PathBuf,
    flags: Vec<String>,
    log: PathBuf,
    process: Option<Child>,
}

impl Plane {
    /// Starts `clarateach-server serve` over `data`, with these flags, on a port of its own,
    /// and does not wait.
    pub fn start(data: &Path, flags: Vec<String>, log: &Path) -> Self {
        let mut plane = Self {
            url: format!("http://127.0.0.1:{}", free_port()),
            data: data.to_owned(),
            flags,
            log: log.to_owned(),
            process: None,
        };
        plane.again();
        plane
    }

    /// Starts it again, as it was.
    pub fn again(&mut self) {
        self.again_with(&[]);
    }

    /// Starts it again, with these further flags for this time only.
    pub fn again_with(&mut self, once: &[&str]) {
        assert!(self.process.is_none(), "it runs already");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .unwrap();
        let process = Command::new(binary("clarateach-server"))
            .arg("serve")
            .arg("--data-dir")
            .arg(&self.data)
            .args(["--listen", self.url.trim_start_matches("http://")])
            .args(&self.flags)
            .args(once)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.process = Some(process);
    }

    /// Waits until it answers.
    pub async fn until_serving(&mut self) {
        let url = self.url.clone();
        until(&format!("{url} to answer"), patience(), async || {
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "it ended ({ended:?}): {}", self.log());
            match self.ask("", Method::GET, "/api/health", "").await {
                Ok((200, _)) => Ok(()),
                other => Err(other),
            }
        })
        .await;
    }

    /// Asks its JSON face: status and body, or why there is none.
    pub async fn ask(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: &str,
    ) -> Result<(u16, Value), String> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("content-type", "application/json");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Bytes::from(body.to_owned())).unwrap();
        match tokio::time::timeout(ANSWER, send(request, "")).await {
            Err(_) => Err("no answer".to_owned()),
            Ok(Err(broken)) => Err(broken.to_string()),
            Ok(Ok(answer)) => {
                let body = serde_json::from_slice(answer.body()).unwrap_or_default();
                Ok((answer.status().as_u16(), body))
            }
        }
    }

    /// An instructor's client with its own admin token, if it answers.
    pub async fn workshops(&self) -> Result<Workshops, String> {
        let bearer = Bearer::of(&self.admin_token());
        let channel = self.channel().await?;
        Ok(WorkshopServiceClient::with_interceptor(channel, bearer))
    }

    /// A learner's client, if it answers.
    pub async fn seats(&self) -> Result<SeatServiceClient<Channel>, String> {
        Ok(SeatServiceClient::new(self.channel().await?))
    }

    async fn channel(&self) -> Result<Channel, String> {
        let endpoint = Channel::from_shared(self.url.clone()).unwrap();
        let endpoint = endpoint.timeout(ANSWER);
        endpoint.connect().await.map_err(|error| error.to_string())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("it runs");
        let id = Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
    }

    /// Waits until a signal has stopped it.
    pub async fn until_stopped(&self) {
        let id = self.process.as_ref().expect("it runs").id();
        until("the process to be stopped", patience(), async || {
            let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
            let (_, rest) = stat.rsplit_once(") ").unwrap();
            if rest.starts_with('T') {
                Ok(())
            } else {
                Err(stat)
            }
        })
        .await;
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Whether it has ended by itself: it can be started again then.
    pub fn ended(&mut self) -> bool {
        let ended = match self.process.as_mut() {
            Some(process) => process.try_wait().unwrap().is_some(),
            None => true,
        };
        if ended {
            self.process = None;
        }
        ended
    }

    /// SIGTERM, and waits.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        until("the control plane to end", patience(), async || {
            if self.ended() { Ok(()) } else { Err("it runs") }
        })
        .await;
    }

    /// Its own admin token.
    pub fn admin_token(&self) -> String {
        let text = fs::read_to_string(self.data.join("admin.token")).unwrap();
        text.trim().to_owned()
    }

    /// All it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _killed = process.kill();
            let _reaped = process.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(6000);
            println!("--- end of the log of {} ---\n{}", self.url, &log[from..]);
        }
    }
}
