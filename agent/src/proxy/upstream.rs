//! Connections to guests: new ones for terminals, kept ones for files and
//! commands.
//!
//! A kept connection belongs to one seat in one life of its machine; it is
//! never used for another.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use clarateach_domain::ids::SeatNo;
use http::{Request, Response};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::AbortHandle, time::Instant, time::timeout};

use super::refuse::Body;

/// A guest that does not take a connection within this is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an unused connection is kept.
const KEEP: Duration = Duration::from_secs(20);
/// Unused connections kept for one port of one seat.
const KEEP_AT_MOST: usize = 8;
/// A large file's chunks: larger ones are not faster, smaller ones are slower.
const READ_BUFFER: usize = 256 * 1024;

/// A guest could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// No connection.
    #[error("could not reach the guest at {0}")]
    Connect(SocketAddr, #[source] io::Error),
    /// It did not answer as HTTP.
    #[error("could not get an answer from the guest")]
    Http(#[from] hyper::Error),
}

/// A guest's port in one life of its machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// Whose guest.
    pub(crate) seat: SeatNo,
    /// Which life.
    pub(crate) life: u64,
    /// Where.
    pub(crate) address: Ipv4Addr,
    /// Which door of it.
    pub(crate) port: u16,
}

/// One connection on which requests can be sent, ended when dropped.
pub(crate) struct Line {
    sender: http1::SendRequest<Body>,
    task: AbortHandle,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Kept {
    line: Line,
    since: Instant,
}

/// The kept connections.
#[derive(Default)]
pub(crate) struct Upstreams {
    kept: Mutex<HashMap<Target, Vec<Kept>>>,
}

/// A connection to a guest, for a terminal.
pub(crate) async fn dial(address: Ipv4Addr, port: u16) -> Result<TcpStream, UpstreamError> {
    let to = SocketAddr::from((address, port));
    let dialled = timeout(CONNECT_TIMEOUT, TcpStream::connect(to)).await;
    let stream = dialled
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|cause| UpstreamError::Connect(to, cause))?;
    stream
        .set_nodelay(true)
        .map_err(|cause| UpstreamError::Connect(to, cause))?;
    Ok(stream)
}

impl Upstreams {
    /// Sends a request on a kept connection or a new one. The line goes back by
    /// [`Upstreams::keep`] when the answer has been read whole; dropped, it ends.
    pub(crate) async fn send(
        &self,
        target: &Target,
        mut request: Request<Body>,
    ) -> Result<(Response<Incoming>, Line), UpstreamError> {
        while let Some(mut line) = self.take(target) {
            match line.sender.try_send_request(request).await {
                Ok(answer) => return Ok((answer, line)),
                // The guest had closed it; nothing of the request was sent.
                Err(mut unsent) => match unsent.take_message() {
                    Some(message) => request = message,
                    None => return Err(unsent.into_error().into()),
                },
            }
        }
        let mut line = open(target).await?;
        let answer = line.sender.send_request(request).await?;
        Ok((answer, line))
    }

    /// Keeps a line for the next request to the same target.
    pub(crate) fn keep(&self, target: Target, line: Line) {
        if line.sender.is_closed() {
            return;
        }
        let mut kept = self.lock();
        let now = Instant::now();
        // Every return sweeps: what is old goes, whosever it is.
        kept.retain(|_, lines| {
            lines.retain(|kept| now < kept.since + KEEP && !kept.line.sender.is_closed());
            !lines.is_empty()
        });
        let lines = kept.entry(target).or_default();
        if lines.len() < KEEP_AT_MOST {
            lines.push(Kept { line, since: now });
        }
    }

    fn take(&self, target: &Target) -> Option<Line> {
        let mut kept = self.lock();
        let lines = kept.get_mut(target)?;
        let now = Instant::now();
        while let Some(Kept { line, since }) = lines.pop() {
            if line.sender.is_ready() && now < since + KEEP {
                return Some(line);
            }
        }
        kept.remove(target);
        None
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Target, Vec<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn open(target: &Target) -> Result<Line, UpstreamError> {
    let stream = dial(target.address, target.port).await?;
    let (sender, connection) = http1::Builder::new()
        .max_headers(100)
        .max_buf_size(READ_BUFFER)
        .handshake(TokioIo::new(stream))
        .await?;
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to a guest ended");
        }
    });
    Ok(Line {
        sender,
        task: task.abort_handle(),
    })
}

/// Shared by all connections of the agent.
pub(crate) type SharedUpstreams = Arc<Upstreams>;
