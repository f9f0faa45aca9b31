//! All packets that leave a network namespace, seen on each of its devices.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

/// Of each packet only the heads are seen.
pub(crate) const SEEN: usize = 128;
/// What a busy worker sends while the reader is elsewhere.
const WAITING: libc::c_int = 8 << 20;
/// In `linux/if_packet.h`: a packet on its way out.
const OUTGOING: u32 = 4;
/// In `linux/filter.h`: where a filter finds a packet's direction.
const DIRECTION: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE).cast_unsigned();

/// A socket that gets them, beginning with the network header. It belongs to the
/// network namespace of the calling thread.
pub(crate) fn watch_outgoing() -> io::Result<OwnedFd> {
    let every = u16::try_from(libc::ETH_P_ALL).map_err(io::Error::other)?;
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: `socket` takes numbers; a descriptor it returns is nobody else's.
    // Of no protocol, it gets nothing before it is bound.
    let socket = unsafe {
        let socket = libc::socket(libc::AF_PACKET, kind, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(socket)
    };
    let instruction = |code: u32, jt, jf, k| libc::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf,
        k,
    };
    let seen = u32::try_from(SEEN).map_err(io::Error::other)?;
    let mut program = [
        instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, DIRECTION),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, OUTGOING),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, seen),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ];
    let filter = libc::sock_fprog {
        len: 4,
        filter: program.as_mut_ptr(),
    };
    set(&socket, libc::SO_ATTACH_FILTER, &filter)?;
    set(&socket, libc::SO_RCVBUFFORCE, &WAITING)?;
    let mut place = address();
    place.sll_protocol = every.to_be();
    // SAFETY: `place` has the kernel's layout and its size is given.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const place).cast(),
            size::<libc::sockaddr_ll>(),
        )
    };
    if bound == 0 {
        Ok(socket)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The next packet's heads and its device; `WouldBlock` when there is none.
pub(crate) fn next_packet(socket: &OwnedFd, heads: &mut [u8; SEEN]) -> io::Result<(usize, u32)> {
    let mut from = address();
    let mut length = size::<libc::sockaddr_ll>();
    // SAFETY: buffer and address outlive the call, which writes at most as much
    // as the sizes say.
    let read = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            heads.as_mut_ptr().cast(),
            heads.len(),
            0,
            (&raw mut from).cast(),
            &raw mut length,
        )
    };
    let read = usize::try_from(read).map_err(|_negative| io::Error::last_os_error())?;
    Ok((read, u32::try_from(from.sll_ifindex).unwrap_or_default()))
}

/// How many packets did not fit since this was last asked.
pub(crate) fn missed_packets(socket: &OwnedFd) -> io::Result<u32> {
    let mut counts = [0_u32; 2];
    let mut length = size::<[u32; 2]>();
    // SAFETY: `counts` has the layout of `tpacket_stats` and outlives the call.
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            counts.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if got == 0 {
        Ok(counts[1])
    } else {
        Err(io::Error::last_os_error())
    }
}

fn address() -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or_default(),
        sll_protocol: 0,
        sll_ifindex: 0, // any
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

fn set<T>(socket: &OwnedFd, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the value is of the option's type, outlives the call and its size
    // is given; a filter's program is read before the call returns.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            std::ptr::from_ref(value).cast(),
            size::<T>(),
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn size<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or_default()
}
