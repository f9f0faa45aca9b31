//! What every MicroVM is made of, told to its VMM: the same for a seat that
//! boots and for the template of those that are restored.

use clarateach_domain::microvm::Resources;
use serde::Serialize;

use super::{
    api::{
        Api, ApiError,
        resources::{
            Action, Balloon, BootSource, CacheType, Drive, Entropy, MachineConfig, MemoryBackend,
            NetworkInterface, NetworkOverride, RateLimiter, SnapshotLoad, TokenBucket, Vsock,
        },
    },
    host::Virtualization,
    limits::{DISK_BYTES, DISK_OPERATIONS},
};

/// Names in the chroot.
pub(super) const KERNEL: &str = "vmlinux";
pub(super) const BOOT: &str = "boot.ext4";
pub(super) const BASE: &str = "base.ext4";
pub(super) const SEAT: &str = "seat.ext4";
pub(super) const VSOCK: &str = "v.sock";
pub(super) const STATE: &str = "state";
pub(super) const MEMORY: &str = "memory";
/// Where the guest listens for its agent.
pub(super) const CONTROL_PORT: u32 = 3000;

const ETH0: &str = "eth0";
/// A guest's first number; each VMM has a socket of its own, so one serves all.
const GUEST_CID: u32 = 3;

/// Says all of it; the machine then only waits to be started.
pub(super) async fn assemble(
    api: &Api,
    resources: Resources,
    boot_args: String,
    tap: &str,
    mac: &str,
) -> Result<(), ApiError> {
    api.set_machine(&MachineConfig {
        vcpu_count: resources.vcpus,
        mem_size_mib: resources.memory_mib,
        smt: false,
        track_dirty_pages: false,
    })
    .await?;
    api.set_boot_source(&BootSource {
        kernel_image_path: format!("/{KERNEL}"),
        boot_args,
    })
    .await?;
    for (name, read_only) in [(BOOT, true), (BASE, true), (SEAT, false)] {
        api.add_drive(&Drive {
            drive_id: name.trim_end_matches(".ext4").to_owned(),
            path_on_host: format!("/{name}"),
            is_root_device: false,
            is_read_only: read_only,
            cache_type: if read_only {
                CacheType::Unsafe
            } else {
                CacheType::Writeback
            },
            rate_limiter: Some(limit(DISK_BYTES, DISK_OPERATIONS)),
        })
        .await?;
    }
    api.add_network(&NetworkInterface {
        iface_id: ETH0.to_owned(),
        host_dev_name: tap.to_owned(),
        guest_mac: mac.to_owned(),
        rx_rate_limiter: Some(limit(64 << 20, 65_536)),
        tx_rate_limiter: Some(limit(64 << 20, 65_536)),
    })
    .await?;
    api.set_vsock(&Vsock {
        guest_cid: GUEST_CID,
        uds_path: VSOCK.to_owned(),
    })
    .await?;
    api.set_entropy(&Entropy {
        rate_limiter: Some(limit(64 << 10, 1024)),
    })
    .await?;
    api.set_balloon(&Balloon {
        amount_mib: 0,
        deflate_on_oom: true,
        stats_polling_interval_s: 0,
    })
    .await
}

/// Boots the kernel.
pub(super) async fn start(api: &Api) -> Result<(), ApiError> {
    api.act(Action::InstanceStart).await
}

/// Becomes the machine of the snapshot shown in the chroot, on another tap.
pub(super) async fn restore(api: &Api, tap: &str) -> Result<(), ApiError> {
    api.load_snapshot(&SnapshotLoad {
        snapshot_path: format!("/{STATE}"),
        mem_backend: MemoryBackend {
            backend_type: "File",
            backend_path: format!("/{MEMORY}"),
        },
        resume_vm: true,
        network_overrides: vec![NetworkOverride {
            iface_id: ETH0.to_owned(),
            host_dev_name: tap.to_owned(),
        }],
    })
    .await
}

/// The kernel's command line. The guest's own settings pass through it as
/// environment; nothing in it is a seat's.
pub(super) fn boot_args(virtualization: Virtualization) -> String {
    command_line(virtualization, "")
}

/// What a machine that many are restored from is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum For {
    /// Seats whose disk is there: they lay it over the base themselves.
    AnyDisk,
    /// Fresh seats: their disk is a copy of the template's, mounted already.
    OwnDisk,
}

/// As [`boot_args`], for a machine that many are restored from: it reads ahead
/// what all of them will want.
pub(super) fn template_boot_args(virtualization: Virtualization, made_for: For) -> String {
    let more = match made_for {
        For::AnyDisk => " CLARATEACH_TEMPLATE=any-disk",
        For::OwnDisk => " CLARATEACH_TEMPLATE=own-disk",
    };
    command_line(virtualization, more)
}

/// `init=` stands last: a word before it that the kernel does not know would
/// otherwise become an argument of the guest.
fn command_line(virtualization: Virtualization, more: &str) -> String {
    format!(
        "console=ttyS0 quiet loglevel=1 reboot=k panic=1 pci=off root=/dev/vda ro{} \
         CLARATEACH_RUNTIME=firecracker{more} init=/guest",
        virtualization.boot_args()
    )
}

/// The hardware address of a template: no slot's and not the bridge's.
pub(super) const TEMPLATE_MAC: &str = "02:c1:a2:00:02:00";

/// So much a second, and as much again once.
fn limit(bytes: u64, operations: u64) -> RateLimiter {
    let bucket = |size| TokenBucket {
        size,
        one_time_burst: Some(size),
        refill_time: 1000,
    };
    RateLimiter {
        bandwidth: Some(bucket(bytes)),
        ops: Some(bucket(operations)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_on_the_command_line_becomes_an_argument_of_the_guest() {
        for kind in [Virtualization::Hardware, Virtualization::Emulated] {
            for line in [
                boot_args(kind),
                template_boot_args(kind, For::AnyDisk),
                template_boot_args(kind, For::OwnDisk),
            ] {
                assert!(line.ends_with(" init=/guest"), "{line}");
                assert!(!line.contains("  "), "{line}");
                assert!(line.contains(" pci=off "), "{line}");
            }
        }
    }
}
