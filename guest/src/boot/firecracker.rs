//! What a bare kernel lacks: the file systems that every Linux program
//! expects. The root is mounted writable by the kernel's own command line, and
//! its `ip=` brought the network up.

use std::fs;

use anyhow::Context as _;
use rustix::mount::{MountFlags, mount};

struct Mount {
    source: &'static str,
    target: &'static str,
    kind: &'static str,
    flags: MountFlags,
    data: &'static std::ffi::CStr,
}

const NO_PROGRAMS: MountFlags = MountFlags::NOSUID
    .union(MountFlags::NODEV)
    .union(MountFlags::NOEXEC);

/// In this order: later ones lie within earlier ones.
const MOUNTS: [Mount; 7] = [
    Mount {
        source: "proc",
        target: "/proc",
        kind: "proc",
        flags: NO_PROGRAMS,
        data: c"",
    },
    Mount {
        source: "sysfs",
        target: "/sys",
        kind: "sysfs",
        flags: NO_PROGRAMS,
        data: c"",
    },
    Mount {
        source: "devtmpfs",
        target: "/dev",
        kind: "devtmpfs",
        flags: MountFlags::NOSUID,
        data: c"mode=755",
    },
    Mount {
        source: "devpts",
        target: "/dev/pts",
        kind: "devpts",
        flags: MountFlags::NOSUID.union(MountFlags::NOEXEC),
        data: c"mode=620,gid=5,ptmxmode=666",
    },
    Mount {
        source: "shm",
        target: "/dev/shm",
        kind: "tmpfs",
        flags: MountFlags::NOSUID.union(MountFlags::NODEV),
        data: c"mode=1777",
    },
    Mount {
        source: "tmp",
        target: "/tmp",
        kind: "tmpfs",
        flags: MountFlags::NOSUID.union(MountFlags::NODEV),
        data: c"mode=1777,size=25%",
    },
    Mount {
        source: "run",
        target: "/run",
        kind: "tmpfs",
        flags: MountFlags::NOSUID.union(MountFlags::NODEV),
        data: c"mode=755,size=10%",
    },
];

/// Mounts all of them. One that the kernel mounted itself is fine.
pub(crate) fn mount_everything() -> anyhow::Result<()> {
    for Mount {
        source,
        target,
        kind,
        flags,
        data,
    } in MOUNTS
    {
        // Some lie in file systems that were mounted a line above.
        fs::create_dir_all(target).with_context(|| format!("could not make {target}"))?;
        match mount(source, target, kind, flags, data) {
            Ok(()) | Err(rustix::io::Errno::BUSY) => {}
            Err(cause) => {
                return Err(cause).with_context(|| format!("could not mount {kind} at {target}"));
            }
        }
    }
    Ok(())
}
