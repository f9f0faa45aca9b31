//! What must move so that one folder is like the other. Pure.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::files::path::RemotePath;

/// One thing of a folder, by its path from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Folder,
    File {
        size: u64,
        modified: SystemTime,
    },
    /// A link or a device: never touched.
    Other,
}

pub(super) type Items = BTreeMap<RemotePath, Item>;

/// What makes the copy like its origin.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// Before anything else; what lies below goes with it.
    pub(super) remove: Vec<RemotePath>,
    pub(super) folders: Vec<RemotePath>,
    pub(super) files: Vec<RemotePath>,
    /// Another kind of thing is in the way.
    pub(super) blocked: Vec<RemotePath>,
}

/// What makes `copy` like `origin`.
pub(super) fn plan(origin: &Items, copy: &Items, delete: bool) -> Plan {
    let mut plan = Plan::default();
    for (path, item) in origin {
        let there = copy.get(path);
        let in_the_way = match (item, there) {
            (Item::Folder, Some(Item::File { .. } | Item::Other))
            | (Item::File { .. }, Some(Item::Folder | Item::Other)) => true,
            (Item::Folder | Item::File { .. } | Item::Other, _) => false,
        };
        if in_the_way && !delete {
            plan.blocked.push(path.clone());
            continue;
        }
        if in_the_way {
            plan.remove.push(path.clone());
        }
        match (item, there) {
            (Item::Folder, Some(Item::Folder)) | (Item::Other, _) => {}
            (Item::Folder, _) => plan.folders.push(path.clone()),
            (
                Item::File { size, modified },
                Some(Item::File {
                    size: had,
                    modified: made,
                }),
            ) if size == had && seconds(*made) >= seconds(*modified) => {}
            (Item::File { .. }, _) => plan.files.push(path.clone()),
        }
    }
    if delete {
        // A seat's list leaves out names that are no text, so their absence says nothing.
        let told = |path: &RemotePath| path.names().all(|name| name.to_str().is_some());
        let gone = copy
            .keys()
            .filter(|path| told(path) && !origin.contains_key(path));
        plan.remove.extend(gone.cloned());
    }
    // What lies below something that is blocked or goes, goes with it.
    let below =
        |path: &RemotePath, roots: &[RemotePath]| path.parent().way().any(|at| roots.contains(&at));
    let blocked = plan.blocked.clone();
    plan.files.retain(|path| !below(path, &blocked));
    plan.folders.retain(|path| !below(path, &blocked));
    let remove = plan.remove.clone();
    plan.remove.retain(|path| !below(path, &remove));
    plan.remove.sort();
    plan
}

/// Servers keep whole seconds.
fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, time::Duration};

    use super::*;

    fn items(of: &[(&str, Item)]) -> Items {
        of.iter()
            .map(|(path, item)| (RemotePath::parse(OsStr::new(path)).unwrap(), *item))
            .collect()
    }

    fn file(size: u64, at: u64) -> Item {
        Item::File {
            size,
            modified: UNIX_EPOCH + Duration::from_millis(at * 1000 + 500),
        }
    }

    fn said(plan: &Plan) -> String {
        let list = |paths: &[RemotePath]| {
            paths
                .iter()
                .map(RemotePath::shown)
                .collect::<Vec<_>>()
                .join(",")
        };
        format!(
            "-{} /{} >{} !{}",
            list(&plan.remove),
            list(&plan.folders),
            list(&plan.files),
            list(&plan.blocked)
        )
    }

    #[test]
    fn only_what_differs_is_moved() {
        use Item::{Folder, Other};
        for (origin, copy, delete, wanted) in [
            (vec![("a", file(1, 5))], vec![], false, "- / >a !"),
            (
                vec![("a", file(1, 5))],
                vec![("a", file(1, 5))],
                false,
                "- / > !",
            ),
            (
                vec![("a", file(1, 5))],
                vec![("a", file(1, 9))],
                false,
                "- / > !",
            ),
            (
                vec![("a", file(1, 5))],
                vec![("a", file(1, 4))],
                false,
                "- / >a !",
            ),
            (
                vec![("a", file(2, 5))],
                vec![("a", file(1, 9))],
                false,
                "- / >a !",
            ),
            (
                vec![("d", Folder), ("d/a", file(1, 5))],
                vec![],
                false,
                "- /d >d/a !",
            ),
            (vec![], vec![("a", file(1, 5))], false, "- / > !"),
            (
                vec![],
                vec![("d", Folder), ("d/a", file(1, 5))],
                true,
                "-d / > !",
            ),
            (
                vec![("a", Folder), ("a/b", file(1, 1))],
                vec![("a", file(1, 5))],
                false,
                "- / > !a",
            ),
            (
                vec![("a", Folder), ("a/b", file(1, 1))],
                vec![("a", file(1, 5))],
                true,
                "-a /a >a/b !",
            ),
            (
                vec![("a", file(1, 1))],
                vec![("a", Other)],
                false,
                "- / > !a",
            ),
            (vec![("a", Other)], vec![("a", file(1, 1))], true, "- / > !"),
        ] {
            let plan = plan(&items(&origin), &items(&copy), delete);
            assert_eq!(said(&plan), wanted, "{origin:?} {copy:?}");
        }
    }

    #[test]
    fn what_the_origin_could_not_name_is_no_reason_to_remove() {
        let file = Item::File {
            size: 1,
            modified: UNIX_EPOCH,
        };
        let odd = RemotePath::default().join(OsStr::from_bytes(b"\xff.txt"));
        let plain = RemotePath::default().join(OsStr::new("old.txt"));
        let copy = Items::from([(odd, file), (plain.clone(), file)]);
        assert_eq!(plan(&Items::new(), &copy, true).remove, [plain]);
    }
}
