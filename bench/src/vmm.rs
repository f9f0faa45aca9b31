//! What a VMM of the project's holds and is made of, from `/proc` and its own API.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, ensure};
use serde_json::Value;

/// KiB, shared pages divided among those who share them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Of the whole process.
    pub all: u64,
    /// Of what is not the guest's memory.
    pub own: u64,
}

/// The VMM of a slot, by its agent's note.
pub fn pid(run: &Path, slot: u32) -> anyhow::Result<i32> {
    let note = fs::read(run.join(format!("seats/{slot}/vmm.json"))).context("no VMM is noted")?;
    let note: Value = serde_json::from_slice(&note)?;
    let pid = note["pid"].as_i64().context("the note has no pid")?;
    Ok(i32::try_from(pid)?)
}

/// Its memory now; the guest has `guest_mib` MiB, in mappings of at least half of it.
pub fn memory(pid: i32, guest_mib: u32) -> anyhow::Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps")).context("the VMM is gone")?;
    let mut memory = Memory::default();
    let mut large = false;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else {
            continue;
        };
        let number = || second.parse::<u64>().unwrap_or(0);
        match first {
            "Size:" => large = number() >= u64::from(guest_mib) * 1024 / 2,
            "Pss:" => {
                memory.all += number();
                memory.own += if large { 0 } else { number() };
            }
            _ => {}
        }
    }
    ensure!(memory.all > 0, "the VMM has no memory");
    Ok(memory)
}

/// What the slot's machine is made of, by its VMM's word.
pub fn config(run: &Path, slot: u32) -> anyhow::Result<Value> {
    let socket = run.join(format!(
        "jails/firecracker/s{slot}/root/run/firecracker.socket"
    ));
    let said = Command::new("curl")
        .args(["--silent", "--fail", "--unix-socket"])
        .arg(&socket)
        .arg("http://localhost/vm/config")
        .output()
        .context("curl could not be started")?;
    ensure!(said.status.success(), "the VMM did not say what it is");
    Ok(serde_json::from_slice(&said.stdout)?)
}
