//! The peer of booting: `runc run` of the same root filesystem by hand.
//!
//! Way: a seat's own `config.json` -> the same with other paths, a container
//! each -> `runc run` -> both ports answer anything at all, or ([`Until::Open`])
//! the guest is told its secret, a terminal opens and the files are listed.
//! Overlays (on folders of the host) and networks (one
//! bridge) are made before the clock starts.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            fs::PermissionsExt,
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clarateach_proto::guest;
use prost::Message;
use rustix::{
    mount::{MountFlags, UnmountFlags, mount, unmount},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};
use serde_json::{Value, json};

/// A container that does not answer within this never will.
const PATIENCE: Duration = Duration::from_mins(1);
/// Between two looks at a port.
const LOOK: Duration = Duration::from_millis(5);
const BRIDGE_SPACE: &str = "ctdev-bench";
const CGROUP: &str = "ctdev-bench";
/// What these guests want to be told; nobody else can reach them.
const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const TERMINAL: &str = concat!(
    "GET /terminal?cols=80&rows=24 HTTP/1.1\r\nhost: guest\r\nupgrade: websocket\r\n",
    "connection: upgrade\r\nsec-websocket-version: 13\r\n",
    "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nclarateach-viewer: bench;drive\r\n",
    "clarateach-secret: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\r\n\r\n",
);
const FILES: &str = concat!(
    "GET / HTTP/1.1\r\nhost: guest\r\naccept: application/json\r\n",
    "clarateach-viewer: bench;drive\r\n",
    "clarateach-secret: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\r\n\r\n",
);

/// When a container counts as up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Both ports answer, if only to say that nobody configured the guest.
    Answers,
    /// A terminal is open, its shell started, and the files are listed.
    Open,
}

/// Containers ready to be run; removed when dropped.
pub struct Bare {
    dir: tempfile::TempDir,
    count: u32,
    terminals: Mutex<Vec<TcpStream>>,
}

