//! One file to the seat, streamed. There it appears under its name when all of it
//! has come: whatever ends this, the file of before is whole.

use std::{
    io,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::sleep,
};

use super::{
    Body, BoxError,
    local::reading,
    path::RemotePath,
    patience::Patience,
    remote::{Remote, SILENCE, good},
};
use crate::{
    failure::{Exit, Failure},
    progress::Meter,
};

/// In one piece to the socket.
const PIECE: usize = 128 * 1024;

/// What became of what is sent.
#[derive(Default)]
struct Sent {
    bytes: AtomicU64,
    /// Why no more of it could be read here.
    unread: OnceLock<String>,
}

/// A file of this machine.
pub(crate) async fn file(
    remote: &Remote,
    from: &Path,
    to: &RemotePath,
    meter: &Meter,
) -> Result<(), Failure> {
    let mut patience = Patience::default();
    let mut renewed = false;
    loop {
        let file = tokio::fs::File::open(from)
            .await
            .map_err(|error| reading(from, error))?;
        let metadata = file
            .metadata()
            .await
            .map_err(|error| reading(from, error))?;
        if !metadata.is_file() {
            return Err(Failure::new(
                Exit::Usage,
                format!("{} is no file", from.display()),
            ));
        }
        match once(remote, file, Some(metadata.len()), to, meter).await {
            // Once with a fresh token; then it is meant.
            Err(why) if why.is_refusal() && !renewed => {
                renewed = true;
                remote.renew().await?;
            }
            Err(why) => patience.again(remote, why).await?,
            Ok(()) => return Ok(()),
        }
    }
}

/// Whatever comes: it cannot be sent twice.
pub(crate) async fn stdin(remote: &Remote, to: &RemotePath, meter: &Meter) -> Result<(), Failure> {
    once(remote, tokio::io::stdin(), None, to, meter).await
}

async fn once(
    remote: &Remote,
    from: impl AsyncRead + Send + Unpin + 'static,
    length: Option<u64>,
    to: &RemotePath,
    meter: &Meter,
) -> Result<(), Failure> {
    let act = || format!("could not put {}", to.shown());
    let mut headers = HeaderMap::new();
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    let sent = Arc::<Sent>::default();
    let body = body(from, length, Arc::clone(&sent), meter.clone());
    let answer = remote.send(Method::PUT, to, "", headers, body);
    let answer = unless_silent(answer, &sent.bytes).await?;
    let answer = answer.map_err(|why| match sent.unread.get() {
        Some(cause) => Failure::fault(act(), cause.clone()),
        None => Failure::new(Exit::Unreachable, act()).because(why.line()),
    })?;
    if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
        return Err(Failure::new(Exit::Conflict, act()).because("a folder is there"));
    }
    good(answer, act).await.map(drop)
}

/// The answer, unless no byte moves for too long.
async fn unless_silent(
    answer: impl Future<Output = Result<Response<Incoming>, Failure>>,
    sent: &AtomicU64,
) -> Result<Result<Response<Incoming>, Failure>, Failure> {
    let mut answer = Box::pin(answer);
    let mut before = u64::MAX;
    loop {
        tokio::select! {
            answer = &mut answer => return Ok(answer),
            () = sleep(SILENCE) => {
                let now = sent.load(Ordering::Relaxed);
                if now == before {
                    return Err(Failure::new(Exit::TimedOut, "the worker took nothing for a minute")
                        .hint("See clarateach doctor."));
                }
                before = now;
            }
        }
    }
}

fn body(
    from: impl AsyncRead + Send + Unpin + 'static,
    length: Option<u64>,
    sent: Arc<Sent>,
    meter: Meter,
) -> Body {
    let start = Some((from, length));
    let frames = stream::unfold(start, move |state| {
        let (sent, meter) = (Arc::clone(&sent), meter.clone());
        async move {
            let (mut from, left) = state?;
            match piece(&mut from, left).await {
                Ok(bytes) if bytes.is_empty() => None,
                Ok(bytes) => {
                    sent.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    meter.add(bytes.len());
                    let left = left.map(|left| left.saturating_sub(bytes.len() as u64));
                    Some((Ok(Frame::data(bytes)), Some((from, left))))
                }
                Err(error) => {
                    let _first = sent.unread.set(error.to_string());
                    Some((Err(BoxError::from(error)), None))
                }
            }
        }
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

/// The next bytes: exactly as many in all as were announced, even if the file
/// grows meanwhile.
async fn piece(from: &mut (impl AsyncRead + Unpin), left: Option<u64>) -> io::Result<Bytes> {
    let most = left.map_or(PIECE, |left| {
        usize::try_from(left).unwrap_or(PIECE).min(PIECE)
    });
    let mut bytes = BytesMut::with_capacity(most);
    if most == 0 {
        return Ok(Bytes::new());
    }
    let read = from.take(most as u64).read_buf(&mut bytes).await?;
    if read == 0 && left.is_some() {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file shrank while it was sent",
        ));
    }
    Ok(bytes.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn as_much_is_sent_as_was_announced() {
        let all = |length| async move {
            let meter = Meter::begin("x", None);
            let body = body(&b"0123456789"[..], length, Arc::default(), meter);
            body.collect()
                .await
                .map(http_body_util::Collected::to_bytes)
        };
        assert_eq!(all(None).await.unwrap(), &b"0123456789"[..]);
        assert_eq!(all(Some(10)).await.unwrap(), &b"0123456789"[..]);
        assert_eq!(all(Some(4)).await.unwrap(), &b"0123"[..]);
        assert_eq!(all(Some(0)).await.unwrap(), &b""[..]);
        assert!(all(Some(11)).await.is_err());
    }
}
