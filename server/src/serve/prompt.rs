//! A stream whose peer must soon say which HTTP it speaks.
//!
//! Way: bytes pass unread but for the first ones. Until they differ from the h2
//! preface, or are all of it, a deadline runs: `hyper_util`'s `auto` waits for
//! exactly these bytes and has no deadline of its own for them. After that the
//! HTTP versions' own deadlines hold.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// See the module.
pub(super) struct Prompt<S> {
    stream: S,
    /// Bytes of the preface that came.
    matched: usize,
    /// None once the version is known.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Prompt<S> {
    /// `within` from now the version must be known.
    pub(super) fn new(stream: S, within: Duration) -> Self {
        Self {
            stream,
            matched: 0,
            deadline: Some(Box::pin(sleep(within))),
        }
    }

    fn note(&mut self, came: &[u8]) {
        let left = &PREFACE[self.matched..];
        let same = came.iter().zip(left).take_while(|(a, b)| a == b).count();
        self.matched += same;
        if self.matched == PREFACE.len() || same < came.len() || came.is_empty() {
            self.deadline = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prompt<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some(deadline) = &mut self.deadline else {
            return read;
        };
        if read.is_ready() {
            self.note(&buf.filled()[before..]);
            return read;
        }
        match deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the peer did not say which HTTP it speaks",
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prompt<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const WITHIN: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn who_never_says_its_version_is_cut() {
        for said in [&b""[..], b"P", &PREFACE[..23]] {
            let (mut peer, ours) = duplex(64);
            let mut ours = Prompt::new(ours, WITHIN);
            peer.write_all(said).await.unwrap();
            let mut all = Vec::new();
            let end = ours.read_to_end(&mut all).await.unwrap_err();
            assert_eq!(end.kind(), io::ErrorKind::TimedOut, "{said:?}");
            assert_eq!(all, said);
        }
    }

    #[tokio::test]
    async fn who_has_said_it_may_take_its_time() {
        for said in [&b"G"[..], b"PO", PREFACE, b"PRI * HTTP/1.1"] {
            let (mut peer, ours) = duplex(64);
            let mut ours = Prompt::new(ours, WITHIN);
            for byte in said {
                peer.write_all(&[*byte]).await.unwrap();
                assert_eq!(ours.read_u8().await.unwrap(), *byte);
            }
            assert!(ours.deadline.is_none(), "{said:?}");
        }
    }
}
