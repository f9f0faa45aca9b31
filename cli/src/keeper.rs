//! Keeps one seat's token fresh for as long as somebody uses the seat.
//!
//! Way: a remembered seat -> one task that renews at two thirds of a token's
//! life, by this machine's steady clock, writes it back, and tells the worker, so
//! that open sockets live on -> users read the present session from a watch.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use clarateach_proto::workshop::{RefreshTokenRequest, SeatState, WatchSeatRequest};
use serde::Deserialize;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};
use tonic::Code;

use crate::{
    config::WayArgs,
    failure::{Exit, Failure},
    files::Upstream,
    join,
    output::{plain, tell},
    seat_session::{SeatSession, Ways},
};

/// A worker that takes longer to answer than this is not near.
const NEAR: Duration = Duration::from_secs(3);

/// For one renewal, and for telling the worker of it: who waits for longer waits for
/// somebody who has gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// A seat somebody uses.
#[derive(Clone)]
pub(crate) struct Keeper {
    seat: String,
    gateway: bool,
    session: watch::Sender<SeatSession>,
}

impl Keeper {
    /// Renews the remembered seat's token, waits for its machine, and goes on
    /// renewing until the process ends.
    pub(crate) async fn start(way: WayArgs) -> Result<Self, Failure> {
        let session = SeatSession::need(&way.seat.seat)?;
        let mut keeper = Self {
            seat: way.seat.seat,
            gateway: way.gateway,
            session: watch::Sender::new(session),
        };
        keeper.renew().await?;
        keeper.until_there().await?;
        if !keeper.gateway
            && !keeper.gateway_of().terminal.is_empty()
            && !is_near(&keeper.ways().terminal).await
        {
            tell("the worker cannot be reached from here: going through the control plane");
            keeper.gateway = true;
        }
        tokio::spawn(keeper.clone().keep());
        Ok(keeper)
    }

    /// The seat as it is now.
    pub(crate) fn now(&self) -> SeatSession {
        self.session.borrow().clone()
    }

    /// The way there, as the user chose it.
    pub(crate) fn ways(&self) -> Ways {
        let session = self.session.borrow();
        if self.gateway {
            session.gateway.clone()
        } else {
            session.direct.clone()
        }
    }

    fn gateway_of(&self) -> Ways {
        self.session.borrow().gateway.clone()
    }

    /// Whom to trust on that way.
    pub(crate) fn tls(&self) -> Result<std::sync::Arc<rustls::ClientConfig>, Failure> {
        let session = self.session.borrow();
        if self.gateway {
            crate::trust::control_plane(&session.server)
        } else {
            crate::trust::pinned(&session.ca_certificate)
        }
    }

    /// A fresh token. When the old one is over or void, takes the seat again
    /// with its reconnect code.
    pub(crate) async fn renew(&self) -> Result<(), Failure> {
        timeout(PATIENCE, self.ask()).await.unwrap_or_else(|_| {
            Err(Failure::new(
                Exit::TimedOut,
                "could not renew the seat's token: the server did not answer in time",
            ))
        })
    }

    async fn ask(&self) -> Result<(), Failure> {
        let mut session = self.now();
        let mut seats = session.server.seats(Some(&session.token))?;
        match seats.refresh_token(RefreshTokenRequest {}).await {
            Ok(answer) => session.renewed(answer.into_inner()),
            Err(status)
                if matches!(
                    status.code(),
                    Code::Unauthenticated | Code::PermissionDenied | Code::NotFound
                ) =>
            {
                session =
                    join::rejoin(&session.server, &session.code, &session.name, &session).await?;
            }
            Err(status) => {
                return Err(Failure::status("could not renew the seat's token", &status));
            }
        }
        session.save(&self.seat)?;
        self.session.send_replace(session);
        Ok(())
    }

    /// Waits for the seat's machine, saying what it waits for.
    async fn until_there(&self) -> Result<(), Failure> {
        if !self.ways().terminal.is_empty() {
            return Ok(());
        }
        let session = self.now();
        let failed = |status| Failure::status("could not watch the seat", &status);
        let mut changes = session
            .server
            .seats(Some(&session.token))?
            .watch_seat(WatchSeatRequest::default())
            .await
            .map_err(failed)?
            .into_inner();
        let mut told = String::new();
        while let Some(change) = changes.message().await.map_err(failed)? {
            let state = change.state();
            if state == SeatState::Failed {
                return Err(Failure::new(
                    Exit::WorkshopFailed,
                    "the seat's machine could not be started",
                )
                .because(plain(&change.reason)));
            }
            self.session.send_modify(|session| {
                session.direct = change.endpoints.clone().into();
                session.gateway = change.gateway.clone().into();
            });
            if state == SeatState::Ready && !self.ways().terminal.is_empty() {
                return Ok(());
            }
            let line = match change.queue_position {
                0 => format!("waiting for the seat's machine: {}", plain(&change.reason)),
                before => format!("waiting: {before} seats start before yours"),
            };
            if line != told {
                tell(&line);
                told = line;
            }
        }
        Err(Failure::new(
            Exit::Unreachable,
            "the server ended the wait for the seat's machine",
        ))
    }

    /// Renews for ever. A failure is tried again soon: a socket closes by itself
    /// when no renewal came, and says why.
    async fn keep(self) {
        let mut pause = self.renew_after();
        loop {
            sleep(pause).await;
            pause = match self.renew().await {
                Ok(()) => {
                    self.tell_worker().await;
                    self.renew_after()
                }
                Err(_) => Duration::from_secs(10),
            };
        }
    }

    fn renew_after(&self) -> Duration {
        life(&self.session.borrow().token).map_or(Duration::from_mins(1), |life| life * 2 / 3)
    }

    /// Any request with the new token moves the deadline of open sockets. If it
    /// fails, the next request of anyone on this seat does the same.
    async fn tell_worker(&self) {
        if let Ok(upstream) = Upstream::of(self, None) {
            let _ = timeout(PATIENCE, upstream.post_renew()).await;
        }
    }
}

/// Whether a connection straight to the worker opens: in a local network with a
/// worker behind the control plane's machine, none does.
pub(crate) async fn is_near(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let dial = TcpStream::connect((host, uri.port_u16().unwrap_or(443)));
    matches!(timeout(NEAR, dial).await, Ok(Ok(_)))
}

/// How long a token lives from its issue. Read without checking it: that is the
/// worker's work, and only this machine's timer hangs on it.
pub(crate) fn life(token: &str) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Times {
        iat: u64,
        exp: u64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let times: Times = serde_json::from_slice(&claims).ok()?;
    times
        .exp
        .checked_sub(times.iat)
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokens_life_is_read_from_its_claims() {
        let token = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let fifteen = Some(Duration::from_mins(15));
        assert_eq!(life(&token(r#"{"iat":1000,"exp":1900,"seat":3}"#)), fifteen);
        for bad in [
            r#"{"iat":1900,"exp":1000}"#,
            r#"{"iat":1,"exp":1}"#,
            r#"{"exp":9}"#,
            "x",
        ] {
            assert_eq!(life(&token(bad)), None, "{bad}");
        }
        assert_eq!(life("no token"), None);
    }
}
