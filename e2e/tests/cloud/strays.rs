//! Counts connections that something on this host begins to an address: an old one of a VM,
//! which may be anybody's by now.

use clarateach_e2e::counter::Counter;

/// Begins to count those to the host of `address`, a socket's. One at a time.
pub(crate) fn to(address: &str) -> Counter {
    let address: std::net::SocketAddr = address.parse().unwrap();
    let host = address.ip();
    let chain = format!(
        "chain output {{
           type filter hook output priority 0; policy accept;
           ip daddr {host} tcp flags & (syn | ack) == syn counter name hits
         }}"
    );
    Counter::begin("clarateach_strays", &chain)
}
