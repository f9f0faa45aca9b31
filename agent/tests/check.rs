//! `clarateach-agent check` as an operator runs it: of a host, of the real MicroVM
//! of a seat, and of a worker's walls.

// Helpers of tests may fail as tests do; where a story cannot run it says so.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "seats/worker.rs"]
mod worker;
#[path = "network/world.rs"]
mod world;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use worker::{Worker, firecracker_dir, fleet_here};
use world::World;

/// A template's boot and a restore, on a host that emulates and is busy.
const BOOT: Duration = Duration::from_secs(400);
const CPU: &str = "/sys/devices/system/cpu";

/// Not a story: the other process of them all.
#[test]
fn fleet_process() {
    fleet_here();
}

/// Name, verdict and what was found of each line, and whether it ended with 0.
struct Answer {
    lines: Vec<serde_json::Value>,
    well: bool,
}

impl Answer {
    fn of<Argument: AsRef<OsStr>>(arguments: &[Argument]) -> Self {
        let told = Command::new(env!("CARGO_BIN_EXE_clarateach-agent"))
            .args(["check", "--json"])
            .args(arguments)
            .env_remove("AGENT_RUN_DIR")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&told.stdout);
        let answer: serde_json::Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}{told:?}"));
        let well = told.status.success();
        assert_eq!(answer["ok"], well);
        let lines = answer["lines"].as_array().unwrap().clone();
        for line in &lines {
            println!("{line}");
        }
        Self { lines, well }
    }

    /// Of the worker's network; a server that is there and listens is named.
    fn of_network(worker: &Worker) -> Self {
        let run_dir = worker.run_dir();
        Self::of(&[
            OsStr::new("--network"),
            OsStr::new("--run-dir"),
            run_dir.as_os_str(),
            OsStr::new("--server"),
            OsStr::new("203.0.113.10:80"),
        ])
    }

    fn named(&self, verdict: &str) -> BTreeSet<&str> {
        let lines = self.lines.iter().filter(|line| line["verdict"] == verdict);
        lines.map(|line| line["name"].as_str().unwrap()).collect()
    }
}

#[test]
fn a_host_that_lacks_parts_is_told_of_all_of_them_at_once() {
    let empty = tempfile::tempdir().unwrap();
    let none = empty.path().join("none");
    let told = Answer::of(&[
        OsStr::new("--images"),
        empty.path().as_os_str(),
        OsStr::new("--firecracker-bin"),
        none.as_os_str(),
        OsStr::new("--jailer-bin"),
        OsStr::new("/bin/true"),
    ]);
    assert!(!told.well);
    let missing = told.named("MISSING");
    for part in [
        "firecracker",
        "kernel",
        "root filesystem",
        "base disk",
        "boot disk",
    ] {
        assert!(missing.contains(part), "{part}: {missing:?}");
    }
    let wrong = told.named("WRONG");
    assert!(
        wrong.contains("jailer") && wrong.contains("versions"),
        "{wrong:?}"
    );
    // It went on to the end, and says what to do.
    assert_eq!(told.lines.last().unwrap()["name"], "smt");
    for line in &told.lines {
        let bad = matches!(line["verdict"].as_str(), Some("MISSING" | "WRONG"));
        assert!(!bad || line["advice"].is_string(), "{line}");
    }
    let container = Answer::of(&["--runtime", "container", "--images", "/none"]);
    assert!(container.named("MISSING").contains("guest"));
    assert!(!container.lines.iter().any(|line| line["name"] == "kvm"));
}

#[test]
fn a_host_that_can_run_micro_vms_is_told_so() {
    let Some(worker) = Worker::of_micro_vms() else {
        return;
    };
    // The runtime itself says so too, or this would panic.
    drop(worker.start());
    let told = Answer::of(&parts());
    assert!(told.well);
    let good = told.named("OK");
    for part in ["kvm", "firecracker", "jailer", "kernel", "nftables", "tun"] {
        assert!(good.contains(part), "{part}: {good:?}");
    }
    worker.assert_empty();
}

