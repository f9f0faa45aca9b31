//! Every argument and variable of the command line, read once.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

const EXIT_CODES: &str = "\
Exit codes:
  0 done   1 failure   2 usage   3 not found   4 not signed in, or refused
  5 conflict or full   6 unreachable   7 timed out   8 the workshop failed
  attach passes the shell's own code on, 255 for its own fault, as ssh does";

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
    /// The control plane's address. Plain http only to this machine.
    #[arg(
        long = "server",
        global = true,
        env = "CLARATEACH_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub(crate) url: String,
    /// Certificates to trust for the control plane instead of this machine's, PEM.
    #[arg(long, global = true, env = "CLARATEACH_CA_FILE", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// File that holds the API token, for `workshop`.
    #[arg(
        long,
        global = true,
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
    /// Your seat's files.
    #[command(subcommand)]
    Files(FilesVerb),
    /// Create, list and delete workshops (needs an API token).
    #[command(subcommand, visible_alias = "workshops")]
    Workshop(WorkshopVerb),
}

/// Which remembered seat.
#[derive(Debug, Clone, Args)]
pub(crate) struct SeatArgs {
    /// A name for the seat, if you have several.
    #[arg(long, env = "CLARATEACH_SEAT", default_value = "default", value_parser = seat_name)]
    pub(crate) seat: String,
}

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The code from your instructor; case, spaces and hyphens do not matter.
    pub(crate) code: String,
    /// What you call yourself.
    #[arg(long, default_value = "", value_name = "NAME")]
    pub(crate) name: String,
    /// Take another seat although this machine remembers one of this class.
    #[arg(long)]
    pub(crate) new: bool,
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

#[derive(Debug, Subcommand)]
pub(crate) enum FilesVerb {
    /// Offer the files to WebDAV clients of this machine that know no tokens.
    #[command(after_help = "\
Examples:
  clarateach files serve --listen 127.0.0.1:8765 &
  cadaver http://127.0.0.1:8765/files/

Everybody on this machine can reach it while it runs.")]
    Serve(ServeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen, on loopback only; port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:8765", value_parser = loopback)]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) way: WayArgs,
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
    /// Ids only, one a line.
    Name,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkshopVerb {
    /// The workshops you may see, newest first.
    #[command(visible_alias = "ls")]
    List {
        /// Also those deleted in the last seven days.
        #[arg(long)]
        deleted: bool,
        /// How to print them.
        #[arg(short, long, value_enum, default_value = "table")]
        output: Format,
        /// Leave the column names out.
        #[arg(long)]
        no_headers: bool,
    },
    /// Make a workshop.
    #[command(
        after_help = "Example:\n  clarateach workshop create 'Git basics' --seats 20 --runtime container --ttl 4h --wait"
    )]
    Create(CreateArgs),
    /// Change what a workshop's seats may reach; connections that this closes end.
    #[command(
        after_help = "Example:\n  clarateach workshop egress 'Git basics' allow-list --allow pypi.org,*.pythonhosted.org"
    )]
    Egress(EgressArgs),
    /// End workshops for good: machines and files of every seat go with them.
    #[command(visible_alias = "rm")]
    Delete {
        /// Ids, beginnings of ids, or names.
        #[arg(required = true)]
        workshops: Vec<String>,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// What people call it.
    pub(crate) name: String,
    /// How many seats.
    #[arg(long)]
    pub(crate) seats: u32,
    /// What gives a seat its machine.
    #[arg(long, value_enum)]
    pub(crate) runtime: RuntimeName,
    /// How long until it deletes itself, such as 90m, 4h or 1h30m.
    #[arg(long, value_parser = duration)]
    pub(crate) ttl: Option<Duration>,
    /// What seats may reach; private networks never.
    #[arg(long, value_enum, default_value = "internet")]
    pub(crate) egress: EgressMode,
    /// A name (pypi.org, or *.pypi.org for all below it) or an IPv4 range that seats
    /// may reach with --egress allow-list; may be repeated, or a list with commas.
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        required_if_eq("egress", "allow-list")
    )]
    pub(crate) allow: Vec<String>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// Wait until every seat answers.
    #[arg(long)]
    pub(crate) wait: bool,
    /// How to print it.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Format,
}

