//! The system calls a guest may not make, whatever user it is.
//!
//! A learner is root in a user namespace, and most of the kernel's known holes
//! were reached from there. Each group says why it is closed.

use serde_json::{Value, json};

/// Calls that answer EPERM.
const REFUSED: &[(&str, &[&str])] = &[
    (
        "other kernels and their parts",
        &[
            "kexec_load",
            "kexec_file_load",
            "init_module",
            "finit_module",
            "delete_module",
            "create_module",
            "query_module",
            "get_kernel_syms",
            "reboot",
        ],
    ),
    (
        "mounts: a guest has all it needs, and new ones open filesystem drivers",
        &[
            "mount",
            "umount",
            "umount2",
            "pivot_root",
            "open_tree",
            "open_tree_attr",
            "move_mount",
            "fsopen",
            "fsconfig",
            "fsmount",
            "fspick",
            "mount_setattr",
            "quotactl",
            "quotactl_fd",
            "swapon",
            "swapoff",
            "statmount",
            "listmount",
        ],
    ),
    (
        "programs and probes in the kernel",
        &[
            "bpf",
            "perf_event_open",
            "userfaultfd",
            "lookup_dcookie",
            "kcmp",
            "pidfd_getfd", // the control channel is a descriptor of PID 1
            "fanotify_init",
            "syslog",
            "acct",
        ],
    ),
    (
        "another namespace; new ones are refused to clone and unshare below",
        &["setns", "unshare"],
    ),
    (
        "the kernel's keyrings, which know no namespace",
        &["add_key", "request_key", "keyctl"],
    ),
    (
        "files by handle, around every path",
        &["open_by_handle_at", "name_to_handle_at"],
    ),
    (
        "the worker's clock, ports and terminals",
        &[
            "settimeofday",
            "stime",
            "clock_settime",
            "clock_settime64",
            "clock_adjtime",
            "clock_adjtime64",
            "adjtimex",
            "iopl",
            "ioperm",
            "vhangup",
            "vm86",
            "vm86old",
            "modify_ldt",
        ],
    ),
    (
        "memory placement across seats",
        &[
            "mbind",
            "migrate_pages",
            "move_pages",
            "set_mempolicy",
            "set_mempolicy_home_node",
        ],
    ),
    (
        "calls nobody uses",
        &[
            "nfsservctl",
            "uselib",
            "ustat",
            "sysfs",
            "_sysctl",
            "vserver",
        ],
    ),
];

/// Calls that answer ENOSYS, so that programs take another way.
const MISSING: &[&str] = &[
    // Its flags lie in memory, where a filter cannot read them: libc falls back to clone.
    "clone3",
    // Its rings make calls that no filter sees.
    "io_uring_setup",
    "io_uring_enter",
    "io_uring_register",
];

/// Families of sockets between the four that stay (Unix, IPv4, IPv6, netlink):
/// AX.25, X.25 and other drivers that nobody looks after.
const REFUSED_FAMILIES: &[u32] = &[3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15];
/// From here on all are refused: packets, the kernel's crypto, and vsock, which
/// is the host's own channel.
const REFUSED_FAMILIES_FROM: u32 = 17;

/// Every `CLONE_NEW*` flag that clone takes.
const NEW_NAMESPACES: u64 = 0x7E02_0000;

/// The OCI runtime's `linux.seccomp`.
pub(super) fn profile() -> Value {
    let mut rules = Vec::new();
    for (_why, names) in REFUSED {
        rules.push(json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": libc::EPERM }));
    }
    rules.push(json!({ "names": MISSING, "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS }));
    for flag in (0..32)
        .map(|bit| 1_u64 << bit)
        .filter(|flag| NEW_NAMESPACES & flag != 0)
    {
        rules.push(json!({
            "names": ["clone"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": libc::EPERM,
            "args": [{ "index": 0, "value": flag, "valueTwo": flag, "op": "SCMP_CMP_MASKED_EQ" }],
        }));
    }
    let families = REFUSED_FAMILIES
        .iter()
        .map(|family| (*family, "SCMP_CMP_EQ"));
    for (family, op) in families.chain([(REFUSED_FAMILIES_FROM, "SCMP_CMP_GE")]) {
        rules.push(json!({
            "names": ["socket"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": libc::EAFNOSUPPORT,
            "args": [{ "index": 0, "value": family, "op": op }],
        }));
    }
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        // Programs for 32 bits number their calls differently: only the native
        // numbers pass, all others are killed by libseccomp's default.
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": rules,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_namespace_flag_is_refused_and_threads_are_not() {
        let flags = [
            libc::CLONE_NEWNS,
            libc::CLONE_NEWCGROUP,
            libc::CLONE_NEWUTS,
            libc::CLONE_NEWIPC,
            libc::CLONE_NEWUSER,
            libc::CLONE_NEWPID,
            libc::CLONE_NEWNET,
        ];
        for flag in flags {
            assert_ne!(NEW_NAMESPACES & u64::try_from(flag).unwrap(), 0, "{flag:x}");
        }
        let thread = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_THREAD | libc::CLONE_SIGHAND;
        assert_eq!(NEW_NAMESPACES & u64::try_from(thread).unwrap(), 0);
    }

    #[test]
    fn no_call_is_named_twice() {
        let mut all: Vec<_> = REFUSED
            .iter()
            .flat_map(|(_, names)| *names)
            .chain(MISSING)
            .collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
