//! KVM's timer of one VMM: a thread of the kernel that ticks for its guest, and
//! is in nobody's cgroup until it is put into one.
//!
//! The kernel names it after the VMM's number in the VMM's own pid namespace, so
//! that every jailed VMM's is called `kvm-pit/1`. What tells them apart is when
//! they were made: right before the first processor of their machine.

use std::fs;

use crate::runtime::ProcessName;

/// The timer's thread of this VMM; none where KVM makes none, or before its
/// machine was started. Blocks.
///
/// Two machines that start within the same moment may be taken for each other.
pub(crate) fn of(pid: i32) -> Option<i32> {
    let vmm = ProcessName::of(pid)?;
    let first = numbers(&format!("/proc/{pid}/task"))
        .find(|thread| name(*thread).as_deref() == Some("fc_vcpu 0"))
        .and_then(ProcessName::of)?;
    let own = number_in_its_namespace(pid)?;
    // As the kernel cuts it.
    let mut called = format!("kvm-pit/{own}");
    called.truncate(15);
    let timers: Vec<_> = numbers("/proc")
        .filter(|thread| name(*thread).as_deref() == Some(&called))
        .filter_map(ProcessName::of)
        .collect();
    latest_between(vmm, first, &timers)
}

/// Whether any VMM of this host has such a thread. Blocks.
pub(crate) fn any() -> bool {
    numbers("/proc").any(|thread| name(thread).is_some_and(|name| name.starts_with("kvm-pit/")))
}

/// Numbers grow with time and begin anew one day: the start decides first.
fn latest_between(vmm: ProcessName, first: ProcessName, timers: &[ProcessName]) -> Option<i32> {
    let made = |process: &ProcessName| (process.started, process.pid);
    timers
        .iter()
        .filter(|timer| timer.started >= vmm.started && made(timer) < made(&first))
        .max_by_key(|timer| made(timer))
        .map(|timer| timer.pid)
}

fn numbers(folder: &str) -> impl Iterator<Item = i32> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn name(thread: i32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{thread}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

fn number_in_its_namespace(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_of_one_name_are_told_apart_by_when_they_were_made() {
        let at = |started, pid| ProcessName { pid, started };
        let (vmm, first) = (at(50, 100), at(60, 140));
        let timers = [at(40, 90), at(59, 105), at(60, 139), at(60, 141), at(70, 7)];
        assert_eq!(latest_between(vmm, first, &timers), Some(139));
        assert_eq!(latest_between(vmm, first, &timers[..2]), Some(105));
        assert_eq!(
            latest_between(vmm, first, &timers[..1]),
            None,
            "a former VMM's"
        );
        assert_eq!(
            latest_between(vmm, first, &timers[3..]),
            None,
            "later VMMs'"
        );
        // The numbers began anew between the timer and the processor.
        assert_eq!(
            latest_between(at(50, 32_000), at(61, 300), &[at(60, 32_767)]),
            Some(32_767)
        );
    }

    #[test]
    fn a_process_without_a_machine_has_no_timer() {
        assert_eq!(of(i32::try_from(std::process::id()).unwrap()), None);
        assert_eq!(of(i32::MAX), None);
    }
}
