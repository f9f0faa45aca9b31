//! What a seat may send and receive: a token bucket at either end of its port.
//!
//! To the guest: `tbf` on `ctp{slot}`, in both runtimes. From the guest: `tbf` on a
//! container's `eth0`, which is in a namespace that the guest has no powers over,
//! or the limiter of a MicroVM's own VMM. Both queue where they stand, so a sender
//! is slowed by its own socket; a police at the port would drop what it sent and
//! make it send again. Neither needs anything of the kernel but `sch_tbf`.
//!
//! A small packet costs as much as a large one to carry, so each counts as
//! [`LEAST`] bytes at least: a flood of small ones is bounded as well.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use clarateach_domain::{ids::Slot, seat_net};
use rtnetlink::{
    packet_core::{DefaultNla, NLM_F_CREATE, NLM_F_REPLACE, Nla as _, NlasIterator},
    packet_route::{
        RouteNetlinkMessage,
        tc::{TcAttribute, TcHandle, TcMessage, TcOption},
    },
};
use tracing::error;

use super::{NetworkError, netlink::Netlink, ports::port};
use crate::sys;

/// The queueing discipline, by the kernel's name.
const KIND: &str = "tbf";
/// Its numbers (`TCA_TBF_PARMS`).
const PARMS: u16 = 1;
/// What a packet counts as at least, in bytes.
pub(crate) const LEAST: u16 = 512;
/// What passes at once: a whole segment of what cards and veths put together, and
/// never less than a hundredth of a second.
const BURST_LEAST: u64 = 64 << 10;
/// What waits, as time of the rate; beyond it is dropped. Enough for the world's
/// round trips, and no more: a seat's own keystrokes wait in it too.
const QUEUE_MS: u64 = 50;
const QUEUE_LEAST: u64 = 256 << 10;

/// The limits of the ports that are there. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shapes(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether this kernel has what it takes.
    works: bool,
    /// Mbit/s by slot.
    ports: Mutex<BTreeMap<Slot, u32>>,
}

impl Shapes {
    /// Tries whether this kernel can, and says so in the log where it cannot.
    pub(super) fn prepare() -> Self {
        let tried = trial();
        if let Err(why) = &tried {
            error!(
                error = %why,
                "this kernel cannot limit a port (CONFIG_NET_SCH_TBF, modprobe sch_tbf): the \
                 network of containers is not limited, and that of MicroVMs by their VMM alone"
            );
        }
        Self(Arc::new(Inner {
            works: tried.is_ok(),
            ports: Mutex::default(),
        }))
    }

    fn ports(&self) -> std::sync::MutexGuard<'_, BTreeMap<Slot, u32>> {
        self.0.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Limits what passes to the guest, and remembers it for the watch.
    pub(super) fn port(
        &self,
        netlink: &mut Netlink,
        index: u32,
        slot: Slot,
        mbits: u32,
    ) -> Result<(), NetworkError> {
        if !self.0.works {
            return Ok(());
        }
        set(netlink, index, mbits).map_err(port(slot, "limit the port"))?;
        self.ports().insert(slot, mbits);
        Ok(())
    }

    /// Limits what comes from the guest, at the seat's own end.
    pub(super) fn inner(
        &self,
        seat: &mut Netlink,
        eth0: u32,
        slot: Slot,
        mbits: u32,
    ) -> Result<(), NetworkError> {
        if !self.0.works {
            return Ok(());
        }
        set(seat, eth0, mbits).map_err(port(slot, "limit the seat's end of the port"))
    }

    /// As [`Shapes::port`], for one that an earlier agent made.
    pub(super) fn take_over(&self, slot: Slot, mbits: u32) -> Result<(), NetworkError> {
        let at = |act| port(slot, act);
        let mut netlink = Netlink::open().map_err(at("open the netlink socket"))?;
        let index = netlink.link_index(&seat_net::port_name(slot));
        match index.map_err(at("look for the port"))? {
            Some(index) => self.port(&mut netlink, index, slot, mbits),
            None => Ok(()), // its machine is about to be found dead
        }
    }

