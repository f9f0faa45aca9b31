//! The few calls that need `unsafe`, each argued.
#![allow(unsafe_code)]

use std::os::{
    fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    unix::net::UnixListener,
};

use tokio::io::{Interest, unix::AsyncFd};

/// Tells the C heap to stay small and to keep transfer buffers out of mmap.
///
/// One arena, so that the files thread shares free memory with the other; and
/// buffers up to 512 KiB from the heap, because mapping and unmapping a fresh
/// 128 KiB for each chunk of a download costs more than reading it.
pub(crate) fn keep_the_heap_small() {
    // SAFETY: mallopt only changes allocator settings, and runs here before
    // there is a second thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_THRESHOLD, 512 * 1024);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 * 1024);
    }
}

/// Gives free heap pages back to the kernel, after a burst.
pub(crate) fn give_memory_back() {
    // SAFETY: malloc_trim takes the allocator's own locks and touches only
    // memory that is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Has the kernel read and map all of this program's own code and constants, and
/// says how many bytes that is. What is mapped once in a template is so in every
/// machine restored from it.
pub(crate) fn map_own_code() -> std::io::Result<usize> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let mut mapped = 0;
    for (start, end) in maps.lines().filter_map(code) {
        // SAFETY: the range is a file's, mapped for as long as this program runs,
        // and reading its pages ahead changes nothing that it could see.
        let read = unsafe {
            libc::madvise(
                std::ptr::without_provenance_mut(start),
                end - start,
                libc::MADV_POPULATE_READ,
            )
        };
        if read < 0 {
            return Err(std::io::Error::last_os_error());
        }
        mapped += end - start;
    }
    Ok(mapped)
}

/// The range of a line of `/proc/PID/maps`, where it is a file's and nobody writes there.
fn code(line: &str) -> Option<(usize, usize)> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let rights = words.next()?;
    let inode = words.nth(2)?;
    let number = |text| usize::from_str_radix(text, 16).ok();
    (rights.starts_with('r') && !rights.contains('w') && inode != "0")
        .then_some((number(start)?, number(end)?))
}

/// Gives the kernel randomness that counts, and has it used at once: what a
/// snapshot's clones had in common is not drawn from again.
pub(crate) fn add_entropy(bytes: &[u8]) -> std::io::Result<()> {
    const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;
    const RNDRESEEDCRNG: libc::c_ulong = 0x5207;
    const MOST: usize = 64;
    /// `struct rand_pool_info` of `linux/random.h`.
    #[repr(C)]
    struct Pool {
        bits: i32,
        bytes: i32,
        buffer: [u8; MOST],
    }
    let taken = bytes.len().min(MOST);
    let mut pool = Pool {
        bits: 0,
        bytes: i32::try_from(taken).map_err(std::io::Error::other)?,
        buffer: [0; MOST],
    };
    pool.bits = pool.bytes * 8;
    pool.buffer[..taken].copy_from_slice(&bytes[..taken]);
    let device = std::fs::File::options().write(true).open("/dev/random")?;
    // SAFETY: `pool` has the kernel's layout, says how much of its buffer
    // counts, and outlives the call, which copies it.
    let added = unsafe { libc::ioctl(device.as_raw_fd(), RNDADDENTROPY, &raw const pool) };
    // SAFETY: this request takes no argument.
    let reseeded = unsafe { libc::ioctl(device.as_raw_fd(), RNDRESEEDCRNG) };
    if added < 0 || reseeded < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

/// Takes the listening socket that the agent left at descriptor 3.
///
/// Call once, before anything else opens descriptors.
pub(crate) fn inherited_listener() -> std::io::Result<UnixListener> {
    const FIRST: i32 = 3;
    // SAFETY: fcntl on a number that may be no descriptor at all answers EBADF.
    if unsafe { libc::fcntl(FIRST, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: descriptor 3 exists (checked above) and, by the LISTEN_FDS
    // convention, was opened for us alone: nobody else owns or closes it.
    let listener = UnixListener::from(unsafe { OwnedFd::from_raw_fd(FIRST) });
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Watches a descriptor for reading and writing.
pub(crate) fn watched(fd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the wrapper owns the descriptor from here on, an `OwnedFd` that
    // nothing else closes, and it is deregistered before it is dropped.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE | Interest::WRITABLE) }
        .map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_what_a_file_holds_and_nobody_writes() {
        let file = "00400000-0067b000 r-xp 00001000 fe:00 12 /guest";
        assert_eq!(code(file), Some((0x40_0000, 0x67_b000)));
        for other in [
            "0067b000-006a0000 rw-p 0027b000 fe:00 12 /guest",
            "7fff0000-7fff2000 r-xp 00000000 00:00 0 [vdso]",
            "0067b000-006a0000 ---p 0027b000 fe:00 12 /guest",
            "no line at all",
        ] {
            assert_eq!(code(other), None, "{other}");
        }
        assert!(map_own_code().unwrap() > 100_000);
    }
}
