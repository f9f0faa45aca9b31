//! Counts what workers send where no seat may ever get: the metadata server and
//! the networks of clouds. It must be nothing, whatever the story; what comes all
//! the same goes no further.

use crate::counter::Counter;

/// The counter, on this host, before the host's own walls.
pub struct Canary(Counter);

impl Canary {
    /// Begins to count.
    pub fn sing() -> Self {
        // The worker's own resolver may be there: a seat's question is not its own.
        Self(Counter::begin(
            "clarateach_canary",
            "chain prerouting {
               type filter hook prerouting priority -400; policy accept;
               iifname != \"ctu*\" accept
               meta l4proto { tcp, udp } th dport 53 accept
               ip daddr { 169.254.0.0/16, 10.128.0.0/16, 172.16.0.0/12, 100.64.0.0/10 } counter name hits drop
             }",
        ))
    }

    /// Packets so far.
    pub fn hits(&self) -> u64 {
        self.0.count()
    }

    /// Begins again at nothing, for the story that makes sure that it counts.
    pub fn forget(&self) {
        self.0.forget();
    }
}
