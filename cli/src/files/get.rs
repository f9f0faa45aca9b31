//! `files get`: a file or a folder of the seat to this machine.

use std::path::{Path, PathBuf};

use tokio::io::AsyncWriteExt;

use super::{
    download,
    local::{Half, writing},
    open,
    path::RemotePath,
    pipe,
    remote::Remote,
    unpack,
};
use crate::{
    config::GetArgs,
    failure::Failure,
    output::{count, plain, tell},
    progress::Meter,
};

pub(super) async fn run(args: GetArgs) -> Result<(), Failure> {
    let from = RemotePath::parse(&args.from)?;
    let remote = open(args.way).await?;
    let is_folder = remote.list(&from).await?.is_some();
    let own = from
        .name()
        .map_or_else(|| PathBuf::from("workspace"), PathBuf::from);
    let to = args.to.unwrap_or_else(|| own.clone());
    match (to == Path::new("-"), is_folder) {
        (true, true) => archive_out(&remote, &from).await,
        (true, false) => file_out(&remote, &from).await,
        (false, true) => folder(&remote, &from, &to).await,
        (false, false) => {
            let to = if to.is_dir() { to.join(own) } else { to };
            file(&remote, &from, &to).await
        }
    }
}

async fn file(remote: &Remote, from: &RemotePath, to: &Path) -> Result<(), Failure> {
    let meter = Meter::begin(&from.shown(), None);
    let half = Half::begin(to)?;
    let mut handle = half.handle()?;
    let failed = |error| half.failed(error);
    download::file(remote, from, &mut handle, failed, &meter).await?;
    drop(handle);
    half.finish(None)?;
    tell(&format!("{} is here", to.display()));
    Ok(())
}

async fn folder(remote: &Remote, from: &RemotePath, to: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(to).map_err(|error| writing(to, error))?;
    let meter = Meter::begin(&from.shown(), None);
    let answer = download::archive(remote, from).await?;
    let (sender, stream) = pipe::stream();
    let below = to.to_owned();
    let unpacking = tokio::task::spawn_blocking(move || unpack::unpack(stream, &below));
    let fed = pipe::feed(answer.into_body(), sender, &meter).await;
    let unpacked = unpacking
        .await
        .map_err(|error| Failure::fault("could not unpack", error))?;
    drop(meter);
    // What broke the line broke the unpacking, too: the cause is told.
    fed?;
    let unpacked = unpacked.map_err(|error| writing(to, error))?;
    for name in &unpacked.left_out {
        tell(&format!(
            "left out, for it leads elsewhere or is no file: {}",
            plain(name)
        ));
    }
    tell(&format!(
        "{} in {}",
        count(unpacked.files, "file"),
        to.display()
    ));
    Ok(())
}

async fn file_out(remote: &Remote, from: &RemotePath) -> Result<(), Failure> {
    let meter = Meter::begin(&from.shown(), None);
    let failed = |error| Failure::io("could not write to stdout", error);
    let mut out = tokio::io::stdout();
    download::file(remote, from, &mut out, failed, &meter).await?;
    out.flush().await.map_err(failed)
}

async fn archive_out(remote: &Remote, from: &RemotePath) -> Result<(), Failure> {
    let meter = Meter::begin(&from.shown(), None);
    let failed = |error| Failure::io("could not write to stdout", error);
    let answer = download::archive(remote, from).await?;
    let (sender, stream) = pipe::stream();
    let writing = tokio::task::spawn_blocking(move || {
        let mut stream = stream;
        std::io::copy(&mut stream, &mut std::io::stdout().lock())
    });
    pipe::feed(answer.into_body(), sender, &meter).await?;
    writing
        .await
        .map_err(|error| Failure::fault("could not write", error))?
        .map_err(failed)?;
    Ok(())
}
