//! The worker's rules in the kernel, by way of `nft`: applied in one transaction,
//! added to, read back.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::Write as _,
    net::Ipv4Addr,
    process::{Command, Stdio},
};

use super::NetworkError;

/// Hands the text to `nft`, which applies all of it or nothing. Blocks.
pub(super) fn apply(text: &str) -> Result<(), NetworkError> {
    let failed = |error: std::io::Error| NetworkError::Rules(error.to_string());
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| NetworkError::Rules(format!("nft could not be started: {error}")))?;
    if let Some(mut stdin) = nft.stdin.take() {
        stdin.write_all(text.as_bytes()).map_err(failed)?;
    }
    let ended = nft.wait_with_output().map_err(failed)?;
    if ended.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&ended.stderr);
    Err(NetworkError::Rules(complaint.trim().to_owned()))
}

/// Opens an address of an allowed name, or keeps it open. Blocks.
pub(super) fn open_address(address: Ipv4Addr) -> Result<(), NetworkError> {
    // An element that is there keeps its old time unless it goes first.
    let again = "element inet clarateach names";
    apply(&format!(
        "add {again} {{ {address} }}\ndelete {again} {{ {address} }}\nadd {again} {{ {address} }}\n"
    ))
}

/// What of the rules stands in the kernel, without counters and without what
/// they learn. Blocks.
pub(super) fn standing() -> Result<String, NetworkError> {
    let mut all = String::new();
    for what in [
        &["-s", "-t", "list", "table", "bridge", "clarateach"][..],
        &["-s", "list", "set", "bridge", "clarateach", "seats"],
        &["-s", "-t", "list", "table", "inet", "clarateach"],
        &["-s", "list", "set", "inet", "clarateach", "closed"],
        &["-s", "list", "set", "inet", "clarateach", "ranges"],
    ] {
        let listed = Command::new("nft")
            .args(what)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| NetworkError::Rules(format!("nft could not be started: {error}")))?;
        if !listed.status.success() {
            // Not there: told by what is missing in the text.
            writeln!(all, "no {}", what[2..].join(" ")).ok();
        }
        all.push_str(&String::from_utf8_lossy(&listed.stdout));
    }
    Ok(all)
}

/// What is gone or new in what stands, in a line for people.
pub(super) fn difference(expected: &str, standing: &str) -> String {
    const SHOWN: usize = 120;
    let missing = |from: &str, of: &str| {
        let there: BTreeSet<_> = of.lines().map(str::trim).collect();
        let line = from
            .lines()
            .map(str::trim)
            .find(|line| !there.contains(line));
        line.map(|line| line.chars().take(SHOWN).collect::<String>())
    };
    match (missing(expected, standing), missing(standing, expected)) {
        (Some(gone), Some(new)) => format!("rule `{gone}` was gone, `{new}` was there"),
        (Some(gone), None) => format!("rule `{gone}` was gone"),
        (None, Some(new)) => format!("rule `{new}` was there"),
        (None, None) => "rules stood in another order or number".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_which_rule_it_was() {
        for (expected, standing, said) in [
            ("a\nb\n", "a\n", "rule `b` was gone"),
            ("a\n", "a\n  b\n", "rule `b` was there"),
            ("a\n", "b\n", "rule `a` was gone, `b` was there"),
            ("a\na\n", "a\n", "rules stood in another order or number"),
        ] {
            assert_eq!(difference(expected, standing), said);
        }
    }
}
