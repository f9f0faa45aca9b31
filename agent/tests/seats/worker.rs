//! A worker for tests: a network namespace with an uplink that leads nowhere,
//! and a fleet in it that can be killed.

// The other process is told where it is by the environment, and answers by
// printing; helpers of tests may fail as tests do.
// Not every program that shares this file needs all of it.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code
)]

mod census;
mod images;
mod steps;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use clarateach_agent::{
    fleet::{EpochReason, Fleet, FleetSettings},
    runtime::firecracker::FirecrackerSettings,
};
use clarateach_domain::{
    ids::SeatNo,
    limits::Asked,
    microvm::{MicroVmSpec, Resources, Runtime},
};

#[allow(unused_imports)] // as above
pub(crate) use self::{
    census::Census,
    steps::{Cut, Step},
};

/// Where the images are, unless `CLARATEACH_TEST_IMAGES` says otherwise.
const IMAGES: &str = "/var/cache/clarateach/images";
const PLACE: &str = "CLARATEACH_TEST_FLEET";
/// A program that stands where `runc` is for one fleet, if it is set.
const RUNC: &str = "CLARATEACH_TEST_RUNC";
static NEXT: AtomicU32 = AtomicU32::new(0);

/// One worker: a namespace and a run directory.
pub(crate) struct Worker {
    name: String,
    dir: tempfile::TempDir,
    run: PathBuf,
    uid_base: u32,
    runtime: Runtime,
    images: PathBuf,
    boot_within: Option<Duration>,
    /// Shell commands that the fleet's mount namespace begins with.
    prelude: String,
}

impl Worker {
    /// A worker for containers, unless this machine cannot have one: then it
    /// says why.
    pub(crate) fn new() -> Option<Self> {
        Self::of(Runtime::Container)
    }

    /// As [`Worker::new`], for MicroVMs.
    pub(crate) fn of_micro_vms() -> Option<Self> {
        Self::of(Runtime::Firecracker)
    }

    fn of(runtime: Runtime) -> Option<Self> {
        let tools: &[&str] = match runtime {
            Runtime::Container => &["runc", "nft", "ip", "mkfs.ext4", "unshare", "nsenter"],
            Runtime::Firecracker => &["nft", "ip", "mkfs.ext4", "unshare", "nsenter"],
        };
        let missing = if !rustix::process::geteuid().is_root() {
            Some("needs root".to_owned())
        } else if !images().join("guest-current").exists() || !images().join("current").exists() {
            Some(format!("no images in {}", images().display()))
        } else if runtime == Runtime::Firecracker {
            no_micro_vms()
        } else {
            None
        };
        let missing = missing.or_else(|| {
            tools
                .iter()
                .find(|tool| !run("sh", &["-c", &format!("command -v {tool}")]))
                .map(|tool| format!("no {tool}"))
        });
        if let Some(why) = missing {
            println!("SKIPPED: {why}");
            return None;
        }
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let number = std::process::id() % 10_000 * 10 + next;
        let name = format!("cta{number}");
        assert!(run("ip", &["netns", "add", &name]), "ip netns add");
        assert!(run("ip", &["-n", &name, "link", "set", "lo", "up"]));
        let uplink = ["-n", &name, "link", "add", "up0", "type", "bridge"];
        assert!(run("ip", &uplink), "ip link add");
        let dir = tempfile::tempdir().unwrap();
        // Far from other allocations, not the same for two stories at once, and all
        // of it below 2^31: above, the kernel ignores files' capabilities.
        let place = std::process::id().wrapping_mul(37).wrapping_add(next) % 85;
        let uid_base = 1_000_000_000 + place * 13_200_000;
        Some(Self {
            name,
            run: dir.path().join("run"),
            dir,
            uid_base,
            runtime,
            images: images(),
            boot_within: None,
            prelude: String::new(),
        })
    }

    /// What the fleet's mount namespace begins with, for it alone.
    pub(crate) fn begin_with(&mut self, prelude: &str) {
        prelude.clone_into(&mut self.prelude);
    }

    /// MicroVMs boot by themselves, and may take so long until their guest answers.
    pub(crate) fn boot_alone_within(&mut self, within: Duration) {
        self.boot_within = Some(within);
    }

    /// A fleet process in this worker.
    pub(crate) fn start(&self) -> FleetProcess {
        self.start_with(None)
    }

