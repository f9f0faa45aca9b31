//! Carries one terminal both ways after the 101, unread.
//!
//! Buffers are borrowed while bytes are on their way and given back when there
//! are none, so that a silent terminal costs none. Way: learner <-> agent.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

const CHUNK: usize = 64 * 1024;
/// How long one side may go on after the other has ended.
const LINGER: Duration = Duration::from_secs(5);
/// Buffers a thread keeps for the next who needs one.
const SPARE: usize = 4;

thread_local! {
    static SPARES: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Ready when both ways have ended, or one has and the other lingers.
pub(super) struct Relay<L, A> {
    learner: L,
    agent: A,
    up: Way,
    down: Way,
    linger: Option<Pin<Box<Sleep>>>,
}

impl<L, A> Relay<L, A> {
    pub(super) fn new(learner: L, agent: A) -> Self {
        Self {
            learner,
            agent,
            up: Way::default(),
            down: Way::default(),
            linger: None,
        }
    }
}

impl<L, A> Future for Relay<L, A>
where
    L: AsyncRead + AsyncWrite + Unpin,
    A: AsyncRead + AsyncWrite + Unpin,
{
    type Output = io::Result<()>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let up = this.up.poll(cx, &mut this.learner, &mut this.agent)?;
        let down = this.down.poll(cx, &mut this.agent, &mut this.learner)?;
        match (up, down) {
            (Poll::Ready(()), Poll::Ready(())) => Poll::Ready(Ok(())),
            (Poll::Pending, Poll::Pending) => Poll::Pending,
            (Poll::Ready(()), Poll::Pending) | (Poll::Pending, Poll::Ready(())) => {
                let linger = this.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
                linger.as_mut().poll(cx).map(Ok)
            }
        }
    }
}

/// One direction.
#[derive(Default)]
struct Way {
    chunk: Option<Chunk>,
    unflushed: bool,
    ended: bool,
    closed: bool,
}

struct Chunk {
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
}

impl Way {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while !self.ended {
            if self.chunk.is_none() && self.poll_read(cx, from)?.is_pending() {
                if self.unflushed {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            }
            ready!(self.poll_write(cx, to))?;
        }
        if !self.closed {
            let closed = ready!(Pin::new(to).poll_shutdown(cx));
            self.closed = true;
            closed?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut (impl AsyncRead + Unpin),
    ) -> Poll<io::Result<()>> {
        let spare = SPARES.with_borrow_mut(Vec::pop);
        let mut buffer = spare.unwrap_or_else(|| vec![0; CHUNK].into_boxed_slice());
        let mut room = ReadBuf::new(&mut buffer);
        let read = Pin::new(from).poll_read(cx, &mut room);
        let to = room.filled().len();
        if to > 0 {
            self.chunk = Some(Chunk {
                buffer,
                from: 0,
                to,
            });
            return read;
        }
        give_back(buffer);
        match read {
            Poll::Ready(Ok(())) => self.ended = true,
            // Browsers and phones vanish without TLS's farewell.
            Poll::Ready(Err(cause)) if cause.kind() == io::ErrorKind::UnexpectedEof => {
                self.ended = true;
                return Poll::Ready(Ok(()));
            }
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
        read
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while let Some(chunk) = &mut self.chunk {
            let bytes = &chunk.buffer[chunk.from..chunk.to];
            let written = ready!(Pin::new(&mut *to).poll_write(cx, bytes))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            chunk.from += written;
            if chunk.from == chunk.to
                && let Some(done) = self.chunk.take()
            {
                give_back(done.buffer);
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn give_back(buffer: Box<[u8]>) {
    SPARES.with_borrow_mut(|spares| {
        if spares.len() < SPARE {
            spares.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn bytes_pass_both_ways_and_ends_are_passed_on() {
        // Far smaller than a chunk: every write has to wait.
        let (mut learner, near) = duplex(1000);
        let (far, mut agent) = duplex(777);
        let relay = tokio::spawn(Relay::new(near, far));
        let up: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let down: Vec<u8> = up.iter().rev().copied().collect();
        let (sent_up, sent_down) = (up.clone(), down.clone());
        let (got_down, got_up) = tokio::join!(
            async {
                let (mut read, mut write) = tokio::io::split(&mut learner);
                let mut got = vec![0; sent_down.len()];
                let (wrote, read) =
                    tokio::join!(write.write_all(&sent_up), read.read_exact(&mut got));
                wrote.unwrap();
                read.unwrap();
                got
            },
            async {
                let (mut read, mut write) = tokio::io::split(&mut agent);
                let mut got = vec![0; sent_up.len()];
                let (wrote, read) =
                    tokio::join!(write.write_all(&sent_down), read.read_exact(&mut got));
                wrote.unwrap();
                read.unwrap();
                got
            },
        );
        assert_eq!(got_up, up);
        assert_eq!(got_down, down);
        learner.shutdown().await.unwrap();
        assert_eq!(
            agent.read(&mut [0; 1]).await.unwrap(),
            0,
            "the end is passed on"
        );
        agent.write_all(b"last words").await.unwrap();
        agent.shutdown().await.unwrap();
        let mut rest = String::new();
        learner.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "last words");
        relay.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_side_that_never_ends_is_cut() {
        let (learner, near) = duplex(100);
        let (far, _agent) = duplex(100);
        drop(learner);
        Relay::new(near, far).await.unwrap();
    }
}
