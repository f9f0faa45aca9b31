//! The control plane's process: arguments -> one command -> run until told to
//! stop.

use std::{io::IsTerminal, process::ExitCode};

use clap::Parser;
use clarateach_server::{
    commands,
    config::{Cli, Command, LogFormat},
};
use tracing_subscriber::EnvFilter;

/// Threads of the runtime: two suffice for two cores, and each costs memory.
const THREADS: usize = 4;
/// Threads for files and processes; they end when idle.
const BLOCKING: usize = 16;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let cli = Cli::parse();
    if let Err(cause) = start_logging(&cli) {
        return failed(&cause);
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.min(THREADS))
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(cause) => return failed(&cause.into()),
    };
    let done = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => Box::pin(commands::serve(*args)).await.map(|()| true),
            Command::Check(args) => Box::pin(commands::check(*args)).await,
            Command::Down(args) => commands::down(args).await.map(|()| true),
            Command::OperatorCert(args) => commands::operator_cert(args).await.map(|()| true),
        }
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(cause) => failed(&cause),
    }
}

fn start_logging(cli: &Cli) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&cli.log)?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Errors are for people: the act that failed, then why.
#[allow(clippy::print_stderr)]
fn failed(cause: &anyhow::Error) -> ExitCode {
    let chain: Vec<_> = cause.chain().map(ToString::to_string).collect();
    eprintln!("clarateach-server: {}", chain.join(": "));
    ExitCode::FAILURE
}
