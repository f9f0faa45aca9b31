//! The agent's own channel: who this guest is, how it is, closing, notices,
//! stopping.
//!
//! Each message is a varint length and the message. Only this file knows the
//! wire types; a frame that cannot be read ends its connection, no other.
//! Way: agent -> `converse` -> `act` -> seat, terminals or stopper.

mod act;
mod frame;

use std::{os::unix::net::UnixListener as StdListener, time::Duration};

use anyhow::{Context as _, bail};
use tokio::net::{UnixListener, UnixStream};
use tracing::{debug, warn};

use crate::{config::Config, seat::Seat, shutdown::Stopper, sys, terminal::Terminals};

/// After an accept failed: time for descriptors to be freed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The socket handed over, or one made for a test.
pub(crate) fn listener(config: &Config) -> anyhow::Result<StdListener> {
    if let Some(path) = &config.control {
        let listener = StdListener::bind(path).context("could not make the control socket")?;
        listener
            .set_nonblocking(true)
            .context("could not prepare the control socket")?;
        return Ok(listener);
    }
    if config.listen_fds.unwrap_or(0) == 0 {
        bail!("nobody handed over a control socket (LISTEN_FDS) and --control names none");
    }
    sys::inherited_listener().context("descriptor 3 is no control socket")
}

/// Answers the agent from now on.
pub(crate) fn start(listener: StdListener, seat: &Seat, terminals: &Terminals, stopper: Stopper) {
    let door = act::Door::new(seat.clone(), terminals.clone(), stopper);
    tokio::spawn(async move {
        let listener = match UnixListener::from_std(listener) {
            Ok(listener) => listener,
            Err(cause) => return warn!(%cause, "could not listen on the control socket"),
        };
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let door = door.clone();
                    tokio::spawn(async move {
                        if let Err(cause) = converse(stream, door).await {
                            debug!(%cause, "control connection ended");
                        }
                    });
                }
                Err(cause) => {
                    warn!(%cause, "could not accept a control connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
}

/// One request, one answer, in order, until the agent hangs up.
async fn converse(mut stream: UnixStream, door: act::Door) -> std::io::Result<()> {
    let mut buffer = bytes::BytesMut::new();
    while let Some(request) = frame::read(&mut stream, &mut buffer).await? {
        let response = door.act(request);
        frame::write(&mut stream, &response).await?;
    }
    Ok(())
}
