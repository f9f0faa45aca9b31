//! From a slot to its place on the worker's bridge. The one file that knows
//! the arithmetic; a URL never reaches it.

use std::net::Ipv4Addr;

use crate::ids::Slot;

/// The bridge of every worker.
pub const BRIDGE: &str = "clarateach0";
/// The bridge's own address: the seats' gateway.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 100, 1);
/// Bits of the seats' network.
pub const PREFIX: u8 = 24;
/// The guest's terminal and commands.
pub const TERMINAL_PORT: u16 = 3001;
/// The guest's files.
pub const FILES_PORT: u16 = 3002;

/// The slot's address: 192.168.100.{10 + slot}, at most .210.
pub fn address(slot: Slot) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 100, 10 + slot.get())
}

/// The slot's hardware address, locally administered: 02:c1:a2:00:00:{slot}.
pub fn mac(slot: Slot) -> [u8; 6] {
    [0x02, 0xc1, 0xa2, 0, 0, slot.get()]
}

/// [`mac`] as text.
pub fn mac_text(slot: Slot) -> String {
    mac(slot).map(|byte| format!("{byte:02x}")).join(":")
}

/// The name of the slot's port on the bridge, well inside the kernel's 15
/// characters.
pub fn port_name(slot: Slot) -> String {
    format!("ctp{slot}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_its_own_place() {
        let slot = |n: u32| Slot::try_from(n).unwrap();
        for (n, ip, mac, port) in [
            (1, "192.168.100.11", "02:c1:a2:00:00:01", "ctp1"),
            (50, "192.168.100.60", "02:c1:a2:00:00:32", "ctp50"),
            (200, "192.168.100.210", "02:c1:a2:00:00:c8", "ctp200"),
        ] {
            assert_eq!(address(slot(n)).to_string(), ip);
            assert_eq!(mac_text(slot(n)), mac);
            assert_eq!(port_name(slot(n)), port);
        }
    }
}
