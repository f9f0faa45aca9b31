//! Arguments that say what a workshop is made of, and what that costs.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{Show, parse};

#[derive(Debug, Args)]
pub(crate) struct CostArgs {
    /// Ids, beginnings of ids, or names; all that you may see if none is said.
    pub(crate) workshops: Vec<String>,
    #[command(flatten)]
    pub(crate) show: Show,
}

#[derive(Debug, Args)]
pub(crate) struct EstimateArgs {
    /// How many seats.
    #[arg(long)]
    pub(crate) seats: u32,
    /// What gives a seat its machine.
    #[arg(long, value_enum)]
    pub(crate) runtime: RuntimeName,
    /// How long, such as 90m or 4h; the server's default if not said.
    #[arg(long, value_parser = parse::duration)]
    pub(crate) ttl: Option<Duration>,
    #[command(flatten)]
    pub(crate) show: Show,
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
    #[arg(long, value_parser = parse::duration)]
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
    /// A file with what learners read beside their terminal, Markdown; - for stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) instructions: Option<PathBuf>,
    /// A file of lines NAME=VALUE: the environment of every shell, never shown again.
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// Wait until every seat answers.
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) show: Show,
}

/// What each seat has and may take of its worker; what is not said is the server's to say.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LimitArgs {
    /// Virtual processors of a seat, 1 to 8.
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        value_name = "NUMBER"
    )]
    pub(crate) vcpus: u32,
    /// Memory of a seat in MiB, 128 to 16384.
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        value_name = "MIB"
    )]
    pub(crate) memory_mib: u32,
    /// Disk that a seat may fill in MiB, 64 to 65536.
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        value_name = "MIB"
    )]
    pub(crate) disk_mib: u32,
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::config::Cli;

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
}
