//! The OCI runtime's `config.json` for one seat, from a pure function.

use clarateach_domain::{limits::Limits, microvm::MicroVmSpec};
use serde_json::{Value, json};

use super::{super::cgroups, seccomp, stage::IDS};

/// Where the guest's binary is in every root filesystem.
pub(super) const GUEST: &str = "/usr/lib/clarateach/guest";

/// What root in a guest may do within its own namespaces: what `sudo`, `apt`
/// and PID 1 need, and not `SYS_ADMIN`, `SYS_MODULE`, `SYS_PTRACE` or `NET_ADMIN`.
/// `NET_RAW` and `NET_BIND_SERVICE` count for nothing in a network namespace that
/// is not the guest's own, but `ping` would not start without the first.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
    "CAP_SYS_NICE",
];

/// What of the configuration differs between seats and hosts.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    /// The seat.
    pub(super) spec: &'a MicroVmSpec,
    /// What it may take.
    pub(super) allowed: Limits,
    /// The same for the device below its disk, if that can be limited.
    pub(super) block_io: Option<Value>,
    /// Its root, put together.
    pub(super) root: &'a str,
    /// The guest's binary on the host.
    pub(super) guest: &'a str,
    /// The seat's network namespace.
    pub(super) network: &'a str,
    /// The seat's cgroup, below every hierarchy's root.
    pub(super) cgroup: &'a str,
    /// The host's id of the guest's root.
    pub(super) first_id: u32,
    /// Whether swap can be limited here.
    pub(super) counts_swap: bool,
    /// Files a process may have open at most: no more than the agent itself,
    /// because a user namespace cannot raise a limit.
    pub(super) open_files: u64,
}

/// What a process of a seat may have open, where the agent may have as much.
pub(super) const OPEN_FILES: u64 = 65_536;

/// The whole configuration.
pub(super) fn render(parts: &Parts<'_>) -> Value {
    let ids = json!([{ "containerID": 0, "hostID": parts.first_id, "size": IDS }]);
    json!({
        "ociVersion": "1.0.2",
        "hostname": format!("seat-{}", parts.spec.seat),
        "root": { "path": parts.root, "readonly": false },
        "process": process(parts.open_files),
        "mounts": mounts(parts.guest),
        "linux": {
            "namespaces": [
                { "type": "user" },
                { "type": "mount" },
                { "type": "pid" },
                { "type": "ipc" },
                { "type": "uts" },
                { "type": "cgroup" },
                { "type": "network", "path": parts.network },
            ],
            "uidMappings": ids,
            "gidMappings": ids,
            "cgroupsPath": format!("/{}", parts.cgroup),
            "resources": resources(parts),
            "seccomp": seccomp::profile(),
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
                "/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags",
                "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
                "/proc/timer_stats", "/proc/config.gz", "/proc/vmallocinfo",
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ],
        },
    })
}

fn process(open_files: u64) -> Value {
    json!({
        "terminal": false,
        "user": { "uid": 0, "gid": 0 },
        "args": [GUEST],
        "cwd": "/",
        "env": [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "CLARATEACH_RUNTIME=container",
            "LISTEN_FDS=1",
            "LISTEN_PID=1",
        ],
        "capabilities": {
            "bounding": CAPABILITIES,
            "effective": CAPABILITIES,
            "permitted": CAPABILITIES,
        },
        // sudo needs the setuid bit to count.
        "noNewPrivileges": false,
        // When memory runs out, a learner's process goes before the worker's own.
        "oomScoreAdj": 500,
        "rlimits": [
            { "type": "RLIMIT_NOFILE", "soft": open_files.min(4096), "hard": open_files },
            { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
                    ],
    })
}

fn mounts(guest: &str) -> Value {
    let tmpfs = |at: &str, options: &[&str]| json!({ "destination": at, "type": "tmpfs", "source": "tmpfs", "options": options });
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc",
          "options": ["nosuid", "noexec", "nodev"] },
        tmpfs("/dev", &["nosuid", "strictatime", "mode=755", "size=64k"]),
        { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
          "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
        tmpfs("/dev/shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=64m"]),
        { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
          "options": ["nosuid", "noexec", "nodev"] },
        // The kernel's own sysfs would show the worker's disks and devices.
        tmpfs("/sys", &["nosuid", "noexec", "nodev", "ro", "mode=555", "size=4k"]),
        tmpfs("/run", &["nosuid", "nodev", "mode=755", "size=16m"]),
        { "destination": GUEST, "type": "bind", "source": guest,
          "options": ["bind", "ro", "nosuid", "nodev"] },
    ])
}

