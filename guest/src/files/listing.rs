//! A folder as JSON, by name, a thousand a page.

use std::{ffi::OsString, io, os::unix::ffi::OsStrExt as _, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use cap_std::fs::{Dir, MetadataExt as _};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{meta::Meta, workspace::is_upload};

/// Entries in one answer.
pub(crate) const PAGE: usize = 1000;

/// Where a page begins: after this name. Opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageToken(Vec<u8>);

impl PageToken {
    /// None for what we never gave out.
    pub(crate) fn parse(raw: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(raw).ok().map(Self)
    }
}

/// The page that follows `after`. `shown` is the path as the caller knows it.
pub(crate) fn page(
    dir: &Dir,
    path: &Path,
    shown: &str,
    after: Option<&PageToken>,
) -> io::Result<Value> {
    let dir = dir.open_dir(path)?;
    let mut names: Vec<OsString> = vec![];
    for entry in dir.entries()? {
        let name = entry?.file_name();
        let due = after.is_none_or(|PageToken(last)| name.as_bytes() > last.as_slice());
        if due && !is_upload(&name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    let more = names.len() > PAGE;
    names.truncate(PAGE);
    let next = names.last().filter(|_| more).map_or(String::new(), |last| {
        URL_SAFE_NO_PAD.encode(last.as_bytes())
    });
    // One that went meanwhile is left out.
    let entries: Vec<Value> = names
        .iter()
        .filter_map(|name| {
            let meta = dir.symlink_metadata(name).ok()?;
            Some(entry(&name.to_string_lossy(), &Meta(meta)))
        })
        .collect();
    Ok(json!({"path": shown, "entries": entries, "next_page_token": next}))
}

fn entry(name: &str, meta: &Meta) -> Value {
    let stat = &meta.0;
    let kind = if stat.is_file() {
        "file"
    } else if stat.is_dir() {
        "directory"
    } else if stat.is_symlink() {
        "symlink"
    } else {
        "other"
    };
    let modified = stat.modified().map(|time| {
        DateTime::<Utc>::from(time.into_std()).to_rfc3339_opts(SecondsFormat::Millis, true)
    });
    json!({
        "name": name,
        "type": kind,
        "size": stat.len(),
        "modified": modified.ok(),
        "etag": format!("\"{}\"", meta.tag()),
        "mode": format!("{:04o}", stat.mode() & 0o7777),
    })
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;

    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap_or_repeat() {
        let folder = tempfile::tempdir().unwrap();
        let mut wanted: Vec<String> = (0..2 * PAGE + 17).map(|n| format!("f{n}")).collect();
        for name in &wanted {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::write(folder.path().join(".clarateach-upload-00"), "half").unwrap();
        wanted.sort();
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        let mut got = vec![];
        let mut after = None;
        for wanted_length in [PAGE, PAGE, 17] {
            let page = page(&dir, Path::new("."), "/", after.as_ref()).unwrap();
            let entries = page["entries"].as_array().unwrap();
            assert_eq!(entries.len(), wanted_length);
            got.extend(
                entries
                    .iter()
                    .map(|entry| entry["name"].as_str().unwrap().to_owned()),
            );
            let next = page["next_page_token"].as_str().unwrap();
            after = (!next.is_empty()).then(|| PageToken::parse(next).unwrap());
        }
        assert!(after.is_none());
        assert!(got == wanted);
    }
}
