//! Fair shares: what one seat may take of its worker.
//!
//! Way: what a workshop asked ([`Asked`], checked once), what the worker is
//! ([`Host`]) and how many seats stand on it -> [`Limits::of`] -> the numbers that
//! the runtimes and the network put in force. Memory is not among them: a seat is
//! given what it asked for, and no share of what is left.
//!
//! A class works in bursts: one learner installs, nine read. So a default is
//! [`OVERSUBSCRIBED`] times an even share, and never more than half of the worker's
//! network or a quarter of its disk, so that one seat alone leaves enough to the rest.

use serde::{Deserialize, Serialize};

/// How many even shares a seat may take while the others are quiet.
const OVERSUBSCRIBED: u32 = 4;
/// A guess, in Mbit/s, up to [`NETWORK_MOST`]: Google's page on network bandwidth names
/// 16 Gbit/s within a VPC for an n1-standard-8, which is this a vCPU. Of another
/// machine's, and of the way to the internet, nothing is known here.
const NETWORK_PER_CPU: u32 = 2_000;
const NETWORK_MOST: u32 = 16_000;
/// Below it `apt` and `pip` are no fun.
const NETWORK_LEAST: u32 = 10;
/// A balanced persistent disk of 100 GB, as a worker in the cloud has by default: 140 and
/// 0.28 a GiB, MiB/s, by Google's page on the performance of persistent disks.
const DISK: u32 = 168;
const DISK_LEAST: u32 = 8;
/// A quarter: where one seat wrote 84 MiB/s on two processors, the slowest of another's
/// keystrokes took 2.6 times what they take in quiet; with a quarter, twice
/// (`scripts/bench.sh noise`).
const DISK_MOST: u32 = DISK / 4;
/// One piece in so many bytes: small ones cost a disk more than their bytes.
const DISK_PIECE_KIB: u32 = 16;
/// A desktop of an editor, a database and a browser is below this.
const PROCESSES_MOST: u32 = 1_024;
/// A shell, a language server and a compiler of sixteen jobs are below this.
const PROCESSES_LEAST: u32 = 128;

/// What a workshop asks for each of its seats; 0 is the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Network in Mbit/s, each way.
    #[serde(default)]
    pub network_mbits: u32,
    /// Disk in MiB/s, reads and as much again for writes.
    #[serde(default)]
    pub disk_mib_per_second: u32,
    /// Processes and threads of a container.
    #[serde(default)]
    pub processes: u32,
}

impl Asked {
    /// Checks the ranges. The error names the field, as it is called in the schema,
    /// and what it may be.
    pub fn checked(self) -> Result<Self, (&'static str, &'static str)> {
        let fits = |value, least, most| value == 0 || (least..=most).contains(&value);
        if !fits(self.network_mbits, 1, 32_000) {
            return Err(("resources.network_mbits", "must be 1 to 32000"));
        }
        if !fits(self.disk_mib_per_second, 1, 10_000) {
            return Err(("resources.disk_mib_per_second", "must be 1 to 10000"));
        }
        // With fewer the guest itself, a shell and its commands would not fit.
        if !fits(self.processes, 64, 32_768) {
            return Err(("resources.processes", "must be 64 to 32768"));
        }
        Ok(self)
    }
}

/// What a worker has to share out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host {
    /// Its processors.
    pub cpus: u32,
    /// Process numbers there are (`kernel.pid_max`).
    pub pids: u32,
}

/// What is in force for one seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Its weight among all that wants a processor: 100 a vCPU.
    pub cpu_weight: u32,
    /// Network in Mbit/s, each way.
    pub network_mbits: u32,
    /// Disk in MiB/s, reads and as much again for writes.
    pub disk_mib_per_second: u32,
    /// Processes and threads of a container. A MicroVM has a kernel of its own and
    /// its VMM a bound of its own.
    pub processes: u32,
}

impl Limits {
    /// Of a seat with `vcpus` among `seats` on this worker; an agent that was not
    /// told how many there are counts one.
    #[must_use]
    pub fn of(host: Host, seats: u32, vcpus: u32, asked: Asked) -> Self {
        let seats = seats.max(1);
        let or = |asked: u32, default: u32| if asked == 0 { default } else { asked };
        let network = host
            .cpus
            .max(1)
            .saturating_mul(NETWORK_PER_CPU)
            .min(NETWORK_MOST);
        // Half of the numbers stay the worker's own.
        let processes = (host.pids / 2 / seats).clamp(PROCESSES_LEAST, PROCESSES_MOST);
        Self {
            cpu_weight: vcpus.max(1) * 100,
            network_mbits: or(
                asked.network_mbits,
                share(network, seats, NETWORK_LEAST, network / 2),
            ),
            disk_mib_per_second: or(
                asked.disk_mib_per_second,
                share(DISK, seats, DISK_LEAST, DISK_MOST),
            ),
            processes: or(asked.processes, processes),
        }
    }