fn resources(parts: &Parts<'_>) -> Value {
    let resources = parts.spec.resources;
    let bytes = u64::from(resources.memory_mib) << 20;
    let mut memory = json!({ "limit": bytes });
    if parts.counts_swap {
        // Memory and swap together: no swap.
        memory["swap"] = json!(bytes);
    }
    let mut all = json!({
        "memory": memory,
        "cpu": {
            "shares": cgroups::shares(parts.allowed.cpu_weight),
            "quota": u64::from(resources.vcpus) * 100_000,
            "period": 100_000,
        },
        "pids": { "limit": parts.allowed.processes },
        "devices": [{ "allow": false, "access": "rwm" }],
    });
    if let Some(block_io) = &parts.block_io {
        all["blockIO"] = block_io.clone();
    }
    all
}

#[cfg(test)]
mod tests {
    use clarateach_domain::microvm::Resources;

    use super::*;

    fn config(counts_swap: bool) -> Value {
        let spec = MicroVmSpec {
            seat: 7.try_into().unwrap(),
            slot: 3.try_into().unwrap(),
            incarnation: 1,
            epoch: 1,
            resources: Resources {
                vcpus: 2,
                memory_mib: 256,
                disk_mib: 64,
            },
            limits: clarateach_domain::limits::Asked::default(),
            seats_on_worker: 1,
            template: "base".to_owned(),
            env: [("KEY".to_owned(), "secret".to_owned())].into(),
            workshop_name: "Class".to_owned(),
        };
        render(&Parts {
            spec: &spec,
            allowed: Limits {
                cpu_weight: 200,
                network_mbits: 10,
                disk_mib_per_second: 8,
                processes: 300,
            },
            block_io: counts_swap.then(|| json!({ "throttleReadBpsDevice": [] })),
            root: "/mnt/3/root",
            guest: "/images/guest-1",
            network: "/proc/1/fd/9",
            cgroup: "clarateach/w7/s3",
            first_id: 300_000,
            counts_swap,
            open_files: 1024,
        })
    }

    #[test]
    fn a_seat_is_bounded_named_and_mapped() {
        let config = config(true);
        for (pointer, want) in [
            ("/hostname", json!("seat-7")),
            ("/linux/resources/memory/limit", json!(268_435_456)),
            ("/linux/resources/memory/swap", json!(268_435_456)),
            ("/linux/resources/cpu/quota", json!(200_000)),
            ("/linux/resources/cpu/shares", json!(2048)),
            ("/linux/resources/pids/limit", json!(300)),
            ("/linux/resources/blockIO/throttleReadBpsDevice", json!([])),
            ("/linux/uidMappings/0/hostID", json!(300_000)),
            ("/linux/gidMappings/0/size", json!(65_536)),
            ("/process/rlimits/0/soft", json!(1024)),
            ("/linux/cgroupsPath", json!("/clarateach/w7/s3")),
        ] {
            assert_eq!(config.pointer(pointer), Some(&want), "{pointer}");
        }
    }

    #[test]
    fn swap_is_left_alone_where_it_is_not_counted() {
        assert_eq!(config(false).pointer("/linux/resources/memory/swap"), None);
        assert_eq!(config(false).pointer("/linux/resources/blockIO"), None);
    }

    #[test]
    fn what_would_open_the_worker_is_not_given() {
        let config = config(true).to_string();
        for power in [
            "SYS_ADMIN",
            "SYS_MODULE",
            "NET_ADMIN",
            "SYS_PTRACE",
            "SYS_RAWIO",
            "MKNOD",
        ] {
            assert!(!config.contains(power), "{power}");
        }
        assert!(
            !config.contains("secret"),
            "env travels over the control channel only"
        );
    }
}
