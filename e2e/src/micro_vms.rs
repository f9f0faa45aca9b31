//! What stories need to be told with MicroVMs, beside what containers need.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clarateach_proto::workshop::Runtime;

use crate::house::{images, runtime};

/// Why this machine cannot run MicroVMs, if it cannot.
pub fn missing() -> Option<String> {
    let kvm = fs::File::options().read(true).write(true).open("/dev/kvm");
    if let Err(cause) = kvm {
        return Some(format!("/dev/kvm does not open: {cause}"));
    }
    if !folder().join("jailer").exists() {
        return Some("needs firecracker: run scripts/fetch-firecracker.sh --tests".into());
    }
    let there = |prefix: &str, end: &str| {
        let entries = fs::read_dir(images()).into_iter().flatten().flatten();
        let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.any(|name| name.starts_with(prefix) && name.ends_with(end))
    };
    let all = there("vmlinux-", "-current") && there("base-", ".ext4") && there("boot-", ".ext4");
    (!all).then(|| "needs MicroVM images: run scripts/build-guest.sh --firecracker".into())
}

/// Whether KVM emulates a guest's kernel: found out as the agent does it, by what
/// the host has.
pub fn emulated() -> bool {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = processor.lines().filter(|line| line.starts_with("flags"));
    let by_processor = flags
        .flat_map(str::split_whitespace)
        .any(|flag| flag == "vmx" || flag == "svm");
    !by_processor || Path::new("/sys/module/kvm_pvm").exists()
}

/// How much longer things may take than usual: where KVM emulates, every process
/// that a learner starts costs most of a second.
pub fn pace() -> u32 {
    if emulated() && runtime() == Runtime::Firecracker {
        6
    } else {
        1
    }
}

/// What the server is told of them; harmless where no MicroVM is asked for.
pub(crate) fn flags() -> Vec<String> {
    let folder = folder();
    let version = folder.file_name().unwrap_or_default().to_string_lossy();
    let path = |name: &str| folder.join(name).display().to_string();
    vec![
        "--firecracker-bin".into(),
        path("firecracker"),
        "--jailer-bin".into(),
        path("jailer"),
        // What tests can fetch is old.
        "--firecracker-accept".into(),
        version.into_owned(),
    ]
}

/// Where `scripts/fetch-firecracker.sh` put both binaries.
#[allow(
    clippy::disallowed_methods,
    reason = "tests have no config.rs: where the scripts keep what they fetched"
)]
pub fn folder() -> PathBuf {
    let all = std::env::var_os("CLARATEACH_FIRECRACKER_DIR").map_or_else(
        || Path::new("/var/cache/clarateach/firecracker").to_owned(),
        PathBuf::from,
    );
    let current = fs::read_to_string(all.join("current")).unwrap_or_default();
    all.join(current.trim())
}
