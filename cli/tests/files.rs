//! `files serve`, seen by WebDAV clients that know no tokens.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod far;

use std::{convert::Infallible, path::Path, process::Stdio, time::Duration};

use dav_server::{DavHandler, memfs::MemFs, memls::MemLs};
use far::{Far, PATIENCE, run, token};
use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, rt, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::timeout,
};

const PREFIX: &str = "/proxy/ws-0123456789/1/files";

fn dav() -> DavHandler {
    DavHandler::builder()
        .filesystem(MemFs::new())
        .locksystem(MemLs::new())
        .strip_prefix(PREFIX)
        .build_handler()
}

/// One connection to the files, for whoever shows the token if `guarded`.
async fn converse(io: impl rt::Read + rt::Write + Unpin, dav: DavHandler, guarded: bool) {
    let answer = |request: Request<Incoming>| {
        let dav = dav.clone();
        async move {
            let shown = request.headers().get("authorization");
            let wanted = format!("Bearer {}", token());
            if guarded && shown.is_none_or(|shown| *shown != wanted) {
                let mut refused = Response::new(dav_server::body::Body::empty());
                *refused.status_mut() = StatusCode::UNAUTHORIZED;
                return Ok::<_, Infallible>(refused);
            }
            Ok(dav.handle(request).await)
        }
    };
    let _ = http1::Builder::new()
        .serve_connection(io, service_fn(answer))
        .await;
}

/// The worker's files behind TLS and a token.
fn serve_far(far: Far) {
    let dav = dav();
    tokio::spawn(async move {
        loop {
            if let Ok(tls) = far.accept().await {
                tokio::spawn(converse(TokioIo::new(tls), dav.clone(), true));
            }
        }
    });
}

/// The same files with nothing before them. Gives their address.
async fn serve_straight() -> String {
    let dav = dav();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}{PREFIX}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(converse(TokioIo::new(tcp), dav.clone(), false));
        }
    });
    url
}

/// `files serve` on any port. Gives the address it prints.
async fn serve(home: &Path, server: &str) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_clarateach"))
        .args(["files", "serve", "--listen", "127.0.0.1:0"])
        .env_clear()
        .env("XDG_STATE_HOME", home)
        .env("CLARATEACH_URL", server)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    timeout(PATIENCE, out.read_line(&mut line))
        .await
        .unwrap()
        .unwrap();
    (child, line.trim().to_owned())
}

async fn seat() -> (Child, String, tempfile::TempDir) {
    let far = Far::start().await;
    let server = far.control_plane(&far.ca).await;
    serve_far(far);
    let home = tempfile::tempdir().unwrap();
    assert_eq!(
        run(home.path(), &server, &["join", "7K3M9QX2VB"]).await.0,
        0
    );
    let (child, url) = serve(home.path(), &server).await;
    (child, url, home)
}

/// litmus' own summary lines: how many of each suite passed.
async fn litmus(url: &str) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("litmus")
        .args(["-k", url])
        .env("TESTS", "basic copymove props locks http")
        .current_dir(dir.path())
        .stdin(Stdio::null())
        .output();
    let output = timeout(Duration::from_mins(2), output)
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let summaries: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("<- summary for"))
        .map(ToOwned::to_owned)
        .collect();
    assert_eq!(summaries.len(), 5, "{text}");
    summaries
}

#[tokio::test(flavor = "multi_thread")]
async fn litmus_finds_the_same_through_it_as_straight() {
    if Command::new("litmus")
        .arg("--help")
        .stdout(Stdio::null())
        .spawn()
        .is_err()
    {
        println!("SKIPPED: litmus is not installed (apt-get install litmus)");
        return;
    }
    let (_serving, url, _home) = seat().await;
    assert!(url.ends_with("/files/"), "{url}");
    let straight = litmus(&serve_straight().await).await;
    let through = litmus(&url).await;
    for line in &through {
        println!("{line}");
    }
    assert_eq!(through, straight);
}

/// A request with nothing but these header lines; the whole answer.
async fn raw(url: &str, request: &str) -> String {
    let address = url
        .strip_prefix("http://")
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let request = request.replace("HERE", address);
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, tcp.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn only_this_machines_own_clients_are_let_in() {
    let (_serving, url, _home) = seat().await;
    for (request, status) in [
        (
            "GET /files/ HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\n\r\n",
            "405",
        ),
        (
            "OPTIONS /files/ HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\n\r\n",
            "200",
        ),
        (
            "OPTIONS /files/ HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n",
            "421",
        ),
        (
            "PUT /files/x HTTP/1.1\r\nHost: HERE\r\nOrigin: https://page.example\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx",
            "403",
        ),
        (
            "OPTIONS /proxy/ws-0123456789/2/files/ HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\n\r\n",
            "404",
        ),
        (
            "MOVE /files/x HTTP/1.1\r\nHost: HERE\r\nDestination: http://other.example/files/y\r\nConnection: close\r\n\r\n",
            "502",
        ),
    ] {
        let answer = raw(&url, request).await;
        assert_eq!(answer.get(9..12), Some(status), "{request}{answer}");
        assert!(!answer.contains("/proxy/"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_speaks_of_the_worker_stays_as_it_is() {
    let (_serving, url, _home) = seat().await;
    let text = format!("<a>{PREFIX}/x</a>");
    let put = format!(
        "PUT /files/page.xml HTTP/1.1\r\nHost: HERE\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    assert_eq!(raw(&url, &put).await.get(9..12), Some("201"));
    let get = "GET /files/page.xml HTTP/1.1\r\nHost: HERE\r\nConnection: close\r\n\r\n";
    assert!(raw(&url, get).await.ends_with(&text));
    let list = "PROPFIND /files/ HTTP/1.1\r\nHost: HERE\r\nDepth: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let listing = raw(&url, list).await;
    assert!(listing.contains(">/files/page.xml<"), "{listing}");
    assert!(!listing.contains(PREFIX), "{listing}");
}
