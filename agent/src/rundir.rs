//! The run directory: all that an agent leaves for the next one.
//!
//! ```text
//! RUN_DIR/seats/<slot>/spec.json   what the seat should be; where there is none, the seat is
//!                                  rubbish; where it cannot be read, it is left alone
//!                      seat        whose it is, for when the spec cannot be read
//!                      epoch       the epoch in force, on disk before it is answered
//!                      secret      the guest's secret, hex
//!                      control.sock disk.img guest.log bundle/ …   the runtime's
//! RUN_DIR/egress.json              the policy of all seats' way out, once it was told
//! RUN_DIR/names                    which allowed names led to which open addresses
//! RUN_DIR/walls.json               where the walls stand and what they were made of
//! RUN_DIR/runc/                    the OCI runtime's own state
//! ```

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use clarateach_domain::{
    ids::{SeatNo, Slot},
    microvm::MicroVmSpec,
};
use serde::Deserialize;

/// An agent's run directory.
#[derive(Debug, Clone)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// Opens the directory, made with mode 0700 if it is missing.
    pub fn open(root: &Path) -> io::Result<Self> {
        make_private(root)?;
        let root = root.canonicalize()?;
        make_private(&root.join("seats"))?;
        make_private(&root.join("runc"))?;
        Ok(Self { root })
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Where the egress policy in force is noted.
    pub fn egress(&self) -> PathBuf {
        self.root.join("egress.json")
    }

    /// Where it is noted where the walls stand, for who looks at them.
    pub fn walls(&self) -> PathBuf {
        self.root.join("walls.json")
    }

    /// Where the OCI runtime keeps its state.
    pub fn runc(&self) -> PathBuf {
        self.root.join("runc")
    }

    /// One slot's directory, there or not.
    pub fn seat(&self, slot: Slot) -> SeatDir {
        let path = self.root.join("seats").join(slot.to_string());
        SeatDir { path }
    }

    /// The slots that have a directory.
    pub fn slots(&self) -> io::Result<Vec<Slot>> {
        let mut slots = Vec::new();
        for entry in fs::read_dir(self.root.join("seats"))? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.parse::<u32>().ok());
            slots.extend(number.and_then(|number| Slot::try_from(number).ok()));
        }
        Ok(slots)
    }
}

/// Whose a slot's directory is: what must be known of a seat that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Owner {
    /// The seat.
    pub seat: SeatNo,
    /// Which of its lives.
    pub incarnation: u64,
}

/// One slot's directory.
#[derive(Debug, Clone)]
pub struct SeatDir {
    path: PathBuf,
}

impl SeatDir {
    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes the directory.
    pub fn make(&self) -> io::Result<()> {
        make_private(&self.path)
    }