impl Bare {
    /// Prepares `count` containers after `template`, the `config.json` of a
    /// seat, with `rootfs` below.
    pub fn prepare(template: &Value, rootfs: &Path, count: u32) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("clarateach-bare-")
            .tempdir_in("/var/tmp")?;
        // Root in a container is another user outside.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711))?;
        let bare = Self {
            dir,
            count,
            terminals: Mutex::default(),
        };
        bare.link()?;
        for number in 1..=count {
            bare.bundle(template, rootfs, number)
                .with_context(|| format!("could not prepare container {number}"))?;
        }
        Ok(bare)
    }

    /// Runs all of them, so many at once, and says how long it took until the
    /// last one was up.
    pub fn run(&self, at_once: usize, until: Until) -> anyhow::Result<Duration> {
        let next = AtomicU32::new(1);
        let failures = Mutex::new(Vec::new());
        let note = |done: anyhow::Result<()>, number: u32| {
            let done = done.with_context(|| format!("container {number} did not run"));
            let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.extend(done.err());
        };
        let note = &note;
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number > self.count {
                            return;
                        }
                        note(self.start(number), number);
                        // The next one need not wait until this one answers.
                        scope.spawn(move || note(self.wait(number, until), number));
                    }
                });
            }
        });
        let mut failures = failures
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = failures.pop() {
            return Err(first);
        }
        Ok(began.elapsed())
    }

    /// `runc run`, until it returns.
    fn start(&self, number: u32) -> anyhow::Result<()> {
        let bundle = self.bundle_dir(number);
        // The guest takes its control channel as descriptor 3, from anybody.
        let listener = UnixListener::bind(bundle.join("control.sock"))?;
        let log = fs::File::create(bundle.join("log"))?;
        let ran = Command::new("sh")
            .args([
                "-c",
                r#"exec 3<&0 0< /dev/null && exec "$@""#,
                "sh",
                "runc",
                "--root",
            ])
            .arg(self.dir.path().join("runc"))
            .args(["run", "--detach", "--preserve-fds", "1", "--bundle"])
            .arg(&bundle)
            .arg(name(number))
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(log.try_clone()?)
            .stderr(log)
            .status()?;
        ensure!(
            ran.success(),
            "runc failed: {}",
            fs::read_to_string(bundle.join("log")).unwrap_or_default()
        );
        Ok(())
    }

    fn wait(&self, number: u32, until: Until) -> anyhow::Result<()> {
        enter(BRIDGE_SPACE)?;
        if until == Until::Answers {
            for port in [3001, 3002] {
                until_answer((address(number), port).into(), FILES, b"HTTP/1.1 ")?;
            }
            return Ok(());
        }
        configure(&self.bundle_dir(number).join("control.sock"))?;
        let host = address(number);
        let terminal = until_answer((host, 3001).into(), TERMINAL, b"HTTP/1.1 101")?;
        until_answer((host, 3002).into(), FILES, b"HTTP/1.1 200")?;
        // Open until the container ends, as a learner's would be.
        self.terminals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(terminal);
        Ok(())
    }

    /// Ends all of them; they can be run again.
    pub fn stop(&self) {
        self.terminals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        for number in 1..=self.count {
            let _none = Command::new("runc")
                .arg("--root")
                .arg(self.dir.path().join("runc"))
                .args(["delete", "--force", &name(number)])
                .stderr(Stdio::null())
                .status();
            let _none = fs::remove_file(self.bundle_dir(number).join("control.sock"));
        }
    }

    /// One bridge in a namespace of its own, one namespace a container.
    fn link(&self) -> anyhow::Result<()> {
        let names: Vec<_> = (1..=self.count).map(name).collect();
        let outside = names.iter().map(|space| format!("netns add {space}\n"));
        let inside = names.iter().map(|space| {
            format!(
                "link add {space} type veth peer name eth0 netns {space}\n\
                 link set {space} master br0 up\n"
            )
        });
        let outside = format!("netns add {BRIDGE_SPACE}\n{}", outside.collect::<String>());
        let inside = format!(
            "link add br0 type bridge\naddr add 10.99.255.254/16 dev br0\nlink set br0 up\n{}",
            inside.collect::<String>()
        );
        ip(&[], &outside)?;
        ip(&["-n", BRIDGE_SPACE], &inside)?;
        for number in 1..=self.count {
            let of = format!(
                "addr add {}/16 dev eth0\nlink set eth0 up\nlink set lo up\n",
                address(number)
            );
            ip(&["-n", &name(number)], &of)?;
        }
        Ok(())
    }

    fn bundle(&self, template: &Value, rootfs: &Path, number: u32) -> anyhow::Result<()> {
        let bundle = self.bundle_dir(number);
        let root = bundle.join("root");
        let first_id = template
            .pointer("/linux/uidMappings/0/hostID")
            .and_then(Value::as_u64)
            .context("the template maps no ids")?
            + u64::from(number) * 65_536;
        for part in ["root", "upper", "work"] {
            fs::create_dir_all(bundle.join(part))?;
            let id = Some(u32::try_from(first_id)?);
            std::os::unix::fs::chown(bundle.join(part), id, id)?;
        }
        // The image's ids are not mapped here, so its root may not write in a
        // learner's home: that lies in the upper layer from the start.
        let learner = Some(u32::try_from(first_id)? + 1000);
        let home = bundle.join("upper/home/learner");
        fs::create_dir_all(home.join("workspace"))?;
        for part in [home.join("workspace"), home] {
            std::os::unix::fs::chown(part, learner, learner)?;
        }
        let layers = format!(
            "lowerdir={},upperdir={},workdir={}",
            rootfs.display(),
            bundle.join("upper").display(),
            bundle.join("work").display()
        );
        let layers = std::ffi::CString::new(layers)?;
        mount(
            "overlay",
            &root,
            "overlay",
            MountFlags::empty(),
            Some(layers.as_c_str()),
        )?;
        let mut config = template.clone();
        set(&mut config, "/root/path", json!(root))?;
        set(
            &mut config,
            "/linux/cgroupsPath",
            json!(format!("/{CGROUP}/{number}")),
        )?;
        set(&mut config, "/linux/uidMappings/0/hostID", json!(first_id))?;
        set(&mut config, "/linux/gidMappings/0/hostID", json!(first_id))?;
        let spaces = config
            .pointer_mut("/linux/namespaces")
            .and_then(Value::as_array_mut);
        for space in spaces.context("the template has no namespaces")? {
            if space["type"] == "network" {
                space["path"] = json!(format!("/run/netns/{}", name(number)));
            }
        }
        fs::write(bundle.join("config.json"), config.to_string())?;
        Ok(())
    }

    fn bundle_dir(&self, number: u32) -> PathBuf {
        self.dir.path().join(number.to_string())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.stop();
        for number in 1..=self.count {
            let _none = unmount(self.bundle_dir(number).join("root"), UnmountFlags::DETACH);
            let _none = ip(&[], &format!("netns del {}\n", name(number)));
        }
        let _none = ip(&[], &format!("netns del {BRIDGE_SPACE}\n"));
        for hierarchy in fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten()
        {
            let _none = fs::remove_dir(hierarchy.path().join(CGROUP));
        }
        let _none = fs::remove_dir(Path::new("/sys/fs/cgroup").join(CGROUP));
    }
}

