//! What every MicroVM is made of, told to its VMM: the same for a seat that
//! boots and for the template of those that are restored.

use clarateach_domain::{limits::Limits, microvm::Resources};
use serde::Serialize;

use super::{
    api::{
        Api, ApiError,
        resources::{
            Action, Balloon, BootSource, CacheType, Drive, Entropy, MachineConfig, MemoryBackend,
            NetworkInterface, NetworkOverride, PatchDrive, PatchNetworkInterface, RateLimiter,
            SnapshotLoad, TokenBucket, Vsock,
        },
    },
    host::Virtualization,
};
use crate::network::shape;

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

/// What all seats read of the disks that they share, each, in a second: those are in
/// the host's memory, and this bounds copying. In bytes and in pieces.
const SHARED_DISKS: (u64, u64) = (256 << 20, 16_384);
/// Firecracker's buckets are filled this often.
const REFILLS: u64 = 10;
/// A bucket takes a whole segment at once, whatever its rate.
const BUCKET_LEAST: u64 = 64 << 10;

const ETH0: &str = "eth0";
/// A guest's first number; each VMM has a socket of its own, so one serves all.
const GUEST_CID: u32 = 3;

/// Says all of it; the machine then only waits to be started.
pub(super) async fn assemble(
    api: &Api,
    resources: Resources,
    allowed: Limits,
    boot_args: String,
    (tap, mac): (&str, &str),
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
            rate_limiter: Some(if read_only {
                per_second(SHARED_DISKS.0, SHARED_DISKS.1)
            } else {
                of_disk(allowed)
            }),
        })
        .await?;
    }
    api.add_network(&NetworkInterface {
        iface_id: ETH0.to_owned(),
        host_dev_name: tap.to_owned(),
        guest_mac: mac.to_owned(),
        rx_rate_limiter: Some(of_network(allowed)),
        tx_rate_limiter: Some(of_network(allowed)),
    })
    .await?;
    api.set_vsock(&Vsock {
        guest_cid: GUEST_CID,
        uds_path: VSOCK.to_owned(),
    })
    .await?;
    api.set_entropy(&Entropy {
        rate_limiter: Some(per_second(64 << 10, 1024)),
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

/// Says a seat's limits to a machine that runs and has another's.
pub(super) async fn limit(api: &Api, allowed: Limits) -> Result<(), ApiError> {
    api.patch_drive(&PatchDrive {
        drive_id: SEAT.trim_end_matches(".ext4").to_owned(),
        path_on_host: None,
        rate_limiter: Some(of_disk(allowed)),
    })
    .await?;
    api.patch_network(&PatchNetworkInterface {
        iface_id: ETH0.to_owned(),
        rx_rate_limiter: Some(of_network(allowed)),
        tx_rate_limiter: Some(of_network(allowed)),
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

fn of_disk(allowed: Limits) -> RateLimiter {
    per_second(allowed.disk_bytes(), allowed.disk_operations())
}

/// Packets are counted as the port's own limit counts them; filled ten times a
/// second, so that no whole second's worth passes at once.
fn of_network(allowed: Limits) -> RateLimiter {
    let bytes = allowed.network_bytes();
    let bucket = |size: u64, least: u64| TokenBucket {
        size: (size / REFILLS).max(least),
        one_time_burst: None,
        refill_time: (1000 / REFILLS).max(1000 * least / size.max(1)),
    };
    RateLimiter {
        bandwidth: Some(bucket(bytes, BUCKET_LEAST)),
        ops: Some(bucket(bytes / u64::from(shape::LEAST), 1)),
    }
}

/// So much a second, and as much again once.
fn per_second(bytes: u64, operations: u64) -> RateLimiter {
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
    fn a_slow_network_fills_a_bucket_that_takes_a_segment_more_slowly() {
        for (network_mbits, size, refill_time) in
            [(1, 65_536, 524), (10, 125_000, 100), (800, 10_000_000, 100)]
        {
            let limiter = of_network(Limits {
                cpu_weight: 100,
                network_mbits,
                disk_mib_per_second: 8,
                processes: 128,
            });
            let bytes = limiter.bandwidth.unwrap();
            assert_eq!((bytes.size, bytes.refill_time), (size, refill_time));
            assert!(limiter.ops.unwrap().size > 0);
        }
    }

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