    /// What the seat should be; `None` only when there is no such file. One that
    /// cannot be read is an error: a learner's disk hangs on the difference.
    pub fn spec(&self) -> io::Result<Option<MicroVmSpec>> {
        match fs::read(self.file("spec.json")) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(none) if none.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    /// Writes what the seat should be, before anything of it is made; on disk
    /// when this returns, so that a power loss leaves no empty file.
    pub fn write_spec(&self, spec: &MicroVmSpec) -> io::Result<()> {
        replace(&self.file("spec.json"), &serde_json::to_vec(spec)?, true)
    }

    /// Notes whose the directory is, apart from the spec. Not worth a wait for the
    /// disk: it is read only when the spec, which was, is damaged.
    pub fn write_owner(&self, spec: &MicroVmSpec) -> io::Result<()> {
        let text = format!("{} {}", spec.seat, spec.incarnation);
        replace(&self.file("seat"), text.as_bytes(), false)
    }

    /// Whose the directory is, as far as it can be told without the spec: by the
    /// note, or by what is left of the spec.
    pub fn owner(&self) -> Option<Owner> {
        let noted = fs::read_to_string(self.file("seat")).ok().and_then(|text| {
            let (seat, incarnation) = text.trim().split_once(' ')?;
            Some(Owner {
                seat: seat.parse().ok()?,
                incarnation: incarnation.parse().ok()?,
            })
        });
        noted.or_else(|| serde_json::from_slice(&fs::read(self.file("spec.json")).ok()?).ok())
    }

    /// From here on the seat is rubbish, to be swept by whoever sees it.
    pub fn forget_spec(&self) -> io::Result<()> {
        gone(fs::remove_file(self.file("spec.json")))
    }

    /// The epoch in force; `None` when it is missing or unreadable, which
    /// admits nobody.
    pub fn epoch(&self) -> Option<u64> {
        let text = fs::read_to_string(self.file("epoch")).ok()?;
        text.trim().parse().ok()
    }

    /// Writes the epoch; on disk when this returns if `durable`.
    pub fn write_epoch(&self, epoch: u64, durable: bool) -> io::Result<()> {
        replace(&self.file("epoch"), epoch.to_string().as_bytes(), durable)
    }

    /// The guest's secret.
    pub fn secret(&self) -> Option<String> {
        let text = fs::read_to_string(self.file("secret")).ok()?;
        let fits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then_some(text)
    }

    /// Writes the guest's secret.
    pub fn write_secret(&self, secret: &str) -> io::Result<()> {
        replace(&self.file("secret"), secret.as_bytes(), false)
    }

    /// Removes the directory with all that is in it; gone already is removed.
    pub fn remove(&self) -> io::Result<()> {
        gone(fs::remove_dir_all(&self.path))
    }
}

/// Turns "there is none" into success.
pub(crate) fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Replaces a file whole: a reader sees the old text or the new one.
pub(crate) fn replace(path: &Path, text: &[u8], durable: bool) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(text)?;
    if durable {
        file.sync_all()?;
    }
    fs::rename(&fresh, path)?;
    if durable && let Some(parent) = path.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_spec_that_nobody_wrote_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::open(dir.path()).unwrap();
        let seat = run.seat(Slot::try_from(3).unwrap());
        assert!(seat.spec().unwrap().is_none(), "no folder");
        seat.make().unwrap();
        assert!(seat.spec().unwrap().is_none(), "no file");
        let later = r#"{"seat":1,"slot":3,"incarnation":1,"epoch":1,"resources":
            {"vcpus":1,"memory_mib":512,"disk_mib":2048},"template":"","env":{},
            "workshop_name":"","of_a_later_release":true}"#;
        fs::write(seat.file("spec.json"), later).unwrap();
        assert!(seat.spec().unwrap().is_some(), "a later release's");
        for damaged in ["", "{", "{\"seat\":1}"] {
            fs::write(seat.file("spec.json"), damaged).unwrap();
            assert!(seat.spec().is_err(), "{damaged:?}");
        }
        seat.forget_spec().unwrap();
        fs::create_dir(seat.file("spec.json")).unwrap();
        assert!(seat.spec().is_err(), "not a file");
    }

    #[test]
    fn whose_a_folder_is_can_be_told_without_its_spec() {
        let dir = tempfile::tempdir().unwrap();
        let seat = RunDir::open(dir.path()).unwrap();
        let seat = seat.seat(Slot::try_from(3).unwrap());
        seat.make().unwrap();
        for (note, spec, owner) in [
            ("7 2", "{", Some((7, 2))),
            (
                "",
                r#"{"seat":7,"incarnation":2,"of":"a later release"}"#,
                Some((7, 2)),
            ),
            ("7 2", r#"{"seat":8,"incarnation":1}"#, Some((7, 2))),
            ("0 2", "{", None),
            ("7", r#"{"seat":7}"#, None),
            ("", "", None),
        ] {
            fs::write(seat.file("seat"), note).unwrap();
            fs::write(seat.file("spec.json"), spec).unwrap();
            let told = seat
                .owner()
                .map(|owner| (owner.seat.get(), owner.incarnation));
            assert_eq!(told, owner, "{note:?} {spec:?}");
        }
    }

    #[test]
    fn an_epoch_that_cannot_be_read_admits_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::open(dir.path()).unwrap();
        let seat = run.seat(Slot::try_from(3).unwrap());
        seat.make().unwrap();
        assert_eq!(seat.epoch(), None);
        seat.write_epoch(7, true).unwrap();
        assert_eq!(seat.epoch(), Some(7));
        fs::write(seat.file("epoch"), "").unwrap();
        assert_eq!(seat.epoch(), None);
        assert_eq!(run.slots().unwrap(), [Slot::try_from(3).unwrap()]);
        seat.remove().unwrap();
        seat.remove().unwrap();
        assert!(run.slots().unwrap().is_empty());
    }
}
