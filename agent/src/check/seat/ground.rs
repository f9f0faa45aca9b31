//! Item 13: what the host under all seats is set to. None of it is this
//! software's to decide, so what is not as it should be is NOT-HERE, with what
//! the operator can do.

use std::{fs, path::Path};

use super::vmm::Vmm;
use crate::check::line::Line;

const CPU: &str = "/sys/devices/system/cpu";
/// Console levels below this do not print what guests can cause.
const QUIET: u32 = 4;

/// All of them.
pub(super) fn lines(_vmm: &Vmm) -> Vec<Line> {
    vec![
        swap(&text("/proc/swaps")),
        merging(&text("/sys/kernel/mm/ksm/run")),
        siblings(&text(&format!("{CPU}/smt/active")), is_virtual()),
        microcode(is_virtual()),
        mitigations(&text("/proc/cmdline"), &vulnerable()),
        console(&text("/proc/sys/kernel/printk")),
    ]
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Holds with what was found, or is not here for a reason.
fn line(name: &'static str, looked: Result<String, (String, &str)>) -> Line {
    match looked {
        Ok(found) => Line::holds(13, name, Ok(found)),
        Err((found, why)) => Line::not_here(13, name, found, why),
    }
}

fn swap(swaps: &str) -> Line {
    let some = swaps.lines().count().saturating_sub(1);
    line(
        "host swap",
        if some == 0 {
            Ok("off".to_owned())
        } else {
            Err((
                format!("{some} in use"),
                "the host's to switch off: swapoff -a",
            ))
        },
    )
}

fn merging(run: &str) -> Line {
    line(
        "ksm",
        if run.trim() == "1" {
            let why = "the host's to switch off: echo 2 > /sys/kernel/mm/ksm/run";
            Err(("equal pages are merged".to_owned(), why))
        } else {
            Ok("off".to_owned())
        },
    )
}

fn siblings(active: &str, is_virtual: bool) -> Line {
    let looked = match active.trim() {
        "1" => Err((
            "two seats may share a core's threads".to_owned(),
            "the host's to switch off: echo off > /sys/devices/system/cpu/smt/control",
        )),
        _ if is_virtual => Err((
            "off, as far as this host is shown".to_owned(),
            "this host is a virtual machine: its own host decides (threadsPerCore=1)",
        )),
        _ => Ok("off".to_owned()),
    };
    line("smt", looked)
}

fn microcode(is_virtual: bool) -> Line {
    let known = text(&format!("{CPU}/vulnerabilities/old_microcode"));
    let looked = if is_virtual {
        let why = "this host is a virtual machine: microcode is its own host's to load";
        Err((known.trim().to_owned(), why))
    } else if known.starts_with("Vulnerable") {
        let why = "the host's to load: apt-get install intel-microcode or amd64-microcode";
        Err((known.trim().to_owned(), why))
    } else {
        let version = text("/proc/cpuinfo");
        let version = version.lines().find(|line| line.starts_with("microcode"));
        Ok(version.unwrap_or("not known to be old").replace('\t', ""))
    };
    line("microcode", looked)
}

fn mitigations(command_line: &str, vulnerable: &[String]) -> Line {
    const WHY: &str = "the host's to turn on: mitigations=auto,nosmt, and newer microcode";
    let off = command_line
        .split_whitespace()
        .any(|word| word == "mitigations=off");
    let looked = if off {
        Err(("mitigations=off".to_owned(), WHY))
    } else if vulnerable.is_empty() {
        Ok("on, and the kernel knows of no hole left".to_owned())
    } else {
        Err((format!("open to {}", vulnerable.join(", ")), WHY))
    };
    line("mitigations", looked)
}

fn console(printk: &str) -> Line {
    let level: Option<u32> = printk
        .split_whitespace()
        .next()
        .and_then(|now| now.parse().ok());
    line(
        "quiet console",
        match level {
            Some(level) if level <= QUIET => Ok(format!("level {level}")),
            level => Err((
                format!("level {level:?}"),
                "the host's to set: sysctl kernel.printk=4, or quiet on its command line",
            )),
        },
    )
}

/// The holes of the processor that the kernel leaves open.
fn vulnerable() -> Vec<String> {
    let entries = fs::read_dir(Path::new(CPU).join("vulnerabilities"));
    let mut names: Vec<_> = entries
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| text(&entry.path().to_string_lossy()).starts_with("Vulnerable"))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Whether this host runs on another.
fn is_virtual() -> bool {
    text("/proc/cpuinfo")
        .lines()
        .filter_map(|line| line.strip_prefix("flags"))
        .flat_map(str::split_whitespace)
        .any(|flag| flag == "hypervisor")
}

#[cfg(test)]
mod tests {
    use super::{super::super::line::Verdict, *};

    #[test]
    fn what_the_operator_left_on_is_not_here_and_never_fails() {
        let header = "Filename Type Size Used Priority\n";
        let hole = ["retbleed".to_owned()];
        for (line, holds) in [
            (swap(header), true),
            (
                swap(&format!("{header}/dev/sda2 partition 1 0 -2\n")),
                false,
            ),
            (merging("0\n"), true),
            (merging(""), true),
            (merging("1\n"), false),
            (siblings("0\n", false), true),
            (siblings("", false), true),
            (siblings("0\n", true), false),
            (siblings("1\n", false), false),
            (mitigations("quiet mitigations=auto", &[]), true),
            (mitigations("mitigations=off", &[]), false),
            (mitigations("quiet", &hole), false),
            (console("4\t4\t1\t7\n"), true),
            (console("7\t4\t1\t7\n"), false),
            (console(""), false),
        ] {
            let wanted = if holds {
                Verdict::Holds
            } else {
                Verdict::NotHere
            };
            assert_eq!(line.verdict, wanted, "{line:?}");
            assert_eq!(line.advice.is_empty(), holds, "{line:?}");
        }
    }
}
