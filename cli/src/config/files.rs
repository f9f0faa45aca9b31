//! Arguments of `files`.

use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand};

use super::{Show, WayArgs, parse};

#[derive(Debug, Subcommand)]
pub(crate) enum FilesVerb {
    /// What a folder of the seat holds.
    #[command(after_help = "\
Examples:
  clarateach files ls
  clarateach files ls 'my notes' --output json

Paths are below the folder that a terminal starts in, ~/workspace.")]
    Ls(LsArgs),
    /// Bring a file or a folder here.
    #[command(after_help = "\
Examples:
  clarateach files get notes.txt
  clarateach files get project ./backup      # into ./backup, made if it is missing
  clarateach files get data.csv - | wc -l
  clarateach files get . everything

A file appears under its name when all of it is there. A line that is cut is
taken up where it broke.")]
    Get(GetArgs),
    /// Send files and folders to the seat.
    #[command(after_help = "\
Examples:
  clarateach files put notes.txt             # as notes.txt
  clarateach files put notes.txt lecture.txt 'my folder/'
  clarateach files put project renamed
  tar c . | clarateach files put - all.tar

The last name is where to, if there are two or more; one that ends with / is a folder.")]
    Put(PutArgs),
    /// Make one folder like the other, sending only what differs.
    #[command(after_help = "\
Examples:
  clarateach files sync ./project project            # from here to the seat
  clarateach files sync ./project project --down     # from the seat to here
  clarateach files sync ./project project --delete   # and remove what is not here

A file counts as the same when its size is, and the copy is not older.")]
    Sync(SyncArgs),
    /// Offer the files to WebDAV clients of this machine that know no tokens.
    #[command(after_help = "\
Examples:
  clarateach files serve --listen 127.0.0.1:8765 &
  cadaver http://127.0.0.1:8765/files/

Everybody on this machine can reach it while it runs.")]
    Serve(ServeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// The folder.
    #[arg(default_value = ".")]
    pub(crate) path: OsString,
    #[command(flatten)]
    pub(crate) show: Show,
    #[command(flatten)]
    pub(crate) way: WayArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The file or folder of the seat; . for everything.
    pub(crate) from: OsString,
    /// Where to: a name, a folder that is there, or - for stdout. The same name
    /// here if not said.
    pub(crate) to: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) way: WayArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// What to send, - for stdin; then, if there are two or more, where to.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) names: Vec<OsString>,
    #[command(flatten)]
    pub(crate) way: WayArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// The folder here.
    pub(crate) here: PathBuf,
    /// The folder of the seat.
    #[arg(default_value = ".")]
    pub(crate) there: OsString,
    /// From the seat to here instead.
    #[arg(long)]
    pub(crate) down: bool,
    /// Remove from the copy what its origin has not.
    #[arg(long)]
    pub(crate) delete: bool,
    /// Only say what would be done.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) way: WayArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen, on loopback only; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:8765", value_parser = parse::loopback)]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) way: WayArgs,
}
