//! A command in the remembered seat, without a terminal.
//!
//! Way: words -> one request -> lines of JSON -> stdout and stderr as they come -> the
//! command's own exit code. Who stops reading ends the command.

use std::io::{self, Read as _, Write as _};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::task::spawn_blocking;

use crate::{
    config::ExecArgs,
    failure::{Exit, Failure},
    files::{
        Upstream,
        remote::{good, silent},
    },
    interrupt,
    keeper::Keeper,
};

/// Of a command whose caller says nothing, as long as the worker allows, in seconds.
const LONGEST: u64 = 24 * 60 * 60;
/// What a command may be given to read, in bytes; the worker takes no more.
const MOST_INPUT: u64 = 6 << 20;

/// One line of what the worker says.
#[derive(Deserialize)]
struct Line {
    stdout: Option<String>,
    stderr: Option<String>,
    exit_code: Option<u8>,
    signal: Option<String>,
    #[serde(default)]
    timed_out: bool,
}

/// Until the command ends. Gives its exit code.
pub(crate) async fn run(args: ExecArgs) -> Result<u8, Failure> {
    interrupt::or_stop(Box::pin(to_its_end(args))).await
}

async fn to_its_end(args: ExecArgs) -> Result<u8, Failure> {
    let mut order = Map::new();
    order.insert("argv".into(), args.command.into());
    let seconds = args.timeout.map_or(LONGEST, |span| span.as_secs().max(1));
    order.insert("timeout_seconds".into(), seconds.into());
    if let Some(cwd) = args.cwd {
        order.insert("cwd".into(), cwd.into());
    }
    if args.stdin {
        let input = spawn_blocking(input).await;
        let input = input.map_err(|error| Failure::fault("could not read the input", error))??;
        order.insert("stdin".into(), BASE64_STANDARD.encode(input).into());
    }
    let keeper = Keeper::start(args.way).await?;
    let upstream = Upstream::of(&keeper, None)?;
    let answer = silent(upstream.exec(&Value::Object(order)), "the worker").await??;
    let answer = good(answer, || "could not run the command".to_owned()).await?;
    let mut body = answer.into_body();
    let mut kept = BytesMut::new();
    // A command may say nothing for hours.
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(broken)?;
        kept.extend_from_slice(&frame.into_data().unwrap_or_default());
        while let Some(end) = kept.iter().position(|byte| *byte == b'\n') {
            let line = kept.split_to(end + 1).freeze();
            if let Some(code) = said(&line)? {
                return Ok(code);
            }
        }
    }
    Err(broken("its end is missing"))
}

fn broken(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::new(Exit::Unreachable, "the connection to the command was lost")
        .because(why)
        .hint("What it did is not known.")
}

fn input() -> Result<Vec<u8>, Failure> {
    let mut input = Vec::new();
    io::stdin()
        .take(MOST_INPUT + 1)
        .read_to_end(&mut input)
        .map_err(|error| Failure::io("could not read the input", error))?;
    if input.len() as u64 > MOST_INPUT {
        return Err(Failure::new(Exit::Usage, "the input has more than 6 MiB")
            .hint("Send it with clarateach files put."));
    }
    Ok(input)
}

/// Passes output on; the exit code once it comes.
fn said(line: &Bytes) -> Result<Option<u8>, Failure> {
    let strange = |error| Failure::fault("the worker said what is no answer", error);
    let line: Line = serde_json::from_slice(line).map_err(strange)?;
    let decode = |text: &str| {
        let bytes = BASE64_STANDARD.decode(text);
        bytes.map_err(|error| Failure::fault("the worker said what is no answer", error))
    };
    let written = |error| Failure::fault("could not write the output", error);
    if let Some(text) = &line.stdout {
        let mut out = io::stdout().lock();
        out.write_all(&decode(text)?)
            .and_then(|()| out.flush())
            .map_err(written)?;
    }
    if let Some(text) = &line.stderr {
        io::stderr().write_all(&decode(text)?).map_err(written)?;
    }
    if line.timed_out {
        return Err(Failure::new(
            Exit::TimedOut,
            "the command took longer than --timeout",
        ));
    }
    Ok(line.exit_code.or(line.signal.map(|name| by_signal(&name))))
}

/// As shells have it.
fn by_signal(name: &str) -> u8 {
    let number = match name {
        "SIGHUP" => 1,
        "SIGINT" => 2,
        "SIGQUIT" => 3,
        "SIGILL" => 4,
        "SIGABRT" => 6,
        "SIGBUS" => 7,
        "SIGFPE" => 8,
        "SIGKILL" => 9,
        "SIGSEGV" => 11,
        "SIGPIPE" => 13,
        "SIGALRM" => 14,
        _ => 15,
    };
    128 + number
}
