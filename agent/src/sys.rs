//! The few system calls that no safe wrapper offers, each in one small function.
#![allow(unsafe_code)]

pub(crate) mod packets;
mod program;

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    process::Command,
};

use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount_bind, mount_change, mount_remount},
    process::{Pid, WaitOptions},
    thread::UnshareFlags,
};
use tokio::io::{Interest, unix::AsyncFd};

pub(crate) use program::{Ending, run};

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
    let mut ends = [wait_end.as_raw_fd(), go_end.as_raw_fd()];
    let mut stack = vec![0_u8; 64 * 1024];
    // SAFETY: one past the end of an allocation, and the ABI wants it aligned.
    let top = unsafe { stack.as_mut_ptr().add(stack.len()) };
    let top = top.wrapping_sub(top as usize % 16);
    // The child shares this memory, which spares copying the page tables of the
    // whole agent for a process that does nothing.
    let flags = libc::CLONE_NEWUSER | libc::CLONE_VM | libc::SIGCHLD;
    // SAFETY: the child has a stack and a file table of its own. It runs
    // `wait_for_go` alone, which touches only `ends`; stack and `ends` outlive
    // it, because this function returns only after it was waited for.
    let pid = unsafe { libc::clone(wait_for_go, top.cast(), flags, (&raw mut ends).cast()) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    let map = format!("0 {first} {count}");
    let made = fs::write(format!("/proc/{pid}/uid_map"), &map)
        .and_then(|()| fs::write(format!("/proc/{pid}/gid_map"), &map))
        .and_then(|()| File::open(format!("/proc/{pid}/ns/user")));
    // A byte, and not the end of the pipe: a child that another thread makes at
    // the same time holds a copy of this end, and the two would wait for each
    // other for ever.
    rustix::io::retry_on_intr(|| rustix::io::write(&go_end, b"g"))?;
    drop(go_end);
    if let Some(child) = Pid::from_raw(pid) {
        rustix::io::retry_on_intr(|| rustix::process::waitpid(Some(child), WaitOptions::empty()))?;
    }
    drop(stack);
    Ok(made?.into())
}

/// The life of the child that only holds a user namespace: until the parent
/// sends a byte, or is gone.
extern "C" fn wait_for_go(ends: *mut libc::c_void) -> libc::c_int {
    // SAFETY: `ends` is the array of the parent, which waits for this child.
    // close, prctl and read are plain system calls; they write `errno`, which is the
    // parent thread's, only on an error, and there is none to come: both
    // descriptors are open and nobody sends this process signals.
    unsafe {
        let [wait_end, go_end] = *ends.cast::<[RawFd; 2]>();
        // The end of the pipe would not tell of the parent's death: a sibling
        // may hold a copy of it.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::close(go_end);
        let mut byte = 0_u8;
        libc::read(wait_end, (&raw mut byte).cast(), 1);
    }
    0
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
///
/// Past the page cache where the file system can do so, as the kernel looks up for
/// itself: the loop's own copies would be nobody's for the limits of a disk, and made
/// everybody else wait for a tick.
pub(crate) fn set_loop(device: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<()> {
    const LOOP_CONFIGURE: libc::c_ulong = 0x4C0A;
    const LO_FLAGS_AUTOCLEAR: u32 = 4;
    const LO_FLAGS_DIRECT_IO: u32 = 16;
    let config = LoopConfig {
        fd: u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?,
        block_size: 4096,
        info: LoopInfo {
            numbers: [0; 5],
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO,
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

/// `struct ifreq` of `linux/if.h`, as far as a tap needs it.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// Makes a tap that stays until it is removed, in this thread's network
/// namespace, for processes of the uid and gid `id`.
pub(crate) fn make_tap(name: &str, id: u32) -> io::Result<()> {
    const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
    const TUNSETPERSIST: libc::c_ulong = 0x4004_54cb;
    const TUNSETOWNER: libc::c_ulong = 0x4004_54cc;
    const TUNSETGROUP: libc::c_ulong = 0x4004_54ce;
    // IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, IFF_TUN_EXCL: as the VMM opens it,
    // and never one that is there already.
    const FLAGS: u16 = 0x0002 | 0x1000 | 0x4000 | 0x8000;
    let mut request = InterfaceRequest {
        name: [0; 16],
        flags: FLAGS,
        rest: [0; 22],
    };
    if name.len() > 15 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    let device = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    let fd = device.as_raw_fd();
    let ids = libc::c_ulong::from(id);
    // SAFETY: `request` has the kernel's layout and outlives the call, which
    // writes at most its size back; the other three take plain numbers.
    let made = unsafe {
        libc::ioctl(fd, TUNSETIFF, &raw mut request) == 0
            && libc::ioctl(fd, TUNSETOWNER, ids) == 0
            && libc::ioctl(fd, TUNSETGROUP, ids) == 0
            && libc::ioctl(fd, TUNSETPERSIST, 1 as libc::c_ulong) == 0
    };
    if made {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The version of KVM's interface behind this open `/dev/kvm`.
pub(crate) fn kvm_version(kvm: BorrowedFd<'_>) -> io::Result<i32> {
    const KVM_GET_API_VERSION: libc::c_ulong = 0xAE00;
    // SAFETY: this request takes no argument and returns a number.
    let version = unsafe { libc::ioctl(kvm.as_raw_fd(), KVM_GET_API_VERSION, 0) };
    if version < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(version)
}

/// A file of this host shown at another path.
#[derive(Debug)]
pub(crate) struct Bind {
    pub(crate) from: CString,
    pub(crate) to: CString,
    pub(crate) read_only: bool,
}

/// The command's child has a mount namespace of its own with these files in it:
/// they are gone when its last process is.
pub(crate) fn bind_for(command: &mut Command, binds: Vec<Bind>) {
    // SAFETY: the closure runs in the child between fork and exec and makes
    // only system calls on strings that were made before; it allocates nothing.
    unsafe {
        command.pre_exec(move || {
            rustix::thread::unshare_unsafe(UnshareFlags::NEWNS)?;
            let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
            mount_change(c"/", private)?;
            for bind in &binds {
                mount_bind(&*bind.from, &*bind.to)?;
                if bind.read_only {
                    let flags = MountFlags::BIND | MountFlags::RDONLY;
                    mount_remount(&*bind.to, flags, c"")?;
                }
            }
            Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<MountAttr>(), 32);
        assert_eq!(size_of::<LoopInfo>(), 232);
        assert_eq!(size_of::<LoopConfig>(), 304);
        assert_eq!(size_of::<InterfaceRequest>(), 40);
    }
}
