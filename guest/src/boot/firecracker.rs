//! What a bare kernel lacks, in two steps.
//!
//! The kernel starts this program from a small disk of its own (`vda`, read
//! only). [`mount_base`] mounts what all seats share (`vdb`, read only).
//! [`enter_seat_disk`] lays the seat's own disk (`vdc`) over it and makes both the
//! root of every process, threads that run included; the disks themselves are
//! then out of sight. A snapshot is taken between the two, for seats whose disk
//! is there already; or after both, for seats that start from a copy of the very
//! disk that it was taken with.

use std::{
    ffi::CStr,
    fs,
    os::unix::fs::MetadataExt as _,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use anyhow::Context as _;
use rustix::{
    mount::{MountFlags, UnmountFlags, mount, mount_move, unmount},
    process::{chdir, pivot_root},
};
use tracing::{debug, warn};

use crate::sys;

const BASE: &str = "/base";
const SEAT: &str = "/seat";
const NEW: &str = "/new";
/// Whether the seat's disk is the root.
static ENTERED: AtomicBool = AtomicBool::new(false);
const SEAT_DEVICE: &str = "/dev/vdc";
/// Layers of the seat's disk, relative to the small disk's root.
const LAYERS: &CStr = c"lowerdir=/base,upperdir=/seat/upper,workdir=/seat/work";

struct Mount {
    source: &'static str,
    target: &'static str,
    kind: &'static str,
    flags: MountFlags,
    data: &'static CStr,
}

const NO_PROGRAMS: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);
const NO_DEVICES: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV);

/// What no seat's disk holds, made before a snapshot is taken: a mount costs a
/// restored machine more than a move. Those within `/dev` move with it.
#[rustfmt::skip]
const MOUNTS: [Mount; 7] = [
    Mount { source: "/dev/vdb", target: BASE, kind: "ext4", flags: MountFlags::RDONLY, data: c"" },
    Mount { source: "proc", target: "/proc", kind: "proc", flags: NO_PROGRAMS, data: c"" },
    Mount { source: "sysfs", target: "/sys", kind: "sysfs", flags: NO_PROGRAMS, data: c"" },
    Mount { source: "devpts", target: "/dev/pts", kind: "devpts", flags: MountFlags::NOSUID.union(MountFlags::NOEXEC), data: c"mode=620,gid=5,ptmxmode=666" },
    Mount { source: "shm", target: "/dev/shm", kind: "tmpfs", flags: NO_DEVICES, data: c"mode=1777" },
    Mount { source: "tmp", target: "/tmp", kind: "tmpfs", flags: NO_DEVICES, data: c"mode=1777,size=25%" },
    Mount { source: "run", target: "/run", kind: "tmpfs", flags: NO_DEVICES, data: c"mode=755,size=10%" },
];

/// Those that move to the seat's root.
const MOVED: [&str; 5] = ["/dev", "/proc", "/sys", "/tmp", "/run"];

/// Folders and files on the way to a seat's first shell.
const LOOKED_AT: [&str; 9] = [
    "/dev",
    "/proc",
    "/sys",
    "/tmp",
    "/run",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/machine-id",
    "/home/learner/workspace",
];
/// The shell itself.
const READ: [&str; 5] = [
    "/bin/bash",
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/x86_64-linux-gnu/libc.so.6",
    "/lib/x86_64-linux-gnu/libtinfo.so.6",
    "/etc/profile",
];

/// Mounts what every seat has, or what those have that are restored from this
/// `template`. The kernel has mounted `/dev`.
pub(crate) fn mount_base(template: bool) -> anyhow::Result<()> {
    for Mount {
        source,
        target,
        kind,
        flags,
        data,
    } in MOUNTS
    {
        if target.starts_with("/dev/") {
            fs::create_dir_all(target).with_context(|| format!("could not make {target}"))?;
        }
        mount(source, target, kind, flags, data)
            .with_context(|| format!("could not mount {kind} at {target}"))?;
    }
    make_links().context("could not make the links of /dev")?;
    look_around(template);
    Ok(())
}

/// Has the kernel know what every seat asks for first, so that a restored one
/// finds it in the memory it shares with the others. What is missing is no
/// fault: another image has other files.
fn look_around(template: bool) {
    for path in LOOKED_AT {
        fs::metadata(format!("{BASE}{path}")).ok();
    }
    // A template only: a machine that boots for one seat would wait for it.
    if template {
        for path in READ {
            fs::read(format!("{BASE}{path}")).ok();
        }
        match sys::map_own_code() {
            Ok(bytes) => debug!(bytes, "own code mapped"),
            Err(cause) => warn!(%cause, "own code is mapped as it is needed"),
        }
    }
}

/// Makes the seat's disk the root; says whether it was not yet. Its descriptor
/// numbers, sockets and threads live on.
pub(crate) fn enter_seat_disk() -> anyhow::Result<bool> {
    if ENTERED.load(Ordering::Relaxed) {
        return Ok(false);
    }
    let began = Instant::now();
    // What a snapshot's kernel had read of its own template's disk went when it
    // closed the device after looking for partitions: this one is read afresh.
    mount(
        SEAT_DEVICE,
        SEAT,
        "ext4",
        MountFlags::NOATIME,
        c"noinit_itable",
    )
    .context("could not mount the seat's disk")?;
    let mounted = began.elapsed();
    mount("overlay", NEW, "overlay", MountFlags::NOATIME, LAYERS)
        .context("could not lay the seat's disk over the base")?;
    let laid = began.elapsed();
    for moved in MOVED {
        mount_move(moved, format!("{NEW}{moved}"))
            .with_context(|| format!("could not move {moved}"))?;
    }
    let moved = began.elapsed();
    chdir(NEW).context("could not enter the new root")?;
    pivot_root(".", ".").context("could not change the root")?;
    unmount(".", UnmountFlags::DETACH).context("could not let go of the old root")?;
    chdir("/").context("could not enter the root")?;
    ENTERED.store(true, Ordering::Relaxed);
    debug!(?mounted, ?laid, ?moved, took = ?began.elapsed(), "seat's disk entered");
    Ok(true)
}

/// What udev makes elsewhere.
fn make_links() -> std::io::Result<()> {
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        if fs::symlink_metadata(link).is_err() {
            std::os::unix::fs::symlink(target, link)?;
        }
    }
    // devtmpfs makes it 0600 where the kernel has no multiplexer of its own.
    if fs::metadata("/dev/ptmx").is_ok_and(|ptmx| ptmx.mode() & 0o666 != 0o666) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions("/dev/ptmx", fs::Permissions::from_mode(0o666))?;
    }
    Ok(())
}
