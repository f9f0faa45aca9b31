//! What each verb of the agent does.

use std::{net::IpAddr, time::Duration};

use clarateach_proto::guest::{
    CloseViewers, Configure, Configured, Failure, GetPreview, Health, Notified, Notify, Preview,
    Request, Response, Shutdown, ShuttingDown, Synced, ViewersClosed, request::Verb,
    response::Result as Outcome,
};
use tracing::{info, warn};

use crate::{
    boot::{self, identity},
    learner::is_variable,
    seat::{Identity, Seat},
    shutdown::Stopper,
    terminal::{Terminals, wire::Notice},
};

/// A close frame holds 125 bytes, two of them the code.
const MAX_CLOSE_REASON: usize = 123;

/// Cheap handle.
#[derive(Clone)]
pub(crate) struct Door {
    seat: Seat,
    terminals: Terminals,
    stopper: Stopper,
}

impl Door {
    /// What the verbs act on.
    pub(crate) fn new(seat: Seat, terminals: Terminals, stopper: Stopper) -> Self {
        Self {
            seat,
            terminals,
            stopper,
        }
    }

    /// One request, one answer.
    pub(crate) async fn act(&self, request: Request) -> Response {
        let outcome = match request.verb {
            Some(Verb::Configure(configure)) => self.configure(configure),
            Some(Verb::GetHealth(_)) => Ok(Outcome::Health(self.health())),
            Some(Verb::CloseViewers(close)) => self.close_viewers(&close),
            Some(Verb::Notify(notify)) => self.notify(&notify),
            Some(Verb::GetPreview(preview)) => Ok(self.preview(preview)),
            Some(Verb::Sync(_)) => sync().await,
            Some(Verb::Shutdown(shutdown)) => Ok(self.shutdown(shutdown)),
            None => Err("this guest does not know that verb".to_owned()),
        };
        Response {
            id: request.id,
            result: Some(outcome.unwrap_or_else(|message| Outcome::Failure(Failure { message }))),
        }
    }

    fn configure(&self, configure: Configure) -> Result<Outcome, String> {
        let unix_nanos = configure.unix_nanos;
        let (interface, entropy) = (configure.interface.clone(), configure.entropy.clone());
        let identity = parse(configure)?;
        boot::take_seat(self.seat.config(), interface.as_ref(), &entropy)
            .map_err(|cause| format!("{cause:#}"))?;
        identity::apply(self.seat.config(), &identity, unix_nanos);
        info!(hostname = identity.hostname, "guest configured");
        self.seat
            .configure(identity)
            .map_err(|cause| cause.to_string())?;
        Ok(Outcome::Configured(Configured {}))
    }

    fn health(&self) -> Health {
        Health {
            ready: self.seat.identity().is_some(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.seat.instance(),
            viewers: count(self.seat.viewers().count()),
            last_input_unix_millis: self.seat.last_input_millis(),
            terminals: count(self.terminals.live()),
        }
    }

    fn preview(&self, wanted: GetPreview) -> Outcome {
        let most = usize::try_from(wanted.lines).unwrap_or(usize::MAX);
        let (lines, changed_unix_millis) = self.terminals.preview(most);
        Outcome::Preview(Preview {
            lines,
            changed_unix_millis,
            terminals: self.terminals.names(),
        })
    }

    fn close_viewers(&self, close: &CloseViewers) -> Result<Outcome, String> {
        let code = u16::try_from(close.code)
            .ok()
            .filter(|code| matches!(code, 1000..=1014 | 3000..=4999))
            .filter(|code| !matches!(code, 1004..=1006))
            .ok_or_else(|| format!("{} is no code that a socket can close with", close.code))?;
        if close.reason.len() > MAX_CLOSE_REASON {
            return Err(format!("a reason has at most {MAX_CLOSE_REASON} bytes"));
        }
        let closed = if close.viewers.is_empty() {
            self.seat.viewers().close_all(code, &close.reason)
        } else {
            self.seat
                .viewers()
                .close(&close.viewers, code, &close.reason)
        };
        Ok(Outcome::ViewersClosed(ViewersClosed {
            closed: count(closed),
        }))
    }

    fn notify(&self, notify: &Notify) -> Result<Outcome, String> {
        let notice = Notice::new(&notify.kind, &notify.message, notify.at_unix_millis)
            .ok_or_else(|| format!("{:?} is no kind of notice", notify.kind))?;
        self.terminals.notify(&notice);
        if notify.kind == "preempted" {
            // The host has seconds left, and what is only in memory here is lost. Not
            // waited for: the notice must be seen now.
            tokio::task::spawn_blocking(rustix::fs::sync);
        }
        Ok(Outcome::Notified(Notified {}))
    }

    fn shutdown(&self, shutdown: Shutdown) -> Outcome {
        self.stopper
            .stop(Duration::from_millis(shutdown.grace_millis.into()));
        Outcome::ShuttingDown(ShuttingDown {})
    }
}

/// May take long: only this connection waits for it.
async fn sync() -> Result<Outcome, String> {
    let synced = tokio::task::spawn_blocking(rustix::fs::sync).await;
    synced
        .map(|()| Outcome::Synced(Synced {}))
        .map_err(|cause| cause.to_string())
}

/// Only what is wholly good is taken.
fn parse(configure: Configure) -> Result<Identity, String> {
    let secret_fits = configure.secret.len() >= 32
        && configure
            .secret
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit());
    if !secret_fits {
        return Err("the secret must be at least 32 hex digits".to_owned());
    }
    let hostname_fits = (1..=63).contains(&configure.hostname.len())
        && configure
            .hostname
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !hostname_fits {
        return Err("the hostname must be 1 to 63 letters, digits and hyphens".to_owned());
    }
    let nameservers = configure
        .nameservers
        .iter()
        .map(|raw| {
            raw.parse::<IpAddr>()
                .map_err(|_| format!("{raw:?} is no address of a resolver"))
        })
        .collect::<Result<_, _>>()?;
    let env = configure
        .env
        .into_iter()
        .filter(|(name, value)| {
            let fits = is_variable(name, value);
            if !fits {
                warn!(name, "variable left out: no process can have it");
            }
            fits
        })
        .collect();
    Ok(Identity {
        hostname: configure.hostname,
        secret: configure.secret,
        env,
        workshop_name: configure.workshop_name,
        nameservers,
    })
}

fn count(many: usize) -> u32 {
    u32::try_from(many).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_taken_whole_or_not_at_all() {
        type Spoil = fn(&mut Configure);
        let good = || Configure {
            hostname: "seat-1".into(),
            seat: 1,
            secret: "0123456789abcdef0123456789abcdef".into(),
            ..Configure::default()
        };
        assert!(parse(good()).is_ok());
        let spoilt: [(&str, Spoil); 5] = [
            ("no secret", |c| c.secret.clear()),
            ("a secret that is no hex", |c| c.secret = "z".repeat(32)),
            ("no hostname", |c| c.hostname.clear()),
            ("a hostname with a line in it", |c| {
                c.hostname = "a\nb".into();
            }),
            ("a resolver's name", |c| {
                c.nameservers = vec!["dns.local".into()];
            }),
        ];
        for (what, spoil) in spoilt {
            let mut configure = good();
            spoil(&mut configure);
            assert!(parse(configure).is_err(), "{what}");
        }
    }
}
