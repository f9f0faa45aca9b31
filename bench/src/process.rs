//! What a process has used and holds, from `/proc`.

use std::{fs, time::Duration};

use anyhow::Context;

/// Processor time is counted in these; 100 a second wherever Linux runs.
const TICKS_A_SECOND: u32 = 100;

/// Resident memory of one process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// KiB resident.
    pub rss: u64,
    /// KiB resident, shared pages divided among those who share them.
    pub pss: u64,
}

/// What `pid` holds now.
pub fn memory(pid: i32) -> anyhow::Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .with_context(|| format!("could not read the memory of {pid}"))?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok())
            .unwrap_or(0)
    };
    Ok(Memory {
        rss: field("Rss:"),
        pss: field("Pss:"),
    })
}

/// Processor time that `pids` have used so far, user and system, threads
/// included.
pub fn cpu(pids: &[i32]) -> anyhow::Result<Duration> {
    let mut ticks = 0;
    for pid in pids {
        let text = fs::read_to_string(format!("/proc/{pid}/stat"))
            .with_context(|| format!("could not read the times of {pid}"))?;
        // The name may hold spaces and brackets; what counts is behind the last.
        let (_, rest) = text.rsplit_once(')').context("/proc has an odd stat")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        for place in [11, 12] {
            ticks += fields
                .get(place)
                .context("/proc has a short stat")?
                .parse::<u32>()?;
        }
    }
    Ok(Duration::from_secs(u64::from(ticks)) / TICKS_A_SECOND)
}

/// The children of `pid`'s first thread.
pub fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    text.unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

/// Processes in the network namespaces of a class that are the first of a pid
/// namespace and run the guest.
pub fn guests() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let inner = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            let first = inner.is_some_and(|line| {
                let ids: Vec<_> = line.split_ascii_whitespace().collect();
                ids.len() > 1 && ids.last() == Some(&"1")
            });
            first && command.windows(16).any(|part| part == b"clarateach/guest")
        })
        .collect()
}

/// One-minute load of this machine: how quiet the moment was.
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}
