//! `clarateach`: what a learner and an instructor do from a command line.
//!
//! Way: arguments (`config`) -> one verb -> an exit code (`failure`). Data goes
//! to stdout, everything else to stderr.

mod api;
mod asking;
mod attach;
mod config;
mod failure;
mod files;
mod join;
mod keeper;
mod output;
mod places;
mod seat_session;
mod trust;
mod workshop;

use std::process::ExitCode;

use clap::Parser;
use config::{Cli, FilesVerb, Verb};
use failure::Failure;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failure::report(&Failure::fault("could not start", error)),
    };
    let ended = runtime.block_on(run(cli));
    // A thread may sit in a read of the keyboard for ever: nothing waits for it.
    runtime.shutdown_background();
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure::report(&failure),
    }
}

async fn run(cli: Cli) -> Result<u8, Failure> {
    let at = &cli.server;
    match cli.verb {
        Verb::Join(args) => join::run(at, args).await.map(|()| 0),
        Verb::Attach(args) => Box::pin(attach::run(args)).await.map_err(|failure| {
            // As ssh does: the shell's own codes are not ours to use.
            failure.with_exit(255)
        }),
        Verb::Files(FilesVerb::Serve(args)) => Box::pin(files::serve(args)).await.map(|()| 0),
        Verb::Workshop(verb) => Box::pin(workshop::run(at, verb)).await.map(|()| 0),
    }
}
