//! The worker's rules in the kernel, by way of `nft`: applied in one transaction,
//! added to, read back.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::Write as _,
    net::Ipv4Addr,
    process::{Command, Output, Stdio},
    time::Duration,
};

use super::{NetworkError, learnt::Open};

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

/// Opens addresses of an allowed name, or keeps them open. Blocks.
pub(super) fn open_addresses(addresses: &[Ipv4Addr]) -> Result<(), NetworkError> {
    let list: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    // An element that is there keeps its old time unless it goes first.
    let these = format!("element inet clarateach names {{ {} }}", list.join(", "));
    apply(&format!("add {these}\ndelete {these}\nadd {these}\n"))
}

/// Which addresses of allowed names are open, and for how long yet; none where
/// there is no such set. Blocks.
pub(super) fn open() -> Result<Open, NetworkError> {
    let listed = nft(&["-j", "list", "set", "inet", "clarateach", "names"])?;
    if !listed.status.success() {
        return Ok(Open::new());
    }
    let told: serde_json::Value = serde_json::from_slice(&listed.stdout)
        .map_err(|error| NetworkError::Rules(format!("nft told no JSON: {error}")))?;
    Ok(elements(&told))
}

fn elements(told: &serde_json::Value) -> Open {
    let objects = told["nftables"].as_array().into_iter().flatten();
    let elements = objects.filter_map(|object| object["set"]["elem"].as_array());
    let open = elements.flatten().filter_map(|element| {
        let address = element["elem"]["val"].as_str()?.parse().ok()?;
        let left = element["elem"]["expires"].as_u64()?;
        Some((address, Duration::from_secs(left)))
    });
    open.collect()
}

fn nft(arguments: &[&str]) -> Result<Output, NetworkError> {
    Command::new("nft")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| NetworkError::Rules(format!("nft could not be started: {error}")))
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
        let listed = nft(what)?;
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
    fn open_addresses_are_read_with_the_time_they_have_left() {
        let told = serde_json::json!({"nftables": [
            {"metainfo": {"version": "1.0.6"}},
            {"set": {"name": "names", "timeout": 3600, "elem": [
                {"elem": {"val": "198.51.100.7", "expires": 97}},
                {"elem": {"val": "198.51.100.8", "timeout": 3600, "expires": 0}},
                {"elem": {"val": {"prefix": {"addr": "10.0.0.0", "len": 8}}, "expires": 1}},
                "198.51.100.9",
            ]}},
        ]});
        let left =
            |address: &str, seconds| (address.parse().unwrap(), Duration::from_secs(seconds));
        let want = Open::from([left("198.51.100.7", 97), left("198.51.100.8", 0)]);
        assert_eq!(elements(&told), want);
        assert_eq!(elements(&serde_json::json!({})), Open::new());
    }

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
