//! The seat's files: looked at, brought here, sent, kept alike, or offered to
//! WebDAV clients of this machine.
//!
//! Way: a verb -> the seat (`keeper`) -> [`remote`], the worker's files in our
//! words -> [`upstream`], HTTP with the present token.

mod body;
pub(crate) mod download;
mod get;
mod listing;
pub(crate) mod local;
mod names;
pub(crate) mod path;
mod patience;
pub(crate) mod pipe;
mod put;
mod refusal;
pub(crate) mod remote;
mod serve;
mod sync;
pub(crate) mod unpack;
mod upload;
mod upstream;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

use crate::{config::FilesVerb, failure::Failure, interrupt, keeper::Keeper};
use remote::Remote;
pub(crate) use upstream::Upstream;

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// The path that clients of this machine see.
pub(crate) const MOUNT: &str = "/files";

pub(crate) async fn run(verb: FilesVerb) -> Result<(), Failure> {
    match verb {
        FilesVerb::Serve(args) => serve::serve(args).await,
        FilesVerb::Ls(args) => interrupt::or_stop(listing::run(args)).await,
        FilesVerb::Get(args) => interrupt::or_stop(Box::pin(get::run(args))).await,
        FilesVerb::Put(args) => interrupt::or_stop(Box::pin(put::run(args))).await,
        FilesVerb::Sync(args) => interrupt::or_stop(Box::pin(sync::run(args))).await,
    }
}

/// The remembered seat's files.
async fn open(way: crate::config::WayArgs) -> Result<Remote, Failure> {
    Ok(Remote::new(Keeper::start(way).await?))
}
