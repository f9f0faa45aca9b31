//! `files put`: files and folders of this machine to the seat.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use futures_util::{StreamExt, TryStreamExt, stream};

use super::{
    local::{LocalFile, Walked, reading, walk},
    open,
    path::RemotePath,
    remote::Remote,
    upload,
};
use crate::{
    config::PutArgs,
    failure::{Exit, Failure},
    output::{count, tell},
    progress::Meter,
};

/// Files under way at once.
pub(super) const AT_ONCE: usize = 8;

pub(super) async fn run(args: PutArgs) -> Result<(), Failure> {
    let (from, to) = split(args.names);
    if from == [OsString::from("-")] && to.is_none() {
        return Err(Failure::new(Exit::Usage, "stdin has no name")
            .hint("Say one: clarateach files put - NAME"));
    }
    let place = Place {
        path: RemotePath::parse(to.as_deref().unwrap_or_default())?,
        is_folder: to.as_deref().is_none_or(says_folder) || from.len() > 1,
    };
    // Before anything is sent.
    for name in from.iter().filter(|name| *name != "-") {
        let file = Path::new(name);
        std::fs::metadata(file).map_err(|error| reading(file, error))?;
    }
    let remote = open(args.way).await?;
    let is_folder = place.is_folder || remote.list(&place.path).await.is_ok_and(|it| it.is_some());
    let place = Place { is_folder, ..place };
    make_folders(&remote, &place).await?;
    let mut sent = 0;
    for name in &from {
        sent += one(&remote, name, &place).await?;
    }
    tell(&format!("{} sent", count(sent, "file")));
    Ok(())
}

/// Where things go.
struct Place {
    path: RemotePath,
    /// Things go into it, under their own names.
    is_folder: bool,
}

/// The last of several is where to.
fn split(mut names: Vec<OsString>) -> (Vec<OsString>, Option<OsString>) {
    let to = if names.len() > 1 { names.pop() } else { None };
    (names, to)
}

fn says_folder(text: &OsStr) -> bool {
    let bytes = text.as_bytes();
    bytes.ends_with(b"/") || bytes == b"."
}

/// Those on the way, and the place itself if things go into it.
async fn make_folders(remote: &Remote, place: &Place) -> Result<(), Failure> {
    let last = if place.is_folder {
        place.path.clone()
    } else {
        place.path.parent()
    };
    for folder in last.way() {
        remote.make_folder(&folder).await?;
    }
    Ok(())
}

/// Gives how many files were sent.
async fn one(remote: &Remote, name: &OsStr, place: &Place) -> Result<usize, Failure> {
    let file = PathBuf::from(name);
    if name == "-" {
        if place.is_folder {
            return Err(Failure::new(
                Exit::Usage,
                "stdin has no name to go into a folder with",
            ));
        }
        let meter = Meter::begin(&place.path.shown(), None);
        upload::stdin(remote, &place.path, &meter).await?;
        return Ok(1);
    }
    let to = if place.is_folder {
        // `..` and `.` have no name of their own.
        let whole = std::fs::canonicalize(&file).map_err(|error| reading(&file, error))?;
        let own = file.file_name().or(whole.file_name());
        own.map_or_else(|| place.path.clone(), |own| place.path.join(own))
    } else {
        place.path.clone()
    };
    let metadata = std::fs::metadata(&file).map_err(|error| reading(&file, error))?;
    if !metadata.is_dir() {
        let meter = Meter::begin(&to.shown(), Some(metadata.len()));
        upload::file(remote, &file, &to, &meter).await?;
        return Ok(1);
    }
    let below = to.clone();
    let walked = tokio::task::spawn_blocking(move || walk(&file, &below))
        .await
        .map_err(|error| Failure::fault("could not read the folder", error))??;
    if !to.is_root() {
        remote.make_folder(&to).await?;
    }
    tree(remote, walked).await
}

/// Folders first, one level after the other, then files, several at once.
pub(super) async fn tree(remote: &Remote, walked: Walked) -> Result<usize, Failure> {
    for file in &walked.left_out {
        tell(&format!("left out, for it is no file: {}", file.display()));
    }
    let folders: BTreeSet<RemotePath> = walked.folders.into_iter().collect();
    for folder in &folders {
        remote.make_folder(folder).await?;
    }
    files(remote, walked.files).await
}

/// Gives how many were sent. The first failure ends it; what is under way is
/// dropped, and leaves what was there before.
pub(super) async fn files(
    remote: &Remote,
    files: Vec<(RemotePath, LocalFile)>,
) -> Result<usize, Failure> {
    let number = files.len();
    let total = files.iter().map(|(_, file)| file.size).sum();
    let meter = Meter::begin(&count(number, "file"), Some(total));
    stream::iter(files)
        .map(|(to, from)| {
            let meter = &meter;
            async move { upload::file(remote, &from.file, &to, meter).await }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_several_names_is_where_to() {
        let names = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(split(names("a")), (names("a"), None));
        assert_eq!(split(names("a b")), (names("a"), Some("b".into())));
        assert_eq!(split(names("a b c/")), (names("a b"), Some("c/".into())));
        assert!(says_folder(OsStr::new("c/")) && says_folder(OsStr::new(".")));
        assert!(!says_folder(OsStr::new("c")));
    }
}
