//! The kernel switches of a seat's own network namespace.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::super::{NetworkError, bridge::switch};

const SWITCHES: [(&str, &str); 4] = [
    ("ipv6/conf/all/disable_ipv6", "1"),
    ("ipv6/conf/default/disable_ipv6", "1"),
    // The guest's root has no capabilities over this namespace; these two give
    // learners back what root would have: low ports and ping.
    ("ipv4/ip_unprivileged_port_start", "0"),
    ("ipv4/ping_group_range", "0 2147483647"),
];

/// Sets them for the calling thread's namespace.
///
/// By a `/proc` of their own: the one that everybody has keeps what was ever looked up,
/// all namespaces' under one name, so that each seat would be slower than the last.
pub(super) fn set() -> Result<(), NetworkError> {
    let own = proc_of_its_own();
    let proc = own.as_ref().map_or("/proc".to_owned(), |own| {
        format!("/proc/self/fd/{}", own.as_raw_fd())
    });
    SWITCHES
        .iter()
        .try_for_each(|(name, value)| switch(&format!("{proc}/sys/net/{name}"), value))
}

/// Mounted nowhere, and gone when it is closed. Linux 5.2 and later.
fn proc_of_its_own() -> io::Result<OwnedFd> {
    let proc = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&proc)?;
    let mounted = fsmount(
        &proc,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    );
    Ok(mounted?)
}
