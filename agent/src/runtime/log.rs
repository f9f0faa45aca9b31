//! What a guest prints: through a named pipe into a file of bounded size.
//!
//! The guest holds both ends of the pipe and writes without waiting, so it
//! neither blocks nor dies while no agent reads; the next agent reads on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode};
use tokio::{io::AsyncReadExt as _, net::unix::pipe};

/// Two files of half the cap: the present one and the one before.
const HALF_OF_CAP: u64 = 128 * 1024;
/// How much of it is shown.
const SHOWN: u64 = 64 * 1024;

/// Makes the pipe and opens the guest's end.
pub(super) fn open(seat: &Path) -> io::Result<File> {
    let path = pipe_path(seat);
    match rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
}

/// Reads the pipe into the file until the guest is gone.
pub(super) fn follow(seat: &Path) -> io::Result<()> {
    let mut pipe = pipe::OpenOptions::new().open_receiver(pipe_path(seat))?;
    let seat = seat.to_owned();
    tokio::spawn(async move {
        loop {
            if pipe.readable().await.is_err() {
                return;
            }
            let mut chunk = Vec::with_capacity(4096);
            match pipe.read_buf(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let seat = seat.clone();
            let kept = tokio::task::spawn_blocking(move || append(&seat, &chunk)).await;
            if !matches!(kept, Ok(Ok(()))) {
                return; // the seat's folder is gone
            }
        }
    });
    Ok(())
}

fn pipe_path(seat: &Path) -> PathBuf {
    seat.join("log.pipe")
}

fn append(seat: &Path, chunk: &[u8]) -> io::Result<()> {
    let path = seat.join("guest.log");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)?;
    if file.metadata()?.len() + chunk.len() as u64 > HALF_OF_CAP {
        fs::rename(&path, seat.join("guest.log.1"))?;
        file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)?;
    }
    file.write_all(chunk)
}

/// The end of the log, at most 64 KiB.
pub(super) fn tail(seat: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    for name in ["guest.log.1", "guest.log"] {
        let Ok(mut file) = File::open(seat.join(name)) else {
            continue;
        };
        let length = file.metadata()?.len();
        file.seek(io::SeekFrom::Start(length.saturating_sub(SHOWN)))?;
        file.take(SHOWN).read_to_end(&mut bytes)?;
    }
    let start = bytes.len().saturating_sub(64 * 1024);
    Ok(String::from_utf8_lossy(&bytes[start..]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_bounded_and_keeps_its_end() {
        let dir = tempfile::tempdir().unwrap();
        for round in 0..200_u32 {
            let line = format!("{round:04}{}\n", "x".repeat(4000));
            append(dir.path(), line.as_bytes()).unwrap();
        }
        let size = |name: &str| fs::metadata(dir.path().join(name)).unwrap().len();
        assert!(size("guest.log") + size("guest.log.1") <= 2 * HALF_OF_CAP);
        let shown = tail(dir.path()).unwrap();
        assert!(shown.len() <= 64 * 1024);
        assert!(shown.contains("0199xxx"));
    }

    #[tokio::test]
    async fn a_guest_that_nobody_reads_neither_blocks_nor_dies() {
        let dir = tempfile::tempdir().unwrap();
        let mut guest = open(dir.path()).unwrap();
        let line = [b'x'; 4096];
        let full = (0..64).find_map(|_| guest.write(&line).err()).unwrap();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        follow(dir.path()).unwrap();
        for _ in 0..1000 {
            if tail(dir.path()).unwrap().len() >= 60 * 1024 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("the log was not read");
    }
}
