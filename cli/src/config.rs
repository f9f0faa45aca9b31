//! Every argument and variable of the command line, read once.

mod files;
mod operator;
mod parse;
mod shape;
mod workshop;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use files::{FilesVerb, GetArgs, LsArgs, PutArgs, ServeArgs, SyncArgs};
pub(crate) use operator::{
    CompletionArgs, DoctorArgs, LogArgs, LoginArgs, ManArgs, RoleName, SeatNumbers, SeatsVerb,
    TokenVerb,
};
pub(crate) use shape::{CostArgs, CreateArgs, EgressMode, EstimateArgs, RuntimeName};
pub(crate) use workshop::{
    CollectArgs, EgressArgs, PauseArgs, Until, UpdateArgs, WatchArgs, WorkshopVerb,
};

const EXIT_CODES: &str = "\
First steps:
  learner      clarateach join 7K3M9-QX2VB --name Ada, then clarateach attach
  instructor   clarateach login, then clarateach workshop create 'Git' --seats 20 --runtime container
  something is wrong?  clarateach doctor

Exit codes:
  0 done   1 failure   2 usage   3 not found   4 not signed in, or refused
  5 conflict or full   6 unreachable   7 timed out   8 the workshop failed
  130 ended by Ctrl-C   143 ended by SIGTERM
  attach and exec pass the shell's or the command's own code on, 255 for their own fault,
  as ssh does";

/// Join a class, open its terminal, move files, and run workshops.
#[derive(Debug, Parser)]
#[command(name = "clarateach", version, after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Where the control plane is and how it is known.
#[derive(Debug, Clone, Args)]
pub(crate) struct Server {
    /// The control plane's address: of `login` if not said, else port 8080 of this
    /// machine. Plain http only to this machine.
    #[arg(
        long = "server",
        global = true,
        help_heading = "Control plane",
        env = "CLARATEACH_URL",
        value_name = "URL"
    )]
    pub(crate) url: Option<String>,
    /// Certificates to trust for the control plane instead of this machine's, PEM.
    #[arg(
        long,
        global = true,
        help_heading = "Control plane",
        env = "CLARATEACH_CA_FILE",
        value_name = "FILE"
    )]
    pub(crate) ca: Option<PathBuf>,
    /// File that holds the API token, if not that of `login`.
    #[arg(
        long,
        global = true,
        help_heading = "Control plane",
        env = "CLARATEACH_TOKEN_FILE",
        value_name = "FILE"
    )]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Take a seat with a join code, and remember it.
    #[command(after_help = "\
Examples:
  clarateach join 7K3M9-QX2VB --name Ada
  clarateach join 7k3m9qx2vb --server https://class.example:8080

The seat is remembered below $XDG_STATE_HOME/clarateach, readable by you only.
Joining again with the same code brings you back to the same seat.")]
    Join(JoinArgs),
    /// Open your seat's terminal.
    #[command(after_help = "\
Keys at the beginning of a line:
  ~.   leave; the shell keeps running and waits for you
  ~^Z  suspend     ~?  this list     ~~  a tilde

A lost connection comes back by itself, with everything the shell said meanwhile.")]
    Attach(AttachArgs),
    /// Run a command in your seat, without a terminal.
    #[command(after_help = "\
Examples:
  clarateach exec make test
  clarateach exec --cwd project -- sh -c 'ls | wc -l'
  clarateach exec -i -- python3 - < script.py

Ends with the command's own code, with 128 and the signal's number if one ended it,
and with 255 for a fault of ours. Ctrl-C ends the command.")]
    Exec(ExecArgs),
    /// Your seat's files.
    #[command(subcommand)]
    Files(FilesVerb),
    /// Workshops: create, list, look, change, collect, delete (needs an API token).
    #[command(subcommand, visible_alias = "workshops")]
    Workshop(WorkshopVerb),
    /// The seats of a workshop (needs an API token).
    #[command(subcommand, visible_alias = "seat")]
    Seats(SeatsVerb),
    /// The end of what a seat's machine logged: as `seats log` (needs an API token).
    #[command(after_help = "Example:\n  clarateach logs -f 'Git basics' 3")]
    Logs(LogArgs),
    /// API tokens of instructors and admins (needs one).
    #[command(subcommand, visible_alias = "tokens")]
    Token(TokenVerb),
    /// Remember a control plane and an API token for it.
    #[command(after_help = "\
Examples:
  clarateach login --server https://class.example:8080        # asks for the token
  clarateach login --ca cert.pem --server https://192.0.2.1:8080 < token
  sudo cat /var/lib/clarateach/admin.token | clarateach login

