//! Whether this host can run seats: every part that the runtime needs, looked at
//! with the runtime's own eyes.
//!
//! Way: runtime and where its parts are -> a line a part. The network is tried
//! for real, in a network namespace that is gone when the answer is.

mod cgroups;
mod tools;
mod trial;

use std::{
    fs::{self, File},
    path::Path,
};

use anyhow::{Context as _, ensure};
use clarateach_domain::microvm::Runtime;

use self::tools::{program, readable};
use super::{
    elf,
    line::{Line, Verdict},
};
use crate::{
    config::HostArgs,
    runtime::{
        firecracker::host::{Virtualization, kernel, kvm, version_of, versions},
        images,
    },
};

/// What makes images, for the advice.
const BUILD: &str = "scripts/build-guest.sh makes it";
const BUILD_MICROVM: &str = "scripts/build-guest.sh --firecracker makes it";
/// What brings the binaries, for the advice.
const FETCH: &str = "scripts/fetch-firecracker.sh fetches firecracker and jailer; name them with \
                     --firecracker-bin and --jailer-bin";

/// All lines of this host. Blocks.
pub(super) fn lines(runtime: Runtime, host: &HostArgs) -> Vec<Line> {
    let mut lines = vec![root()];
    match runtime {
        Runtime::Firecracker => lines.extend(micro_vms(host)),
        Runtime::Container => lines.extend(containers(host)),
    }
    lines.extend(cgroups::lines(&host.cgroup));
    lines.push(program(
        "mkfs",
        "mkfs.ext4",
        "-V",
        "apt-get install e2fsprogs",
    ));
    lines.extend(trial::lines(runtime));
    lines.extend([swap(), merging(), siblings()]);
    lines
}

fn root() -> Line {
    let is = rustix::process::geteuid().is_root();
    let (verdict, found) = if is {
        (Verdict::Ok, "this is root")
    } else {
        (Verdict::Wrong, "this is not root")
    };
    Line::new("root", verdict, found)
        .otherwise("run it as root: it makes namespaces, mounts and devices; the lines below may be wrong without")
}

fn micro_vms(host: &HostArgs) -> Vec<Line> {
    let settings = host.firecracker();
    let kind = Virtualization::of_this_host();
    let opens = kvm();
    let kind_of = match &opens {
        Ok(_version) => virtualization(kind),
        Err(_none) => Line::new(
            "virtualization",
            Verdict::Warn,
            "cannot be told without KVM",
        ),
    };
    let opens = opens.map(|version| format!("/dev/kvm opens, API version {version}"));
    let chosen = kernel(&settings, &host.images, kind).and_then(|kernel| readable(&kernel));
    vec![
        Line::of("kvm", opens, Verdict::Missing)
            .otherwise("turn on virtualization in the firmware, or nested virtualization of the cloud VM, and load kvm_intel or kvm_amd"),
        kind_of,
        binary("firecracker", &host.firecracker_bin),
        binary("jailer", &host.jailer_bin),
        both(host),
        Line::of("kernel", chosen, Verdict::Missing).otherwise(BUILD_MICROVM),
        rootfs(&host.images),
        disk("base disk", &host.images, |disks| disks.base),
        disk("boot disk", &host.images, |disks| disks.boot),
    ]
}

fn containers(host: &HostArgs) -> Vec<Line> {
    let guest = images::choose(&host.images, None)
        .context("could not choose a guest")
        .and_then(|image| readable(&image.guest));
    let loops = File::open("/dev/loop-control")
        .context("could not open /dev/loop-control")
        .map(|_open| "/dev/loop-control opens".to_owned());
    vec![
        program("runc", "runc", "--version", "apt-get install runc"),
        rootfs(&host.images),
        Line::of("guest", guest, Verdict::Missing).otherwise(BUILD),
        Line::of("loop devices", loops, Verdict::Missing).otherwise("modprobe loop"),
        filesystem("overlay"),
        user_namespaces(),
    ]
}

fn virtualization(kind: Virtualization) -> Line {
    match kind {
        Virtualization::Hardware => Line::new(
            "virtualization",
            Verdict::Ok,
            "guests run on the processor itself",
        ),
        Virtualization::Emulated => Line::new(
            "virtualization",
            Verdict::Warn,
            "KVM emulates the guest's kernel here: the emulated kernel variant is used",
        )
        .advise("good for tests; for a class take a host whose processor has vmx or svm"),
    }
}

