//! One file of the seat, streamed. A line that is cut is taken up at the byte
//! where it broke, as long as the file is still the same.

use std::time::SystemTime;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{
    path::RemotePath,
    patience::{Patience, passes},
    remote::{Remote, good, silent},
};
use crate::{
    failure::{Exit, Failure},
    progress::Meter,
};

/// What stops a download.
enum Stop {
    /// It may go on from where it is.
    Cut(Failure),
    /// It may not.
    Ended(Failure),
}

/// Writes the file's content. Gives when it was last changed.
pub(crate) async fn file(
    remote: &Remote,
    path: &RemotePath,
    to: &mut (impl AsyncWrite + Unpin),
    failed: impl Fn(std::io::Error) -> Failure,
    meter: &Meter,
) -> Result<Option<SystemTime>, Failure> {
    let mut got = 0_u64;
    let mut etag: Option<HeaderValue> = None;
    let mut patience = Patience::default();
    loop {
        let before = got;
        let piece = piece(remote, path, to, &failed, meter, &mut got, &mut etag).await;
        let why = match piece {
            Ok(modified) => {
                to.flush().await.map_err(&failed)?;
                return Ok(modified);
            }
            Err(Stop::Ended(why)) => return Err(why),
            Err(Stop::Cut(why)) => why,
        };
        // Without a name for this very content nothing can be continued.
        if got > 0 && etag.is_none() {
            return Err(why);
        }
        if got > before {
            patience.moved();
        }
        patience.again(remote, why).await?;
    }
}

async fn piece(
    remote: &Remote,
    path: &RemotePath,
    to: &mut (impl AsyncWrite + Unpin),
    failed: &impl Fn(std::io::Error) -> Failure,
    meter: &Meter,
    got: &mut u64,
    etag: &mut Option<HeaderValue>,
) -> Result<Option<SystemTime>, Stop> {
    let act = || format!("could not get {}", path.shown());
    let headers = rest(*got, etag.as_ref());
    let answer = remote.ask_once(Method::GET, path, "", headers).await;
    let answer = answer.map_err(stop)?;
    if *got > 0 && answer.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        return Err(Stop::Ended(changed(path)));
    }
    let answer = good(answer, act).await.map_err(stop)?;
    if *got > 0 && !continues(&answer, *got, etag.as_ref()) {
        return Err(Stop::Ended(changed(path)));
    }
    *etag = answer
        .headers()
        .get(header::ETAG)
        .filter(|tag| is_strong(tag))
        .cloned();
    let modified = answer
        .headers()
        .get(header::LAST_MODIFIED)
        .and_then(|at| httpdate::parse_http_date(at.to_str().ok()?).ok());
    let length = answer.headers().get(header::CONTENT_LENGTH);
    if *got == 0
        && let Some(length) = length.and_then(|length| length.to_str().ok()?.parse().ok())
    {
        meter.expect(length);
    }
    let mut body = answer.into_body();
    while let Some(frame) = silent(body.frame(), "the worker").await.map_err(stop)? {
        let frame = frame
            .map_err(|error| Stop::Cut(Failure::new(Exit::Unreachable, act()).because(error)))?;
        if let Ok(bytes) = frame.into_data() {
            to.write_all(&bytes)
                .await
                .map_err(|error| Stop::Ended(failed(error)))?;
            *got += bytes.len() as u64;
            meter.add(bytes.len());
        }
    }
    Ok(modified)
}

fn stop(why: Failure) -> Stop {
    if passes(&why) {
        Stop::Cut(why)
    } else {
        Stop::Ended(why)
    }
}

fn changed(path: &RemotePath) -> Failure {
    Failure::new(
        Exit::Conflict,
        format!("{} changed while it was read", path.shown()),
    )
    .hint("Get it again.")
}

/// Asks for what is missing, of the same content only.
fn rest(got: u64, etag: Option<&HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(etag) = etag
        && got > 0
        && let Ok(range) = HeaderValue::from_str(&format!("bytes={got}-"))
    {
        headers.insert(header::RANGE, range);
        headers.insert(header::IF_RANGE, etag.clone());
    }
    headers
}

/// Whether the answer goes on at `got` with the content that it began with.
fn continues<B>(answer: &Response<B>, got: u64, etag: Option<&HeaderValue>) -> bool {
    let range = answer.headers().get(header::CONTENT_RANGE);
    let starts = range
        .and_then(|range| {
            range
                .to_str()
                .ok()?
                .strip_prefix("bytes ")?
                .split('-')
                .next()
        })
        .and_then(|start| start.parse().ok());
    answer.status() == StatusCode::PARTIAL_CONTENT
        && starts == Some(got)
        && answer.headers().get(header::ETAG) == etag
}

fn is_strong(etag: &HeaderValue) -> bool {
    !etag.as_bytes().starts_with(b"W/")
}

/// A folder as one tar stream.
pub(crate) async fn archive(
    remote: &Remote,
    path: &RemotePath,
) -> Result<Response<Incoming>, Failure> {
    let act = || format!("could not get {}", path.shown());
    let answer = remote
        .ask(Method::GET, path, "?archive=tar", HeaderMap::new())
        .await?;
    good(answer, act).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_content_is_continued() {
        let tag = HeaderValue::from_static("\"a\"");
        for (status, range, etag, good) in [
            (206, "bytes 5-9/10", "\"a\"", true),
            (206, "bytes 4-9/10", "\"a\"", false),
            (206, "bytes 5-9/10", "\"b\"", false),
            (200, "bytes 5-9/10", "\"a\"", false),
            (206, "nonsense", "\"a\"", false),
        ] {
            let answer = Response::builder()
                .status(status)
                .header("content-range", range)
                .header("etag", etag)
                .body(())
                .unwrap();
            assert_eq!(
                continues(&answer, 5, Some(&tag)),
                good,
                "{status} {range} {etag}"
            );
        }
        assert!(rest(0, Some(&tag)).is_empty());
        assert!(rest(5, None).is_empty());
        assert_eq!(rest(5, Some(&tag))["range"], "bytes=5-");
    }
}