#[test]
fn every_hardening_of_a_micro_vm_holds_or_is_not_to_be_had_here() {
    let Some(worker) = Worker::of_micro_vms() else {
        return;
    };
    let mut fleet = worker.start();
    fleet.ask("ensure 3 2 1");
    fleet.wait_for("3 Ready", BOOT);
    let check = || {
        let mut arguments = parts();
        let run_dir = worker.run_dir().display().to_string();
        arguments.extend(["--seat", "3", "--run-dir", &run_dir].map(String::from));
        Answer::of(&arguments)
    };
    let told = check();
    assert_eq!(told.named("FAILS"), BTreeSet::new());
    assert!(told.well);
    assert_eq!(told.named("NOT-HERE"), not_here_on_this_host());
    let items: BTreeSet<_> = told
        .lines
        .iter()
        .map(|line| line["item"].as_u64())
        .collect();
    assert_eq!(items, (1..=13).map(Some).collect());

    // What is undone is seen.
    let vmm = worker.vmm(2);
    let disk = worker.run_dir().join("seats/2/disk.img");
    let planted = PathBuf::from(format!("/proc/{vmm}/root/planted"));
    let memory = Path::new("/sys/fs/cgroup/memory");
    let outside = if memory.is_dir() {
        memory
    } else {
        Path::new("/sys/fs/cgroup")
    };
    let own = own_cgroup(vmm, outside);
    let shell = |command: &str| {
        let done = Command::new("sh").args(["-c", command]).status().unwrap();
        assert!(done.success(), "{command}");
    };
    let (disk, planted) = (disk.display(), planted.display());
    let (outside, own) = (outside.display(), own.display());
    for (undo, redo, seen) in [
        (
            format!("chmod 666 {disk}"),
            format!("chmod 600 {disk}"),
            "overlay",
        ),
        (
            format!("touch {planted}"),
            format!("rm {planted}"),
            "clean jail",
        ),
        (
            format!("echo {vmm} > {outside}/cgroup.procs"),
            format!("echo {vmm} > {own}/cgroup.procs"),
            "memory limit",
        ),
    ] {
        shell(&undo);
        let told = check();
        shell(&redo);
        assert!(told.named("FAILS").contains(seen), "{undo}");
        assert!(!told.well, "{undo}");
    }
    assert_eq!(check().named("FAILS"), BTreeSet::new());

    // Its network is its guest's: judged from outside.
    let told = Answer::of_network(&worker);
    assert_eq!(told.named("FAILS"), BTreeSet::new());
    for row in ["metadata", "another seat", "agent to seat"] {
        assert!(told.named("HOLDS").contains(row), "{row}");
    }
    fleet.kill();
    worker.inside("ip link set ctp2 type bridge_slave isolated off");
    let told = Answer::of_network(&worker);
    for row in ["port pins", "metadata"] {
        assert!(told.named("FAILS").contains(row), "{row}");
    }
    let mut fleet = worker.start();
    fleet.wait_for("3 Ready", BOOT);
    assert_eq!(fleet.ask("remove 3"), "ok");
    worker.assert_empty();
}

/// The rows of walls that were flushed away; another seat is still shut off by its
/// port.
const FLUSHED: [&str; 14] = [
    "rule set",
    "policy drop",
    "metadata",
    "agent",
    "ssh",
    "worker",
    "private",
    "carrier nat",
    "link-local",
    "reserved",
    "external address",
    "mail",
    "internet",
    "resolver",
];