fn binary(name: &'static str, path: &Path) -> Line {
    if !path.exists() {
        let found = format!("{} is not there", path.display());
        return Line::new(name, Verdict::Missing, found).advise(FETCH);
    }
    let looked = version_of(path).and_then(|version| {
        elf::ensure_static(path).with_context(|| format!("{} cannot be used", path.display()))?;
        let sum = super::sha256(path)?;
        Ok(format!(
            "{version}, static, sha256 {sum}, {}",
            path.display()
        ))
    });
    Line::of(name, looked, Verdict::Wrong).otherwise(FETCH)
}

/// One version, and one without known holes.
fn both(host: &HostArgs) -> Line {
    const NAME: &str = "versions";
    let settings = host.firecracker();
    let accepted = settings.accepted_version.is_some();
    let strict = crate::runtime::firecracker::FirecrackerSettings {
        accepted_version: None,
        ..settings.clone()
    };
    match (versions(&strict), versions(&settings)) {
        (Ok(version), _) => {
            let found = format!("both are {version}, which has no known hole");
            Line::new(NAME, Verdict::Ok, found)
        }
        (Err(hole), Ok(version)) if accepted => {
            let found = format!("{version} was accepted by --firecracker-accept: {hole:#}");
            Line::new(NAME, Verdict::Warn, found).advise("take a newer release for a class")
        }
        (Err(error), _) => Line::new(NAME, Verdict::Wrong, format!("{error:#}")).advise(FETCH),
    }
}

fn rootfs(folder: &Path) -> Line {
    let chosen = images::choose(folder, None)
        .context("could not choose a root filesystem")
        .and_then(|image| {
            let release = image.rootfs.join("etc/os-release");
            let release = fs::read_to_string(&release)
                .with_context(|| format!("{} is not whole", image.rootfs.display()))?;
            let named = release
                .lines()
                .find_map(|line| line.strip_prefix("PRETTY_NAME="))
                .map_or("unnamed", |name| name.trim_matches('"'));
            Ok(format!("{named}, {}", image.rootfs.display()))
        });
    Line::of("root filesystem", chosen, Verdict::Missing).otherwise(BUILD)
}

fn disk(name: &'static str, folder: &Path, which: fn(images::Disks) -> std::path::PathBuf) -> Line {
    let chosen = images::choose_disks(folder, None, Virtualization::of_this_host().of_disks())
        .context("could not choose the disks")
        .and_then(|disks| readable(&which(disks)));
    Line::of(name, chosen, Verdict::Missing).otherwise(BUILD_MICROVM)
}

fn filesystem(name: &'static str) -> Line {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    if known
        .lines()
        .any(|line| line.trim_start_matches("nodev").trim() == name)
    {
        return Line::new(name, Verdict::Ok, format!("the kernel has {name}"));
    }
    // A module that nobody has asked for yet is not listed.
    Line::new(
        name,
        Verdict::Warn,
        format!("the kernel does not list {name} yet"),
    )
    .advise(format!("modprobe {name} tells whether it can be had"))
}

fn user_namespaces() -> Line {
    let most = fs::read_to_string("/proc/sys/user/max_user_namespaces")
        .context("the kernel has no user namespaces")
        .and_then(|most| {
            let most: u64 = most.trim().parse().context("their limit is no number")?;
            ensure!(most > 0, "user namespaces are switched off");
            Ok(format!("up to {most}"))
        });
    Line::of("user namespaces", most, Verdict::Missing)
        .otherwise("sysctl user.max_user_namespaces=100000, or a kernel with CONFIG_USER_NS")
}

fn swap() -> Line {
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    match swaps.lines().count().saturating_sub(1) {
        0 => Line::new("swap", Verdict::Ok, "off"),
        some => Line::new("swap", Verdict::Warn, format!("{some} in use"))
            .advise("swapoff -a: a learner's memory may reach the disk, and seats stall"),
    }
}

fn merging() -> Line {
    let run = fs::read_to_string("/sys/kernel/mm/ksm/run").unwrap_or_default();
    match run.trim() {
        "1" => Line::new("ksm", Verdict::Warn, "equal pages of seats are merged").advise(
            "echo 2 > /sys/kernel/mm/ksm/run: merged pages tell one learner what another has",
        ),
        _ => Line::new("ksm", Verdict::Ok, "off"),
    }
}

fn siblings() -> Line {
    let active = fs::read_to_string("/sys/devices/system/cpu/smt/active").unwrap_or_default();
    match active.trim() {
        "1" => Line::new("smt", Verdict::Warn, "seats may share a core's two threads").advise(
            "echo off > /sys/devices/system/cpu/smt/control, or threadsPerCore=1 of the cloud VM",
        ),
        _ => Line::new("smt", Verdict::Ok, "off, as far as this kernel is shown"),
    }
}
