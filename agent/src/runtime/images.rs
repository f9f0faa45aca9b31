//! Which root filesystem and which guest a new seat starts from.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// What a seat is made of, by absolute path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// Name of the root filesystem's directory.
    pub(crate) rootfs_name: String,
    /// The root filesystem.
    pub(crate) rootfs: PathBuf,
    /// The guest's static binary.
    pub(crate) guest: PathBuf,
}

/// The disks of a MicroVM, by absolute path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Disks {
    /// Name of the root filesystem, as in [`Image`].
    pub(crate) rootfs_name: String,
    /// The root filesystem as an ext4, shared by all.
    pub(crate) base: PathBuf,
    /// The small disk that the kernel starts the guest from.
    pub(crate) boot: PathBuf,
}

/// As [`choose`], for a MicroVM; `kind` is what such a host's disks have after their hash.
pub(crate) fn choose_disks(images: &Path, kept: Option<&str>, kind: &str) -> io::Result<Disks> {
    let Image {
        rootfs_name, guest, ..
    } = choose(images, kept)?;
    let hash = rootfs_name.trim_start_matches("rootfs-");
    let base = there(images.join(format!("base-{hash}{kind}.ext4")))?;
    let guest = guest.file_name().unwrap_or_default().to_string_lossy();
    let hash = guest.trim_start_matches("guest-");
    let boot = there(images.join(format!("boot-{hash}{kind}.ext4")))?;
    Ok(Disks {
        rootfs_name,
        base,
        boot,
    })
}

fn there(path: PathBuf) -> io::Result<PathBuf> {
    if path.is_file() {
        return Ok(path);
    }
    let what = format!(
        "{} is missing: scripts/build-guest.sh makes it",
        path.display()
    );
    Err(io::Error::new(io::ErrorKind::NotFound, what))
}

/// The images in use now. `kept` is the root filesystem that an existing disk
/// was started from: its overlay fits no other.
pub(crate) fn choose(images: &Path, kept: Option<&str>) -> io::Result<Image> {
    let rootfs_name = match kept {
        Some(name) if fits(name, "rootfs-") && images.join(name).is_dir() => name.to_owned(),
        Some(name) => {
            // Never another one instead: that would cost a learner the files.
            let what = format!("the image {name:?} of this seat's disk is gone; the disk is kept");
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        None => named(images, "current", "rootfs-")?,
    };
    let guest = images.join(named(images, "guest-current", "guest-")?);
    Ok(Image {
        rootfs: images.join(&rootfs_name),
        rootfs_name,
        guest,
    })
}

/// The name that the file `pointer` holds; checked, so that it stays in the folder.
pub(super) fn named(images: &Path, pointer: &str, prefix: &str) -> io::Result<String> {
    let path = images.join(pointer);
    let text = fs::read_to_string(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    let name = text.trim();
    if fits(name, prefix) && images.join(name).exists() {
        return Ok(name.to_owned());
    }
    let what = format!("{} names no image: {name:?}", path.display());
    Err(io::Error::new(io::ErrorKind::InvalidData, what))
}

/// Whether a name is an image's, and so stays in the folder.
fn fits(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|hash| {
        !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_present_image_is_taken_and_a_disk_keeps_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let images = dir.path();
        for name in ["rootfs-aa", "rootfs-bb"] {
            fs::create_dir(images.join(name)).unwrap();
        }
        fs::write(images.join("guest-11"), "").unwrap();
        fs::write(images.join("guest-current"), "guest-11\n").unwrap();
        fs::write(images.join("current"), "rootfs-bb\n").unwrap();
        for (kept, taken) in [(None, "rootfs-bb"), (Some("rootfs-aa"), "rootfs-aa")] {
            assert_eq!(choose(images, kept).unwrap().rootfs_name, taken, "{kept:?}");
        }
        for kept in ["rootfs-gone", "", ".", "rootfs-", "../rootfs-aa"] {
            assert!(choose(images, Some(kept)).is_err(), "{kept:?}");
        }
        for bad in ["", "rootfs-", "rootfs-../x", "../rootfs-aa", "guest-11"] {
            fs::write(images.join("current"), bad).unwrap();
            assert!(choose(images, None).is_err(), "{bad}");
        }
    }
}
