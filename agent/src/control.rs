//! The agent's side of a guest's control channel.
//!
//! Way: a verb -> one short connection -> its result. Every call has its own
//! connection and its own deadline, so that a guest that hangs holds up nothing
//! else, and there is nothing to reconnect.

use std::{
    io,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clarateach_proto::guest::{
    Configure, GetHealth, GetPreview, Health, Notify, Preview, Request, Response, Shutdown, Sync,
    request::Verb, response::Result as Outcome,
};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

/// The longest message either side sends.
const MESSAGE_LIMIT: u64 = 1 << 20;

/// What a guest did not do.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It could not be reached or went away.
    #[error("could not talk to the guest")]
    Channel(#[source] io::Error),
    /// It took too long.
    #[error("the guest did not answer within {0:?}")]
    TimedOut(Duration),
    /// It refused.
    #[error("the guest refused: {0}")]
    Refused(String),
    /// It answered something else.
    #[error("the guest answered another question")]
    Unexpected,
}

/// Where a guest listens for its agent.
#[derive(Debug, Clone)]
pub struct Control {
    socket: PathBuf,
    /// The guest's vsock port, when the socket is a VMM's.
    port: Option<u32>,
}

impl Control {
    /// The guest behind this Unix socket.
    pub fn at(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            port: None,
        }
    }

    /// The guest that listens on this vsock port of the VMM behind the socket.
    pub fn through_vmm(socket: &Path, port: u32) -> Self {
        Self {
            socket: socket.to_owned(),
            port: Some(port),
        }
    }

    /// Tells the guest who it is.
    pub async fn configure(
        &self,
        configure: Configure,
        within: Duration,
    ) -> Result<(), ControlError> {
        match self.ask(Verb::Configure(configure), within).await? {
            Outcome::Configured(_) => Ok(()),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Asks how the guest is.
    pub async fn health(&self, within: Duration) -> Result<Health, ControlError> {
        match self.ask(Verb::GetHealth(GetHealth {}), within).await? {
            Outcome::Health(health) => Ok(health),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Has the guest write what is only in its memory to its disks.
    pub async fn sync(&self, within: Duration) -> Result<(), ControlError> {
        match self.ask(Verb::Sync(Sync {}), within).await? {
            Outcome::Synced(_) => Ok(()),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Asks for the last lines that the guest's terminals show, so many at most.
    pub async fn preview(&self, lines: u32, within: Duration) -> Result<Preview, ControlError> {
        let ask = Verb::GetPreview(GetPreview { lines });
        match self.ask(ask, within).await? {
            Outcome::Preview(preview) => Ok(preview),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Asks the guest to close viewers, all when `viewers` is empty; says how many.
    pub async fn close_viewers(
        &self,
        viewers: Vec<String>,
        code: u16,
        reason: String,
        within: Duration,
    ) -> Result<u32, ControlError> {
        let close = clarateach_proto::guest::CloseViewers {
            viewers,
            code: code.into(),
            reason,
        };
        match self.ask(Verb::CloseViewers(close), within).await? {
            Outcome::ViewersClosed(closed) => Ok(closed.closed),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Shows a notice in the guest's terminals.
    pub async fn notify(&self, notify: Notify, within: Duration) -> Result<(), ControlError> {
        match self.ask(Verb::Notify(notify), within).await? {
            Outcome::Notified(_) => Ok(()),
            _ => Err(ControlError::Unexpected),
        }
    }

    /// Asks the guest to stop in order within `grace`.
    pub async fn shutdown(&self, grace: Duration, within: Duration) -> Result<(), ControlError> {
        let grace_millis = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
        match self
            .ask(Verb::Shutdown(Shutdown { grace_millis }), within)
            .await?
        {
            Outcome::ShuttingDown(_) => Ok(()),
            _ => Err(ControlError::Unexpected),
        }
    }

    async fn ask(&self, verb: Verb, within: Duration) -> Result<Outcome, ControlError> {
        let request = Request {
            id: 1,
            verb: Some(verb),
        };
        let response = timeout(within, exchange(&self.socket, self.port, &request))
            .await
            .map_err(|_elapsed| ControlError::TimedOut(within))?
            .map_err(ControlError::Channel)?;
        match response.result {
            Some(Outcome::Failure(failure)) => Err(ControlError::Refused(failure.message)),
            Some(result) if response.id == request.id => Ok(result),
            _ => Err(ControlError::Unexpected),
        }
    }
}

async fn exchange(socket: &Path, port: Option<u32>, request: &Request) -> io::Result<Response> {
    let mut stream = connect(socket).await?;
    if let Some(port) = port {
        pass_vmm(&mut stream, port).await?;
    }
    stream
        .write_all(&request.encode_length_delimited_to_vec())
        .await?;
    let length = read_varint(&mut stream).await?;
    if length > MESSAGE_LIMIT {
        return Err(io::Error::other("the guest's answer is too long"));
    }
    let mut answer = Vec::new();
    stream.take(length).read_to_end(&mut answer).await?;
    if answer.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Response::decode(&answer[..]).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Connects by way of the directory's descriptor, because a socket's path may
/// have 107 bytes and a run directory may lie deep.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let (directory, short) = short_path(socket)?;
    let stream = UnixStream::connect(short).await;
    drop(directory);
    stream
}

/// Has the VMM carry the connection on to the guest's port. It hangs up when
/// nobody listens there.
async fn pass_vmm(stream: &mut UnixStream, port: u32) -> io::Result<()> {
    stream
        .write_all(format!("CONNECT {port}\n").as_bytes())
        .await?;
    let mut answer = Vec::new();
    // "OK " and the number of a port.
    while answer.len() < 32 {
        match stream.read_u8().await? {
            b'\n' if answer.starts_with(b"OK ") => return Ok(()),
            byte => answer.push(byte),
        }
    }
    Err(io::Error::other("the vmm answered something else"))
}

/// The socket's path through a descriptor of its directory, which must stay
/// open while the path is used.
pub(crate) fn short_path(socket: &Path) -> io::Result<(std::fs::File, PathBuf)> {
    let (Some(parent), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let directory = std::fs::File::open(parent)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
    Ok((directory, short))
}

async fn read_varint(stream: &mut UnixStream) -> io::Result<u64> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let byte = stream.read_u8().await?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(io::Error::other("the guest's answer has no length"))
}

#[cfg(test)]
mod tests {
    use clarateach_proto::guest::{Failure, Health};
    use tokio::net::UnixListener;

    use super::*;

    /// A guest that answers each connection with the next of `answers`.
    fn guest(answers: Vec<Vec<u8>>) -> (tempfile::TempDir, Control) {
        let dir = tempfile::tempdir().unwrap();
        // Deeper than a socket's path may be.
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let socket = deep.join("control.sock");
        let (held, short) = short_path(&socket).unwrap();
        let listener = UnixListener::bind(short).unwrap();
        drop(held);
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let length = read_varint(&mut stream).await.unwrap();
                let mut request = vec![0; usize::try_from(length).unwrap()];
                stream.read_exact(&mut request).await.unwrap();
                Request::decode(&request[..]).unwrap();
                stream.write_all(&answer).await.unwrap();
            }
            std::future::pending::<()>().await;
        });
        (dir, Control::at(&socket))
    }

    fn answer(id: u64, result: Outcome) -> Vec<u8> {
        Response {
            id,
            result: Some(result),
        }
        .encode_length_delimited_to_vec()
    }

    #[tokio::test]
    async fn answers_failures_and_strangers_are_told_apart() {
        let well = Health {
            ready: true,
            version: "x".repeat(300),
            ..Health::default()
        };
        let refusal = Failure {
            message: "no".to_owned(),
        };
        let (_dir, control) = guest(vec![
            answer(1, Outcome::Health(well.clone())),
            answer(1, Outcome::Failure(refusal)),
            answer(2, Outcome::Health(well.clone())),
            vec![0xff; 16],
            vec![5, 1],
        ]);
        let within = Duration::from_secs(10);
        assert_eq!(control.health(within).await.unwrap(), well);
        assert!(
            matches!(control.health(within).await, Err(ControlError::Refused(why)) if why == "no")
        );
        assert!(matches!(
            control.health(within).await,
            Err(ControlError::Unexpected)
        ));
        assert!(matches!(
            control.health(within).await,
            Err(ControlError::Channel(_))
        ));
        assert!(matches!(
            control.health(within).await,
            Err(ControlError::Channel(_))
        ));
    }

    #[tokio::test]
    async fn a_guest_that_hangs_costs_its_deadline_only() {
        let (_dir, control) = guest(vec![]);
        let within = Duration::from_millis(50);
        assert!(matches!(
            control.health(within).await,
            Err(ControlError::TimedOut(_))
        ));
    }
}