    /// As [`Worker::start`], with this shell script in place of `runc`; in it,
    /// `$RUNC` is the real one.
    pub(crate) fn start_with_runc(&self, script: &str) -> FleetProcess {
        let place = self.dir.path();
        let (copy, fake) = (place.join("real"), place.join("fake"));
        fs::copy(runc(), &copy).unwrap();
        let text = format!("#!/bin/sh\nRUNC={}\n{script}\n", copy.display());
        fs::write(&fake, text).unwrap();
        fs::set_permissions(&fake, PermissionsExt::from_mode(0o755)).unwrap();
        self.start_with(Some(fake))
    }

    fn start_with(&self, runc: Option<PathBuf>) -> FleetProcess {
        let mut fleet = self.spawn(runc);
        assert_eq!(fleet.read(), "started");
        fleet
    }

    /// Why a fleet does not start here.
    pub(crate) fn refused(&self) -> String {
        let said = self.spawn(None).read();
        let why = said.strip_prefix("refused: ").map(String::from);
        why.unwrap_or_else(|| panic!("it said {said:?}"))
    }

    fn spawn(&self, runc: Option<PathBuf>) -> FleetProcess {
        let place = format!(
            "{} {} {} {} {}",
            self.run_dir().display(),
            self.uid_base,
            self.cgroup(),
            self.runtime,
            self.boot_within.map_or(0, |within| within.as_secs())
        );
        // Not `ip netns exec`: it mounts a /sys of its own, without cgroups.
        let mut child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{}", self.name))
            .args(["unshare", "-m", "--propagation", "private"])
            .args(["sh", "-c", &format!("{}\nexec \"$@\"", self.prelude), "sh"])
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "fleet_process",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(PLACE, place)
            .envs(runc.map(|runc| (RUNC, runc)))
            .env("CLARATEACH_TEST_IMAGES", &self.images)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(self.diary())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        FleetProcess {
            child,
            stdin,
            stdout,
        }
    }

    /// Its network namespace.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The seats' cgroup.
    pub(crate) fn cgroup(&self) -> String {
        format!("clarateach-test/{}", self.name)
    }

    /// The run directory.
    pub(crate) fn run_dir(&self) -> PathBuf {
        self.run.clone()
    }

    /// What its fleets logged.
    pub(crate) fn logged(&self) -> String {
        fs::read_to_string(self.dir.path().join("fleet.log")).unwrap_or_default()
    }

    fn diary(&self) -> fs::File {
        let diary = self.dir.path().join("fleet.log");
        let mut options = fs::File::options();
        options.create(true).append(true).open(diary).unwrap()
    }

    /// Runs a command in the worker's network namespace and gives its output.
    pub(crate) fn inside(&self, command: &str) -> String {
        let output = Command::new("ip")
            .args(["netns", "exec", &self.name, "sh", "-c", command])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a command in a container's network, with all rights over it that its
    /// learner never has.
    pub(crate) fn in_seat(&self, slot: u32, command: &str) -> String {
        let pid = self.run_dir().join(format!("seats/{slot}/pid"));
        let net = format!(
            "--net=/proc/{}/ns/net",
            fs::read_to_string(pid).unwrap().trim()
        );
        let output = Command::new("nsenter")
            .args([&net, "sh", "-c", command])
            .output();
        String::from_utf8_lossy(&output.unwrap().stdout).into_owned()
    }

    /// Kills the first process of the slot's machine.
    pub(crate) fn kill_guest(&self, slot: u32) {
        let pid = self.run_dir().join(format!("seats/{slot}/pid"));
        let pid = fs::read_to_string(pid).unwrap();
        assert!(run("kill", &["-9", pid.trim()]), "kill");
    }

    /// The number of a MicroVM's VMM on this host.
    pub(crate) fn vmm(&self, slot: u32) -> u64 {
        let note = self.run_dir().join(format!("seats/{slot}/vmm.json"));
        let note: serde_json::Value = serde_json::from_slice(&fs::read(note).unwrap()).unwrap();
        note["pid"].as_u64().unwrap()
    }

    /// The numbers of all VMMs of this worker.
    pub(crate) fn vmms(&self) -> Vec<u64> {
        let named = |pid: &u64| {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm"));
            comm.is_ok_and(|comm| comm.trim_end() == "firecracker")
        };
        self.processes().into_iter().filter(named).collect()
    }

    /// The processes with a uid of this worker's seats, zombies apart.
    fn processes(&self) -> Vec<u64> {
        let ours = self.uid_base..self.uid_base + 201 * 65_536;
        let is_ours = |pid: &u64| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let uid: Option<u32> = status
                .lines()
                .find_map(|line| line.strip_prefix("Uid:"))
                .and_then(|uids| uids.split_whitespace().next()?.parse().ok());
            uid.is_some_and(|uid| ours.contains(&uid)) && !status.contains("State:\tZ")
        };
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(is_ours)
            .collect()
    }

