//! The elements of the rules' sets, and names, as `nft` reads them.

use clarateach_domain::{
    egress::{Allowed, Egress},
    ids::Slot,
    seat_net,
};

use super::super::learnt::Open;

/// Every seat there can be: port, hardware address, address.
pub(super) fn all_seats() -> String {
    let slots = (1..=u32::from(Slot::MAX)).filter_map(|slot| Slot::try_from(slot).ok());
    let seat = |slot| {
        format!(
            "{} . {} . {}",
            quoted(&seat_net::port_name(slot)),
            seat_net::mac_text(slot),
            seat_net::address(slot)
        )
    };
    slots.map(seat).collect::<Vec<_>>().join(",\n      ")
}

/// What a list of the policy names by its addresses.
pub(super) fn ranges(egress: &Egress) -> String {
    let Egress::AllowList(allowed) = egress else {
        return String::new();
    };
    elements(allowed.iter().filter_map(|allowed| match allowed {
        Allowed::Range(range) => Some(range.to_string()),
        Allowed::Host(_) | Allowed::Below(_) => None,
    }))
}

/// What its names stand for at present.
pub(super) fn names(open: &Open) -> String {
    elements(open.iter().map(|(address, left)| {
        // The kernel takes no element that has ended already.
        format!("{address} expires {}s", left.as_secs().max(1))
    }))
}

/// A set's elements; nft takes no empty list.
fn elements(of: impl Iterator<Item = String>) -> String {
    let list = of.collect::<Vec<_>>().join(", ");
    if list.is_empty() {
        return list;
    }
    format!("    elements = {{ {list} }}\n")
}

/// An interface's name as nft wants it. Names come from the kernel or from a
/// flag; a quote in one would end the string, so it cannot be in one.
pub(super) fn quoted(name: &str) -> String {
    let safe: String = name
        .chars()
        .filter(|c| c.is_ascii_graphic() && *c != '"' && *c != '\\')
        .collect();
    format!("\"{safe}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_out_of_its_quotes() {
        assert_eq!(quoted("up\"; drop"), "\"up;drop\"");
    }
}
