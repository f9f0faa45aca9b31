//! Transfers over lines that break, stall and end, by the real binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod far;

use std::{
    convert::Infallible,
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use far::{Far, PATIENCE, run};
use futures_util::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{process::Command, time::timeout};

const SIZE: usize = 300_000;

/// What a line does after half of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Breaks,
    Stalls,
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;
type Seen = Arc<Mutex<Vec<String>>>;

fn content() -> Vec<u8> {
    (0..SIZE).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

/// Half of the file, then what `after` says; a range gets the rest of it, under `etag`.
fn answer(request: &Request<Incoming>, after: After, etag: &'static str) -> Response<Body> {
    let all = content();
    let text = |name: &str| {
        request
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let asked = text("range").map(|range| {
        let from = range
            .strip_prefix("bytes=")
            .unwrap()
            .strip_suffix('-')
            .unwrap();
        from.parse::<usize>().unwrap()
    });
    let mut answer = Response::builder().header("accept-ranges", "bytes");
    let piece = if let Some(from) = asked {
        answer = answer
            .status(StatusCode::PARTIAL_CONTENT)
            .header("etag", etag)
            .header("content-length", SIZE - from)
            .header("content-range", format!("bytes {from}-{}/{SIZE}", SIZE - 1));
        Bytes::copy_from_slice(&all[from..])
    } else {
        answer = answer
            .header("etag", "\"first\"")
            .header("content-length", SIZE);
        Bytes::copy_from_slice(&all[..SIZE / 2])
    };
    let pieces = [Ok(Frame::data(piece))];
    let end = asked.is_none().then_some(after);
    let tail = stream::once(async move {
        match end {
            Some(After::Stalls) => std::future::pending().await,
            Some(After::Breaks) => {
                // A body that is waited for has what it gave so far sent.
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut"))
            }
            None => Ok(Frame::data(Bytes::new())),
        }
    });
    answer
        .body(BodyExt::boxed_unsync(StreamBody::new(
            stream::iter(pieces).chain(tail),
        )))
        .unwrap()
}

/// A worker with one file. Gives what it was asked.
fn serve(far: Far, after: After, etag: &'static str) -> Seen {
    let seen = Seen::default();
    let told = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok(tls) = far.accept().await {
            let told = Arc::clone(&told);
            let service = service_fn(move |request: Request<Incoming>| {
                let line = format!(
                    "{} {} {:?}",
                    request.method(),
                    request.uri().path(),
                    request.headers().get("if-range")
                );
                told.lock().unwrap().push(line);
                // A listing is asked for first; this is a file, which says so by its tag.
                let listing = request.headers().contains_key("accept");
                let answer = if listing {
                    let empty = http_body_util::Empty::new().map_err(|never| match never {});
                    Response::builder()
                        .header("etag", "\"first\"")
                        .body(empty.boxed_unsync())
                        .unwrap()
                } else {
                    answer(&request, after, etag)
                };
                async move { Ok::<_, Infallible>(answer) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(tls), service));
        }
    });
    seen
}

async fn seat(after: After, etag: &'static str) -> (tempfile::TempDir, String, Seen) {
    let far = Far::start().await;
    let server = far.control_plane(&far.ca).await;
    let seen = serve(far, after, etag);
    let home = tempfile::tempdir().unwrap();
    let joined = run(home.path(), &server, &["join", "7K3M9QX2VB"]).await;
    assert_eq!(joined.0, 0, "{}", joined.2);
    (home, server, seen)
}

fn names(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_where_the_line_was_cut() {
    let (home, server, seen) = seat(After::Breaks, "\"first\"").await;
    let to = home.path().join("got");
    let (code, _, errors) = run(
        home.path(),
        &server,
        &["files", "get", "big", to.to_str().unwrap()],
    )
    .await;
    assert_eq!(code, 0, "{errors}");
    assert!(std::fs::read(&to).unwrap() == content(), "every byte, once");
    let seen = seen.lock().unwrap();
    assert!(
        seen.last().unwrap().contains("first"),
        "by the tag it began with: {seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_meanwhile_is_not_patched_together() {
    let (home, server, _) = seat(After::Breaks, "\"second\"").await;
    let out = home.path().join("out");
    std::fs::create_dir(&out).unwrap();
    std::fs::write(out.join("got"), "old").unwrap();
    let to = out.join("got");
    let (code, _, errors) = run(
        home.path(),
        &server,
        &["files", "get", "big", to.to_str().unwrap()],
    )
    .await;
    assert_eq!(
        (code, errors.contains("changed while it was read")),
        (5, true),
        "{errors}"
    );
    assert_eq!(std::fs::read(to).unwrap(), b"old");
    assert_eq!(names(&out), ["got"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_and_sigterm_leave_nothing_half_made() {
    let (home, server, _) = seat(After::Stalls, "\"first\"").await;
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let out = home.path().join(format!("out-{code}"));
        std::fs::create_dir(&out).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_clarateach"))
            .args(["files", "get", "big"])
            .arg(out.join("got"))
            .env_clear()
            .env("XDG_STATE_HOME", home.path())
            .env("CLARATEACH_URL", &server)
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // Half of it is on disk before we end it.
        let half = async {
            loop {
                let written = std::fs::read_dir(&out).unwrap().any(|entry| {
                    entry
                        .unwrap()
                        .metadata()
                        .is_ok_and(|it| it.len() >= 100_000)
                });
                if written {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, half).await.expect("half a file in time");
        let id = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        kill_process(id, signal).unwrap();
        let ended = timeout(Duration::from_secs(10), child.wait())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(ended.code(), Some(code));
        assert_eq!(names(&out), [""; 0]);
    }
}
