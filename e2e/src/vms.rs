//! What stands behind the fake Google's instances: a network namespace each, with the
//! instance's outside address, its own metadata server and the real agent in it.
//!
//! Way: [`Machines`] -> namespace and veth -> metadata server at 169.254.169.254 in it
//! -> `clarateach-agent serve-vm`. Stopped, everything in it is killed and its run
//! directory stays, as a VM's disk does.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::{self, File},
    io::ErrorKind,
    net::{IpAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    fake_gce::{Machine, Machines},
    fake_metadata::{About, FakeMetadata, Keys},
    house::{binary, images},
    micro_vms,
};

/// The project of all instances, as the fake's configuration has it by default.
const PROJECT: (&str, u64) = ("clarateach-test", 123_456_789_012);
/// This end of every veth.
const HOST: &str = "10.214.255.254";

/// The outside addresses of instances: routed by this host, nobody else's. One that a run
/// which was killed left a route for would lead to its machine.
pub fn addresses() -> Vec<IpAddr> {
    addresses_of(0)
}

/// The same for one of several fakes that stand at once, counted from 0.
pub fn addresses_of(fake: u8) -> Vec<IpAddr> {
    let routes = said("ip", &["route"]);
    let taken = |address: &IpAddr| {
        let address = address.to_string();
        routes.split_whitespace().any(|word| word == address)
    };
    let all = (1..=50).map(|n| [10, 214, fake, n].into());
    all.filter(|address| !taken(address)).collect()
}

/// Real workers behind instances.
pub struct Vms {
    dir: PathBuf,
    keys: Arc<Keys>,
    running: Mutex<HashMap<String, Vm>>,
    /// Those that are not told of their end.
    silent: Mutex<HashSet<String>>,
}

struct Vm {
    agent: Child,
    metadata: FakeMetadata,
}

impl Vms {
    /// None yet; their disks will lie below `dir`.
    pub fn new(dir: &Path, keys: Arc<Keys>) -> Arc<Self> {
        Arc::new(Self {
            dir: dir.to_owned(),
            keys,
            running: Mutex::default(),
            silent: Mutex::default(),
        })
    }

    /// Its metadata server says no word of what comes, from now until it boots again.
    pub fn silence(&self, name: &str) {
        self.silent.lock().unwrap().insert(name.to_owned());
    }

    /// Sends a signal to the agents of all that run: to sleep, and to wake up.
    pub fn signal(&self, signal: Signal) {
        for vm in self.running.lock().unwrap().values() {
            let id = Pid::from_raw(i32::try_from(vm.agent.id()).unwrap()).unwrap();
            kill_process(id, signal).unwrap();
        }
    }

