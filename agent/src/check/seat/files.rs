//! Items 6 and 7: what is shared can only be read and is what was built, what is
//! the seat's is bounded and its own, and nothing of former MicroVMs is left.

use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf};

use anyhow::{Context as _, bail, ensure};
use clarateach_domain::seat_net;

use super::{
    limits, open,
    vmm::{Vmm, same_file},
};
use crate::{
    check::{line::Line, sha256},
    config::HostArgs,
    runtime::firecracker::seen::{jails, slot_of},
};

/// Shown to every VMM; the last two only where it was restored.
const SHARED: [&str; 5] = ["vmlinux", "boot.ext4", "base.ext4", "state", "memory"];
const SEAT: &str = "seat.ext4";

/// All of them.
pub(super) fn lines(vmm: &Vmm, host: &HostArgs) -> Vec<Line> {
    vec![
        Line::holds(6, "shared images", shared(vmm)),
        Line::holds(6, "images as built", as_built(vmm, host)),
        Line::holds(6, "VMM as installed", as_installed(vmm, host)),
        Line::holds(6, "overlay", overlay(vmm)),
        Line::holds(7, "nothing left", nothing_left(vmm)),
    ]
}

fn shared(vmm: &Vmm) -> anyhow::Result<String> {
    let mounts = vmm.read("mountinfo")?;
    let open = open::all(vmm)?;
    let mut seen = Vec::new();
    for name in SHARED {
        let path = vmm.proc("root").join(name);
        let Ok(file) = fs::metadata(&path) else {
            ensure!(matches!(name, "state" | "memory"), "it is not shown {name}");
            continue;
        };
        match mounted_read_only(&mounts, name) {
            Some(true) => {}
            Some(false) => bail!("{name} is mounted for writing"),
            None => bail!("{name} is no mount of its own"),
        }
        ensure!(
            file.uid() == 0 && file.mode() & 0o022 == 0,
            "{name} can be written by others (uid {}, mode {:o})",
            file.uid(),
            file.mode() & 0o7777
        );
        for open in &open {
            let same = (open.file.dev(), open.file.ino()) == (file.dev(), file.ino());
            ensure!(!same || !open.writes(), "{name} is open for writing");
        }
        seen.push(name);
    }
    Ok(format!("{}: root's, mounted read-only", seen.join(", ")))
}

/// Whether the file of this name in the root is mounted read-only; none where
/// it is no mount.
fn mounted_read_only(mounts: &str, name: &str) -> Option<bool> {
    // id, parent, device, root, place, options …
    let mount = mounts.lines().find_map(|line| {
        let fields: Vec<_> = line.split(' ').collect();
        let place = fields.get(4)?.strip_prefix('/')?;
        (place == name).then(|| fields.get(5).copied().unwrap_or_default())
    })?;
    Some(mount.split(',').any(|option| option == "ro"))
}

/// What it was booted from has the sums that the builders wrote beside it.
fn as_built(vmm: &Vmm, host: &HostArgs) -> anyhow::Result<String> {
    let mut images = Vec::new();
    for entry in fs::read_dir(&host.images).context("could not list --images")? {
        images.push(entry.context("could not list --images")?.path());
    }
    for name in &SHARED[..3] {
        let shown = vmm.proc("root").join(name);
        let same = |image: &&PathBuf| matches!(same_file(image, &shown), Ok(true));
        let Some(image) = images.iter().find(same) else {
            let own = host.kernel.as_ref().filter(|kernel| same(kernel));
            ensure!(
                own.is_some(),
                "its {name} is none of {}",
                host.images.display()
            );
            continue; // the operator's own kernel has no builder
        };
        let mut beside = image.clone().into_os_string();
        beside.push(".sha256");
        let built = fs::read_to_string(&beside)
            .with_context(|| format!("{} has no sum beside it", image.display()))?;
        let built = built.split_whitespace().next().unwrap_or_default();
        let now = sha256(&shown)?;
        ensure!(
            now == built,
            "{} is not what was built: its sha256 is {now}, not {built}",
            image.display()
        );
    }
    Ok(format!("{} have their sums", SHARED[..3].join(", ")))
}

