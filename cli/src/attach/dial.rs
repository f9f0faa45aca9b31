//! Opens the WebSocket of one terminal: TCP, TLS by the seat's CA, the upgrade.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode, Uri, header};
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, client_async_tls_with_config,
    tungstenite::{Error, client::IntoClientRequest, protocol::WebSocketConfig},
};

use super::wire::Place;
use crate::{
    failure::{Exit, Failure},
    keeper::Keeper,
    output::plain,
};

pub(super) const PROTOCOL: &str = "clarateach.terminal.v1";

/// For all of one try: an address that is nobody's any more says nothing.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) type Dialled = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Where a terminal is, and how to be let in.
pub(super) struct Target {
    url: String,
    token: String,
    tls: Arc<ClientConfig>,
}

impl Target {
    /// The seat's terminals as the control plane last named them.
    pub(super) fn of(keeper: &Keeper) -> Result<Self, Failure> {
        Ok(Self {
            url: keeper.ways().terminal,
            token: keeper.now().token,
            tls: keeper.tls()?,
        })
    }
}

pub(super) async fn dial(
    target: &Target,
    place: &Place,
    size: Option<(u16, u16)>,
) -> Result<Dialled, Failure> {
    let unreachable = || {
        Failure::new(Exit::Unreachable, "could not reach the terminal")
            .hint("Straight to the worker is not possible everywhere: try --gateway.")
    };
    let url = format!("{}?{}", target.url, place.query(size));
    let uri: Uri = url
        .parse()
        .map_err(|error| Failure::fault("the server named no address of a terminal", error))?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
        Some("wss") => 443,
        _ => 80,
    });
    let mut request = url
        .into_client_request()
        .map_err(|error| Failure::fault("the server named no address of a terminal", error))?;
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", target.token))
        .map_err(|error| Failure::fault("the seat's token is no token", error))?;
    bearer.set_sensitive(true);
    let headers = request.headers_mut();
    headers.insert(header::AUTHORIZATION, bearer);
    headers.insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(PROTOCOL),
    );

    let limits = WebSocketConfig::default()
        .max_message_size(Some(1 << 20))
        .max_frame_size(Some(1 << 20));
    let tls = Connector::Rustls(Arc::clone(&target.tls));
    let upgrade = async {
        let tcp = TcpStream::connect((host, port)).await?;
        let _ = tcp.set_nodelay(true);
        client_async_tls_with_config(request, tcp, Some(limits), Some(tls)).await
    };
    let tried = timeout(PATIENCE, upgrade).await;
    match tried.map_err(|_| unreachable().because("it did not answer in time"))? {
        Ok((socket, answer)) => {
            let agreed = answer.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
            if agreed.is_some_and(|agreed| agreed == PROTOCOL) {
                Ok(socket)
            } else {
                Err(Failure::new(
                    Exit::Fault,
                    format!("the other end does not speak {PROTOCOL}"),
                ))
            }
        }
        Err(Error::Http(answer)) => Err(refusal(
            answer.status(),
            answer.body().as_deref().unwrap_or_default(),
        )),
        Err(error) => Err(unreachable().because(error)),
    }
}

/// What the agent or the gateway says before an upgrade.
fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    #[derive(Deserialize)]
    struct Answer {
        error: Said,
    }
    #[derive(Deserialize)]
    struct Said {
        reason: String,
        message: String,
    }
    let said = serde_json::from_slice::<Answer>(body).map(|answer| answer.error);
    let unknown = said
        .as_ref()
        .is_ok_and(|said| said.reason == "SEAT_UNKNOWN");
    let exit = match status.as_u16() {
        401 | 403 => Exit::Refused,
        // A worker that was made anew hears of its seats a moment later.
        404 if unknown => Exit::Unreachable,
        404 | 410 => Exit::NotFound,
        409 | 429 => Exit::Conflict,
        502..=504 => Exit::Unreachable,
        _ => Exit::Fault,
    };
    let why = match said {
        Ok(said) => plain(&said.message),
        Err(_) => status.to_string(),
    };
    Failure::new(exit, "the terminal was refused").because(why)
}
