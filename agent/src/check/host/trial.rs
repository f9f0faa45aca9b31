//! The worker's network, tried where it harms nobody: in a network namespace of
//! its own, which is gone with the thread that made it.
//!
//! Way: a thread -> a fresh namespace -> a tap, and the worker's own rule set and
//! bridge -> the lines.

use std::{fs, path::Path, thread};

use anyhow::{Context as _, anyhow};
use clarateach_domain::microvm::Runtime;

use super::{
    super::line::{Line, Verdict},
    tools::first_line,
};
use crate::{
    network::{NetworkError, RuleSettings, Walls, shape},
    sys,
};

const TAP: &str = "ctcheck";
const GET_NFT: &str = "apt-get install nftables, and a kernel with nf_tables, its bridge family, nf_conntrack and nft_nat";

/// Lines about tap, nftables and bridge. Blocks.
pub(super) fn lines(runtime: Runtime) -> Vec<Line> {
    let asked = thread::Builder::new()
        .name("trial".to_owned())
        .spawn(move || {
            sys::unshare_network().context("could not make a network namespace")?;
            Ok(inside(runtime))
        });
    let tried: anyhow::Result<Vec<Line>> =
        asked.context("could not start a thread").and_then(|trial| {
            trial
                .join()
                .unwrap_or_else(|_panic| Err(anyhow!("it panicked")))
        });
    tried.unwrap_or_else(|error| {
        let line = Line::new("network namespaces", Verdict::Missing, format!("{error:#}"));
        vec![line.advise("run it as root, on a kernel with CONFIG_NET_NS")]
    })
}

fn inside(runtime: Runtime) -> Vec<Line> {
    let mut lines = Vec::new();
    if runtime == Runtime::Firecracker {
        lines.push(tap());
    }
    let rules = RuleSettings {
        uplink: "lo".to_owned(),
        closed: Vec::new(),
    };
    let made = Walls::raise(rules, Path::new("/nonexistent").join("egress.json"));
    let nft = first_line("nft", "--version");
    match made {
        Ok(_walls) => {
            let found = nft.unwrap_or_default();
            lines.push(Line::new(
                "nftables",
                Verdict::Ok,
                format!("{found} took the worker's rules"),
            ));
            lines.push(Line::new("bridge", Verdict::Ok, "can be made"));
        }
        Err(NetworkError::Rules(why)) => {
            let (verdict, found) = match nft {
                Ok(version) => (
                    Verdict::Wrong,
                    format!("{version} refused the rules: {why}"),
                ),
                Err(none) => (Verdict::Missing, format!("{none:#}")),
            };
            lines.push(Line::new("nftables", verdict, found).advise(GET_NFT));
        }
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::from(error));
            lines.push(Line::new(
                "nftables",
                Verdict::Ok,
                "took the worker's rules",
            ));
            lines.push(
                Line::new("bridge", Verdict::Wrong, error).advise("a kernel with CONFIG_BRIDGE"),
            );
        }
    }
    lines.push(shaping());
    lines
}

fn shaping() -> Line {
    const NAME: &str = "network limits";
    match shape::trial() {
        Ok(()) => Line::new(NAME, Verdict::Ok, "a port can be limited (tbf)"),
        Err(why) => {
            let why = format!("a port cannot be limited: {why}");
            Line::new(NAME, Verdict::Warn, why).advise(
                "modprobe sch_tbf, or a kernel with CONFIG_NET_SCH_TBF: without it one container can take the worker's whole network; MicroVMs have limits of their own",
            )
        }
    }
}

fn tap() -> Line {
    let there = fs::metadata("/dev/net/tun").context("there is no /dev/net/tun");
    let made = there.and_then(|_there| {
        sys::make_tap(TAP, 0).context("/dev/net/tun is there, and a tap could not be made")?;
        Ok("/dev/net/tun opens, a tap can be made".to_owned())
    });
    Line::of("tun", made, Verdict::Missing).otherwise("modprobe tun")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trial_leaves_nothing_in_the_network_it_was_asked_from() {
        let devices = || -> Vec<String> {
            let text = fs::read_to_string("/proc/net/dev").unwrap();
            let names = text
                .lines()
                .skip(2)
                .filter_map(|line| line.split(':').next());
            names.map(|name| name.trim().to_owned()).collect()
        };
        let before = devices();
        let lines = lines(Runtime::Firecracker);
        if !rustix::process::geteuid().is_root() {
            assert!(lines.iter().any(|line| line.verdict.is_bad()), "{lines:?}");
            println!("SKIPPED: the network is tried by root only");
            return;
        }
        let names: Vec<_> = lines.iter().map(|line| line.name).collect();
        assert!(names.starts_with(&["tun", "nftables"]), "{lines:?}");
        assert_eq!(devices(), before);
    }
}
