//! What `scripts/prune-images.sh` leaves: everything that a seat may start from.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop"
)]

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

/// What the cache holds, and whether it stays.
const IMAGES: [(&str, bool); 20] = [
    ("rootfs-now", true),
    ("rootfs-seat", true),
    ("rootfs-noted", true),
    ("rootfs-old", false),
    ("rootfs-young", true),
    ("base-now.ext4", true),
    ("base-now-emulated.ext4", true),
    ("base-seat.ext4", true),
    ("base-old.ext4", false),
    ("guest-now", true),
    ("guest-mounted", true),
    ("guest-old", false),
    ("boot-now.ext4", true),
    ("boot-now-emulated.ext4", true),
    ("boot-old.ext4", false),
    ("boot-old-emulated.ext4", false),
    ("vmlinux-hardware-now", true),
    ("vmlinux-hardware-old", false),
    ("snapshots/later", true),
    ("snapshots/earlier", false),
];

fn age(path: &Path, days: u64) {
    let then = SystemTime::now() - Duration::from_secs(days * 24 * 3600);
    File::open(path).unwrap().set_modified(then).unwrap();
}

/// A data directory with a seat whose disk goes with `rootfs`.
fn installation(at: &Path, rootfs: &str) {
    let seat = at.join("workers/ws-abcdefghij-w1/run/seats/1");
    fs::create_dir_all(&seat).unwrap();
    fs::write(seat.join("rootfs"), rootfs).unwrap();
}

fn prune(dir: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/prune-images.sh");
    let pruned = Command::new(script)
        .arg("--images")
        .arg(dir.join("images"))
        .arg("--alloc")
        .arg(dir.join("alloc"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&pruned.stderr);
    assert!(pruned.status.success(), "{said}");
    println!("{said}");
}

#[test]
fn an_image_that_a_seat_may_start_from_is_never_removed() {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: only root sees what others have mounted");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let images = dir.path().join("images");
    for (name, _) in IMAGES {
        let path = images.join(name);
        if name.starts_with("rootfs-") || name.starts_with("snapshots/") {
            fs::create_dir_all(path.join("bin")).unwrap();
        } else {
            fs::write(&path, name).unwrap();
        }
        let days = match name {
            "rootfs-young" => 1,
            "snapshots/later" => 9,
            "snapshots/earlier" => 30,
            name if name.contains("now") => 20,
            _ => 100,
        };
        age(&path, days);
    }
    for (pointer, name) in [
        ("current", "rootfs-now\n"),
        ("guest-current", "guest-now\n"),
        ("vmlinux-hardware-current", "vmlinux-hardware-now\n"),
    ] {
        fs::write(images.join(pointer), name).unwrap();
        age(&images.join(pointer), 100);
    }
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    installation(&one, "rootfs-seat");
    fs::create_dir(dir.path().join("alloc")).unwrap();
    let place = serde_json::json!({"index": 1, "data_dir": one, "ending": false});
    fs::write(
        dir.path().join("alloc/1.json"),
        serde_json::to_vec_pretty(&place).unwrap(),
    )
    .unwrap();
    let (mounted, at) = (images.join("guest-mounted"), dir.path().join("at"));
    fs::write(&at, "").unwrap();
    let mount = |arguments: &[&Path], program: &str| {
        let done = Command::new(program).args(arguments).status();
        assert!(done.unwrap().success(), "{program}");
    };
    mount(&[Path::new("--bind"), &mounted, &at], "mount");

    // An installation that is not running and was never noted may be anywhere.
    prune(dir.path());
    for (name, stays) in IMAGES {
        let disk = name.starts_with("rootfs-") || name.starts_with("base-");
        assert_eq!(images.join(name).exists(), stays || disk, "{name}");
    }

    // As a server notes it.
    installation(&two, "rootfs-noted");
    fs::create_dir(images.join(".installations")).unwrap();
    fs::write(
        images.join(".installations/0123456789abcdef"),
        format!("{}\n", two.display()),
    )
    .unwrap();
    prune(dir.path());
    mount(&[&at], "umount");
    for (name, stays) in IMAGES {
        assert_eq!(images.join(name).exists(), stays, "{name}");
    }
}
