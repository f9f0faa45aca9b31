//! Seats that compute are kept off one processor: looked at twenty times a second.
//!
//! Way: the seats' cgroups -> what each used since the last look -> `domain`'s
//! [`Burden`] -> `cpuset.cpus` of those that become one, or cease to be. Nobody is kept
//! off where all are burdens, or where there is one processor: then weights decide.
//!
//! A thread of its own: it must look when the agent is busiest. Nothing is noted: the
//! next agent reads from the kernel who is kept off.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use clarateach_domain::{burden::Burden, ids::Slot, limits::Host};
use tracing::{debug, error, warn};

use super::{cgroups::Cgroups, limits, throttle};

/// From one look to the next. Twice as long, and a noise is heard for a tenth of a
/// second before anything is done; fifty seats cost a thousandth of a processor.
const LOOK: Duration = Duration::from_millis(50);
/// A seat that boots is no burden: a class is to start on all processors.
const BOOTS: Duration = Duration::from_secs(3);

/// Looks after the seats whose cgroups are below `parent`, for as long as this process
/// lives. A worker where that cannot be is one all the same.
pub(crate) fn watch(parent: &str) {
    let version = match Cgroups::of_this_host() {
        Ok(version) => version,
        Err(error) => return warn!(%error, "no seat is kept off a processor"),
    };
    let mut burdens = Burdens {
        version,
        parent: parent.trim_matches('/').to_owned(),
        host: limits::here(),
        seats: BTreeMap::new(),
        looked: Instant::now(),
    };
    let looks = thread::Builder::new()
        .name("burdens".to_owned())
        .spawn(move || {
            loop {
                thread::sleep(LOOK);
                burdens.look();
            }
        });
    if let Err(error) = looks {
        error!(%error, "no seat is kept off a processor");
    }
}

/// The seats that were there at the last look.
struct Burdens {
    version: Cgroups,
    parent: String,
    host: Host,
    seats: BTreeMap<Slot, Seat>,
    looked: Instant,
}

impl Burdens {
    fn look(&mut self) {
        let passed = self.looked.elapsed();
        self.looked = Instant::now();
        let there = slots(&self.version.folder("cpu", &self.parent));
        self.seats.retain(|slot, _gone| there.contains(slot));
        let all = u32::try_from(there.len()).unwrap_or(u32::MAX);
        for slot in there {
            let Some(seat) = self.seats.get_mut(&slot) else {
                if let Some(seat) = self.meet(slot) {
                    self.seats.insert(slot, seat);
                }
                continue;
            };
            let Ok(used) = seat.used() else {
                self.seats.remove(&slot); // another life of the slot has begun
                continue;
            };
            let since = used.saturating_sub(seat.used);
            seat.used = used;
            if seat.met.elapsed() > BOOTS {
                seat.burden = seat.burden.after(since, passed, self.host, all);
            }
        }
        let somebody = self.seats.values().any(|seat| !seat.burden.is_heavy());
        for (slot, seat) in &mut self.seats {
            let keep_off = seat.burden.is_heavy() && somebody;
            if keep_off != seat.kept_off {
                seat.keep(keep_off, &self.version.folder("cpuset", &self.parent));
                debug!(%slot, keep_off, "a seat's burden changed");
            }
        }
    }

    /// A seat that is new here. None while it is half made, or half gone.
    fn meet(&self, slot: Slot) -> Option<Seat> {
        let name = format!("{}/s{slot}", self.parent);
        let folder = self.version.folder("cpuset", &name);
        if self.version == Cgroups::V2 && !folder.join("cpuset.cpus").exists() {
            // Whoever made the group had no use for it.
            throttle::enable(&name, "cpuset").ok()?;
        }
        let counter = match self.version {
            Cgroups::V1 => self.version.folder("cpuacct", &name).join("cpuacct.usage"),
            Cgroups::V2 => folder.join("cpu.stat"),
        };
        Seat::of(&counter, folder.join("cpuset.cpus")).ok()
    }
}

/// The slots that have a cgroup there.
fn slots(folder: &Path) -> Vec<Slot> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let slot = |name: &str| Slot::try_from(name.strip_prefix('s')?.parse::<u32>().ok()?).ok();
    let slots = entries.filter_map(|entry| slot(entry.file_name().to_str()?));
    slots.collect()
}