#[test]
fn walls_that_stand_are_told_from_walls_that_fell() {
    let Some(worker) = Worker::new() else { return };
    let world = World::behind(&worker);
    let mut fleet = worker.start();
    for seat in 1..=2 {
        fleet.ask(&format!("ensure {seat} {seat} 1"));
    }
    for seat in 1..=2 {
        fleet.wait_for(&format!("{seat} Ready"), Duration::from_mins(1));
    }
    let none = BTreeSet::new();
    for policy in [
        r#"{"mode":"internet"}"#,
        r#"{"mode":"none"}"#,
        r#"{"mode":"allow_list","allow":["open.test","203.0.113.8/29"]}"#,
    ] {
        assert_eq!(fleet.ask(&format!("egress {policy}")), "ok");
        let told = Answer::of_network(&worker);
        assert_eq!(told.named("FAILS"), none, "{policy}");
        assert_eq!(told.named("NOT-HERE"), none, "{policy}");
        assert!(told.well);
    }
    assert_eq!(fleet.ask(r#"egress {"mode":"internet"}"#), "ok");
    assert_eq!(world.hits(), [], "what arrived where nothing may");
    assert_eq!(fleet.ask("repairs"), "0 ;", "the check is no drift");

    // Nobody watches any more: all stands, but nobody answers for names.
    fleet.kill();
    let told = Answer::of_network(&worker);
    assert_eq!(told.named("FAILS"), BTreeSet::from(["resolver"]));
    for (undo, fails) in [
        (
            "ip link set ctp1 type bridge_slave learning on",
            "port pins",
        ),
        (
            "bridge fdb del 02:c1:a2:00:00:02 dev ctp2 master",
            "forwarding",
        ),
        ("ip neigh del 192.168.100.12 dev clarateach0", "neighbours"),
        ("sysctl -qw net.ipv6.conf.ctp1.disable_ipv6=0", "ipv6 off"),
        ("nft insert rule inet clarateach forward accept", "rule set"),
        (
            "sysctl -qw net.ipv4.conf.clarateach0.send_redirects=1",
            "switches",
        ),
    ] {
        assert_eq!(worker.inside(&format!("({undo}) 2>&1")), "", "{undo}");
        let told = Answer::of_network(&worker);
        assert!(told.named("FAILS").contains(fails), "{undo}");
        assert!(!told.well);
    }
    worker.inside("nft flush ruleset");
    let told = Answer::of_network(&worker);
    for row in FLUSHED {
        assert!(told.named("FAILS").contains(row), "{row}");
    }
    assert!(told.named("HOLDS").contains("another seat"));
    worker.inside(
        "for port in /sys/class/net/ctp*; do
           ip link set ${port##*/} type bridge_slave isolated off learning on flood on bcast_flood on
         done",
    );
    let told = Answer::of_network(&worker);
    assert!(told.named("FAILS").contains("another seat"));

    // The next agent puts all of it right.
    let mut fleet = worker.start();
    assert_eq!(fleet.ask(r#"egress {"mode":"internet"}"#), "ok");
    for seat in 1..=2 {
        fleet.wait_for(&format!("{seat} Ready"), Duration::from_mins(1));
    }
    assert_eq!(fleet.ask("look"), "true");
    let told = Answer::of_network(&worker);
    assert_eq!(told.named("FAILS"), none);
    for seat in 1..=2 {
        assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
    }
}

/// Where the parts of this machine's MicroVMs are.
fn parts() -> Vec<String> {
    let folder = firecracker_dir();
    let images = std::env::var_os("CLARATEACH_TEST_IMAGES")
        .map_or_else(|| "/var/cache/clarateach/images".into(), PathBuf::from);
    let version = folder.file_name().unwrap().display().to_string();
    [
        ("--images", images.display().to_string()),
        (
            "--firecracker-bin",
            folder.join("firecracker").display().to_string(),
        ),
        ("--jailer-bin", folder.join("jailer").display().to_string()),
        ("--firecracker-accept", version),
    ]
    .into_iter()
    .flat_map(|(flag, value)| [flag.to_owned(), value])
    .collect()
}

/// The folder of the process's cgroup in this hierarchy.
fn own_cgroup(pid: u64, hierarchy: &Path) -> PathBuf {
    let all = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let whole = hierarchy.file_name().is_some_and(|name| name == "cgroup");
    let path = all.lines().find_map(|line| {
        let (_number, rest) = line.split_once(':')?;
        let (names, path) = rest.split_once(':')?;
        let right = if whole {
            names.is_empty()
        } else {
            names == "memory"
        };
        right.then_some(path)
    });
    hierarchy.join(path.unwrap().trim_start_matches('/'))
}

/// What this host cannot do, or was not set to do, by what it is and never by
/// its name.
fn not_here_on_this_host() -> BTreeSet<&'static str> {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let there = |path: &str| Path::new(path).exists();
    let is_virtual = text("/proc/cpuinfo").contains(" hypervisor");
    let vulnerable =
        |path: &Path| fs::read_to_string(path).is_ok_and(|state| state.starts_with("Vulnerable"));
    let holes = fs::read_dir(format!("{CPU}/vulnerabilities"))
        .into_iter()
        .flatten()
        .any(|entry| vulnerable(&entry.unwrap().path()));
    let version_2 = text("/sys/fs/cgroup/cgroup.controllers");
    let one_hierarchy = version_2.contains("memory");
    let below = |name: &str| {
        let mut folders = fs::read_dir("/sys/fs/cgroup").unwrap();
        folders.any(|entry| entry.unwrap().path().join(name).exists())
    };
    let counts_swap = if one_hierarchy {
        below("memory.swap.max")
    } else {
        there("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
    };
    let limits_disks = if one_hierarchy {
        version_2.contains("io")
    } else {
        there("/sys/fs/cgroup/blkio")
    };
    let ticks = fs::read_dir("/proc").unwrap().any(|entry| {
        let comm = entry.unwrap().path().join("comm");
        fs::read_to_string(comm).is_ok_and(|comm| comm.starts_with("kvm-pit/"))
    });
    let loud = text("/proc/sys/kernel/printk");
    let loud = loud
        .split_whitespace()
        .next()
        .and_then(|level| level.parse().ok());
    [
        // What tests can fetch without the release page is old.
        ("known holes", firecracker_dir().ends_with("1.12.1")),
        ("swap limit", !counts_swap),
        (
            "io limit",
            !limits_disks || !on_a_device(&std::env::temp_dir()),
        ),
        ("kvm-pit", !ticks),
        ("host swap", text("/proc/swaps").lines().count() > 1),
        ("ksm", text("/sys/kernel/mm/ksm/run").trim() == "1"),
        (
            "smt",
            is_virtual || text(&format!("{CPU}/smt/active")).trim() == "1",
        ),
        (
            "microcode",
            is_virtual || vulnerable(&Path::new(CPU).join("vulnerabilities/old_microcode")),
        ),
        (
            "mitigations",
            holes || text("/proc/cmdline").contains("mitigations=off"),
        ),
        ("quiet console", loud.is_none_or(|level: u32| level > 4)),
    ]
    .into_iter()
    .filter_map(|(name, not_here)| not_here.then_some(name))
    .collect()
}

fn on_a_device(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = fs::metadata(folder).unwrap().dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    Path::new(&format!("/sys/dev/block/{major}:{minor}")).exists()
}
