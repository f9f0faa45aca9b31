//! A body that streams in, read by a thread that knows nothing of it.
//!
//! Way: frames -> [`feed`] -> a channel -> [`Stream`], a reader. Dropping the sender
//! ends the reader with an error, so that what broke off is never taken for whole.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::remote::silent;
use crate::{
    failure::{Exit, Failure},
    progress::Meter,
};

/// Pieces ahead of a slow disk.
const AHEAD: usize = 8;

/// What a thread reads.
pub(crate) struct Stream {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

/// The two ends.
pub(crate) fn stream() -> (mpsc::Sender<io::Result<Bytes>>, Stream) {
    let (sender, pieces) = mpsc::channel(AHEAD);
    let piece = Bytes::new();
    (sender, Stream { pieces, piece })
}

/// Hands a body over, whole; ends with the reader.
pub(crate) async fn feed(
    mut body: Incoming,
    to: mpsc::Sender<io::Result<Bytes>>,
    meter: &Meter,
) -> Result<(), Failure> {
    loop {
        let frame = silent(body.frame(), "the worker").await?;
        let Some(frame) = frame else {
            // An end that is meant: without it the reader must not take it for one.
            let _ = to.send(Ok(Bytes::new())).await;
            return Ok(());
        };
        let frame = frame.map_err(|error| {
            Failure::new(Exit::Unreachable, "the archive broke off").because(error)
        })?;
        if let Ok(bytes) = frame.into_data()
            && !bytes.is_empty()
        {
            meter.add(bytes.len());
            if to.send(Ok(bytes)).await.is_err() {
                return Ok(()); // the reader has said why
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            self.piece = self
                .pieces
                .blocking_recv()
                .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "it broke off"))??;
            if self.piece.is_empty() {
                self.pieces.close();
                return Ok(0);
            }
        }
        let length = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