    /// Forgets a port that is being removed.
    pub(super) fn forget(&self, slot: Slot) {
        self.ports().remove(&slot);
    }

    /// Puts a limit back that the port has lost, or that has other numbers; what it
    /// was found with, if that was not its own.
    pub(super) fn mend(
        &self,
        netlink: &mut Netlink,
        slot: Slot,
        index: u32,
        queues: &[TcMessage],
    ) -> Result<Option<&'static str>, NetworkError> {
        let Some(mbits) = self.ports().get(&slot).copied() else {
            return Ok(None);
        };
        let of_port = |queue: &&TcMessage| u32::try_from(queue.header.index) == Ok(index);
        let found = match queues.iter().filter(of_port).find_map(numbers) {
            Some(found) if found.are_of(mbits) => return Ok(None),
            Some(_) => "another limit",
            None => "no limit",
        };
        self.port(netlink, index, slot, mbits)?;
        Ok(Some(found))
    }
}

/// Whether this kernel limits anything, tried in a namespace that is gone when the
/// answer is. Blocks.
pub(crate) fn trial() -> io::Result<()> {
    let tried = thread::Builder::new()
        .name("shape-trial".to_owned())
        .spawn(|| {
            sys::unshare_network()?;
            let mut netlink = Netlink::open()?;
            let lo = netlink.link_index("lo")?.ok_or(io::ErrorKind::NotFound)?;
            set(&mut netlink, lo, 10)
        })?;
    tried
        .join()
        .unwrap_or_else(|_panic| Err(io::Error::other("it panicked")))
}

/// Puts a link under a rate, or under another one.
fn set(netlink: &mut Netlink, index: u32, mbits: u32) -> io::Result<()> {
    let message = RouteNetlinkMessage::NewQueueDiscipline(message(index, mbits)?);
    netlink.act(message, NLM_F_CREATE | NLM_F_REPLACE)
}

fn message(index: u32, mbits: u32) -> io::Result<TcMessage> {
    const BURST: u16 = 6; // TCA_TBF_BURST
    let number = |wide: u64| u32::try_from(wide).map_err(io::Error::other);
    let mut message = TcMessage::with_index(i32::try_from(index).map_err(io::Error::other)?);
    let burst = number(burst(mbits))?;
    message.header.parent = TcHandle::ROOT;
    message.attributes = vec![
        TcAttribute::Kind(KIND.to_owned()),
        TcAttribute::Options(vec![
            TcOption::Other(DefaultNla::new(
                PARMS,
                parms(number(rate(mbits))?, number(queue(mbits))?),
            )),
            TcOption::Other(DefaultNla::new(BURST, burst.to_ne_bytes().to_vec())),
        ]),
    ];
    Ok(message)
}

/// Bytes a second.
fn rate(mbits: u32) -> u64 {
    u64::from(mbits) * 125_000
}

/// Bytes at once.
fn burst(mbits: u32) -> u64 {
    (rate(mbits) / 100).max(BURST_LEAST)
}

/// Bytes that wait.
fn queue(mbits: u32) -> u64 {
    (rate(mbits) * QUEUE_MS / 1000).max(QUEUE_LEAST)
}

/// `struct tc_tbf_qopt` (`linux/pkt_sched.h`): two `tc_ratespec`, the second unused,
/// then limit, buffer and mtu; the burst is said beside it, in bytes.
fn parms(rate: u32, queue: u32) -> Vec<u8> {
    const ETHERNET: u8 = 1; // TC_LINKLAYER_ETHERNET
    let mut bytes = vec![0, ETHERNET]; // cell_log, linklayer
    bytes.extend([0; 4]); // overhead, cell_align
    bytes.extend(LEAST.to_ne_bytes()); // mpu
    bytes.extend(rate.to_ne_bytes());
    bytes.extend([0; 12]); // peakrate
    bytes.extend(queue.to_ne_bytes());
    bytes.extend([0; 8]); // buffer, mtu
    bytes
}

