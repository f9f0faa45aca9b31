//! The agent's own channel: who this guest is, how it is, closing, notices,
//! stopping.
//!
//! Each message is a varint length and the message. Only this file knows the
//! wire types; a frame that cannot be read ends its connection, no other.
//! Way: agent -> `converse` -> `act` -> seat, terminals or stopper.

mod act;
mod frame;
mod listener;

use std::time::Duration;

use tracing::{debug, warn};

pub(crate) use self::listener::Listener;
use self::listener::Stream;
use crate::{seat::Seat, shutdown::Stopper, terminal::Terminals};

/// After an accept failed: time for descriptors to be freed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers the agent from now on.
pub(crate) fn start(mut listener: Listener, seat: &Seat, terminals: &Terminals, stopper: Stopper) {
    let door = act::Door::new(seat.clone(), terminals.clone(), stopper);
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok(stream) => {
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
async fn converse(mut stream: Box<dyn Stream>, door: act::Door) -> std::io::Result<()> {
    let mut buffer = bytes::BytesMut::new();
    while let Some(request) = frame::read(&mut stream, &mut buffer).await? {
        let response = door.act(request).await;
        frame::write(&mut stream, &response).await?;
    }
    Ok(())
}
