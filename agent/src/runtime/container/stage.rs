//! Puts a seat's root together, just long enough for the OCI runtime to take it.
//!
//! The stage is a tmpfs in the agent's private mount namespace. A root on it is
//! an overlay: below, the read-only image with its ids mapped to the seat's
//! range; above, the seat's disk. Once the container has its own copy of that
//! mount the stage lets go: nothing of a running seat hangs on the agent's
//! namespace, so an agent may die and come again in another one.

use std::{
    fs,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use clarateach_domain::ids::Slot;
use rustix::{
    fs::{CWD, Gid, Uid},
    mount::{
        MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, move_mount, open_tree,
        unmount,
    },
};

use super::disk::Loop;
use crate::sys;

/// How many ids a seat has.
pub(super) const IDS: u32 = 65_536;

/// Folders that every Debian has and no service lives in. The stage lies over
/// one of them, in the agent's namespace only: guests' root must reach it, and
/// the run directory is closed to them.
const PLACES: [&str; 4] = ["/mnt", "/media", "/srv", "/opt"];

/// Where roots are put together.
#[derive(Debug, Clone)]
pub(super) struct Stage {
    path: PathBuf,
}

impl Stage {
    /// Takes a place that hides none of `needed`.
    pub(super) fn prepare(needed: &[&Path]) -> anyhow::Result<Self> {
        ensure_private()?;
        let path = PLACES
            .iter()
            .map(Path::new)
            .find(|place| place.is_dir() && !needed.iter().any(|path| path.starts_with(place)))
            .context("every place for the stage holds the run directory or the images")?;
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        mount(
            "clarateach",
            path,
            "tmpfs",
            flags,
            Some(c"mode=0711,size=1m"),
        )
        .context("could not mount the stage")?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Where loop device nodes may be made.
    pub(super) fn nodes(&self) -> &Path {
        &self.path
    }

    /// Puts the slot's root together. `first_id` is the host's id of the
    /// guest's root.
    pub(super) fn set(
        &self,
        slot: Slot,
        rootfs: &Path,
        disk: &Path,
        first_id: u32,
    ) -> anyhow::Result<Scene> {
        let scene = Scene {
            path: self.path.join(slot.to_string()),
        };
        fs::create_dir_all(&scene.path).context("could not make the scene")?;
        // A mount of its own, so that one unmount takes all that is on it.
        let flags = MountFlags::NOSUID | MountFlags::NOEXEC;
        mount(
            "clarateach",
            &scene.path,
            "tmpfs",
            flags,
            Some(c"mode=0711,size=64k"),
        )
        .context("could not mount the scene")?;
        for part in ["lower", "disk", "root"] {
            fs::create_dir(scene.path.join(part)).context("could not make the scene")?;
        }
        mount_disk(disk, &scene.path.join("disk"), self.nodes(), first_id)?;
        mount_lower(rootfs, &scene.path.join("lower"), first_id)?;
        let at = |part: &str| scene.path.join(part).display().to_string();
        let layers = format!(
            "lowerdir={},upperdir={},workdir={},index=off,metacopy=off",
            at("lower"),
            at("disk/upper"),
            at("disk/work")
        );
        let layers = std::ffi::CString::new(layers).context("could not name the layers")?;
        mount(
            "overlay",
            scene.root(),
            "overlay",
            MountFlags::NODEV,
            Some(layers.as_c_str()),
        )
        .context("could not mount the overlay")?;
        Ok(scene)
    }
}

/// A root, put together. Dropped, it leaves the stage; whoever took a copy of
/// the mount keeps it.
#[derive(Debug)]
pub(super) struct Scene {
    path: PathBuf,
}

impl Scene {
    /// The root's path.
    pub(super) fn root(&self) -> PathBuf {
        self.path.join("root")
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        match unmount(&self.path, UnmountFlags::DETACH) {
            // Not mounted, or not even there: the scene was half made.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(error) => tracing::warn!(%error, "scene was not unmounted"),
        }
        if let Err(error) = fs::remove_dir(&self.path) {
            tracing::warn!(%error, "scene was not removed");
        }
    }
}

fn mount_disk(disk: &Path, at: &Path, nodes: &Path, first_id: u32) -> anyhow::Result<()> {
    let device = Loop::attach(disk, nodes)?;
    let flags = MountFlags::NODEV | MountFlags::NOATIME;
    mount(
        device.path(nodes)?,
        at,
        "ext4",
        flags,
        Some(c"noinit_itable,discard"),
    )
    .context("could not mount the seat's disk")?;
    for layer in ["upper", "work"] {
        let id = (Uid::from_raw(first_id), Gid::from_raw(first_id));
        rustix::fs::chown(at.join(layer), Some(id.0), Some(id.1))
            .context("could not hand the disk to the seat")?;
    }
    Ok(())
}

fn mount_lower(rootfs: &Path, at: &Path, first_id: u32) -> anyhow::Result<()> {
    let users = sys::user_namespace(first_id, IDS).context("could not make the seat's ids")?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, rootfs, flags).context("could not open the root filesystem")?;
    sys::map_mount_ids(tree.as_fd(), users.as_fd(), true)
        .context("could not map the root filesystem's ids")?;
    move_mount(&tree, c"", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .context("could not mount the root filesystem")?;
    Ok(())
}

/// Refuses to mount anything where others would see it.
fn ensure_private() -> anyhow::Result<()> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt"));
    let own = namespace("self").context("could not look at the mount namespace")?;
    ensure!(
        namespace("1").ok() != Some(own),
        "the container runtime needs a mount namespace of its own: start the agent by `unshare -m --propagation private`"
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("could not read mountinfo")?;
    let root = mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"));
    ensure!(
        !root.is_some_and(|line| line.contains(" shared:")),
        "the agent's mounts must not propagate: start it by `unshare -m --propagation private`"
    );
    Ok(())
}
