//! Whether a program is static, read from its ELF headers.
//!
//! The jailer copies one file into an empty root: a program that wants a loader
//! beside it would not start there.

use std::{fs::File, os::unix::fs::FileExt as _, path::Path};

use anyhow::{Context as _, ensure};

/// `e_phoff`, `e_phentsize` and `e_phnum` of a 64-bit ELF's head.
const HEAD: usize = 64;
/// A program header that names the loader.
const PT_INTERP: u32 = 3;
/// More program headers than any real program has.
const MOST_HEADERS: u16 = 128;

/// An error says why it is not. Blocks.
pub(super) fn ensure_static(program: &Path) -> anyhow::Result<()> {
    let file =
        File::open(program).with_context(|| format!("could not open {}", program.display()))?;
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, 0)
        .context("it is too short for a program")?;
    ensure!(
        head.starts_with(b"\x7fELF\x02\x01"),
        "it is no 64-bit little-endian ELF"
    );
    let number = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let table = head[32..40]
        .try_into()
        .map(u64::from_le_bytes)
        .context("its head is cut off")?;
    let (size, count) = (number(54), number(56));
    ensure!(
        count <= MOST_HEADERS,
        "it has {count} program headers: it is damaged"
    );
    for index in 0..count {
        let mut kind = [0; 4];
        let at = table.saturating_add(u64::from(index) * u64::from(size));
        file.read_exact_at(&mut kind, at)
            .context("its program headers are cut off")?;
        ensure!(
            u32::from_le_bytes(kind) != PT_INTERP,
            "it wants a loader beside it, so it is not static"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_a_loader_is_told_from_other_faults() {
        let said = |program: &Path| format!("{:#}", ensure_static(program).unwrap_err());
        let dir = tempfile::tempdir().unwrap();
        let damaged = dir.path().join("damaged");
        for (bytes, why) in [
            (&b""[..], "too short"),
            (&[0; 64], "no 64-bit"),
            (b"\x7fELF\x02\x01", "too short"),
        ] {
            std::fs::write(&damaged, bytes).unwrap();
            assert!(said(&damaged).contains(why), "{}", said(&damaged));
        }
        let mut head = [0; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        std::fs::write(&damaged, head).unwrap();
        ensure_static(&damaged).unwrap(); // nothing to load at all
        head[56] = 1;
        head[32] = 64;
        std::fs::write(&damaged, head).unwrap();
        assert!(said(&damaged).contains("cut off"));
        let with_loader = [&head[..], &PT_INTERP.to_le_bytes()].concat();
        std::fs::write(&damaged, with_loader).unwrap();
        assert!(said(&damaged).contains("loader"));
        assert!(said(&dir.path().join("none")).contains("could not open"));
    }
}
