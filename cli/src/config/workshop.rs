//! Arguments of `workshop`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};

use super::{
    Show, parse,
    shape::{CostArgs, CreateArgs, EgressMode, EstimateArgs},
};

#[derive(Debug, Subcommand)]
pub(crate) enum WorkshopVerb {
    /// The workshops you may see, newest first.
    #[command(visible_alias = "ls")]
    List {
        /// Also those deleted in the last seven days.
        #[arg(long)]
        deleted: bool,
        #[command(flatten)]
        show: Show,
    },
    /// Make a workshop.
    #[command(after_help = "\
Examples:
  clarateach workshop create 'Git basics' --seats 20 --runtime container --ttl 4h --wait
  clarateach workshop create 'Data' --seats 8 --runtime firecracker --memory-mib 2048 \\
    --instructions steps.md --env-file course.env

The join code is in the answer, and in workshop get.")]
    Create(CreateArgs),
    /// One workshop, with its workers and seats.
    #[command(after_help = "\
Examples:
  clarateach workshop get 'Git basics'
  clarateach workshop get ws-7k2 --output json | jq -r .code")]
    Get {
        /// Its id, the beginning of it, or its name.
        workshop: String,
        #[command(flatten)]
        show: Show,
    },
    /// Say every change of a workshop, until it is gone or Ctrl-C.
    #[command(after_help = "\
Examples:
  clarateach workshop watch 'Git basics'
  clarateach workshop watch 'Git basics' --until running --output json

A lost connection is dialled again. JSON is one object a line.")]
    Watch(WatchArgs),
    /// Change a workshop while learners work.
    #[command(after_help = "\
Examples:
  clarateach workshop update 'Git basics' --extend 30m
  clarateach workshop update 'Git basics' --ttl 2h           # two hours from now
  clarateach workshop update 'Git basics' --seats 25 --name 'Git for all'
  clarateach workshop update 'Git basics' --instructions steps.md")]
    Update(UpdateArgs),
    /// Change what a workshop's seats may reach; connections that this closes end.
    #[command(
        after_help = "Example:\n  clarateach workshop egress 'Git basics' allow-list --allow pypi.org,*.pythonhosted.org"
    )]
    Egress(EgressArgs),
    /// Every learner's files as one tar archive, before the end takes them.
    #[command(after_help = "\
Examples:
  clarateach workshop collect 'Git basics'                   # ws-….tar here
  clarateach workshop collect 'Git basics' -O - | tar t
  clarateach workshop collect 'Git basics' --seat 3 -O ada.tar

Each seat is a folder, seat-003-Ada; collected.json at the end says what is there
and what is not. Reads only: learners work on.")]
    Collect(CollectArgs),
    /// What workshops have cost so far: those that are named, or all.
    #[command(after_help = "\
Examples:
  clarateach workshop cost
  clarateach workshop cost 'Git basics' -o json | jq .costs[0].total_microusd

By the time that workers ran, at the price that the server was told.")]
    Cost(CostArgs),
    /// What a workshop would cost.
    #[command(
        after_help = "Example:\n  clarateach workshop estimate --seats 20 --runtime firecracker --ttl 4h"
    )]
    Estimate(EstimateArgs),
    /// End a workshop's machines, and keep its seats, learners and files.
    #[command(after_help = "\
Example:
  clarateach workshop stop 'Git basics' --wait

Its time goes on: a stopped workshop ends like any other.")]
    Stop(PauseArgs),
    /// Bring a stopped workshop back, with new addresses and new shells.
    #[command(after_help = "Example:\n  clarateach workshop start 'Git basics' --wait")]
    Start(PauseArgs),
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
pub(crate) struct PauseArgs {
    /// Its id, the beginning of it, or its name.
    pub(crate) workshop: String,
    /// Until it is so, saying each step; Ctrl-C leaves it as it is.
    #[arg(long)]
    pub(crate) wait: bool,
    #[command(flatten)]
    pub(crate) show: Show,
}

#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// Its id, the beginning of it, or its name.
    pub(crate) workshop: String,
    /// End at this status; with 8 if it can no longer come.
    #[arg(long, value_enum, value_name = "STATUS")]
    pub(crate) until: Option<Until>,
    #[command(flatten)]
    pub(crate) show: Show,
}

/// What `watch` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    /// Every seat answers.
    Running,
    /// Nothing of it runs.
    Stopped,
    /// Nothing of it is left.
    Deleted,
}

#[derive(Debug, Args)]
#[group(id = "change", required = true, multiple = true, args = ["seats", "ttl", "extend", "name", "instructions", "egress"])]
pub(crate) struct UpdateArgs {
    /// Its id, the beginning of it, or its name.
    pub(crate) workshop: String,
    /// So many seats from now on. Fewer removes free ones, highest first.
    #[arg(long)]
    pub(crate) seats: Option<u32>,
    /// Take seats away from learners if fewer are wanted than are free.
    #[arg(long, requires = "seats")]
    pub(crate) evict: bool,
    /// Time until it deletes itself, from now.
    #[arg(long, value_parser = parse::duration, conflicts_with = "extend")]
    pub(crate) ttl: Option<Duration>,
    /// So much later than it would have been.
    #[arg(long, value_parser = parse::duration)]
    pub(crate) extend: Option<Duration>,
    /// A new name.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A file with what learners read beside their terminal, Markdown; - for stdin.
    #[arg(long, value_name = "FILE")]
    pub(crate) instructions: Option<PathBuf>,
    /// What seats may reach from now on.
    #[arg(long, value_enum)]
    pub(crate) egress: Option<EgressMode>,
    /// As in create, with --egress allow-list.
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        requires = "egress",
        required_if_eq("egress", "allow-list")
    )]
    pub(crate) allow: Vec<String>,
    #[command(flatten)]
    pub(crate) show: Show,
}

#[derive(Debug, Args)]
pub(crate) struct CollectArgs {
    /// Its id, the beginning of it, or its name.
    pub(crate) workshop: String,
    /// The archive; - for stdout. The workshop's id and .tar if not said.
    #[arg(short = 'O', long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Only these seats; may be repeated.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..), value_name = "NUMBER")]
    pub(crate) seat: Vec<u32>,
    /// Go through the control plane instead of straight to the workers.
    #[arg(long)]
    pub(crate) gateway: bool,
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
    #[command(flatten)]
    pub(crate) show: Show,
}
