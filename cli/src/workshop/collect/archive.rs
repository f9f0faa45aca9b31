//! The archive of a class: a folder a seat, and a word at the end.

use std::{
    io::{self, Read, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use clarateach_proto::workshop::Seat;
use tar::{Archive, Builder, EntryType, Header};

use crate::files::unpack;

/// Where it goes.
pub(super) type Output = Box<dyn Write + Send>;

/// What is in a seat's archive, under its folder. Gives how many files.
pub(super) fn append(
    builder: &mut Builder<Output>,
    archive: impl Read,
    folder: &str,
) -> io::Result<u64> {
    let mut top = header(EntryType::Directory, 0, 0o755);
    builder.append_data(&mut top, folder, io::empty())?;
    let mut files = 0;
    let mut archive = Archive::new(archive);
    for entry in archive.entries()? {
        let mut entry = entry?;
        // A name that leads out would do so wherever this is unpacked.
        let Some(path) = unpack::below_root(&entry.path_bytes()) else {
            continue;
        };
        let path = Path::new(folder).join(path);
        let mut header = entry.header().clone();
        match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                files += 1;
                builder.append_data(&mut header, &path, &mut entry)?;
            }
            EntryType::Directory => builder.append_data(&mut header, &path, io::empty())?,
            EntryType::Symlink => {
                let target = entry.link_name()?.unwrap_or_default().into_owned();
                builder.append_link(&mut header, &path, target)?;
            }
            _ => {}
        }
    }
    Ok(files)
}

fn header(kind: EntryType, size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    header.set_mtime(now.map_or(0, |now| now.as_secs()));
    header
}

pub(super) fn end(builder: &mut Builder<Output>, text: &str) -> io::Result<()> {
    let mut header = header(EntryType::Regular, text.len() as u64, 0o644);
    builder.append_data(&mut header, "collected.json", text.as_bytes())?;
    builder.finish()?;
    builder.get_mut().flush()
}

/// `seat-003-Ada`: a name for every file system. Pure.
pub(super) fn folder(seat: &Seat) -> String {
    let mut name: String = seat
        .learner
        .chars()
        .map(|c| {
            if c.is_alphanumeric() || "-_.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(40)
        .collect();
    while name.ends_with(['.', '-']) {
        name.pop();
    }
    let dash = if name.is_empty() { "" } else { "-" };
    format!("seat-{:03}{dash}{name}", seat.seat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seats_folder_is_a_plain_name() {
        for (learner, folder_is) in [
            ("Ada", "seat-003-Ada"),
            ("", "seat-003"),
            ("../../etc", "seat-003-..-..-etc"),
            ("a/b\\c:d\n", "seat-003-a-b-c-d"),
            ("Zoë 山田 😀", "seat-003-Zoë-山田"),
            (" ", "seat-003"),
            ("..", "seat-003"),
        ] {
            let seat = Seat {
                seat: 3,
                learner: learner.into(),
                ..Default::default()
            };
            assert_eq!(folder(&seat), folder_is, "{learner:?}");
        }
    }
}
