//! The worker's network: one bridge, one port a seat, one rule set, all of it
//! in the network namespace the agent was started in.
//!
//! Way: [`Walls::raise`] once, then [`ports::PortNamespace::make`] for each boot;
//! the guest's traffic then never meets this process, its questions for names
//! apart. [`Walls::guard`] sees that all of it stays as it was made.

pub(crate) mod bridge;
mod drift;
mod learnt;
mod look;
pub(crate) mod netlink;
mod news;
mod nft;
pub(crate) mod ports;
pub(crate) mod rules;
pub(crate) mod shape;
pub(crate) mod survey;
pub(crate) mod tap;
mod walls;

use std::{collections::BTreeSet, io, path::PathBuf};

use clarateach_domain::{ids::Slot, seat_net};

pub use rules::RuleSettings;
use shape::Shapes;
pub use walls::{Look, Standing, Walls};

/// What could not be done to the worker's network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The bridge.
    #[error("could not {act} of bridge {}", seat_net::BRIDGE)]
    Bridge {
        /// What failed.
        act: &'static str,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A seat's port.
    #[error("could not {act} of slot {slot}")]
    Port {
        /// Whose.
        slot: Slot,
        /// What failed.
        act: &'static str,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A kernel switch.
    #[error("could not write {value} to {path}")]
    Switch {
        /// Which.
        path: String,
        /// What it should be.
        value: &'static str,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The nftables rule set.
    #[error("could not apply the rule set: {0}")]
    Rules(String),
    /// Something else has the bridge's name or network.
    #[error("{0}")]
    Foreign(String),
    /// The note of the policy in force.
    #[error("could not write {}", path.display())]
    Note {
        /// Where it is.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// What seats' machines need of a worker's network. Its [`Walls`] must stand.
#[derive(Debug, Clone)]
pub struct Network {
    shapes: Shapes,
}

impl Network {
    /// Makes the seat's port and the namespace at its other end, ready to be
    /// joined, limited to so many Mbit/s each way. Undone when dropped before
    /// [`ports::PortNamespace::keep`]. Blocks.
    pub fn open_port(&self, slot: Slot, mbits: u32) -> Result<ports::PortNamespace, NetworkError> {
        ports::PortNamespace::make(bridge_index()?, slot, &self.shapes, mbits)
    }

    /// Makes the seat's tap, down, for a VMM of this uid and gid, limited to so
    /// many Mbit/s towards the guest. Undone when dropped before
    /// [`tap::Tap::keep`]. Blocks.
    pub fn open_tap(&self, slot: Slot, id: u32, mbits: u32) -> Result<tap::Tap, NetworkError> {
        tap::Tap::make(bridge_index()?, slot, id, &self.shapes, mbits)
    }

    /// Limits the port or tap that an earlier agent left on the slot, as that one
    /// did, and watches over it. Blocks.
    pub fn take_over(&self, slot: Slot, mbits: u32) -> Result<(), NetworkError> {
        self.shapes.take_over(slot, mbits)
    }

    /// Makes a tap that is on no bridge. Blocks.
    pub fn loose_tap(name: &str, id: u32) -> io::Result<tap::LooseTap> {
        tap::LooseTap::make(name, id)
    }

    /// Removes a tap that is on no bridge; gone already is removed. Blocks.
    pub fn remove_tap(name: &str) -> io::Result<()> {
        tap::remove(name)
    }

    /// Brings the seat's tap up. Blocks.
    pub fn connect(slot: Slot) -> Result<(), NetworkError> {
        tap::connect(slot)
    }

    /// Removes the seat's port with both its ends; gone already is removed. Blocks.
    pub fn close_port(&self, slot: Slot) -> Result<(), NetworkError> {
        self.shapes.forget(slot);
        ports::close(slot)
    }

    /// Which slots have a port. Blocks.
    pub fn ports() -> Result<BTreeSet<Slot>, NetworkError> {
        ports::list()
    }
}

fn bridge_index() -> Result<u32, NetworkError> {
    let mut netlink = netlink::Netlink::open().map_err(|cause| NetworkError::Bridge {
        act: "open the netlink socket",
        cause,
    })?;
    bridge::index(&mut netlink)
}
