//! `files sync`: makes one folder like the other, moving only what differs.
//!
//! Way: both folders are read -> [`plan`], pure -> what must go goes, folders are
//! made, files are moved several at once.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    download,
    local::{Half, LocalFile, Walked, walk, writing},
    open,
    path::RemotePath,
    put::{AT_ONCE, files},
    remote::Remote,
};
use crate::{
    config::SyncArgs,
    failure::{Exit, Failure},
    output::{plain, print, tell},
    progress::Meter,
};

/// One thing of a folder, by its path from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Folder,
    File {
        size: u64,
        modified: SystemTime,
    },
    /// A link or a device: never touched.
    Other,
}

type Items = BTreeMap<RemotePath, Item>;

/// What makes the copy like its origin.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Before anything else; what lies below goes with it.
    remove: Vec<RemotePath>,
    folders: Vec<RemotePath>,
    files: Vec<RemotePath>,
    /// Another kind of thing is in the way.
    blocked: Vec<RemotePath>,
}

pub(super) async fn run(args: SyncArgs) -> Result<(), Failure> {
    let there = RemotePath::parse(&args.there)?;
    let remote = open(args.way).await?;
    let here = args.here;
    if args.down {
        fs::create_dir_all(&here).map_err(|error| writing(&here, error))?;
    }
    let root = here.clone();
    let walked = tokio::task::spawn_blocking(move || walk(&root, &RemotePath::default()))
        .await
        .map_err(|error| Failure::fault("could not read the folder", error))??;
    let local = local_items(&walked, &here);
    let far = far_items(&remote, &there, !args.down).await?;
    let plan = if args.down {
        plan(&far, &local, args.delete)
    } else {
        plan(&local, &far, args.delete)
    };
    if args.dry_run {
        return say(&plan);
    }
    for path in &plan.blocked {
        tell(&format!(
            "left as it is, another kind of thing is there: {}",
            path.shown()
        ));
    }
    let (moved, removed) = (plan.files.len(), plan.remove.len());
    if args.down {
        down(&remote, &there, &here, &far, &plan).await?;
    } else {
        up(&remote, &there, walked, &plan).await?;
    }
    tell(&format!(
        "{moved} files moved, {removed} removed, {} the same",
        same(if args.down { &far } else { &local }) - moved
    ));
    if plan.blocked.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Conflict, "not everything is alike")
        .hint("--delete removes what is in the way."))
}

fn same(items: &Items) -> usize {
    items
        .values()
        .filter(|item| matches!(item, Item::File { .. }))
        .count()
}

fn say(plan: &Plan) -> Result<(), Failure> {
    let paths = [
        ("remove", &plan.remove),
        ("make", &plan.folders),
        ("move", &plan.files),
    ];
    for (what, paths) in paths {
        for path in paths {
            print(&format!("{what}  {}", path.shown()))?;
        }
    }
    Ok(())
}

