//! Arguments of `login`, `seats`, `token`, `doctor` and what describes ourselves.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{SeatArgs, Show};

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Remember it although the server cannot be asked whether the token is good.
    #[arg(long)]
    pub(crate) no_check: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SeatsVerb {
    /// Every seat: its state, who holds it, when they last typed.
    #[command(
        visible_alias = "ls",
        after_help = "Example:\n  clarateach seats list 'Git basics' --output wide"
    )]
    List {
        /// The workshop: an id, the beginning of one, or a name.
        workshop: String,
        #[command(flatten)]
        show: Show,
    },
    /// Give learners fresh machines: they keep their seats; files and shells are gone.
    #[command(after_help = "Example:\n  clarateach seats reset 'Git basics' 3 7")]
    Reset(SeatNumbers),
    /// Take seats from their learners; free again once their machines are fresh.
    #[command(after_help = "Example:\n  clarateach seats revoke 'Git basics' 3 --yes")]
    Revoke(SeatNumbers),
    /// The end of what a seat's machine logged.
    #[command(
        visible_alias = "logs",
        after_help = "Examples:\n  clarateach seats log 'Git basics' 3\n  clarateach seats log -f 'Git basics' 3"
    )]
    Log(LogArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The workshop: an id, the beginning of one, or a name.
    pub(crate) workshop: String,
    /// The seat's number.
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seat: u32,
    /// Go on with what is logged from now on, until Ctrl-C.
    #[arg(short, long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SeatNumbers {
    /// The workshop: an id, the beginning of one, or a name.
    pub(crate) workshop: String,
    /// The seats' numbers.
    #[arg(required = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) seats: Vec<u32>,
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) show: Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Make a token and print it, once.
    #[command(after_help = "\
Examples:
  clarateach token create ada --role instructor --label laptop > ada.token
  clarateach token create ada --output json | jq -r .id")]
    Create {
        /// Whom it speaks for; made when new, with --role.
        principal: String,
        /// What they may do, when new.
        #[arg(long, value_enum)]
        role: Option<RoleName>,
        /// What people call the token.
        #[arg(long, default_value = "", value_name = "TEXT")]
        label: String,
        /// table prints the token alone, for `> file`; json all that is known.
        #[command(flatten)]
        show: Show,
    },
    /// The tokens you may see, without their texts.
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        show: Show,
    },
    /// End tokens. Asked twice, nothing changes.
    #[command(
        visible_alias = "rm",
        after_help = "Example:\n  clarateach token revoke tok-7Q2"
    )]
    Revoke {
        /// Ids, as in `token list`.
        #[arg(required = true, value_name = "ID")]
        tokens: Vec<String>,
    },
}

/// As in the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    /// Everything.
    Admin,
    /// Their own workshops.
    Instructor,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) show: Show,
    #[command(flatten)]
    pub(crate) seat: SeatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// Which shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write clarateach.1 and a page for each verb into this folder instead.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}