/// One seat, by its cgroup.
struct Seat {
    /// Held open: it is read more often than all else an agent reads.
    counter: File,
    cpus: PathBuf,
    met: Instant,
    used: Duration,
    burden: Burden,
    /// What the kernel was told.
    kept_off: bool,
}

impl Seat {
    fn of(counter: &Path, cpus: PathBuf) -> io::Result<Self> {
        // Whoever was kept off by the last agent is no burden yet: let out once.
        let kept_off = fs::exists(&cpus)?;
        let mut seat = Self {
            counter: File::open(counter)?,
            cpus,
            met: Instant::now(),
            used: Duration::ZERO,
            burden: Burden::default(),
            kept_off,
        };
        seat.used = seat.used()?;
        Ok(seat)
    }

    fn used(&self) -> io::Result<Duration> {
        let mut text = [0; 256];
        let read = self.counter.read_at(&mut text, 0)?;
        let text = str::from_utf8(&text[..read]).map_err(io::Error::other)?;
        counted(text).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Off the last of its parent's processors, or on all of them.
    fn keep(&mut self, off: bool, parent: &Path) {
        self.kept_off = off;
        let told = processors(parent).and_then(|mut all| {
            if off && all.len() > 1 {
                all.pop();
            }
            let list: Vec<_> = all.iter().map(u32::to_string).collect();
            fs::write(&self.cpus, list.join(","))
        });
        if let Err(error) = told
            && self.cpus.exists()
        {
            let cpus = self.cpus.display();
            warn!(%error, %cpus, off, "a seat's processors could not be told");
        }
    }
}

/// The processors of a group, in order.
fn processors(folder: &Path) -> io::Result<Vec<u32>> {
    let named = ["cpuset.cpus.effective", "cpuset.effective_cpus"].map(|name| folder.join(name));
    let file = named.iter().find(|file| file.exists());
    let text = fs::read_to_string(file.ok_or(io::ErrorKind::NotFound)?)?;
    listed(text.trim()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// `0-3,6` in full.
fn listed(text: &str) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        all.extend(first..=last);
    }
    Some(all)
}

/// Nanoseconds alone (version 1), or microseconds on the first line of several.
fn counted(text: &str) -> Option<Duration> {
    let first = text.lines().next()?;
    match first.strip_prefix("usage_usec ") {
        Some(micros) => micros.parse().ok().map(Duration::from_micros),
        None => first.parse().ok().map(Duration::from_nanos),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_hierarchies_say_what_was_used() {
        let five = Some(Duration::from_millis(5));
        for (text, want) in [
            ("5000000\n", five),
            ("usage_usec 5000\nuser_usec 1\n", five),
            ("user_usec 1\n", None),
            ("", None),
        ] {
            assert_eq!(counted(text), want, "{text:?}");
        }
    }

    #[test]
    fn slots_are_known_by_their_groups() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["s1", "s12", "template-1", "s0", "sx"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let mut found = slots(dir.path());
        found.sort();
        let want = [1, 12].map(|slot: u32| Slot::try_from(slot).unwrap());
        assert_eq!(found, want);
        assert!(slots(Path::new("/no/such")).is_empty());
    }

    #[test]
    fn who_is_kept_off_has_all_processors_but_the_last() {
        let dir = tempfile::tempdir().unwrap();
        let (parent, counter) = (dir.path(), dir.path().join("usage"));
        fs::write(&counter, "7").unwrap();
        fs::create_dir(parent.join("s1")).unwrap();
        let cpus = parent.join("s1/cpuset.cpus");
        fs::write(&cpus, "").unwrap();
        for (effective, off, on) in [
            ("0-1\n", "0", "0,1"),
            ("0-2,5\n", "0,1,2", "0,1,2,5"),
            ("3\n", "3", "3"),
        ] {
            fs::write(parent.join("cpuset.cpus.effective"), effective).unwrap();
            let mut seat = Seat::of(&counter, cpus.clone()).unwrap();
            for (keep_off, want) in [(true, off), (false, on)] {
                seat.keep(keep_off, parent);
                assert_eq!(fs::read_to_string(&cpus).unwrap(), want);
            }
        }
        assert_eq!(listed("0-x"), None);
        assert_eq!(listed(""), None);
    }
}
