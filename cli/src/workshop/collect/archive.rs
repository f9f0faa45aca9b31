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

/// Reads a seat's archive to its end, so that a broken one is known before anything of it
/// is in everybody's.
pub(super) fn check(archive: impl Read) -> io::Result<()> {
    for entry in Archive::new(archive).entries()? {
        io::copy(&mut entry?, &mut io::sink())?;
    }
    Ok(())
}

/// What is in a seat's archive, under its folder. Gives how many files.
///
/// Of a header nothing is passed on but what was understood: its learner wrote it, and one
/// that disagrees with the body would make readers take that body for more headers.
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
        let (kind, mtime) = (entry.header().entry_type(), entry.header().mtime().ok());
        // No more than permissions: a program that became its owner would be whoever unpacks.
        let mode = entry.header().mode().unwrap_or(0o644) & 0o777;
        let at = Path::new(folder).join(&path);
        let fresh = |kind, size| {
            let mut header = header(kind, size, mode);
            if let Some(mtime) = mtime {
                header.set_mtime(mtime);
            }
            header
        };
        match kind {
            EntryType::Regular | EntryType::Continuous => {
                files += 1;
                let mut header = fresh(EntryType::Regular, entry.size());
                builder.append_data(&mut header, &at, &mut entry)?;
            }
            EntryType::Directory => {
                builder.append_data(&mut fresh(kind, 0), &at, io::empty())?;
            }
            EntryType::Symlink => {
                let target = entry.link_name()?.unwrap_or_default().into_owned();
                if !unpack::leads_out(&path, &target) {
                    builder.append_link(&mut fresh(kind, 0), &at, target)?;
                }
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

    /// What is in the class's archive when a seat's holds this.
    fn of_seat(seat: &[u8]) -> Vec<(String, EntryType, u32, u64)> {
        let place = tempfile::NamedTempFile::new().unwrap();
        let output: Output = Box::new(place.reopen().unwrap());
        let mut builder = Builder::new(output);
        check(seat).unwrap();
        append(&mut builder, seat, "seat-001").unwrap();
        end(&mut builder, "{}").unwrap();
        let mut all = Archive::new(place.reopen().unwrap());
        let told = all.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let (kind, mode) = (header.entry_type(), header.mode().unwrap());
            (name, kind, mode, entry.size())
        });
        told.collect()
    }

    #[test]
    fn no_header_of_a_learner_makes_files_of_others() {
        let mut hidden = Builder::new(Vec::new());
        let mut evil = header(EntryType::Regular, 4, 0o644);
        hidden
            .append_data(&mut evil, "seat-002/work", &b"evil"[..])
            .unwrap();
        let hidden = hidden.into_inner().unwrap();
        // The header says nothing follows; a PAX record says that much does.
        let mut seat = Builder::new(Vec::new());
        let size = hidden.len().to_string();
        seat.append_pax_extensions([("size", size.as_bytes())])
            .unwrap();
        let mut lies = header(EntryType::Regular, 0, 0o4755);
        lies.set_path("workspace/tool").unwrap();
        lies.set_cksum();
        let mut seat = seat.into_inner().unwrap();
        // Its end is not written yet: two blocks of nothing.
        seat.truncate(seat.len() - 1024);
        seat.extend(lies.as_bytes());
        seat.extend(&hidden);
        seat.extend([0; 1024]);
        let told = of_seat(&seat);
        let names: Vec<_> = told.iter().map(|one| one.0.as_str()).collect();
        assert_eq!(names, ["seat-001", "seat-001/tool", "collected.json"]);
        assert_eq!((told[1].2, told[1].3), (0o755, hidden.len() as u64));
    }

    #[test]
    fn links_that_lead_out_of_a_seat_stay_there() {
        let mut seat = Builder::new(Vec::new());
        for (name, target) in [("in", "work"), ("out", "/home/ada"), ("up", "../seat-002")] {
            let mut link = header(EntryType::Symlink, 0, 0o777);
            let name = format!("workspace/{name}");
            seat.append_link(&mut link, name, target).unwrap();
        }
        let told = of_seat(&seat.into_inner().unwrap());
        let names: Vec<_> = told.iter().map(|one| one.0.as_str()).collect();
        assert_eq!(names, ["seat-001", "seat-001/in", "collected.json"]);
    }

    #[test]
    fn what_is_no_archive_is_known_before_it_is_used() {
        assert!(check(&[7; 512][..]).is_err());
        assert!(check(&[0; 1024][..]).is_ok());
    }

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
