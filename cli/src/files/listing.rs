//! `files ls`: a folder on stdout.

use std::time::SystemTime;

use serde_json::json;

use super::{open, path::RemotePath, remote::Entry};
use crate::{
    config::LsArgs,
    failure::{Exit, Failure},
    output::{ago, list, plain, size},
};

pub(super) async fn run(args: LsArgs) -> Result<(), Failure> {
    let path = RemotePath::parse(&args.path)?;
    let remote = open(args.way).await?;
    let entries =
        if let Some(entries) = remote.list(&path).await? {
            entries
        } else {
            // A file: what its folder says of it.
            let all = remote.list(&path.parent()).await?.unwrap_or_default();
            let name = path.name().map(|name| name.to_string_lossy().into_owned());
            let found = all
                .into_iter()
                .find(|entry| Some(&entry.name) == name.as_ref());
            vec![found.ok_or_else(|| {
                Failure::new(Exit::NotFound, format!("there is no {}", path.shown()))
            })?]
        };
    let now = SystemTime::now();
    let rows: Vec<Vec<String>> = entries.iter().map(|entry| row(entry, now)).collect();
    list(
        args.show,
        &["NAME", "SIZE", "CHANGED"],
        &["MODE", "TYPE"],
        &rows,
        || {
            json!({
                "path": path.shown(),
                "entries": entries.iter().map(|entry| json!({
                    "name": entry.name,
                    "type": entry.kind,
                    "size": entry.size,
                    "modified": entry.modified,
                    "mode": entry.mode,
                })).collect::<Vec<_>>(),
            })
        },
    )
}

fn row(entry: &Entry, now: SystemTime) -> Vec<String> {
    let name = plain(&entry.name);
    let (name, bytes) = match entry.kind.as_str() {
        "directory" => (format!("{name}/"), "-".to_owned()),
        "file" => (name, size(entry.size)),
        "symlink" => (format!("{name}@"), "-".to_owned()),
        _ => (name, "-".to_owned()),
    };
    let changed = entry.modified.map(|at| prost_types::Timestamp {
        seconds: at.timestamp(),
        nanos: 0,
    });
    vec![
        name,
        bytes,
        ago(changed.as_ref(), now),
        entry.mode.clone(),
        entry.kind.clone(),
    ]
}
