//! One control plane with everything behind it, for one story.
//!
//! Way: [`House::start`] -> a story -> [`House::close`], which ends and removes
//! everything and says what was left behind. A story that stops half way is
//! cleaned up by `Drop`, as well as that can be done.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use clarateach_proto::workshop::{
    CreateWorkshopRequest, DeleteWorkshopRequest, GetWorkshopRequest, JoinWorkshopRequest, Runtime,
    Workshop, WorkshopStatus, seat_service_client::SeatServiceClient,
    workshop_service_client::WorkshopServiceClient,
};
use http::{Method, Request, Response};
use rustix::fs::{FlockOperation, flock};
use tonic::{
    Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use crate::{
    canary::Canary, fake_gce::FakeGce, http::send, learner::Learner, micro_vms, plane::Plane,
    traces::Traces, wait::until,
};

/// How long a workshop may take to become what was asked: ten times what is
/// promised (`decisions.md` §8), more only where KVM emulates guests.
pub fn patience() -> Duration {
    Duration::from_secs(100) * micro_vms::pace()
}

/// Adds the admin token.
#[derive(Clone)]
pub struct Bearer(MetadataValue<tonic::metadata::Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl Bearer {
    /// Of this API token.
    pub fn of(token: &str) -> Self {
        Self(format!("Bearer {token}").parse().unwrap())
    }
}

/// What instructors call.
pub type Workshops = WorkshopServiceClient<InterceptedService<Channel, Bearer>>;

/// One control plane.
pub struct House {
    dir: tempfile::TempDir,
    server: Option<Child>,
    provisioner: Vec<String>,
    extra: Vec<String>,
    before: Traces,
    /// Where it listens: `http://127.0.0.1:PORT`.
    pub url: String,
    canary: Canary,
    _alone: fs::File,
}

/// Why a story cannot be told on this machine, if it cannot.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root for namespaces and control groups".into());
    }
    for program in ["/usr/sbin/runc", "/usr/sbin/nft", "/usr/sbin/ip"] {
        if !Path::new(program).exists() {
            return Some(format!("needs {program}"));
        }
    }
    if !images().join("current").exists() {
        return Some("needs the root filesystem: run scripts/build-guest.sh".into());
    }
    match runtime() {
        Runtime::Firecracker => micro_vms::missing(),
        Runtime::Container | Runtime::Unspecified => None,
    }
}

/// The runtime that all stories of this run are told with: the same stories
/// hold for both.
#[allow(
    clippy::disallowed_methods,
    reason = "tests have no config.rs: this is their other setting"
)]
pub fn runtime() -> Runtime {
    match std::env::var("CLARATEACH_E2E_RUNTIME").as_deref() {
        Err(_) | Ok("container") => Runtime::Container,
        Ok("firecracker") => Runtime::Firecracker,
        Ok(other) => panic!("CLARATEACH_E2E_RUNTIME is container or firecracker, not {other}"),
    }
}

/// As JSON and flags spell it.
pub fn runtime_name() -> &'static str {
    match runtime() {
        Runtime::Firecracker => "firecracker",
        Runtime::Container | Runtime::Unspecified => "container",
    }
}

/// Stops a story that cannot be told here, and says so.
#[macro_export]
macro_rules! house_or_skip {
    ($($argument:expr),*) => {{
        if let Some(why) = $crate::house::missing() {
            println!("SKIPPED: {}: {why}", module_path!());
            return;
        }
        $crate::House::start_with(&[$($argument),*]).await
    }};
}

/// Where images are, as the scripts put them.
#[allow(
    clippy::disallowed_methods,
    reason = "tests have no config.rs: this is their one setting"
)]
pub fn images() -> PathBuf {
    std::env::var("CLARATEACH_IMAGES")
        .map_or_else(|_| "/var/cache/clarateach/images".into(), PathBuf::from)
}

/// A binary of this workspace, beside the one that asks: a test lies one folder
/// deeper, a benchmark in the same.
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folders = own.ancestors().skip(1).take(2);
    let paths: Vec<_> = folders.map(|folder| folder.join(name)).collect();
    let found = paths.iter().find(|path| path.exists()).cloned();
    found.unwrap_or_else(|| panic!("{name} is missing: run `cargo build --workspace` first"))
}