fn name(number: u32) -> String {
    format!("ctdev-b{number}")
}

fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 99, 0, 0).to_bits() + number)
}

fn set(config: &mut Value, pointer: &str, to: Value) -> anyhow::Result<()> {
    let place = config.pointer_mut(pointer);
    *place.with_context(|| format!("the template has no {pointer}"))? = to;
    Ok(())
}

fn ip(arguments: &[&str], batch: &str) -> anyhow::Result<()> {
    let mut child = Command::new("ip")
        .args(arguments)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .context("could not start ip")?;
    let mut stdin = child.stdin.take().context("ip takes no input")?;
    stdin.write_all(batch.as_bytes())?;
    drop(stdin);
    let ended = child.wait()?;
    ensure!(ended.success(), "ip failed: {batch}");
    Ok(())
}

fn enter(space: &str) -> anyhow::Result<()> {
    let space = fs::File::open(format!("/run/netns/{space}"))?;
    move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

/// Tells the guest who it is; it answers once it is ready to serve.
fn configure(control: &Path) -> anyhow::Result<()> {
    let request = guest::Request {
        id: 1,
        verb: Some(guest::request::Verb::Configure(guest::Configure {
            hostname: "bare".into(),
            seat: 1,
            secret: SECRET.into(),
            ..Default::default()
        })),
    };
    let mut channel = UnixStream::connect(control).context("no control channel")?;
    channel.set_read_timeout(Some(PATIENCE))?;
    channel.write_all(&request.encode_length_delimited_to_vec())?;
    let mut length = [0];
    channel.read_exact(&mut length)?;
    ensure!(length[0] < 128, "the guest answered at length");
    let mut answer = vec![0; usize::from(length[0])];
    channel.read_exact(&mut answer)?;
    let answer = guest::Response::decode(answer.as_slice())?;
    let configured = matches!(answer.result, Some(guest::response::Result::Configured(_)));
    ensure!(configured, "the guest was not configured: {answer:?}");
    Ok(())
}

/// Asks until the answer starts as wanted; the connection it came on.
fn until_answer(address: SocketAddr, request: &str, wanted: &[u8]) -> anyhow::Result<TcpStream> {
    let began = Instant::now();
    loop {
        let why = match ask(address, request) {
            Ok((stream, start)) if start.starts_with(wanted) => return Ok(stream),
            Ok((_, start)) => String::from_utf8_lossy(&start).into_owned(),
            Err(error) => error.to_string(),
        };
        ensure!(
            began.elapsed() < PATIENCE,
            "{address} did not answer within {PATIENCE:?}: {why}"
        );
        std::thread::sleep(LOOK);
    }
}

fn ask(address: SocketAddr, request: &str) -> std::io::Result<(TcpStream, [u8; 12])> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(request.as_bytes())?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    Ok((stream, start))
}