    /// The memory of the templates that its MicroVMs were restored from, and the disks
    /// that they had mounted.
    pub(crate) fn template_files(&self) -> Vec<PathBuf> {
        let folder = self.images.join("snapshots");
        let files = |key: String| ["memory", "seat.ext4"].map(|name| folder.join(&key).join(name));
        self.templates()
            .into_iter()
            .flat_map(files)
            .filter(|file| file.exists())
            .collect()
    }

    /// The names of the templates that its MicroVMs were restored from.
    pub(super) fn templates(&self) -> BTreeSet<String> {
        let logged = self.logged();
        let restored = logged
            .lines()
            .filter(|line| line.contains("MicroVM restored"));
        let keys: BTreeSet<_> = restored
            .filter_map(|line| line.split_once("key=\"")?.1.split('"').next())
            .map(String::from)
            .collect();
        assert!(!keys.is_empty(), "nothing was restored");
        keys
    }

    /// Nothing of any seat is left: ports, cgroups, processes, disks, files.
    pub(crate) fn assert_empty(&self) {
        let within = Instant::now() + Duration::from_secs(10);
        let mut left = self.left();
        while !left.is_empty() && Instant::now() < within {
            std::thread::sleep(Duration::from_millis(20));
            left = self.left();
        }
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        let links = self.inside("ip -o link");
        left.extend(
            links
                .lines()
                .filter(|line| line.contains("ctp"))
                .map(String::from),
        );
        if let Ok(jails) = fs::read_dir(self.run_dir().join("jails/firecracker")) {
            left.extend(jails.map(|entry| entry.unwrap().path().display().to_string()));
        }
        let seats = fs::read_dir(self.run_dir().join("seats"));
        left.extend(
            seats
                .into_iter()
                .flatten()
                .map(|entry| entry.unwrap().path().display().to_string()),
        );
        let records = fs::read_dir(self.run_dir().join("runc"));
        left.extend(
            records
                .into_iter()
                .flatten()
                .map(|entry| entry.unwrap().path().display().to_string()),
        );
        for entry in fs::read_dir("/sys/fs/cgroup").unwrap() {
            let folder = entry.unwrap().path().join(self.cgroup());
            if let Ok(inside) = fs::read_dir(&folder) {
                let folders = inside
                    .filter_map(Result::ok)
                    .filter(|entry| entry.path().is_dir());
                left.extend(folders.map(|entry| entry.path().display().to_string()));
            }
        }
        left.extend(self.processes().iter().map(|pid| {
            let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("{} {pid}", comm.trim_end())
        }));
        for entry in fs::read_dir("/sys/block").unwrap() {
            let backing = entry.unwrap().path().join("loop/backing_file");
            let backing = fs::read_to_string(backing).unwrap_or_default();
            if backing.starts_with(self.dir.path().to_str().unwrap()) {
                left.push(backing);
            }
        }
        left
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the fleet logged:\n{}", self.logged());
        }
        // A story that failed half way leaves seats: end them by a last fleet, to
        // which one without a spec is rubbish.
        if !self.left().is_empty() {
            self.prelude.clear();
            for seat in fs::read_dir(self.run_dir().join("seats"))
                .into_iter()
                .flatten()
                .flatten()
            {
                let _gone = fs::remove_file(seat.path().join("spec.json"));
            }
            let mut fleet = self.start();
            // By their files: one that is slow to answer is not listed yet.
            for entry in fs::read_dir(self.run_dir().join("seats")).unwrap() {
                let spec = fs::read(entry.unwrap().path().join("spec.json"));
                let Ok(spec) =
                    serde_json::from_slice::<serde_json::Value>(&spec.unwrap_or_default())
                else {
                    continue; // swept
                };
                let removed = fleet.ask(&format!("remove {}", spec["seat"]));
                if removed != "ok" {
                    eprintln!("seat {} was not removed: {removed}", spec["seat"]);
                }
            }
        }
        run("ip", &["netns", "del", &self.name]);
        self.unmount();
        for entry in fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten()
        {
            let _gone = fs::remove_dir(entry.path().join(self.cgroup()));
            let _gone = fs::remove_dir(entry.path().join("clarateach-test"));
        }
    }
}