Kept in $XDG_CONFIG_HOME/clarateach/login.json, readable by you only: the address,
the certificate of --ca itself and the token, which is sent to that address alone.")]
    Login(LoginArgs),
    /// Forget what `login` remembered. The token itself lives on: see `token revoke`.
    Logout,
    /// Look at everything between here and a terminal, and say what to do.
    #[command(after_help = "\
Examples:
  clarateach doctor
  clarateach doctor --output json | jq -r '.checks[] | select(.state == \"fails\").fix'

Ends with 1 if anything FAILS. Changes nothing.")]
    Doctor(DoctorArgs),
    /// Print completions for a shell.
    #[command(after_help = "\
Examples:
  clarateach completion bash > ~/.local/share/bash-completion/completions/clarateach
  clarateach completion zsh > ~/.zfunc/_clarateach
  clarateach completion fish > ~/.config/fish/completions/clarateach.fish")]
    Completion(CompletionArgs),
    /// Print the manual page, or write one for every verb.
    #[command(after_help = "\
Examples:
  clarateach man | man -l -
  clarateach man --out ~/.local/share/man/man1")]
    Man(ManArgs),
}

/// Which remembered seat.
#[derive(Debug, Clone, Args)]
pub(crate) struct SeatArgs {
    /// A name for the seat, if you have several.
    #[arg(long, env = "CLARATEACH_SEAT", default_value = "default", value_parser = parse::seat_name)]
    pub(crate) seat: String,
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The code from your instructor; case, spaces and hyphens do not matter.
    pub(crate) code: String,
    /// What you call yourself.
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub(crate) name: String,
    /// Take another seat although this machine remembers one of this class.
    #[arg(long)]
    pub(crate) new: bool,
    #[command(flatten)]
    pub(crate) show: Show,
    #[command(flatten)]
    pub(crate) seat: SeatArgs,
}

/// Which way to the seat.
#[derive(Debug, Clone, Args)]
pub(crate) struct WayArgs {
    /// Go through the control plane instead of straight to the worker; done by
    /// itself where the worker cannot be reached.
    #[arg(long)]
    pub(crate) gateway: bool,
    #[command(flatten)]
    pub(crate) seat: SeatArgs,
}

#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// Which of the seat's terminals; made if it is new.
    #[arg(long, default_value = "main", value_name = "NAME")]
    pub(crate) terminal: String,
    #[command(flatten)]
    pub(crate) way: WayArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// Where it runs; below the workspace, which is the default.
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<String>,
    /// Give it what comes on stdin, 6 MiB at most.
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// End it after so long, such as 90s or 10m; a day if not said.
    #[arg(long, value_name = "SPAN", value_parser = parse::duration)]
    pub(crate) timeout: Option<std::time::Duration>,
    #[command(flatten)]
    pub(crate) way: WayArgs,
    /// The program and its arguments; a line of shell is `sh -c '…'`.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// How answers look on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    Table,
    /// More columns.
    Wide,
    /// One JSON document.
    Json,
    /// Ids or names only, one a line.
    Name,
}

/// How to print an answer.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Show {
    /// How to print it.
    #[arg(
        short,
        long,
        value_enum,
        default_value = "table",
        value_name = "FORMAT"
    )]
    pub(crate) output: Format,
    /// Leave the column names out.
    #[arg(long)]
    pub(crate) no_headers: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lines_that_are_understood_and_lines_that_are_not() {
        for (line, good) in [
            ("login", true),
            ("login --token secret", false),
            ("workshop get ws-1 -o json", true),
            ("workshop watch Git --until running", true),
            ("workshop update Git", false),
            ("workshop update Git --ttl 2h --extend 1h", false),
            ("workshop update Git --extend 1h --seats 3 --evict", true),
            ("workshop update Git --evict", false),
            ("workshop update Git --egress allow-list", false),
            ("workshop collect Git", true),
            ("workshop collect Git -O - --seat 1 --seat 3", true),
            ("workshop collect Git --seat 0", false),
            ("seats list Git -o name", true),
            ("seats reset Git", false),
            ("seats reset Git 1 2 --yes", true),
            ("files get a b", true),
            ("files put", false),
            ("files put a b c", true),
            ("files sync here there --down --delete", true),
            ("token create ada --role instructor", true),
            ("token create", false),
            ("doctor -o json", true),
            ("completion bash", true),
            ("completion", false),
        ] {
            let words = std::iter::once("clarateach").chain(line.split_whitespace());
            let parsed = Cli::try_parse_from(words);
            assert_eq!(parsed.is_ok(), good, "{line}: {:?}", parsed.err());
        }
    }

    #[test]
    fn every_verb_says_what_it_is_for() {
        fn look(command: &clap::Command) {
            assert!(
                command.get_about().is_some(),
                "{} has no help",
                command.get_name()
            );
            for below in command.get_subcommands() {
                look(below);
            }
        }
        look(&Cli::command());
    }
}
