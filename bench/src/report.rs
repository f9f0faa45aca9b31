//! What a program was asked, and what it says: lines for people now, a row for
//! the closing table of `scripts/bench.sh`.

use std::{fs::OpenOptions, io::Write as _, path::PathBuf};

use anyhow::Context;

use crate::process;

/// What every program can be told.
#[derive(Debug, Clone, clap::Args)]
pub struct Report {
    /// Append a row a figure here, fields parted by tabs.
    #[arg(long)]
    pub table: Option<PathBuf>,
}

/// One line of the closing table.
#[derive(Debug, Clone)]
pub struct Row<'a> {
    /// What was measured.
    pub what: &'a str,
    /// What the peer did, with its unit.
    pub peer: String,
    /// What the project did.
    pub project: String,
    /// Project through peer.
    pub ratio: String,
    /// What was to be reached.
    pub goal: &'a str,
}

impl Report {
    /// The program's question, and how quiet the machine is.
    pub fn title(&self, question: &str) {
        println!("\n== {question} (load {})", process::load());
    }

    /// Prints one figure and keeps it for the table.
    pub fn row(&self, row: &Row<'_>) -> anyhow::Result<()> {
        let Row {
            what,
            peer,
            project,
            ratio,
            goal,
        } = row;
        println!("{what}: peer {peer}, project {project}, ratio {ratio} (goal {goal})");
        let Some(path) = &self.table else {
            return Ok(());
        };
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("could not open {}", path.display()))?;
        writeln!(file, "{what}\t{peer}\t{project}\t{ratio}\t{goal}")
            .with_context(|| format!("could not write {}", path.display()))
    }
}

/// Runs a program on one thread until it is done or told to stop: dropped half
/// way, its stand takes everything down.
pub fn run(program: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    // Only what `RUST_LOG` asks for: what is measured in this process may say why.
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    runtime.block_on(async {
        let mut terminated =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            done = program => done,
            _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
            _ = terminated.recv() => anyhow::bail!("told to stop"),
        }
    })
}