    /// The end of what a worker's agent logged.
    pub fn log(&self, name: &str) -> String {
        let text = fs::read_to_string(self.disk(name).join("agent.log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn disk(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn end(&self, name: &str) {
        if let Some(mut vm) = self.running.lock().unwrap().remove(name) {
            let _ended = vm.agent.kill();
            let _reaped = vm.agent.wait();
        }
        let netns = netns(name);
        // Everything in it, until nothing is: what forks meanwhile is in the next look. Seats
        // have namespaces of their own, and are found by their groups.
        for _ in 0..500 {
            let inside = said("ip", &["netns", "pids", &netns]) + &groups(name, &READ);
            let pids: BTreeSet<_> = inside.split_whitespace().collect();
            if pids.is_empty() {
                break;
            }
            let _killed = Command::new("kill")
                .arg("-9")
                .args(pids)
                .stderr(Stdio::null())
                .status();
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        groups(name, &["-type", "d", "-exec", "rmdir", "{}", "+"]);
        // The veth first: a namespace takes its own with it only some time later.
        for what in [["link", "delete", &port(name)], ["netns", "delete", &netns]] {
            let _gone = Command::new("ip").args(what).stderr(Stdio::null()).status();
        }
    }

    fn start(&self, machine: &Machine) {
        let name = machine.name.as_str();
        let (netns, disk) = (netns(name), self.disk(name));
        let nat = machine.nat.expect("it has an address").to_string();
        fs::create_dir_all(&disk).unwrap();
        let port = port(name);
        for line in [
            format!("netns add {netns}"),
            format!("link add {port} type veth peer name up0 netns {netns}"),
            format!("addr add {HOST} peer {nat}/32 dev {port}"),
            format!("link set {port} up"),
            format!("-n {netns} link set lo up"),
            format!("-n {netns} addr add 169.254.169.254/32 dev lo"),
            format!("-n {netns} addr add {nat} peer {HOST}/32 dev up0"),
            format!("-n {netns} link set up0 up"),
            format!("-n {netns} route add default via {HOST} dev up0"),
        ] {
            let done = Command::new("ip").args(line.split(' ')).output().unwrap();
            assert!(done.status.success(), "ip {line}: {done:?}");
        }
        let about = About::machine(machine, PROJECT.0, PROJECT.1);
        let listener = listener_in(&netns);
        let metadata = FakeMetadata::start_on(listener, about, self.keys.clone());
        let log = File::options()
            .create(true)
            .append(true)
            .open(disk.join("agent.log"))
            .unwrap();
        // Not `ip netns exec`: that hides the host's control groups. What an agent mounts is
        // its own VM's: several stand at once.
        let agent = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{netns}"))
            .args(["unshare", "--mount", "--propagation", "private"])
            .arg(binary("clarateach-agent"))
            .args(["serve-vm", "--run-dir"])
            .arg(disk.join("run"))
            .arg("--images")
            .arg(images())
            .args(["--cgroup", &format!("clarateach/{name}")])
            .args(micro_vms::flags())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let vm = Vm { agent, metadata };
        self.running.lock().unwrap().insert(name.to_owned(), vm);
    }
}

#[async_trait]
impl Machines for Vms {
    async fn boot(&self, machine: &Machine) {
        self.end(&machine.name);
        self.silent.lock().unwrap().remove(&machine.name);
        self.start(machine);
    }

    async fn notice(&self, machine: &Machine) {
        if self.silent.lock().unwrap().contains(&machine.name) {
            return;
        }
        if let Some(vm) = self.running.lock().unwrap().get(&machine.name) {
            vm.metadata.preempt();
        }
    }

    async fn stop(&self, machine: &Machine) {
        self.end(&machine.name);
    }

    async fn delete(&self, machine: &Machine) {
        self.end(&machine.name);
        let disk = self.disk(&machine.name);
        unmount_below(&disk);
        match fs::remove_dir_all(&disk) {
            Err(never) if never.kind() == ErrorKind::NotFound => {} // it never booted
            gone => gone.unwrap(),
        }
    }
}

impl Drop for Vms {
    fn drop(&mut self) {
        let names: Vec<_> = self.running.lock().unwrap().keys().cloned().collect();
        for name in names {
            println!(
                "--- end of the log of {name}'s agent ---\n{}",
                self.log(&name)
            );
            self.end(&name);
        }
        unmount_below(&self.dir);
    }
}

fn netns(name: &str) -> String {
    format!("ct-vm-{name}")
}

/// This end of its veth: several machines stand at once.
fn port(name: &str) -> String {
    let id: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("ctv{}", &id[id.len().saturating_sub(11)..])
}

/// What is in its control groups.
const READ: [&str; 6] = ["-name", "cgroup.procs", "-exec", "cat", "{}", "+"];

/// What `find` says of the control groups of a machine, the innermost first.
fn groups(name: &str, what: &[&str]) -> String {
    let (own, below) = (
        format!("*/clarateach/{name}"),
        format!("*/clarateach/{name}/*"),
    );
    let which = [
        "/sys/fs/cgroup",
        "-depth",
        "(",
        "-path",
        &own,
        "-o",
        "-path",
        &below,
        ")",
    ];
    said("find", &[&which, what].concat())
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A disk that is still mounted would be removed with what is on it.
fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let below = |line: &&str| {
        line.split(' ')
            .nth(1)
            .is_some_and(|at| Path::new(at).starts_with(folder))
    };
    for line in mounts.lines().filter(below) {
        let at = line.split(' ').nth(1).unwrap_or_default();
        let _done = Command::new("umount").args(["--lazy", at]).status();
    }
}

/// The metadata server's door in a namespace. A thread of its own goes there: the
/// socket stays where it was made.
fn listener_in(netns: &str) -> tokio::net::TcpListener {
    let path = format!("/run/netns/{netns}");
    let bound = std::thread::spawn(move || {
        let space = File::open(path).unwrap();
        rustix::thread::move_into_link_name_space(
            std::os::fd::AsFd::as_fd(&space),
            Some(rustix::thread::LinkNameSpaceType::Network),
        )
        .unwrap();
        TcpListener::bind("169.254.169.254:80").unwrap()
    });
    let listener = bound.join().unwrap();
    listener.set_nonblocking(true).unwrap();
    tokio::net::TcpListener::from_std(listener).unwrap()
}
