//! What this host gives MicroVMs: KVM of one kind or the other, firecracker and
//! jailer of one version, a kernel that fits, cgroups of one version.
//!
//! Way: settings -> [`Host::examine`] -> the recipe, or the first thing that is
//! missing, with what to do about it.

use std::{
    fs,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};

pub(crate) use super::super::cgroups::Cgroups;
use super::super::images;
use crate::sys;

/// Where Firecracker's parts are, from `config.rs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirecrackerSettings {
    /// The VMM, a static release binary.
    pub firecracker: PathBuf,
    /// The jailer of the same version.
    pub jailer: PathBuf,
    /// A guest kernel other than the images' own for this kind of host.
    pub kernel: Option<PathBuf>,
    /// How long a guest may take until it answers, if not as long as guests on
    /// this kind of host may need.
    pub boot_within: Option<Duration>,
    /// Every MicroVM boots by itself; none is restored from a template.
    pub cold_boot: bool,
    /// A version with known holes that the operator takes all the same.
    pub accepted_version: Option<String>,
}

/// How KVM runs a guest's kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Virtualization {
    /// By the processor.
    Hardware,
    /// Ring 0 is emulated: slow, and not every instruction is known.
    Emulated,
}

impl Virtualization {
    /// Found out by what the processor and the kernel have, never by a name.
    pub(crate) fn of_this_host() -> Self {
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let by_processor = processor
            .lines()
            .filter_map(|line| line.strip_prefix("flags"))
            .flat_map(str::split_whitespace)
            .any(|flag| flag == "vmx" || flag == "svm");
        if by_processor && !Path::new("/sys/module/kvm_pvm").exists() {
            Self::Hardware
        } else {
            Self::Emulated
        }
    }

    /// As kernels' names have it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hardware => "hardware",
            Self::Emulated => "emulated",
        }
    }

    /// As disks' names have it, after their hash. Where ring 0 is emulated, programs are
    /// kept from registers that no kernel there saves (`guest/image/hide-avx.sh`).
    pub(crate) fn of_disks(self) -> &'static str {
        match self {
            Self::Hardware => "",
            Self::Emulated => "-emulated",
        }
    }

    /// How long a guest may take until it answers.
    fn boot_within(self) -> Duration {
        match self {
            Self::Hardware => Duration::from_secs(30),
            Self::Emulated => Duration::from_mins(5),
        }
    }

    /// What the guest kernel must be told on such a host.
    pub(crate) fn boot_args(self) -> &'static str {
        match self {
            Self::Hardware => "",
            // What such a KVM cannot execute is masked: design/firecracker-hosts.md.
            Self::Emulated => {
                " nokaslr noxsave mitigations=off clearcpuid=cx16,smap,smep,umip,pcid,invpcid,\
                 popcnt,fsgsbase,rdtscp,movbe,clflushopt,clwb,rdrand,rdseed,erms,fsrm"
            }
        }
    }
}

/// A host on which MicroVMs can be made.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) firecracker: PathBuf,
    pub(crate) jailer: PathBuf,
    pub(crate) version: String,
    pub(crate) kernel: PathBuf,
    pub(crate) virtualization: Virtualization,
    pub(crate) cgroups: Cgroups,
    /// How long a guest may take until it answers: a bound, far from the usual.
    pub(crate) boot_within: Duration,
    /// None is restored.
    pub(crate) cold_boot: bool,
}

impl Host {
    /// Checks everything. Blocks.
    pub(crate) fn examine(settings: &FirecrackerSettings, images: &Path) -> anyhow::Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "the firecracker runtime needs root: the jailer gives it up for each MicroVM"
        );
        kvm()?;
        fs::metadata("/dev/net/tun").context("there is no /dev/net/tun: load the module tun")?;
        let version = versions(settings)?;
        let virtualization = Virtualization::of_this_host();
        let kernel = kernel(settings, images, virtualization)?;
        let canonical = |path: &Path| {
            path.canonicalize()
                .with_context(|| format!("could not find {}", path.display()))
        };
        Ok(Self {
            firecracker: canonical(&settings.firecracker)?,
            jailer: canonical(&settings.jailer)?,
            version,
            kernel: canonical(&kernel)?,
            virtualization,
            cgroups: Cgroups::of_this_host()?,
            boot_within: settings.boot_within.unwrap_or(virtualization.boot_within()),
            cold_boot: settings.cold_boot,
        })
    }
}

/// KVM opens and speaks the one version there is.
pub(crate) fn kvm() -> anyhow::Result<i32> {
    let kvm = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .context(
            "could not open /dev/kvm: MicroVMs need KVM, on a cloud VM nested virtualization",
        )?;
    let version = sys::kvm_version(kvm.as_fd()).context("could not ask KVM for its version")?;
    ensure!(version == 12, "KVM has API version {version}, not 12");
    Ok(version)
}

