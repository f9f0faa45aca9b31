//! Where the agent comes in: a socket it handed over, or under Firecracker the
//! host's end of vsock.

use std::{io, os::unix::net::UnixListener as StdListener};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixListener,
};
use tokio_vsock::{VMADDR_CID_ANY, VMADDR_CID_HOST, VsockAddr, VsockListener};
use tracing::warn;

use crate::{
    config::{Config, Runtime},
    sys,
};

/// The port of the control channel.
const VSOCK_PORT: u32 = 3000;

/// A connection of either kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Listens for the agent.
pub(crate) enum Listener {
    /// The socket handed over, or one made for a test.
    Unix(UnixListener),
    /// The host of this MicroVM.
    Vsock(VsockListener),
}

impl Listener {
    /// Opens what this machine has. Call inside the runtime, once.
    pub(crate) fn open(config: &Config) -> anyhow::Result<Self> {
        if let Some(path) = &config.control {
            let listener = UnixListener::bind(path).context("could not make the control socket")?;
            return Ok(Self::Unix(listener));
        }
        if config.runtime == Runtime::Firecracker {
            let listener = VsockListener::bind(VsockAddr::new(VMADDR_CID_ANY, VSOCK_PORT))
                .context("could not listen on vsock")?;
            return Ok(Self::Vsock(listener));
        }
        if config.listen_fds == 0 {
            bail!("nobody handed over a control socket (LISTEN_FDS) and --control names none");
        }
        let inherited: StdListener =
            sys::inherited_listener().context("descriptor 3 is no control socket")?;
        UnixListener::from_std(inherited)
            .map(Self::Unix)
            .context("could not listen on the control socket")
    }

    /// The next connection of the agent.
    pub(crate) async fn accept(&mut self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Vsock(listener) => loop {
                let (stream, peer) = listener.accept().await?;
                // Where a kernel has vsock's loopback, a learner could come so.
                if peer.cid() == VMADDR_CID_HOST {
                    return Ok(Box::new(stream));
                }
                warn!(cid = peer.cid(), "control connection of a stranger was cut");
            },
        }
    }
}
