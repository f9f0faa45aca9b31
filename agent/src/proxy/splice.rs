//! Carries one learner's terminal into one guest and back, unread.
//!
//! Way: learner -> TLS -> here -> guest, and home the same way. Learner to
//! guest has no buffer of its own: what TLS has decrypted is written from where
//! it lies. Guest to learner borrows one only while bytes are on their way, so
//! that a silent terminal costs none.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncBufRead, AsyncRead as _, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// As much as is carried to a learner at once.
const CHUNK: usize = 64 * 1024;
/// How long the other side may go on once one has ended.
const LINGER: Duration = Duration::from_secs(5);
/// Buffers a thread keeps for the next who needs one.
const SPARE: usize = 4;

thread_local! {
    static SPARES: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

fn borrow_buffer() -> Box<[u8]> {
    let spare = SPARES.with_borrow_mut(Vec::pop);
    spare.unwrap_or_else(|| vec![0; CHUNK].into_boxed_slice())
}

fn return_buffer(buffer: Box<[u8]>) {
    SPARES.with_borrow_mut(|spares| {
        if spares.len() < SPARE {
            spares.push(buffer);
        }
    });
}

/// How far one direction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    /// The reader has ended; the writer is being told.
    Closing,
    Closed,
}

/// Bytes on their way from the guest.
struct Chunk {
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
}

/// Both directions of one terminal; ready when both have ended.
pub(crate) struct Splice<L> {
    learner: L,
    guest: TcpStream,
    up: Flow,
    down: Flow,
    /// What the learner sent behind its request, before anything newer.
    early_up: Bytes,
    /// What the guest sent behind its answer.
    early_down: Bytes,
    chunk: Option<Chunk>,
    unflushed: bool,
    linger: Option<Pin<Box<Sleep>>>,
}

impl<L: AsyncBufRead + AsyncWrite + Unpin> Splice<L> {
    /// Ready to carry. The early bytes go first.
    pub(crate) fn new(learner: L, early_up: Bytes, guest: TcpStream, early_down: Bytes) -> Self {
        Self {
            learner,
            guest,
            up: Flow::Open,
            down: Flow::Open,
            early_up,
            early_down,
            chunk: None,
            unflushed: false,
            linger: None,
        }
    }

    /// Ready once one side has said its last and the other took too long to.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.up == Flow::Open && self.down == Flow::Open {
            return Poll::Pending;
        }
        let linger = self.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        linger.as_mut().poll(cx)
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.up == Flow::Open {
            if self.early_up.has_remaining() {
                let n = ready!(Pin::new(&mut self.guest).poll_write(cx, &self.early_up))?;
                self.early_up.advance(n);
                continue;
            }
            let bytes = match ready!(Pin::new(&mut self.learner).poll_fill_buf(cx)) {
                Ok(bytes) => bytes,
                // Browsers and phones vanish without TLS's farewell.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => &[],
                Err(error) => return Poll::Ready(Err(error)),
            };
            if bytes.is_empty() {
                self.up = Flow::Closing;
                break;
            }
            let n = ready!(Pin::new(&mut self.guest).poll_write(cx, bytes))?;
            Pin::new(&mut self.learner).consume(n);
        }
        if self.up == Flow::Closing {
            let ended = ready!(Pin::new(&mut self.guest).poll_shutdown(cx));
            self.up = Flow::Closed;
            ended?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.down == Flow::Open {
            if self.early_down.has_remaining() {
                let n = ready!(Pin::new(&mut self.learner).poll_write(cx, &self.early_down))?;
                self.early_down.advance(n);
                self.unflushed = true;
                continue;
            }
            if self.chunk.is_none() && self.poll_chunk(cx)?.is_pending() {
                return self.poll_flushed(cx);
            }
            self.poll_write_chunk(cx)?;
            if self.chunk.is_some() {
                return Poll::Pending;
            }
        }
        if self.down == Flow::Closing {
            let ended = ready!(Pin::new(&mut self.learner).poll_shutdown(cx));
            self.down = Flow::Closed;
            ended?;
        }
        Poll::Ready(Ok(()))
    }

    /// Fills a chunk if the guest has sent anything; the buffer goes back if not.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut buffer = borrow_buffer();
        let mut room = ReadBuf::new(&mut buffer);
        let read = Pin::new(&mut self.guest).poll_read(cx, &mut room);
        let to = room.filled().len();
        match read {
            Poll::Ready(Ok(())) if to > 0 => {
                self.chunk = Some(Chunk {
                    buffer,
                    from: 0,
                    to,
                });
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Ok(())) => self.down = Flow::Closing,
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
        return_buffer(buffer);
        read
    }

    fn poll_write_chunk(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while let Some(chunk) = &mut self.chunk {
            let bytes = &chunk.buffer[chunk.from..chunk.to];
            let Poll::Ready(n) = Pin::new(&mut self.learner).poll_write(cx, bytes)? else {
                return Ok(());
            };
            self.unflushed = true;
            chunk.from += n;
            if chunk.from == chunk.to
                && let Some(done) = self.chunk.take()
            {
                return_buffer(done.buffer);
            }
        }
        Ok(())
    }

    /// Nothing to carry: what TLS still holds must go out. Always pending,
    /// unless it failed.
    fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed {
            ready!(Pin::new(&mut self.learner).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Pending
    }
}

impl<L: AsyncBufRead + AsyncWrite + Unpin> Future for Splice<L> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let up = self.poll_up(cx)?;
        let down = self.poll_down(cx)?;
        if up.is_ready() && down.is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.poll_linger(cx).map(Ok)
    }
}