/// The kernel for this kind of host.
pub(crate) fn kernel(
    settings: &FirecrackerSettings,
    images: &Path,
    virtualization: Virtualization,
) -> anyhow::Result<PathBuf> {
    let path = if let Some(path) = &settings.kernel {
        path.clone()
    } else {
        let variant = virtualization.as_str();
        let pointer = format!("vmlinux-{variant}-current");
        let name = images::named(images, &pointer, &format!("vmlinux-{variant}-"))
            .context("could not choose a kernel: scripts/build-guest.sh makes one")?;
        images.join(name)
    };
    let mut magic = [0; 4];
    let mut file = fs::File::open(&path)
        .with_context(|| format!("could not open the kernel {}", path.display()))?;
    std::io::Read::read_exact(&mut file, &mut magic)
        .with_context(|| format!("the kernel {} is truncated", path.display()))?;
    ensure!(
        &magic == b"\x7fELF",
        "the kernel {} is no uncompressed ELF (vmlinux)",
        path.display()
    );
    Ok(path)
}

/// Both binaries' one version, if it may be used.
pub(crate) fn versions(settings: &FirecrackerSettings) -> anyhow::Result<String> {
    let firecracker = version_of(&settings.firecracker)?;
    let jailer = version_of(&settings.jailer)?;
    ensure!(
        firecracker == jailer,
        "firecracker is {firecracker} and jailer {jailer}: they must be of one version"
    );
    if settings.accepted_version.as_deref() == Some(&firecracker) {
        return Ok(firecracker);
    }
    match known_hole(&firecracker)? {
        None => Ok(firecracker),
        Some(hole) => bail!(
            "firecracker {firecracker} has a known hole ({hole}): take a newer release, or name \
             this one in --firecracker-accept {firecracker}"
        ),
    }
}

/// What the binary itself says. Blocks.
pub(crate) fn version_of(binary: &Path) -> anyhow::Result<String> {
    let shown = Command::new(binary)
        .arg("--version")
        .output()
        .with_context(|| format!("{} could not be started", binary.display()))?;
    let text = String::from_utf8_lossy(&shown.stdout);
    text.lines()
        .next()
        .and_then(|line| line.rsplit_once(" v"))
        .map(|(_name, version)| version.trim().to_owned())
        .filter(|version| numbers(version).is_some())
        .with_context(|| format!("{} says no version", binary.display()))
}

fn numbers(version: &str) -> Option<[u32; 3]> {
    let mut parts = version.split('.');
    let mut next = || parts.next()?.parse().ok();
    let read = [next()?, next()?, next()?];
    parts.next().is_none().then_some(read)
}

/// What is known to be wrong with a version.
fn known_hole(version: &str) -> anyhow::Result<Option<&'static str>> {
    let number = numbers(version).with_context(|| format!("{version:?} is no version"))?;
    Ok(match number {
        [1, 13, _] | [1, 14, 0..=3] | [1, 15, 0] => Some("its PCI transport"),
        older if older < [1, 14, 1] => Some("its jailer"),
        _ => None,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The folder with both binaries that the scripts fetched, for tests.
    pub(in super::super) fn binaries() -> Result<PathBuf, String> {
        let folder = std::env::var_os("CLARATEACH_FIRECRACKER_DIR").map_or_else(
            || PathBuf::from("/var/cache/clarateach/firecracker"),
            PathBuf::from,
        );
        let current = fs::read_to_string(folder.join("current")).map_err(|_none| {
            format!(
                "no firecracker in {}: scripts/fetch-firecracker.sh",
                folder.display()
            )
        })?;
        Ok(folder.join(current.trim()))
    }

    /// The VMM for a test, or why there is none.
    pub(in super::super) fn firecracker() -> Result<PathBuf, String> {
        kvm().map_err(|error| format!("{error:#}"))?;
        Ok(binaries()?.join("firecracker"))
    }

    #[test]
    fn versions_with_known_holes_are_known() {
        for (version, safe) in [
            ("1.12.1", false),
            ("1.13.0", false),
            ("1.14.0", false),
            ("1.14.1", false),
            ("1.14.3", false),
            ("1.14.4", true),
            ("1.15.0", false),
            ("1.15.1", true),
            ("1.16.0", true),
            ("2.0.0", true),
        ] {
            assert_eq!(known_hole(version).unwrap().is_none(), safe, "{version}");
        }
        assert!(known_hole("1.12").is_err());
    }

    #[test]
    fn an_old_version_is_taken_only_by_its_name() {
        let Ok(folder) = binaries() else {
            eprintln!("SKIPPED: no firecracker was fetched");
            return;
        };
        let version = version_of(&folder.join("firecracker")).unwrap();
        let mut settings = FirecrackerSettings {
            firecracker: folder.join("firecracker"),
            jailer: folder.join("jailer"),
            kernel: None,
            boot_within: None,
            cold_boot: false,
            accepted_version: Some(version.clone()),
        };
        assert_eq!(versions(&settings).unwrap(), version);
        settings.accepted_version = Some("0.0.1".to_owned());
        let refused = versions(&settings);
        assert_eq!(refused.is_ok(), known_hole(&version).unwrap().is_none());
        settings.jailer = PathBuf::from("/bin/true");
        assert!(versions(&settings).is_err());
    }
}
