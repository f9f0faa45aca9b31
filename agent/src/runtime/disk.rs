//! A seat's writable disk: a sparse file with an ext4 in it, which bounds bytes
//! and inodes, behind a loop device that frees itself when its last user ends.
//!
//! Way: a template made once a size -> a sparse copy a seat -> a loop device
//! -> a mount -> the overlay's upper layer.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::fs::{FileType, Mode, SeekFrom};

use crate::sys;

/// The empty disk of a size, made by `mkfs.ext4` if it is not there yet.
pub(super) fn template(run: &Path, mib: u32) -> anyhow::Result<PathBuf> {
    let path = run.join(format!("disk-{mib}.img"));
    if path.exists() {
        return Ok(path);
    }
    let fresh = run.join(format!("disk-{mib}.{:?}.new", thread::current().id()));
    let layers = run.join(format!("disk-{mib}.{:?}.layers", thread::current().id()));
    for layer in ["upper", "work"] {
        fs::create_dir_all(layers.join(layer)).context("could not make the layers' folders")?;
    }
    private(&fresh)
        .and_then(|file| file.set_len(u64::from(mib) << 20))
        .context("could not make the template disk")?;
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-m", "0", "-b", "4096", "-J", "size=4"])
        .args(["-O", "^resize_inode"])
        .args(["-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard"])
        .arg("-d")
        .arg(&layers)
        .arg(&fresh)
        .output()
        .context("mkfs.ext4 could not be started")?;
    ensure!(
        made.status.success(),
        "mkfs.ext4 failed: {}",
        String::from_utf8_lossy(&made.stderr).trim()
    );
    fs::remove_dir_all(&layers).context("could not remove the layers' folders")?;
    fs::rename(&fresh, &path).context("could not name the template disk")?;
    Ok(path)
}

/// What seats that live may still write when no further one is made, in bytes.
const RESERVE: u64 = 2 << 30;

/// Refuses where a copy would take what the seats that are there may need:
/// their disks are sparse and grow.
fn room_for(data: u64, place: &Path) -> anyhow::Result<()> {
    let seen = rustix::fs::statvfs(place).context("could not look at the file system")?;
    let (free, all) = (seen.f_bavail * seen.f_frsize, seen.f_blocks * seen.f_frsize);
    let reserve = RESERVE.min(all / 20);
    ensure!(
        free >= data + reserve,
        "there is no room for another seat's disk: {} MiB are free, and {} MiB are kept for the \
         seats that are there",
        free >> 20,
        reserve >> 20
    );
    Ok(())
}

/// Copies the template's data and leaves its holes.
pub(super) fn copy(template: &Path, to: &Path) -> anyhow::Result<()> {
    let from = File::open(template).context("could not open the template disk")?;
    let seen = from
        .metadata()
        .context("could not look at the template disk")?;
    let size = seen.len();
    room_for(seen.blocks() * 512, to.parent().unwrap_or(to))?;
    let disk = private(to).context("could not make the seat's disk")?;
    if rustix::fs::ioctl_ficlone(&disk, &from).is_ok() {
        return Ok(());
    }
    disk.set_len(size)
        .context("could not size the seat's disk")?;
    let mut at = 0;
    loop {
        let start = match rustix::fs::seek(&from, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(rustix::io::Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error).context("could not find the template's data"),
        };
        let end = rustix::fs::seek(&from, SeekFrom::Hole(start))
            .context("could not find the template's holes")?;
        // Between file systems too: templates may lie on another than seats' disks.
        let copied = (&from)
            .seek(io::SeekFrom::Start(start))
            .and_then(|_| (&disk).seek(io::SeekFrom::Start(start)))
            .and_then(|_| io::copy(&mut (&from).take(end - start), &mut &disk))
            .context("could not copy the template's data")?;
        ensure!(copied == end - start, "the template disk ended early");
        at = end;
    }
}

/// [`copy`] in place of a disk that is there: all of it or nothing.
pub(super) fn replace(template: &Path, disk: &Path) -> anyhow::Result<()> {
    let fresh = disk.with_extension("new");
    copy(template, &fresh)?;
    fs::rename(&fresh, disk).context("could not put the seat's disk in its place")
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

static ATTACHING: Mutex<()> = Mutex::new(());

/// A loop device with the seat's disk behind it. Free again when this handle
/// and every mount of it are gone.
#[derive(Debug)]
pub(super) struct Loop {
    number: u32,
    _device: OwnedFd,
}

impl Loop {
    /// Puts the disk behind a free device.
    pub(super) fn attach(disk: &Path, nodes: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(disk)
            .context("could not open the seat's disk")?;
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/loop-control")
            .context("could not open /dev/loop-control")?;
        // Seats that boot together would all be told the same number.
        let _one = ATTACHING.lock().unwrap_or_else(PoisonError::into_inner);
        // Others take devices too: the free one may be gone when it is asked for.
        for _ in 0..256 {
            let number =
                sys::free_loop_device(control.as_fd()).context("could not find a loop device")?;
            let device: OwnedFd = OpenOptions::new()
                .read(true)
                .write(true)
                .open(node(nodes, number)?)
                .context("could not open the loop device")?
                .into();
            match sys::set_loop(device.as_fd(), file.as_fd()) {
                Ok(()) => {
                    return Ok(Self {
                        number,
                        _device: device,
                    });
                }
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(error).context("could not set up the loop device"),
            }
        }
        anyhow::bail!("no loop device stayed free")
    }

    /// The device's path, for mount(2).
    pub(super) fn path(&self, nodes: &Path) -> anyhow::Result<PathBuf> {
        node(nodes, self.number)
    }
}

/// The path of loop device `number`: the system's, or a node of our own where
/// nobody makes device nodes.
fn node(nodes: &Path, number: u32) -> anyhow::Result<PathBuf> {
    let usual = PathBuf::from(format!("/dev/loop{number}"));
    if usual.exists() {
        return Ok(usual);
    }
    let own = nodes.join(format!("loop{number}"));
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        &own,
        FileType::BlockDevice,
        Mode::RUSR | Mode::WUSR,
        rustix::fs::makedev(7, number),
    );
    match made {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(own),
        Err(error) => Err(error).context("could not make a loop device's node"),
    }
}

/// Waits until no loop device has the disk, so that it may be mounted again or
/// is truly gone. Blocks.
pub(super) fn wait_until_free(disk: &Path, within: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + within;
    let mut pause = Duration::from_millis(1);
    while in_use(disk).context("could not look at the loop devices")? {
        ensure!(
            Instant::now() < until,
            "the seat's disk is still in use after {within:?}"
        );
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    Ok(())
}

fn in_use(disk: &Path) -> io::Result<bool> {
    let Ok(wanted) = fs::metadata(disk) else {
        return Ok(false);
    };
    let wanted = (wanted.dev(), wanted.ino());
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with("loop") {
            continue;
        }
        let Ok(backing) = fs::read_to_string(entry.path().join("loop/backing_file")) else {
            continue;
        };
        // By file and not by name: the kernel tells the name as it was seen in
        // the mount namespace of whoever set it up.
        let same = fs::metadata(backing.trim_end()).map(|found| (found.dev(), found.ino()));
        if same.is_ok_and(|found| found == wanted) {
            return Ok(true);
        }
    }
    Ok(false)
}