/// What the kernel says of a limit: the same structure, with the burst as the time
/// that it takes at the rate. The least of a packet is not among it: kernels before
/// 5.16 do not keep it.
#[derive(Debug, Clone, Copy)]
struct Numbers {
    rate: u32,
    queue: u32,
    burst: u32,
}

/// Those of a queue of our kind.
fn numbers(queue: &TcMessage) -> Option<Numbers> {
    let ours = |a: &TcAttribute| matches!(a, TcAttribute::Kind(kind) if kind == KIND);
    if !queue.attributes.iter().any(ours) {
        return None;
    }
    let options = queue.attributes.iter().find_map(|a| match a {
        TcAttribute::Options(options) => options.iter().find_map(|option| match option {
            TcOption::Other(all) => Some(all),
            _ => None,
        }),
        _ => None,
    })?;
    let mut nested = vec![0; options.value_len()];
    options.emit_value(&mut nested);
    let mut parts = NlasIterator::new(nested.as_slice()).flatten();
    let parms = parts.find(|part| part.kind() == PARMS)?;
    let number = |at| Some(u32::from_ne_bytes(*parms.value().get(at..)?.first_chunk()?));
    Some(Numbers {
        rate: number(8)?,
        queue: number(24)?,
        burst: number(28)?,
    })
}

impl Numbers {
    fn are_of(self, mbits: u32) -> bool {
        const TICK: u64 = 64; // nanoseconds (PSCHED_SHIFT)
        let ticks = burst(mbits) * 1_000_000_000 / rate(mbits).max(1) / TICK;
        // The kernel reckons by a multiplier and a shift.
        let about = u64::from(self.burst).abs_diff(ticks) <= ticks / 100 + 1;
        let same = |found: u32, of: u64| u64::from(found) == of;
        about && same(self.rate, rate(mbits)) && same(self.queue, queue(mbits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_structure_is_filled() {
        let bytes = parms(1_250_000, 262_144);
        assert_eq!(bytes.len(), 36);
        assert_eq!(bytes[6..8], 512_u16.to_ne_bytes());
        assert_eq!(bytes[8..12], 1_250_000_u32.to_ne_bytes());
        assert_eq!(bytes[24..28], 262_144_u32.to_ne_bytes());
    }

    #[test]
    fn every_rate_that_may_be_asked_for_can_be_said() {
        for mbits in [1, 10, 32_000] {
            assert!(message(3, mbits).is_ok(), "{mbits}");
        }
    }

    #[test]
    fn this_kernel_takes_it() {
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED: limits are tried by root only");
            return;
        }
        match trial() {
            Err(none) if none.raw_os_error() == Some(libc::ENOENT) => {
                println!("SKIPPED: this kernel has no tbf");
            }
            tried => tried.unwrap(),
        }
    }

    #[test]
    fn what_the_kernel_says_is_compared_with_what_it_was_told() {
        for mbits in [1, 10, 1_280, 32_000] {
            let ticks = burst(mbits) * 1_000_000_000 / rate(mbits) / 64;
            let told = |rate, queue, burst: u64| Numbers {
                rate: u32::try_from(rate).unwrap(),
                queue: u32::try_from(queue).unwrap(),
                burst: u32::try_from(burst).unwrap(),
            };
            let (rate, queue) = (rate(mbits), queue(mbits));
            assert!(told(rate, queue, ticks).are_of(mbits), "{mbits}");
            assert!(told(rate, queue, ticks - 1).are_of(mbits), "{mbits}");
            for other in [
                told(rate + 1, queue, ticks),
                told(rate, queue * 2, ticks),
                told(rate, queue, ticks * 2),
            ] {
                assert!(!other.are_of(mbits), "{mbits}: {other:?}");
            }
        }
    }
}
