//! `files sync`: makes one folder like the other, moving only what differs.
//!
//! Way: both folders are read -> [`plan`], pure -> what must go goes, folders are
//! made, files are moved several at once.

mod plan;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use futures_util::{StreamExt, TryStreamExt, stream};

use plan::{Item, Items, Plan, plan};

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
    output::{count, plain, print, tell},
    progress::Meter,
};

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
        "{} moved, {removed} removed, {} the same",
        count(moved, "file"),
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
    let meter = Meter::begin(&count(plan.files.len(), "file"), Some(0));
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

    #[test]
    fn a_path_of_the_seat_has_its_place_here() {
        let path = RemotePath::parse(OsStr::new("a/b")).unwrap();
        assert_eq!(on_disk(Path::new("h"), &path), Path::new("h/a/b"));
    }
}
