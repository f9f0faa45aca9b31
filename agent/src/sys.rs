//! The few system calls that no safe wrapper offers, each in one small function.
#![allow(unsafe_code)]

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::{
        fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    process::Command,
};

use rustix::{
    process::{Pid, Signal, WaitOptions},
    thread::UnshareFlags,
};
use tokio::io::{Interest, unix::AsyncFd};

/// Moves the calling thread into a new network namespace. The thread must end
/// afterwards: it is of no use to others.
pub(crate) fn unshare_network() -> io::Result<()> {
    // SAFETY: the danger of `unshare` is a file table that is no longer shared;
    // NEWNET leaves it alone.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    Ok(())
}

/// A user namespace in which ids 0 to `count - 1` are `first` and following.
/// It lives as long as the file, and no process is in it.
pub(crate) fn user_namespace(first: u32, count: u32) -> io::Result<OwnedFd> {
    let (wait_end, go_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let wait_raw = wait_end.as_raw_fd();
    let go_raw = go_end.as_raw_fd();
    let flags = libc::c_long::from(libc::CLONE_NEWUSER | libc::SIGCHLD);
    // SAFETY: without CLONE_VM this is a fork, and the child, a copy of one
    // thread, makes only async-signal-safe calls before `_exit`.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if pid == 0 {
        // SAFETY: read, close and _exit are async-signal-safe; the buffer is on
        // this stack. It waits until the parent holds the namespace or is gone.
        unsafe {
            libc::close(go_raw);
            let mut byte = 0_u8;
            libc::read(wait_raw, (&raw mut byte).cast(), 1);
            libc::_exit(0);
        }
    }
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    let map = format!("0 {first} {count}");
    let made = fs::write(format!("/proc/{pid}/uid_map"), &map)
        .and_then(|()| fs::write(format!("/proc/{pid}/gid_map"), &map))
        .and_then(|()| File::open(format!("/proc/{pid}/ns/user")));
    File::from(go_end).write_all(&[1])?;
    let raw = i32::try_from(pid).map_err(io::Error::other)?;
    let child = Pid::from_raw(raw).ok_or_else(|| io::Error::other("the child has no pid"))?;
    rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(child), WaitOptions::empty()))?;
    Ok(made?.into())
}

#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Gives the detached mount `tree` the ids of `users`, and makes it read-only
/// if asked.
pub(crate) fn map_mount_ids(
    tree: BorrowedFd<'_>,
    users: BorrowedFd<'_>,
    read_only: bool,
) -> io::Result<()> {
    const MOUNT_ATTR_RDONLY: u64 = 0x1;
    const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
    let attr = MountAttr {
        attr_set: MOUNT_ATTR_IDMAP | if read_only { MOUNT_ATTR_RDONLY } else { 0 },
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(users.as_raw_fd()).map_err(io::Error::other)?,
    };
    // SAFETY: both descriptors are borrowed and open, the path is an empty C
    // string, and `attr` has the kernel's layout and its size is given.
    let set = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `struct loop_info64` of `linux/loop.h`.
#[repr(C)]
struct LoopInfo {
    numbers: [u64; 5],
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    info: LoopInfo,
    reserved: [u64; 8],
}

/// The number of a loop device that is free at the moment.
pub(crate) fn free_loop_device(control: BorrowedFd<'_>) -> io::Result<u32> {
    const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4C82;
    // SAFETY: this request takes no argument and returns a number.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
    u32::try_from(number).map_err(|_negative| io::Error::last_os_error())
}

/// Puts `file` behind `device` until its last user is gone. `EBUSY` when
/// somebody else was faster.
pub(crate) fn set_loop(device: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<()> {
    const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
    const LO_FLAGS_AUTOCLEAR: u32 = 4;
    let config = LoopConfig {
        fd: u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?,
        block_size: 4096,
        info: LoopInfo {
            numbers: [0; 5],
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: LO_FLAGS_AUTOCLEAR,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        },
        reserved: [0; 8],
    };
    // SAFETY: `config` has the kernel's layout (checked by a test) and outlives
    // the call, which copies it.
    let set = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The command's child gets `file` as descriptor 3, and dies with this process.
///
/// The kernel ties that death to the thread that starts the child, so the child
/// must be started and awaited on one thread.
pub(crate) fn hand_over(command: &mut Command, file: OwnedFd) {
    let parent = std::process::id();
    // SAFETY: the closure runs in the child between fork and exec and makes
    // only async-signal-safe system calls; it allocates nothing.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
            // Died in between: nobody would ever end this child.
            if rustix::process::getppid()
                .map(Pid::as_raw_nonzero)
                .map(|pid| pid.get() as u32)
                != Some(parent)
            {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            give(file.as_raw_fd(), 3)
        });
    }
}

/// Has tokio tell when `file` becomes readable. Must be called inside a runtime.
pub(crate) fn watch(file: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` names the same open file from here until it is
    // dropped, which is after tokio has let go of it.
    let watched = unsafe { AsyncFd::register_with_interest(file, Interest::READABLE) };
    Ok(watched?)
}

/// Makes `to` a copy of `from` that survives exec.
fn give(from: RawFd, to: RawFd) -> io::Result<()> {
    // SAFETY: plain descriptor calls on numbers; `from` is open in the caller,
    // and whatever `to` was in this child is of no use to it.
    let given = unsafe {
        if from == to {
            libc::fcntl(to, libc::F_SETFD, 0)
        } else {
            libc::dup2(from, to)
        }
    };
    if given < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<MountAttr>(), 32);
        assert_eq!(size_of::<LoopInfo>(), 232);
        assert_eq!(size_of::<LoopConfig>(), 304);
    }
}