/// The `runc` that a fleet takes.
fn runc() -> PathBuf {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"];
    let mut places = places
        .map(|place| PathBuf::from(place).join("runc"))
        .into_iter();
    places.find(|place| place.exists()).unwrap()
}

fn images() -> PathBuf {
    std::env::var_os("CLARATEACH_TEST_IMAGES").map_or_else(|| IMAGES.into(), PathBuf::from)
}

pub(crate) fn run(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Where `scripts/fetch-firecracker.sh` put both binaries.
pub(crate) fn firecracker_dir() -> PathBuf {
    let all = std::env::var_os("CLARATEACH_FIRECRACKER_DIR").map_or_else(
        || PathBuf::from("/var/cache/clarateach/firecracker"),
        PathBuf::from,
    );
    let current = fs::read_to_string(all.join("current")).unwrap_or_default();
    all.join(current.trim())
}

/// Why there can be no MicroVM here, if there can be none.
fn no_micro_vms() -> Option<String> {
    let kvm = fs::File::options().read(true).write(true).open("/dev/kvm");
    if let Err(error) = kvm {
        return Some(format!("/dev/kvm does not open: {error}"));
    }
    if !firecracker_dir().join("jailer").exists() {
        return Some("no firecracker: scripts/fetch-firecracker.sh --tests".to_owned());
    }
    let there = |prefix: &str, end: &str| {
        fs::read_dir(images())
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                name.starts_with(prefix) && name.ends_with(end)
            })
    };
    let missing = !there("vmlinux-", "-current")
        || !there("base-", ".ext4.sha256")
        || !there("vmlinux-", ".sha256");
    missing.then(|| "no MicroVM images: scripts/build-guest.sh --firecracker".to_owned())
}

/// Whether KVM emulates ring 0 here, as the agent finds it out: such a host has no such processor, or is known by name.
pub(crate) fn kvm_emulates() -> bool {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has = |flag| processor.split_whitespace().any(|word| word == flag);
    !(has("vmx") || has("svm")) || fs::exists("/sys/module/kvm_pvm").unwrap_or(false)
}

/// A fleet in a process of its own.
pub(crate) struct FleetProcess {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl FleetProcess {
    /// Sends one line and reads the answer's one.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        writeln!(self.stdin, "{line}").unwrap();
        self.read()
    }

    /// Sends lines that are obeyed at the same time, and reads each one's answer.
    pub(crate) fn ask_together(&mut self, lines: &[String]) -> Vec<String> {
        let answers = self.ask(&format!("together {}", lines.join("\u{2}")));
        answers.split('\u{2}').map(String::from).collect()
    }

    /// Waits until the list of machines holds `text`, and gives that list. A seat
    /// that has failed and stays so ends the wait; the list may be a moment older
    /// than the answer that mends it.
    pub(crate) fn wait_for(&mut self, text: &str, within: Duration) -> String {
        self.wait_for_one_of(&[text.to_owned()], within)
    }

