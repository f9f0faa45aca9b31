//! What the machine takes on when the agent has said who it is: hostname,
//! resolvers, time. None of it is worth refusing a seat for.

use std::{fs, io, path::Path};

use rustix::time::{ClockId, Timespec, clock_settime};
use tracing::warn;

use crate::{
    config::{Config, Runtime},
    seat::{Identity, random_id},
};

/// Sets what it can; what it cannot is logged.
pub(crate) fn apply(config: &Config, identity: &Identity, unix_nanos: i64) {
    if config.runtime == Runtime::Process {
        return; // a test on somebody's own machine
    }
    if let Err(cause) = rustix::system::sethostname(identity.hostname.as_bytes()) {
        warn!(%cause, "could not set the hostname");
    }
    // Without this line, sudo waits for a resolver to find its own machine.
    if let Err(cause) = replace("/etc/hosts", &hosts(&identity.hostname)) {
        warn!(%cause, "could not write /etc/hosts");
    }
    if !identity.nameservers.is_empty() {
        let lines = identity
            .nameservers
            .iter()
            .fold(String::new(), |lines, address| {
                lines + "nameserver " + &address.to_string() + "\n"
            });
        if let Err(cause) = replace("/etc/resolv.conf", &lines) {
            warn!(%cause, "could not write /etc/resolv.conf");
        }
    }
    // A container shares its host's clock; a restored machine's stood still.
    if config.runtime == Runtime::Firecracker && unix_nanos > 0 {
        let time = Timespec {
            tv_sec: unix_nanos / 1_000_000_000,
            tv_nsec: unix_nanos % 1_000_000_000,
        };
        if let Err(cause) = clock_settime(ClockId::Realtime, time) {
            warn!(%cause, "could not set the clock");
        }
    }
}

/// Has the files of an identity on the seat's own disk before there is one: what
/// is there is written over, and not copied up from the base first.
pub(crate) fn make_room() -> io::Result<()> {
    fs::write("/etc/machine-id", "\n")?;
    fs::write("/etc/hosts", hosts("seat"))?;
    fs::write("/etc/resolv.conf", "\n")
}

/// Gives a machine that has none an id of its own.
pub(crate) fn renew_machine_id() -> io::Result<()> {
    const PATH: &str = "/etc/machine-id";
    if fs::metadata(PATH).is_ok_and(|present| present.len() > 1) {
        return Ok(()); // this seat's, from an earlier boot
    }
    fs::write(PATH, format!("{}\n", random_id()?))
}

fn hosts(hostname: &str) -> String {
    format!("127.0.0.1\tlocalhost\n127.0.1.1\t{hostname}\n::1\tlocalhost ip6-localhost\n")
}

/// Writes a file unless it says so already: a learner's own mtime and a read-only
/// mount stay in peace. In place, since a rename costs a guest that is restored
/// more, and what a crash tears is written again before anybody enters.
fn replace(path: impl AsRef<Path>, content: &str) -> io::Result<()> {
    let path = path.as_ref();
    if fs::read(path).is_ok_and(|present| present == content.as_bytes()) {
        return Ok(());
    }
    fs::write(path, content)
}