/// The jailer copies the program into the jail.
fn as_installed(vmm: &Vmm, host: &HostArgs) -> anyhow::Result<String> {
    let (runs, installed) = (sha256(&vmm.proc("exe"))?, sha256(&host.firecracker_bin)?);
    ensure!(
        runs == installed,
        "it runs a program of sha256 {runs}, and {} has {installed}",
        host.firecracker_bin.display()
    );
    Ok(format!("sha256 {runs}"))
}

fn overlay(vmm: &Vmm) -> anyhow::Result<String> {
    let path = vmm.proc("root").join(SEAT);
    let disk = fs::metadata(&path).context("it has no disk of its own")?;
    let own = vmm.dir().file("disk.img");
    ensure!(same_file(&path, &own)?, "its disk is not {}", own.display());
    let right = u64::from(vmm.spec.resources.disk_mib) << 20;
    ensure!(
        disk.len() == right,
        "its disk has {} bytes, not {right}",
        disk.len()
    );
    let uid = vmm.uid()?;
    ensure!(
        disk.uid() == uid && disk.gid() == uid,
        "its disk belongs to {}:{}",
        disk.uid(),
        disk.gid()
    );
    ensure!(
        disk.mode() & 0o777 == 0o600,
        "others can open its disk (mode {:o})",
        disk.mode() & 0o7777
    );
    Ok(format!(
        "{} MiB at most, {} MiB used, uid {uid}'s alone",
        right >> 20,
        (disk.blocks() * 512) >> 20
    ))
}

/// Jails, cgroups and ports of this worker are those of its seats.
fn nothing_left(vmm: &Vmm) -> anyhow::Result<String> {
    let mut names = Vec::new();
    let programs = fs::read_dir(jails(&vmm.run)).context("could not list the jails")?;
    for program in programs {
        let program = program.context("could not list the jails")?.path();
        for jail in fs::read_dir(&program).context("could not list the jails")? {
            let jail = jail.context("could not list the jails")?.file_name();
            names.push(jail.to_string_lossy().into_owned());
        }
    }
    names.extend(limits::siblings(vmm)?);
    let mut left: Vec<_> = names
        .iter()
        .filter(|name| {
            slot_of(name).is_some_and(|slot| matches!(vmm.run.seat(slot).spec(), Ok(None)))
        })
        .cloned()
        .collect();
    let slots = vmm.run.slots().context("could not list the seats")?;
    let ports: Vec<_> = slots.into_iter().map(seat_net::port_name).collect();
    let network = vmm.read("net/dev")?;
    let devices = network.lines().filter_map(|line| line.split_once(':'));
    for device in devices.map(|(device, _counts)| device.trim()) {
        if device.starts_with("ctp")
            && device != "ctptemplate"
            && !ports.iter().any(|port| port == device)
        {
            left.push(device.to_owned());
        }
    }
    left.sort();
    left.dedup();
    ensure!(
        left.is_empty(),
        "of seats that are gone there is {}",
        left.join(", ")
    );
    Ok("each jail, cgroup and port here is a seat's".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{super::vmm::tests::unjailed, *};

    #[test]
    fn a_mount_that_can_be_written_is_told_from_none() {
        let mounts = "36 35 98:0 /images/base-1.ext4 /base.ext4 ro,relatime shared:1 - ext4 /dev/x rw\n\
                      37 35 98:0 /seats/1/disk.img /seat.ext4 rw,relatime - ext4 /dev/x rw\n";
        assert_eq!(mounted_read_only(mounts, "base.ext4"), Some(true));
        assert_eq!(mounted_read_only(mounts, "seat.ext4"), Some(false));
        assert_eq!(mounted_read_only(mounts, "boot.ext4"), None);
    }

    #[test]
    fn a_process_without_disks_of_its_own_fails() {
        let (_dir, vmm) = unjailed();
        assert!(shared(&vmm).is_err());
        assert!(overlay(&vmm).is_err());
    }
}