/// A port that nobody has now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// What a control plane is told whose workers are VMs of a fake Google.
fn before(google: &FakeGce) -> Vec<String> {
    let flags = [
        "--provisioner",
        "gcp",
        "--gcp-project",
        "clarateach-test",
        "--gcp-service-account",
        "worker@clarateach-test.iam.gserviceaccount.com",
        "--gcp-endpoint",
        &google.url(),
        // A story cannot wait for two minutes.
        "--gcp-preemption-notice",
        "1",
    ];
    flags.map(str::to_owned).to_vec()
}

impl House {
    /// Starts a control plane for workers on this box, with these further flags.
    pub async fn start_with(extra: &[&str]) -> Self {
        let agent = binary("clarateach-agent").display().to_string();
        let mut local = vec!["--provisioner".to_owned(), "local".into()];
        local.extend(["--agent-bin".to_owned(), agent]);
        local.extend(["--images".to_owned(), images().display().to_string()]);
        local.extend(["--runtime".to_owned(), runtime_name().to_owned()]);
        local.extend(micro_vms::flags());
        Self::start_over(local, extra).await
    }

    /// Starts a control plane for workers in the cloud of a fake Google.
    pub async fn start_before(google: &FakeGce, extra: &[&str]) -> Self {
        Self::start_over(before(google), extra).await
    }

    async fn start_over(provisioner: Vec<String>, extra: &[&str]) -> Self {
        let mut house = Self::alone(provisioner, extra);
        house.start_server().await;
        house
    }

    /// The ground that a story has for itself, without a control plane: it starts its own.
    pub fn empty() -> Self {
        Self::alone(vec![], &[])
    }

    fn alone(provisioner: Vec<String>, extra: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let alone = fs::File::create("/run/lock/clarateach-e2e").unwrap();
        flock(&alone, FlockOperation::LockExclusive).unwrap();
        let canary = Canary::sing();
        let before = Traces::take();
        let port = free_port();
        Self {
            dir: tempfile::Builder::new()
                .prefix("clarateach-e2e-")
                .tempdir_in("/var/tmp")
                .unwrap(),
            server: None,
            provisioner,
            extra: extra.iter().map(ToString::to_string).collect(),
            before,
            url: format!("http://127.0.0.1:{port}"),
            canary,
            _alone: alone,
        }
    }

    /// What counts packets that no worker may send.
    pub fn canary(&self) -> &Canary {
        &self.canary
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Starts the server again, on the same port with the same data.
    pub async fn start_server(&mut self) {
        self.spawn_server(&[]);
        self.until_serving().await;
    }

    /// Starts the server with these flags for this time only, and does not wait.
    pub fn spawn_server(&mut self, once: &[&str]) {
        assert!(self.server.is_none(), "the server runs already");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("server.log"))
            .unwrap();
        let server = Command::new(binary("clarateach-server"))
            .arg("serve")
            .arg("--data-dir")
            .arg(self.data())
            .args(["--listen", self.url.trim_start_matches("http://")])
            .args(&self.provisioner)
            .args(&self.extra)
            .args(once)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(server);
    }

    /// Starts a control plane beside the house's own, on the same data directory, with
    /// these further flags; `name` is its log's.
    pub fn plane(&self, name: &str, flags: &[&str]) -> Plane {
        self.plane_in(&self.data(), name, flags)
    }

    fn plane_in(&self, data: &Path, name: &str, flags: &[&str]) -> Plane {
        let mut all = self.provisioner.clone();
        all.extend(flags.iter().map(ToString::to_string));
        Plane::start(data, all, &self.dir.path().join(format!("{name}.log")))
    }

    /// Starts a control plane with a data directory of its own, as on another machine: only
    /// the house's master key is copied there.
    pub fn plane_apart(&self, name: &str, flags: &[&str]) -> Plane {
        let folder = self.dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        // Its mode goes with it.
        fs::copy(self.data().join("master.key"), folder.join("master.key")).unwrap();
        self.plane_in(&folder, name, flags)
    }

    /// Starts a control plane before this fake of Google, with a data directory of its own.
    pub fn plane_before(&self, google: &FakeGce, name: &str, flags: &[&str]) -> Plane {
        let folder = self.dir.path().join(name);
        fs::create_dir(&folder).unwrap();
        let mut all = before(google);
        all.extend(flags.iter().map(ToString::to_string));
        Plane::start(&folder, all, &self.dir.path().join(format!("{name}.log")))
    }

