//! A worker's own images, to be spoilt, and a run directory that is soon full.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, symlink},
    path::{Path, PathBuf},
};

use super::{Worker, images, kvm_emulates, run};

impl Worker {
    /// From now on this worker has a folder of images of its own: links to the
    /// ones there are, templates too, so that one of them can be replaced.
    pub(crate) fn own_images(&mut self) -> PathBuf {
        let own = self.dir.path().join("images");
        fs::create_dir(&own).unwrap();
        fs::create_dir_all(images().join("snapshots")).unwrap();
        for entry in fs::read_dir(images()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name();
            if !name.to_string_lossy().starts_with('.') {
                symlink(entry.path(), own.join(name)).unwrap();
            }
        }
        self.images.clone_from(&own);
        own
    }

    /// Of this worker's own images the kernel in use, or the disk `base` or
    /// `boot`, as a file of its own.
    pub(crate) fn own_image(&self, which: &str) -> PathBuf {
        let named = |pointer: &str| fs::read_to_string(self.images.join(pointer));
        let hash = |pointer: &str, prefix| {
            let name = named(pointer).unwrap();
            name.trim().strip_prefix(prefix).map(String::from).unwrap()
        };
        let kind = if kvm_emulates() { "-emulated" } else { "" };
        let name = match which {
            "base" => format!("base-{}{kind}.ext4", hash("current", "rootfs-")),
            "boot" => format!("boot-{}{kind}.ext4", hash("guest-current", "guest-")),
            "vmlinux" => ["hardware", "emulated"]
                .iter()
                .find_map(|kind| named(&format!("vmlinux-{kind}-current")).ok())
                .unwrap()
                .trim()
                .to_owned(),
            other => panic!("{other}"),
        };
        let image = self.images.join(name);
        own(&image);
        image
    }

    /// Puts the link back in the place of a worker's own image.
    pub(crate) fn link_again(&self, image: &Path) {
        let name = image.file_name().unwrap();
        let _gone = fs::remove_file(image);
        symlink(images().join(name), self.images.join(name)).unwrap();
    }

    /// This worker's own copy of the templates that it has used, and no others.
    pub(crate) fn own_snapshots(&self) -> PathBuf {
        let snapshots = self.images.join("snapshots");
        let all = snapshots.canonicalize().unwrap();
        fs::remove_file(&snapshots).unwrap();
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&snapshots)
            .unwrap();
        for key in self.templates() {
            copy(&all.join(&key), &snapshots.join(key));
        }
        snapshots
    }

    /// This worker has no template yet.
    pub(crate) fn no_snapshots(&self) {
        fs::remove_file(self.images.join("snapshots")).unwrap();
    }

    /// The run directory lies below this name from now on.
    pub(crate) fn deeper_run_dir(&mut self, name: &str) {
        self.run = self.dir.path().join(name).join("run");
        fs::create_dir_all(self.run.parent().unwrap()).unwrap();
    }

    /// Whether the run directory's file system lies on a device that can be
    /// limited.
    pub(crate) fn run_dir_has_a_device(&self) -> bool {
        let number = fs::metadata(self.run_dir()).unwrap().dev();
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        fs::metadata(format!("/sys/dev/block/{major}:{minor}")).is_ok()
    }

    /// Writes into the run directory until only so many bytes are free; the
    /// file that takes them.
    pub(crate) fn fill_run_dir(&self, free: u64) -> PathBuf {
        let seen = rustix::fs::statvfs(self.run_dir()).unwrap();
        let filler = self.run_dir().join("filler");
        let length = (seen.f_bavail * seen.f_frsize).saturating_sub(free);
        let file = fs::File::create(&filler).unwrap();
        let none = rustix::fs::FallocateFlags::empty();
        rustix::fs::fallocate(&file, none, 0, length).unwrap();
        filler
    }

    /// The run directory lies on a file system of this size in MiB from now on.
    pub(crate) fn small_run_dir(&self, mib: u32) {
        let place = self.run_dir();
        fs::create_dir(&place).unwrap();
        let size = format!("size={mib}m,mode=700");
        let place = place.to_str().unwrap();
        assert!(
            run("mount", &["-t", "tmpfs", "-o", &size, "none", place]),
            "mount"
        );
    }

    /// Undoes [`Worker::small_run_dir`].
    pub(super) fn unmount(&self) {
        run("umount", &["-l", self.run_dir().to_str().unwrap()]);
    }
}

/// Turns a link into what it leads to.
fn own(link: &Path) {
    let real = link.canonicalize().unwrap();
    if fs::symlink_metadata(link).unwrap().is_symlink() {
        fs::remove_file(link).unwrap();
        copy(&real, link);
    }
}

fn copy(from: &Path, to: &Path) {
    let (from, to) = (from.to_str().unwrap(), to.to_str().unwrap());
    let how = ["-r", "--sparse=always", "--preserve=mode", from, to];
    assert!(run("cp", &how), "cp");
}
