//! Against the real binary, where there is one and KVM opens.

use std::{
    process::{Child, Command, Stdio},
    time::Instant,
};

use super::{resources::*, *};

/// A VMM without a jail in a folder of its own; killed when dropped.
struct Vmm {
    dir: tempfile::TempDir,
    child: Child,
}

impl Drop for Vmm {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Vmm {
    /// None, and why is printed, where there is no binary or no KVM.
    async fn start() -> Option<(Self, Api)> {
        let binary = match super::super::host::tests::firecracker() {
            Ok(binary) => binary,
            Err(why) => {
                eprintln!("SKIPPED: {why}");
                return None;
            }
        };
        let dir = tempfile::tempdir().unwrap();
        // Deeper than a socket's path may be.
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let child = Command::new(binary)
            .args(["--api-sock", "api.sock"])
            .current_dir(&deep)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let vmm = Self { dir, child };
        let socket = deep.join("api.sock");
        let began = Instant::now();
        while !socket.exists() {
            assert!(began.elapsed() < Duration::from_secs(30), "no socket");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Some((vmm, Api::at(&socket)))
    }

    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

const WITHIN: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_vmm_takes_every_resource_as_it_is_sent() {
    let Some((vmm, api)) = Vmm::start().await else {
        return;
    };
    let instance = api.instance(WITHIN).await.unwrap();
    assert_eq!(instance.state, "Not started");
    assert_eq!(api.version().await.unwrap(), instance.vmm_version);
    api.set_machine(&MachineConfig {
        vcpu_count: 1,
        mem_size_mib: 128,
        smt: false,
        track_dirty_pages: false,
    })
    .await
    .unwrap();
    let disk = vmm.file("disk", &[0; 4096]);
    let bucket = TokenBucket {
        size: 1 << 20,
        one_time_burst: Some(1 << 20),
        refill_time: 100,
    };
    let limiter = Some(RateLimiter {
        bandwidth: Some(bucket),
        ops: Some(bucket),
    });
    api.add_drive(&Drive {
        drive_id: "seat".to_owned(),
        path_on_host: disk.clone(),
        is_root_device: false,
        is_read_only: false,
        cache_type: CacheType::Writeback,
        rate_limiter: limiter,
    })
    .await
    .unwrap();
    api.set_vsock(&Vsock {
        guest_cid: 3,
        uds_path: "v.sock".to_owned(),
    })
    .await
    .unwrap();
    let rate_limiter = limiter;
    api.set_entropy(&Entropy { rate_limiter }).await.unwrap();
    api.set_balloon(&Balloon {
        amount_mib: 0,
        deflate_on_oom: true,
        stats_polling_interval_s: 1,
    })
    .await
    .unwrap();
    api.set_logger(&Logger {
        log_path: vmm.file("log", b""),
        level: "Warning".to_owned(),
    })
    .await
    .unwrap();
    api.set_metrics(&Metrics {
        metrics_path: vmm.file("metrics", b""),
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_refusal_carries_the_vmms_own_words() {
    let Some((vmm, api)) = Vmm::start().await else {
        return;
    };
    let no_kernel = api.act(Action::InstanceStart).await.unwrap_err();
    let text = no_kernel.to_string();
    assert!(text.contains("/actions"), "{text}");
    assert!(
        text.contains("Cannot start microvm without kernel"),
        "{text}"
    );
    let truncated = vmm.file("kernel", b"\x7fELF");
    api.set_boot_source(&BootSource {
        kernel_image_path: truncated,
        boot_args: "quiet".to_owned(),
    })
    .await
    .unwrap();
    for (what, refused) in [
        ("a truncated kernel", api.act(Action::InstanceStart).await),
        (
            "a tap that cannot be",
            api.add_network(&NetworkInterface {
                iface_id: "eth0".to_owned(),
                host_dev_name: "longer-than-15-characters".to_owned(),
                guest_mac: "02:c1:a2:00:00:01".to_owned(),
                rx_rate_limiter: None,
                tx_rate_limiter: None,
            })
            .await,
        ),
        (
            "a snapshot that is not there",
            api.load_snapshot(&SnapshotLoad {
                snapshot_path: "/none".to_owned(),
                mem_backend: MemoryBackend {
                    backend_type: "File",
                    backend_path: "/none".to_owned(),
                },
                resume_vm: true,
                network_overrides: Vec::new(),
            })
            .await,
        ),
        (
            "a pause before the start",
            api.set_state(VmState::Paused).await,
        ),
        (
            "a snapshot of nothing",
            api.create_snapshot(&SnapshotCreate {
                snapshot_type: SnapshotType::Full,
                snapshot_path: "/none".to_owned(),
                mem_file_path: "/none".to_owned(),
            })
            .await,
        ),
        (
            "another disk for none",
            api.patch_drive(&PatchDrive {
                drive_id: "none".to_owned(),
                path_on_host: Some("/none".to_owned()),
                rate_limiter: None,
            })
            .await,
        ),
        (
            "other limits for none",
            api.patch_network(&PatchNetworkInterface {
                iface_id: "none".to_owned(),
                rx_rate_limiter: None,
                tx_rate_limiter: None,
            })
            .await,
        ),
    ] {
        match refused {
            Err(ApiError::Refused { fault, .. }) => assert!(!fault.is_empty(), "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_dead_vmms_socket_is_no_sign_of_life() {
    let Some((mut vmm, api)) = Vmm::start().await else {
        return;
    };
    vmm.child.kill().unwrap();
    vmm.child.wait().unwrap();
    assert!(
        vmm.dir
            .path()
            .join("d".repeat(120))
            .join("api.sock")
            .exists()
    );
    let gone = api.instance(WITHIN).await;
    assert!(matches!(gone, Err(ApiError::Channel { .. })), "{gone:?}");
}

#[tokio::test]
async fn a_vmm_that_hangs_costs_the_probe_only() {
    let Some((vmm, api)) = Vmm::start().await else {
        return;
    };
    let pid = rustix::process::Pid::from_child(&vmm.child);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let silent = api.instance(Duration::from_millis(200)).await;
    assert!(
        matches!(silent, Err(ApiError::TimedOut { .. })),
        "{silent:?}"
    );
}
