//! What Firecracker's API takes and gives, field by field as its own schema
//! (`firecracker.yaml`, 1.12) has it. Fields that are never set are left out.

use serde::{Deserialize, Serialize};

/// `GET /`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct InstanceInfo {
    /// The jail's id.
    pub id: String,
    /// "Not started", "Running" or "Paused".
    pub state: String,
    /// The VMM's version.
    pub vmm_version: String,
}

/// `GET /version`.
#[derive(Debug, Deserialize)]
pub(super) struct Version {
    pub(super) firecracker_version: String,
}

/// `GET /vm/config`, as far as somebody who looks on needs it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct VmConfig {
    /// The disks.
    #[serde(default)]
    pub drives: Vec<DriveNow>,
    /// The network interfaces.
    #[serde(default, rename = "network-interfaces")]
    pub networks: Vec<NetworkNow>,
    /// The guest's source of randomness.
    #[serde(default)]
    pub entropy: Option<Entropy>,
}

/// A disk that the machine has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DriveNow {
    /// Its name.
    pub drive_id: String,
    /// Whether the guest may only read it; a device of another process says nothing.
    pub is_read_only: Option<bool>,
    /// Its limits.
    pub rate_limiter: Option<RateLimiter>,
}

/// A network interface that the machine has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NetworkNow {
    /// Its name.
    pub iface_id: String,
    /// The tap on the host.
    pub host_dev_name: String,
    /// Limits on what the guest receives.
    pub rx_rate_limiter: Option<RateLimiter>,
    /// Limits on what the guest sends.
    pub tx_rate_limiter: Option<RateLimiter>,
}

/// `PUT /machine-config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineConfig {
    /// Virtual processors, 1 to 32.
    pub vcpu_count: u32,
    /// Memory in MiB.
    pub mem_size_mib: u32,
    /// Whether vCPUs are siblings.
    pub smt: bool,
    /// Whether dirty pages are tracked, for differential snapshots.
    pub track_dirty_pages: bool,
}

/// `PUT /boot-source`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootSource {
    /// An uncompressed ELF, as the VMM sees it.
    pub kernel_image_path: String,
    /// The kernel's command line.
    pub boot_args: String,
}

/// Tokens: `size` at once, refilled in `refill_time` milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBucket {
    /// Bytes or operations.
    pub size: u64,
    /// More of them, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub one_time_burst: Option<u64>,
    /// Milliseconds until an empty bucket is full.
    pub refill_time: u64,
}

/// Limits in bytes and operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimiter {
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<TokenBucket>,
    /// Operations or packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ops: Option<TokenBucket>,
}

/// `PUT /drives/{drive_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drive {
    /// Its name.
    pub drive_id: String,
    /// The file, as the VMM sees it.
    pub path_on_host: String,
    /// Whether the VMM adds `root=` for it.
    pub is_root_device: bool,
    /// Opened for reading only.
    pub is_read_only: bool,
    /// `Unsafe` does not flush; `Writeback` does when the guest asks.
    pub cache_type: CacheType,
    /// Limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limiter: Option<RateLimiter>,
}

/// What a guest's flush means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum CacheType {
    /// Nothing.
    Unsafe,
    /// The file is synced.
    Writeback,
}

/// `PATCH /drives/{drive_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PatchDrive {
    /// Its name.
    pub drive_id: String,
    /// Another file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_on_host: Option<String>,
    /// Other limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limiter: Option<RateLimiter>,
}

/// `PUT /network-interfaces/{iface_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkInterface {
    /// Its name.
    pub iface_id: String,
    /// The tap on the host.
    pub host_dev_name: String,
    /// The guest's hardware address.
    pub guest_mac: String,
    /// Limits on what the guest receives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_rate_limiter: Option<RateLimiter>,
    /// Limits on what the guest sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_rate_limiter: Option<RateLimiter>,
}

/// `PATCH /network-interfaces/{iface_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PatchNetworkInterface {
    /// Its name.
    pub iface_id: String,
    /// Limits on what the guest receives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_rate_limiter: Option<RateLimiter>,
    /// Limits on what the guest sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_rate_limiter: Option<RateLimiter>,
}

/// `PUT /vsock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Vsock {
    /// The guest's number, 3 or more.
    pub guest_cid: u32,
    /// Where the VMM listens for the host's side.
    pub uds_path: String,
}

/// `PUT /entropy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entropy {
    /// Limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limiter: Option<RateLimiter>,
}

/// `PUT /balloon`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Balloon {
    /// Memory to take from the guest, in MiB.
    pub amount_mib: u32,
    /// Whether the guest gets it back when it needs it.
    pub deflate_on_oom: bool,
    /// Seconds between statistics; 0 for none.
    pub stats_polling_interval_s: u32,
}

/// `PUT /logger`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Logger {
    /// A file or named pipe, as the VMM sees it.
    pub log_path: String,
    /// Error, Warning, Info or Debug.
    pub level: String,
}

/// `PUT /metrics`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Metrics {
    /// A file or named pipe, as the VMM sees it.
    pub metrics_path: String,
}

/// `PUT /actions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Action {
    /// Boots the kernel.
    InstanceStart,
    /// Writes the metrics now.
    FlushMetrics,
    /// Asks the guest to end.
    SendCtrlAltDel,
}

#[derive(Debug, Serialize)]
pub(super) struct ActionBody {
    pub(super) action_type: Action,
}

/// `PATCH /vm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum VmState {
    /// Its processors stand still.
    Paused,
    /// They run.
    Resumed,
}

#[derive(Debug, Serialize)]
pub(super) struct VmBody {
    pub(super) state: VmState,
}

/// `PUT /snapshot/create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotCreate {
    /// All memory, or what changed since the last.
    pub snapshot_type: SnapshotType,
    /// The state's file, as the VMM sees it.
    pub snapshot_path: String,
    /// The memory's file, as the VMM sees it.
    pub mem_file_path: String,
}

/// What a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum SnapshotType {
    /// All memory.
    Full,
    /// What changed.
    Diff,
}

/// `PUT /snapshot/load`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotLoad {
    /// The state's file, as the VMM sees it.
    pub snapshot_path: String,
    /// Where memory comes from.
    pub mem_backend: MemoryBackend,
    /// Whether it runs at once.
    pub resume_vm: bool,
    /// Other taps than the snapshot's.
    pub network_overrides: Vec<NetworkOverride>,
}

/// Where a restored machine's memory comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryBackend {
    /// `File`: mapped privately, pages are shared until they are written.
    pub backend_type: &'static str,
    /// The file, as the VMM sees it.
    pub backend_path: String,
}

/// Another tap for an interface of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkOverride {
    /// Which interface.
    pub iface_id: String,
    /// The tap on this host.
    pub host_dev_name: String,
}
