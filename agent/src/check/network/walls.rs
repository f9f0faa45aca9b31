//! The rows about what stands, compared with what must.

use clarateach_domain::egress::{Allowed, Egress};

use super::place::Worker;
use crate::{check::line::Line, network::survey::Surveyed};

/// What mends all of these.
const MEND: &str = "a running agent mends it within seconds; where none runs, start one";
/// Of what is amiss, so much is told.
const SHOWN: usize = 3;

pub(super) fn lines(worker: &Worker, stands: &Surveyed) -> Vec<Line> {
    let ports = stands.ports.len();
    let drops = if stands.drops {
        Ok("what no rule lets through is dropped".to_owned())
    } else {
        Err("nothing drops what no rule lets through")
    };
    let each = |what: &str| format!("{ports} ports that are up, {what}");
    [
        Line::stands("policy", Ok::<_, String>(in_words(&worker.egress))),
        row(
            "rule set",
            &stands.rules,
            "equals what it must be, line by line",
        ),
        Line::stands("policy drop", drops),
        row("bridge", &stands.bridge, "is up, with its own addresses"),
        row(
            "switches",
            &stands.switches,
            "as they must be: bridged frames meet no inet rule, no redirects",
        ),
        row(
            "ipv6 off",
            &stands.ipv6,
            "on the bridge, on each port and on what comes",
        ),
        row(
            "port pins",
            &stands.pins,
            &each("each isolated; none learns, floods or hears others"),
        ),
        row(
            "forwarding",
            &stands.forwarding,
            &each("each with its static entry, and no other"),
        ),
        row(
            "neighbours",
            &stands.neighbours,
            &each("each seat a permanent neighbour, and no other"),
        ),
    ]
    .map(|line| line.otherwise(MEND))
    .into()
}

fn row(name: &'static str, amiss: &[String], well: &str) -> Line {
    Line::stands(name, told(amiss, well))
}

/// All is well, or the first of what is not and how much more there is.
pub(super) fn told(amiss: &[String], well: &str) -> Result<String, String> {
    let Some(shown) = amiss.chunks(SHOWN).next() else {
        return Ok(well.to_owned());
    };
    match amiss.len() - shown.len() {
        0 => Err(shown.join("; ")),
        more => Err(format!("{}; and {more} more", shown.join("; "))),
    }
}

fn in_words(egress: &Egress) -> String {
    match egress {
        Egress::Internet => "seats may reach the internet".to_owned(),
        Egress::None => "seats may reach nothing".to_owned(),
        Egress::AllowList(allowed) => {
            let allowed: Vec<_> = allowed.iter().map(Allowed::to_string).collect();
            format!("seats may reach {}", allowed.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_that_is_amiss_is_told_in_short() {
        let amiss: Vec<_> = (1..=5).map(|number| format!("port {number}")).collect();
        assert_eq!(told(&[], "well"), Ok("well".to_owned()));
        assert_eq!(told(&amiss[..1], ""), Err("port 1".to_owned()));
        let told = told(&amiss, "").unwrap_err();
        assert_eq!(told, "port 1; port 2; port 3; and 2 more");
    }
}