    /// The same, for the first of several texts.
    pub(crate) fn wait_for_one_of(&mut self, texts: &[String], within: Duration) -> String {
        const MENDED_WITHIN: Duration = Duration::from_secs(3);
        let until = Instant::now() + within;
        let mut well = Instant::now();
        loop {
            let list = self.ask("list");
            if texts.iter().any(|text| list.contains(text)) {
                return list;
            }
            let awaited = texts.iter().any(|text| text.contains("Failed"));
            if awaited || !list.contains("Failed") {
                well = Instant::now();
            }
            assert!(
                Instant::now() < until && well.elapsed() < MENDED_WITHIN,
                "none of {texts:?} within {within:?}: {list}"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks until it answers so.
    pub(crate) fn wait_exec(&mut self, line: &str, answer: &str) {
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            let said = self.ask(line);
            if said == answer {
                return;
            }
            assert!(Instant::now() < until, "{line}: {said}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Its number on this host.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as nobody can catch.
    pub(crate) fn kill(mut self) {
        // `nsenter` and `unshare` become the fleet by exec: it is this child.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn read(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let read = self.stdout.read_line(&mut line).unwrap();
            assert!(read > 0, "the fleet's process ended");
            // The test harness prints too.
            if let Some((_, answer)) = line.split_once("> ") {
                return answer.trim_end().to_owned();
            }
        }
    }
}

impl Drop for FleetProcess {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// The fleet's side, when this process was started as one.
pub(crate) fn fleet_here() {
    let Ok(place) = std::env::var(PLACE) else {
        return; // among the other tests it has nothing to do
    };
    let parts: Vec<&str> = place.split(' ').collect();
    let [dir, uid_base, cgroup, runtime, boot_within] = parts[..] else {
        panic!("{place}")
    };
    let settings = FleetSettings {
        run_dir: dir.into(),
        workshop: "ws-0123456789".parse().unwrap(),
        runtime: runtime.parse().unwrap(),
        images: images(),
        uid_base: uid_base.parse().unwrap(),
        cgroup: cgroup.to_owned(),
        firecracker: FirecrackerSettings {
            firecracker: firecracker_dir().join("firecracker"),
            jailer: firecracker_dir().join("jailer"),
            kernel: None,
            cold_boot: boot_within != "0",
            boot_within: boot_within
                .parse()
                .ok()
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            // What tests can fetch is old.
            accepted_version: firecracker_dir()
                .file_name()
                .map(|version| version.to_string_lossy().into_owned()),
        },
        uplink: "up0".to_owned(),
        closed: vec!["203.0.113.99/32".parse().unwrap()],
        nameservers: vec!["198.51.100.1".parse().unwrap()],
        boots_at_once: 4,
    };
    if let Ok(fake) = std::env::var(RUNC) {
        // In this process's own mount namespace, and gone with it.
        assert!(run("mount", &["--bind", &fake, runc().to_str().unwrap()]));
    }
    tracing_subscriber::fmt()
        .with_env_filter("clarateach_agent=debug")
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let fleet = match Fleet::start(settings).await {
            Ok(fleet) => fleet,
            Err(error) => return println!("> refused: {error:#}"),
        };
        println!("> started");
        for line in std::io::stdin().lines() {
            let line = line.unwrap();
            println!("> {}", obey(&fleet, &line).await);
        }
    });
}

async fn obey(fleet: &Fleet, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |at: usize| words[at].parse::<u64>().unwrap();
    let seat = |at: usize| -> SeatNo { words[at].parse().unwrap() };
    match words[0] {
        "ensure" => {
            let spec = MicroVmSpec {
                seat: seat(1),
                slot: u32::try_from(number(2)).unwrap().try_into().unwrap(),
                incarnation: number(3),
                epoch: number(3),
                resources: Resources {
                    vcpus: 1,
                    memory_mib: 256,
                    disk_mib: 256,
                },
                // A JSON object, if the line has one.
                limits: words.get(4).map_or_else(Asked::default, |limits| {
                    serde_json::from_str(limits).unwrap()
                }),
                seats_on_worker: 1,
                template: "base".to_owned(),
                env: [("GREETING".to_owned(), "hello".to_owned())].into(),
                workshop_name: "Test".to_owned(),
            };
            match fleet.ensure(spec).await {
                Ok(vm) => format!("{:?}", vm.state),
                Err(error) => error.to_string(),
            }
        }
        "remove" => {
            let grace = words.get(2).map_or(1, |grace| grace.parse().unwrap());
            match fleet.remove(seat(1), Duration::from_secs(grace)).await {
                Ok(()) => "ok".to_owned(),
                Err(error) => format!("{:#}", anyhow::Error::from(error)),
            }
        }
        "list" => {
            let list = fleet.watch().borrow().clone();
            let list: Vec<_> = list
                .iter()
                .map(|vm| {
                    format!(
                        "{} {:?} i{} e{} r{} q{} {}",
                        vm.seat,
                        vm.state,
                        vm.incarnation,
                        vm.epoch,
                        vm.restarts,
                        vm.queue_position,
                        vm.reason
                    )
                })
                .collect();
            list.join(";")
        }
        "egress" => {
            let egress = serde_json::from_str(&words[1..].join(" ")).unwrap();
            match fleet.walls().set_egress(&egress) {
                Ok(()) => "ok".to_owned(),
                Err(error) => format!("{:#}", anyhow::Error::from(error)),
            }
        }
        "look" => fleet
            .walls()
            .look(clarateach_agent::network::Look::Everything)
            .to_string(),
        "repairs" => {
            let standing = fleet.walls().standing().borrow().clone();
            let last = standing.last_drift.map(|(what, _)| what);
            format!(
                "{} {}{};",
                standing.repairs,
                last.unwrap_or_default(),
                standing.fault
            )
        }
        "epoch" => {
            let epochs = vec![(seat(1), number(2), EpochReason::Revoked)];
            match fleet.set_epochs(epochs).await {
                Ok(()) => "ok".to_owned(),
                Err(error) => error.to_string(),
            }
        }
        "log-has" => {
            let text = words[2..].join(" ");
            let log = fleet.log(seat(1)).await.unwrap_or_default();
            format!("{} of {}", log.matches(&text).count(), log.len())
        }
        "twice" => {
            let line = format!("ensure {}", words[1..].join(" "));
            let (one, two) =
                tokio::join!(Box::pin(obey(fleet, &line)), Box::pin(obey(fleet, &line)));
            format!("{one} {two}")
        }
        "remove-and" => {
            let remove = format!("remove {}", words[1]);
            let then = words[2..].join(" ");
            let (removed, then) =
                tokio::join!(Box::pin(obey(fleet, &remove)), Box::pin(obey(fleet, &then)));
            format!("{removed} {then}")
        }
        "together" => {
            let lines = line.split_once(' ').unwrap().1.split('\u{2}');
            let answers = lines.map(|line| Box::pin(obey(fleet, line)));
            futures_util::future::join_all(answers).await.join("\u{2}")
        }
        "log" => match fleet.log(seat(1)).await {
            Some(log) => format!("{} bytes", log.len()),
            None => "none".to_owned(),
        },
        "life" => match fleet.door(seat(1)) {
            Some(door) => format!("{:?}", *door.life.borrow()),
            None => "none".to_owned(),
        },
        "http" => {
            let door = fleet.door(seat(1)).unwrap();
            let url = format!("http://{}:{}/health", door.address, number(2));
            let secret = format!("clarateach-secret: {}", door.secret);
            let format = ["-s", "-m", "300", "-o", "/dev/null", "-w", "%{http_code}"];
            let curl = tokio::process::Command::new("curl")
                .args(format)
                .args(["-H", &secret, &url])
                .output();
            String::from_utf8(curl.await.unwrap().stdout).unwrap()
        }
        "put" => {
            let door = fleet.door(seat(1)).unwrap();
            let url = format!("http://{}:3002/{}", door.address, words[3]);
            let secret = format!("clarateach-secret: {}", door.secret);
            let curl = tokio::process::Command::new("curl")
                .args(["-sS", "-m", "300", "-w", "%{http_code}", "-o", "/dev/null"])
                .args(["-H", &secret, "-H", "clarateach-viewer: t;drive"])
                .args(["-T", words[2], &url])
                .output();
            String::from_utf8(curl.await.unwrap().stdout).unwrap()
        }
        "exec" => {
            // One line is one request: lines of a script come with another sign.
            let line = line.replace('\u{1}', "\n");
            let words: Vec<&str> = line.split(' ').collect();
            let door = fleet.door(seat(1)).unwrap();
            let url = format!("http://{}:3001/exec", door.address);
            let secret = format!("clarateach-secret: {}", door.secret);
            let body = serde_json::json!({ "command": words[2..].join(" ") }).to_string();
            let curl = tokio::process::Command::new("curl")
                .args([
                    "-sS",
                    "-m",
                    "600",
                    "-H",
                    &secret,
                    "-H",
                    "clarateach-viewer: t;drive",
                ])
                .args(["-H", "content-type: application/json", "-d", &body, &url])
                .output()
                .await
                .unwrap();
            if curl.status.success() {
                return said(&curl.stdout);
            }
            // Why a machine does not answer is best told by its own log.
            let why = String::from_utf8_lossy(&curl.stderr).into_owned();
            let log = fleet.log(seat(1)).await.unwrap_or_default();
            let last: Vec<_> = log.lines().rev().take(40).collect();
            let last: Vec<_> = last.into_iter().rev().collect();
            format!("{} its log: {}", why.trim(), last.join("|")).replace('\n', "|")
        }
        other => panic!("{other}"),
    }
}

/// What a command printed and how it ended, in one line.
fn said(answer: &[u8]) -> String {
    use base64::Engine as _;
    let mut said = String::new();
    for line in String::from_utf8_lossy(answer).lines() {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else {
            return format!("not JSON: {line}");
        };
        for stream in ["stdout", "stderr"] {
            if let Some(text) = line[stream].as_str() {
                let bytes = base64::engine::general_purpose::STANDARD
                    .decode(text)
                    .unwrap();
                said.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        if let Some(code) = line.get("exit_code") {
            said.extend(["[", &code.to_string(), "]"]);
        }
        if let Some(error) = line.get("error") {
            said.push_str(&error.to_string());
        }
    }
    said.replace('\n', "|")
}
