//! The door of a terminal: an HTTP request becomes a viewer's socket, or is
//! refused before the 101.

use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_tungstenite::tungstenite::protocol::WebSocketConfig;
use tracing::debug;

use super::{
    Terminals, viewer,
    wire::{Attach, MAX_DATA, SUBPROTOCOL, Viewer},
};
use crate::{
    reply::{Refusal, Reply},
    seat::Seat,
};

/// A socket's read buffer is there even when it is idle.
const READ_BUFFER: usize = 4 * 1024;

/// Answers the 101 and serves the socket from then on.
pub(crate) fn open(
    seat: &Seat,
    terminals: &Terminals,
    mut request: Request<Incoming>,
) -> Result<Reply, Refusal> {
    let viewer = Viewer::parse(request.headers())?;
    let attach = Attach::parse(request.uri().query().unwrap_or_default())?;
    if !hyper_tungstenite::is_upgrade_request(&request) {
        return Err(Refusal::new(
            StatusCode::UPGRADE_REQUIRED,
            "WEBSOCKET_ONLY",
            "a terminal is a WebSocket",
        ));
    }
    let control = offers_control(request.headers());
    let (response, socket) = hyper_tungstenite::upgrade(&mut request, Some(limits()))
        .map_err(|cause| Refusal::bad("BAD_HANDSHAKE", cause.to_string()))?;
    let identity = seat.identity().ok_or_else(|| {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "NOT_CONFIGURED", "not yet")
    })?;
    // Last of all, because this one starts a shell.
    let session = terminals.find_or_start(&identity, &attach, viewer.mode)?;

    let (seat, terminals) = (seat.clone(), terminals.clone());
    tokio::spawn(async move {
        match socket.await {
            Ok(socket) => {
                viewer::serve(
                    socket, &seat, &terminals, &session, viewer, control, &attach,
                )
                .await;
            }
            Err(cause) => debug!(%cause, "upgrade failed"),
        }
    });
    let mut reply = response.map(|body| body.map_err(|never| match never {}).boxed_unsync());
    *reply.body_mut() = http_body_util::Empty::new()
        .map_err(|never| match never {})
        .boxed_unsync();
    if control {
        reply.headers_mut().insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
    }
    Ok(reply)
}

fn offers_control(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|offer| offer.trim() == SUBPROTOCOL)
}

fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        // Each frame goes out when it is made: an echo must not wait.
        .write_buffer_size(0)
        .max_message_size(Some(MAX_DATA))
        .max_frame_size(Some(MAX_DATA))
}
