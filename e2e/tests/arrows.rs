//! Imports go one way. Every new arrow between rooms is drawn here, and in
//! `ARCHITECTURE.md`, first.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{collections::BTreeMap, fs, path::Path};

/// Who may import whom: `room -> rooms`.
const ARROWS: [(&str, &[&str]); 9] = [
    ("domain", &[]),
    ("proto", &[]),
    ("certs", &[]),
    ("server", &["certs", "domain", "proto"]),
    ("agent", &["certs", "domain", "proto"]),
    ("guest", &["proto"]),
    ("cli", &["proto"]),
    ("e2e", &["certs", "domain", "proto", "server"]),
    ("bench", &["agent", "domain", "e2e", "proto"]),
];

/// What the heart must not know.
const NOT_IN_DOMAIN: [&str; 7] = [
    "tokio", "tonic", "sea-orm", "hyper", "rand", "rustix", "prost",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Ordinary and build dependencies of a room, by name, with its table.
fn dependencies(room: &str) -> BTreeMap<String, toml_edit::Item> {
    let text = fs::read_to_string(root().join(room).join("Cargo.toml")).unwrap();
    let manifest: toml_edit::DocumentMut = text.parse().unwrap();
    ["dependencies", "build-dependencies", "dev-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(section)?.as_table())
        .flat_map(|table| table.iter())
        .map(|(name, item)| (name.to_owned(), item.clone()))
        .collect()
}

#[test]
fn rooms_import_only_along_the_arrows() {
    let members = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members: toml_edit::DocumentMut = members.parse().unwrap();
    let members: Vec<_> = members["workspace"]["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        members.len(),
        ARROWS.len(),
        "a room without arrows: {members:?}"
    );
    for (room, allowed) in ARROWS {
        assert!(
            members.iter().any(|member| member == room),
            "no room {room}"
        );
        for name in dependencies(room).keys() {
            if let Some(to) = name.strip_prefix("clarateach-") {
                assert!(allowed.contains(&to), "a new arrow: {room} -> {to}");
            }
        }
    }
}

#[test]
fn every_version_is_chosen_in_the_one_table() {
    for (room, _) in ARROWS {
        for (name, item) in dependencies(room) {
            let inherited = item.get("workspace").and_then(toml_edit::Item::as_bool);
            assert_eq!(
                inherited,
                Some(true),
                "{room}: {name} chooses its own version"
            );
        }
    }
}

#[test]
fn the_heart_does_no_io() {
    for name in dependencies("domain").keys() {
        assert!(!NOT_IN_DOMAIN.contains(&name.as_str()), "domain -> {name}");
    }
    for (file, text) in sources("domain/src") {
        for word in [
            "async fn",
            ".await",
            "std::fs",
            "std::net::Tcp",
            "Utc::now",
            "Instant::now",
        ] {
            assert!(!text.contains(word), "{file} says {word}");
        }
    }
}

/// The never-lines of `ARCHITECTURE.md` that can be read off the sources:
/// (word, rooms searched, places that may say it).
const NEVER: [(&str, &[&str], &[&str]); 5] = [
    ("sea_orm::", &["server/src"], &["server/src/store/"]),
    (
        "google_cloud",
        &["server/src"],
        &["server/src/provisioner/gcp"],
    ),
    (
        "irecracker",
        &["agent/src"],
        &[
            "agent/src/runtime/firecracker",
            "agent/src/runtime.rs",
            "agent/src/config.rs",
            "agent/src/api",
            "agent/src/agent.rs",
            "agent/src/check",
            "agent/src/fleet.rs",
            "agent/src/fleet/handle.rs",
        ],
    ),
    ("192.168.100", &["server/src", "guest/src", "cli/src"], &[]),
    (
        "unsafe {",
        &[
            "server/src",
            "cli/src",
            "domain/src",
            "certs/src",
            "proto/src",
        ],
        &[],
    ),
];

#[test]
fn the_never_lines_hold() {
    for (word, rooms, may) in NEVER {
        for (file, text) in rooms.iter().flat_map(|room| sources(room)) {
            if may.iter().any(|place| file.starts_with(place)) {
                continue;
            }
            let line = text.lines().position(|line| line.contains(word));
            assert!(line.is_none(), "{file}:{} says {word}", line.unwrap() + 1);
        }
    }
}

fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found
}