    /// Network in bytes a second.
    #[must_use]
    pub fn network_bytes(self) -> u64 {
        u64::from(self.network_mbits) * 125_000
    }

    /// Disk in bytes a second.
    #[must_use]
    pub fn disk_bytes(self) -> u64 {
        u64::from(self.disk_mib_per_second) << 20
    }

    /// Disk in pieces a second.
    #[must_use]
    pub fn disk_operations(self) -> u64 {
        self.disk_bytes() / (u64::from(DISK_PIECE_KIB) << 10)
    }
}

fn share(whole: u32, seats: u32, least: u32, most: u32) -> u32 {
    (whole.saturating_mul(OVERSUBSCRIBED) / seats).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cpus: u32, seats: u32, asked: (u32, u32, u32)) -> (u32, u32, u32) {
        let (network_mbits, disk_mib_per_second, processes) = asked;
        let asked = Asked {
            network_mbits,
            disk_mib_per_second,
            processes,
        };
        let host = Host { cpus, pids: 32_768 };
        let limits = Limits::of(host, seats, 1, asked);
        let Limits {
            network_mbits,
            disk_mib_per_second,
            processes,
            ..
        } = limits;
        (network_mbits, disk_mib_per_second, processes)
    }

    #[test]
    fn a_share_follows_the_worker_and_its_seats_and_what_was_asked() {
        for (cpus, seats, asked, want) in [
            // Alone, a seat has half of the network and a quarter of the disk.
            (2, 1, (0, 0, 0), (2_000, 42, 1_024)),
            (8, 1, (0, 0, 0), (8_000, 42, 1_024)),
            // Four even shares.
            (8, 50, (0, 0, 0), (1_280, 13, 327)),
            (2, 20, (0, 0, 0), (800, 33, 819)),
            // No seat is starved by their number.
            (1, 200, (0, 0, 0), (40, 8, 128)),
            (1, 10_000, (0, 0, 0), (10, 8, 128)),
            // No processor and no seats said: as one.
            (0, 0, (0, 0, 0), (1_000, 42, 1_024)),
            // What was asked holds, beyond the shares too.
            (2, 20, (10, 0, 0), (10, 33, 819)),
            (2, 20, (16_000, 500, 4_096), (16_000, 500, 4_096)),
        ] {
            assert_eq!(of(cpus, seats, asked), want, "{cpus} {seats} {asked:?}");
        }
    }

    #[test]
    fn the_weight_is_the_vcpus() {
        let host = Host {
            cpus: 4,
            pids: 4_194_304,
        };
        for (vcpus, weight) in [(0, 100), (1, 100), (4, 400)] {
            let limits = Limits::of(host, 10, vcpus, Asked::default());
            assert_eq!(limits.cpu_weight, weight);
        }
    }

    #[test]
    fn units_are_converted_once() {
        let host = Host {
            cpus: 1,
            pids: 32_768,
        };
        let asked = Asked {
            network_mbits: 8,
            disk_mib_per_second: 256,
            processes: 0,
        };
        let limits = Limits::of(host, 1, 1, asked);
        assert_eq!(limits.network_bytes(), 1_000_000);
        assert_eq!(limits.disk_bytes(), 268_435_456);
        assert_eq!(limits.disk_operations(), 16_384);
    }

    #[test]
    fn ranges_hold_and_zero_is_the_default() {
        assert!(Asked::default().checked().is_ok());
        for (network_mbits, disk_mib_per_second, processes, field) in [
            (32_001, 0, 0, "resources.network_mbits"),
            (0, 10_001, 0, "resources.disk_mib_per_second"),
            (0, 0, 63, "resources.processes"),
            (0, 0, 32_769, "resources.processes"),
        ] {
            let asked = Asked {
                network_mbits,
                disk_mib_per_second,
                processes,
            };
            assert_eq!(asked.checked().unwrap_err().0, field);
        }
    }
}