/// What each seat may take of its worker; what is not said is a fair share.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LimitArgs {
    /// Network of a seat in Mbit/s, each way, 1 to 32000.
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        value_name = "MBITS"
    )]
    pub(crate) network_mbits: u32,
    /// Disk of a seat in MiB/s, reads and as much again for writes, 1 to 10000.
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        value_name = "MIB"
    )]
    pub(crate) disk_mib_per_second: u32,
    /// Processes and threads of a container, 64 to 32768; nothing to a MicroVM.
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        value_name = "NUMBER"
    )]
    pub(crate) processes: u32,
}

/// As in the schema.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum RuntimeName {
    /// A MicroVM with its own kernel.
    Firecracker,
    /// Linux namespaces.
    Container,
}

#[derive(Debug, Args)]
pub(crate) struct EgressArgs {
    /// Its id, the beginning of it, or its name.
    pub(crate) workshop: String,
    /// What seats may reach; private networks never.
    #[arg(value_enum)]
    pub(crate) mode: EgressMode,
    /// As in create, with allow-list.
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        required_if_eq("mode", "allow-list")
    )]
    pub(crate) allow: Vec<String>,
    /// How to print the workshop.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Format,
}

/// As in the schema.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum EgressMode {
    /// The internet.
    Internet,
    /// Nothing.
    None,
    /// Only what --allow names.
    AllowList,
}

/// A file name and nothing else.
fn seat_name(text: &str) -> Result<String, String> {
    let fits = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("1 to 64 of letters, digits, - and _".into())
    }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "HOST:PORT, HOST a number")?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("only loopback: whoever reaches this port reaches your files".into())
    }
}

/// `90m`, `4h`, `1h30m`, `45s`: whole numbers with units, largest first or not.
fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no time; say 90m, 4h or 1h30m");
    let mut total: u64 = 0;
    let mut number: Option<u64> = None;
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            let more = number
                .unwrap_or(0)
                .checked_mul(10)
                .and_then(|n| n.checked_add(u64::from(digit)));
            number = Some(more.ok_or_else(bad)?);
            continue;
        }
        let unit = match c {
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return Err(bad()),
        };
        let part = number.take().and_then(|n| n.checked_mul(unit));
        total = part.and_then(|p| total.checked_add(p)).ok_or_else(bad)?;
    }
    if number.is_some() || total == 0 {
        return Err(bad());
    }
    Ok(Duration::from_secs(total))
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
    fn times_are_written_with_units() {
        for (text, seconds) in [("90m", 5400), ("4h", 14400), ("1h30m", 5400), ("45s", 45)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "90", "h", "1x", "-1h", "0s", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_allow_list_says_what_it_allows() {
        for (more, good) in [
            ("", true),
            ("--egress none", true),
            ("--egress allow-list", false),
            (
                "--egress allow-list --allow a.org,b.org --allow c.org",
                true,
            ),
            ("--egress some", false),
            (
                "--network-mbits 50 --disk-mib-per-second 20 --processes 300",
                true,
            ),
            ("--network-mbits many", false),
        ] {
            let line = format!("clarateach workshop create x --seats 1 --runtime container {more}");
            let parsed = Cli::try_parse_from(line.split_whitespace());
            assert_eq!(parsed.is_ok(), good, "{more}: {:?}", parsed.err());
        }
        for (change, good) in [
            ("none", true),
            ("allow-list --allow a.org", true),
            ("allow-list", false),
            ("", false),
        ] {
            let line = format!("clarateach workshop egress ws-1 {change}");
            let parsed = Cli::try_parse_from(line.split_whitespace());
            assert_eq!(parsed.is_ok(), good, "{change}: {:?}", parsed.err());
        }
    }

    #[test]
    fn files_are_served_on_loopback_only() {
        assert!(loopback("127.0.0.1:0").is_ok());
        assert!(loopback("[::1]:80").is_ok());
        for text in ["0.0.0.0:80", "192.168.1.2:80", "localhost", "127.0.0.1"] {
            assert!(loopback(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_seat_name_is_never_a_path() {
        for text in ["", "..", "a/b", "a.json", &"x".repeat(65)] {
            assert!(seat_name(text).is_err(), "{text}");
        }
    }
}