    /// Waits until the server answers.
    pub async fn until_serving(&mut self) {
        let log = self.log();
        until("the server to answer", patience(), async || {
            if let Some(ended) = self.server.as_mut().unwrap().try_wait().unwrap() {
                panic!("the server ended ({ended}); its log is {log}");
            }
            let answer = self.json(Method::GET, "/api/health", None, "").await;
            match answer {
                Ok(answer) if answer.status() == 200 => Ok(()),
                Ok(answer) => Err(answer.status().to_string()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
    }

    /// The end of the server's log.
    pub fn log(&self) -> String {
        let text = fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// `kill -9` of the server.
    pub fn kill_server(&mut self) {
        let mut server = self.server.take().expect("the server runs");
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Waits until the server has ended by itself.
    pub async fn until_server_ended(&mut self) -> std::process::ExitStatus {
        let mut server = self.server.take().expect("the server runs");
        until("the server to end", patience(), async || {
            server.try_wait().unwrap().ok_or("still running")
        })
        .await
    }

    /// Whether the server has ended by itself; it is forgotten then.
    pub fn server_ended(&mut self) -> bool {
        let ended = match self.server.as_mut() {
            Some(server) => server.try_wait().unwrap().is_some(),
            None => true,
        };
        if ended {
            self.server = None;
        }
        ended
    }

    /// SIGTERM, and waits.
    pub async fn stop_server(&mut self) {
        let id = self.server.as_ref().expect("the server runs").id();
        let id = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.until_server_ended().await;
    }

    /// The server's process, if it runs.
    pub fn server(&self) -> Option<i32> {
        let server = self.server.as_ref()?;
        i32::try_from(server.id()).ok()
    }

    /// The admin's token.
    pub fn admin_token(&self) -> String {
        let text = fs::read_to_string(self.data().join("admin.token")).unwrap();
        text.trim().to_owned()
    }

    /// Asks the JSON face.
    pub async fn json(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: &str,
    ) -> std::io::Result<Response<Bytes>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        send(request.body(Bytes::from(body.to_owned())).unwrap(), "").await
    }

    /// A connection for clients of other services.
    pub async fn channel(&self) -> Channel {
        let endpoint = Channel::from_shared(self.url.clone()).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// An instructor's client with this token.
    pub async fn workshops_as(&self, token: &str) -> Workshops {
        WorkshopServiceClient::with_interceptor(self.channel().await, Bearer::of(token))
    }

    /// An instructor's client with the admin token.
    pub async fn workshops(&self) -> Workshops {
        self.workshops_as(&self.admin_token()).await
    }

    /// A learner's client.
    pub async fn seats(&self) -> SeatServiceClient<Channel> {
        SeatServiceClient::new(self.channel().await)
    }

    /// Ends everything that the workshop's first worker runs, at once, as when its machine is
    /// taken away. Of containers on this box.
    pub async fn lose_worker(&self, workshop: &str) {
        let worker = self.workshop(workshop).await.workers[0].name.clone();
        let run = self.data().join("workers").join(worker).join("run");
        let agent = fs::read_to_string(run.join("agent.pid")).unwrap();
        let mut all = vec![agent.trim().parse().unwrap()];
        for seat in fs::read_dir(run.join("runc")).unwrap() {
            let Ok(state) = fs::read_to_string(seat.unwrap().path().join("state.json")) else {
                continue;
            };
            let state: serde_json::Value = serde_json::from_str(&state).unwrap();
            all.push(i32::try_from(state["init_process_pid"].as_i64().unwrap()).unwrap());
        }
        assert!(all.len() > 1, "{} has no seats", run.display());
        for pid in all {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
    }

    /// What is asked for when nothing else matters.
    pub fn wish(name: &str, seats: u32) -> CreateWorkshopRequest {
        CreateWorkshopRequest {
            name: name.to_owned(),
            seats,
            runtime: runtime().into(),
            ..Default::default()
        }
    }

    /// Asks for a workshop and does not wait.
    pub async fn create(&self, name: &str, seats: u32) -> Workshop {
        let wish = Self::wish(name, seats);
        let answer = self.workshops().await.create_workshop(wish).await;
        answer.unwrap().into_inner()
    }

    /// Asks for a workshop and waits until every seat answers.
    pub async fn class(&self, name: &str, seats: u32) -> Workshop {
        let workshop = self.create(name, seats).await;
        self.until_status(&workshop.id, WorkshopStatus::Running)
            .await
    }

    /// One workshop, now.
    pub async fn workshop(&self, id: &str) -> Workshop {
        let request = GetWorkshopRequest { id: id.to_owned() };
        let answer = self.workshops().await.get_workshop(request).await;
        answer.unwrap().into_inner()
    }

    /// Waits until the workshop has this status.
    pub async fn until_status(&self, id: &str, status: WorkshopStatus) -> Workshop {
        let what = format!("workshop {id} to be {status:?}");
        until(&what, patience(), async || {
            let workshop = self.workshop(id).await;
            if workshop.status() == status {
                return Ok(workshop);
            }
            let seats: Vec<_> = workshop
                .seat_list
                .iter()
                .map(|seat| format!("{} {:?} {}", seat.seat, seat.state(), seat.reason))
                .collect();
            Err((workshop.status(), workshop.reason, workshop.workers, seats))
        })
        .await
    }

    /// Joins.
    pub async fn join(&self, code: &str, name: &str) -> Result<Learner, Status> {
        self.join_with(JoinWorkshopRequest {
            code: code.to_owned(),
            display_name: name.to_owned(),
            ..Default::default()
        })
        .await
    }

    /// Joins with more to say.
    pub async fn join_with(&self, request: JoinWorkshopRequest) -> Result<Learner, Status> {
        let answer = self.seats().await.join_workshop(request).await?;
        Ok(Learner::new(answer.into_inner()))
    }

    /// Deletes, and waits until it is gone.
    pub async fn delete(&self, id: &str) {
        let request = DeleteWorkshopRequest {
            id: id.to_owned(),
            ..Default::default()
        };
        let answer = self.workshops().await.delete_workshop(request).await;
        answer.unwrap();
        self.until_status(id, WorkshopStatus::Deleted).await;
    }

    /// The process ids of the agents of this house.
    pub fn agents(&self) -> Vec<i32> {
        let Ok(workers) = fs::read_dir(self.data().join("workers")) else {
            return Vec::new();
        };
        workers
            .filter_map(|worker| {
                let file = worker.ok()?.path().join("run/agent.pid");
                fs::read_to_string(file).ok()?.trim().parse().ok()
            })
            .collect()
    }

    /// What the house has left on the host so far.
    pub fn traces(&self) -> Vec<String> {
        Traces::take().since(&self.before, &self.data())
    }

    /// This house's programs by process id, as [`Traces`] tells them.
    pub fn programs(&self) -> Vec<(i32, String)> {
        let found = self.traces().into_iter();
        let program = |trace: &String| trace.starts_with("process ");
        let with_id = |trace: String| {
            let id = trace.split(' ').nth(1)?.parse().ok()?;
            Some((id, trace))
        };
        found.filter(program).filter_map(with_id).collect()
    }

    /// `clarateach-server down`: ends and removes everything.
    pub fn down(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
        if !self.data().exists() {
            return;
        }
        let done = Command::new(binary("clarateach-server"))
            .args(["down", "--data-dir"])
            .arg(self.data())
            .output()
            .unwrap();
        assert!(
            done.status.success() || std::thread::panicking(),
            "down failed: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    /// Ends and removes everything, and stops the test when something is left.
    pub fn close(mut self) {
        self.down();
        let left = self.traces();
        assert!(left.is_empty(), "left behind: {left:#?}");
        let hits = self.canary.hits();
        assert_eq!(
            hits, 0,
            "packets of workers towards a metadata server or a VPC"
        );
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- end of the server's log ---\n{}", self.log());
            for worker in fs::read_dir(self.data().join("workers"))
                .into_iter()
                .flatten()
            {
                let log = worker.unwrap().path().join("agent.log");
                let text = fs::read_to_string(&log).unwrap_or_default();
                let lines: Vec<_> = text.lines().rev().take(30).collect();
                println!("--- end of {} ---", log.display());
                lines.iter().rev().for_each(|line| println!("{line}"));
            }
        }
        self.down();
    }
}
