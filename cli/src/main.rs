//! `clarateach`: what a learner and an instructor do from a command line.
//!
//! Way: arguments (`config`) -> one verb -> an exit code (`failure`). Data goes
//! to stdout, everything else to stderr.

mod api;
mod asking;
mod attach;
mod config;
mod doctor;
mod exec;
mod failure;
mod files;
mod interrupt;
mod join;
mod keeper;
mod login;
mod output;
mod pages;
mod places;
mod progress;
mod seat_session;
mod seats;
mod silence;
mod tokens;
mod trust;
mod workshop;

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use config::{Cli, SeatsVerb, Verb};
use failure::Failure;

/// For threads to end after Ctrl-C.
const LEAVE: Duration = Duration::from_secs(2);

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
    match &ended {
        // A thread may be writing to a half made file, which it removes when it is left.
        Err(failure) if failure.is_interruption() => runtime.shutdown_timeout(LEAVE),
        // A thread may sit in a read of the keyboard for ever: nothing waits for it.
        _ => runtime.shutdown_background(),
    }
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
        Verb::Exec(args) => Box::pin(exec::run(args)).await.map_err(|failure| {
            if failure.is_interruption() {
                return failure;
            }
            failure.with_exit(255)
        }),
        Verb::Files(verb) => Box::pin(files::run(verb)).await.map(|()| 0),
        Verb::Workshop(verb) => Box::pin(workshop::run(at, verb)).await.map(|()| 0),
        Verb::Seats(verb) => Box::pin(seats::run(at, verb)).await.map(|()| 0),
        Verb::Logs(args) => Box::pin(seats::run(at, SeatsVerb::Log(args)))
            .await
            .map(|()| 0),
        Verb::Token(verb) => Box::pin(tokens::run(at, verb)).await.map(|()| 0),
        Verb::Login(args) => Box::pin(login::run(at, args)).await.map(|()| 0),
        Verb::Logout => login::forget().map(|()| 0),
        Verb::Doctor(args) => Box::pin(doctor::run(at, args)).await,
        Verb::Completion(args) => pages::completion(&args).map(|()| 0),
        Verb::Man(args) => pages::man(&args).map(|()| 0),
    }
}
