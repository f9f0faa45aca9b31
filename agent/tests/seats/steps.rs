//! The steps of a MicroVM's making, as they are seen from outside: by what each
//! leaves in the jail, in its folder and in `/proc`.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::{FleetProcess, Worker};

/// A step that a boot or a restore has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The jailer runs, or its successor.
    Jailed,
    /// Its process is noted.
    Noted,
    /// It listens.
    Listening,
    /// It was told of its devices, or was restored.
    Assembled,
    /// The machine was started: its filters are in force.
    Started,
}

impl Step {
    /// In their order.
    pub(crate) const ALL: [Self; 5] = [
        Self::Jailed,
        Self::Noted,
        Self::Listening,
        Self::Assembled,
        Self::Started,
    ];
}

/// How far an agent has come with its worker's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Its rules stand.
    Rules,
    /// Its bridge is there.
    Bridge,
    /// The port of slot 1 is there.
    Port,
    /// And it is up.
    Up,
}

impl Worker {
    /// A fleet that has not yet said that it started.
    pub(crate) fn begin(&self) -> FleetProcess {
        self.spawn(None)
    }

    /// Kills the fleet as soon as it has come so far.
    pub(crate) fn cut(&self, fleet: FleetProcess, cut: Cut, within: Duration) {
        // One process that looks: to start one for each look would be slow.
        let come = match cut {
            Cut::Rules => "nft list table inet clarateach > /dev/null 2>&1",
            Cut::Bridge => "[ -e /sys/class/net/clarateach0 ]",
            Cut::Port => "[ -e /sys/class/net/ctp1 ]",
            Cut::Up => "read up < /sys/class/net/ctp1/carrier && [ $up = 1 ]",
        };
        let (kill, looks) = (fleet.pid(), within.as_millis() * 1000);
        let said = self.inside(&format!(
            "left={looks}; until {{ {come}; }} 2> /dev/null; do
               left=$((left - 1)); [ $left -gt 0 ] || exit; done; kill -9 {kill}; echo cut"
        ));
        assert_eq!(said, "cut\n", "it did not come to {cut:?}");
        fleet.kill();
    }

    /// Waits until the making of the VMM with this id in its jail (`s1`,
    /// `template`) has come to the step, and kills all processes of it. Looks
    /// as fast as it can: the next step may be a millisecond away.
    pub(crate) fn kill_at(&self, id: &str, step: Step, within: Duration) {
        let until = Instant::now() + within;
        loop {
            assert!(Instant::now() < until, "{id} did not come to {step:?}");
            if self.has_reached(id, step) && self.kill_all(id) {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn has_reached(&self, id: &str, step: Step) -> bool {
        let root = self
            .run_dir()
            .join("jails/firecracker")
            .join(id)
            .join("root");
        match step {
            Step::Jailed => root.exists(),
            Step::Noted => self.note(id).exists(),
            Step::Listening => root.join("run/firecracker.socket").exists(),
            Step::Assembled => root.join("v.sock").exists(),
            Step::Started => self.jailed(id).iter().any(|pid| {
                let status = fs::read_to_string(format!("/proc/{pid}/status"));
                status.is_ok_and(|status| status.contains("Seccomp:\t2"))
            }),
        }
    }

    fn note(&self, id: &str) -> PathBuf {
        match id.strip_prefix('s') {
            Some(slot) => self.run_dir().join("seats").join(slot).join("vmm.json"),
            None => self.run_dir().join(format!("{id}.json")),
        }
    }

    /// Kills the jailer and the VMM of that id; false when there is neither.
    fn kill_all(&self, id: &str) -> bool {
        let pids = self.jailed(id);
        for pid in &pids {
            let pid = rustix::process::Pid::from_raw(*pid).unwrap();
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        // Whoever is still dying must not be taken for the next one.
        while self.jailed(id).iter().any(|pid| pids.contains(pid)) {
            std::thread::yield_now();
        }
        !pids.is_empty()
    }

    /// The processes that were started with `--id ID` for this worker.
    fn jailed(&self, id: &str) -> Vec<i32> {
        let base = self.run_dir().join("jails").display().to_string();
        let cgroup = format!("{}/{id}", self.cgroup());
        let ours = |pid: &i32| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<_> = command.split(|byte| *byte == 0).collect();
            let says = |word: &str| words.contains(&word.as_bytes());
            if !says("--id") || !says(id) {
                return false;
            }
            // The jailer names its jails; the VMM stands in its cgroup.
            says(&base)
                || fs::read_to_string(format!("/proc/{pid}/cgroup"))
                    .is_ok_and(|cgroups| cgroups.lines().any(|line| line.ends_with(&cgroup)))
        };
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(ours)
            .collect()
    }
}