/// Pure.
fn plan(origin: &Items, copy: &Items, delete: bool) -> Plan {
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
        let gone = copy.keys().filter(|path| !origin.contains_key(path));
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

fn local_items(walked: &Walked, here: &Path) -> Items {
    let folders = walked
        .folders
        .iter()
        .map(|path| (path.clone(), Item::Folder));
    let files = walked.files.iter().map(|(path, file)| {
        let LocalFile { size, modified, .. } = *file;
        (path.clone(), Item::File { size, modified })
    });
    let others = walked.left_out.iter().filter_map(|file| {
        let path = RemotePath::parse(file.strip_prefix(here).ok()?.as_os_str()).ok()?;
        Some((path, Item::Other))
    });
    folders.chain(files).chain(others).collect()
}

/// Everything below a folder of the seat; none is as good as empty where things go to.
async fn far_items(
    remote: &Remote,
    root: &RemotePath,
    may_be_missing: bool,
) -> Result<Items, Failure> {
    let mut items = Items::new();
    let mut open = vec![RemotePath::default()];
    while let Some(folder) = open.pop() {
        let path = folder.under(root);
        let listed = match remote.list(&path).await {
            Err(why)
                if may_be_missing && folder.is_root() && why.exit() == Exit::NotFound as u8 =>
            {
                return Ok(items);
            }
            listed => listed?,
        };
        let entries = listed.ok_or_else(|| {
            Failure::new(Exit::Conflict, format!("{} is no folder", path.shown()))
        })?;
        for entry in entries {
            // Such a name was made of bytes that are no text: nobody could ask for it.
            let name = RemotePath::parse(OsStr::new(&entry.name));
            let plain_name = name
                .as_ref()
                .is_ok_and(|name| name.parent().is_root() && !name.is_root());
            if entry.name.contains('\u{FFFD}') || !plain_name {
                tell(&format!(
                    "left out, for its name is no text: {}",
                    plain(&entry.name)
                ));
                continue;
            }
            let at = folder.join(OsStr::new(&entry.name));
            let modified = entry.modified.map_or(UNIX_EPOCH, |at| {
                UNIX_EPOCH + Duration::from_secs(u64::try_from(at.timestamp()).unwrap_or(0))
            });
            let item = match (entry.is_folder(), entry.is_file()) {
                (true, _) => {
                    open.push(at.clone());
                    Item::Folder
                }
                (_, true) => Item::File {
                    size: entry.size,
                    modified,
                },
                _ => Item::Other,
            };
            items.insert(at, item);
        }
    }
    Ok(items)
}

fn on_disk(here: &Path, path: &RemotePath) -> PathBuf {
    path.names().fold(here.to_owned(), |at, name| at.join(name))
}

async fn up(
    remote: &Remote,
    there: &RemotePath,
    walked: Walked,
    plan: &Plan,
) -> Result<(), Failure> {
    for path in &plan.remove {
        remote.remove(&path.under(there)).await?;
    }
    let folders = plan.folders.iter().map(|folder| folder.under(there));
    for folder in there.way().chain(folders) {
        remote.make_folder(&folder).await?;
    }
    let mut known: BTreeMap<_, _> = walked.files.into_iter().collect();
    let wanted = plan.files.iter().filter_map(|path| {
        let file = known.remove(path)?;
        Some((path.under(there), file))
    });
    files(remote, wanted.collect()).await.map(drop)
}

async fn down(
    remote: &Remote,
    there: &RemotePath,
    here: &Path,
    far: &Items,
    plan: &Plan,
) -> Result<(), Failure> {
    for path in &plan.remove {
        let gone = on_disk(here, path);
        let is_folder = fs::symlink_metadata(&gone).is_ok_and(|metadata| metadata.is_dir());
        let removed = if is_folder {
            fs::remove_dir_all(&gone)
        } else {
            fs::remove_file(&gone)
        };
        removed
            .map_err(|error| Failure::io(format!("could not remove {}", gone.display()), error))?;
    }
    for folder in &plan.folders {
        let folder = on_disk(here, folder);
        fs::create_dir_all(&folder).map_err(|error| writing(&folder, error))?;
    }
    let meter = Meter::begin(&format!("{} files", plan.files.len()), Some(0));
    stream::iter(&plan.files)
        .map(|path| {
            let meter = &meter;
            async move {
                let to = on_disk(here, path);
                let half = Half::begin(&to)?;
                let mut handle = half.handle()?;
                let failed = |error| half.failed(error);
                download::file(remote, &path.under(there), &mut handle, failed, meter).await?;
                drop(handle);
                let modified = match far.get(path) {
                    Some(Item::File { modified, .. }) => Some(*modified),
                    _ => None,
                };
                half.finish(modified)
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}

#[cfg(test)]
mod tests {
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
    fn a_path_of_the_seat_has_its_place_here() {
        let path = RemotePath::parse(OsStr::new("a/b")).unwrap();
        assert_eq!(on_disk(Path::new("h"), &path), Path::new("h/a/b"));
    }
}
