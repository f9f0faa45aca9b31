//! What this guest knows about itself, shared by its two threads.
//!
//! Way: `control` writes the identity -> both ports read it for every request.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

use crate::{config::Config, terminal::viewers::Viewers};

/// Who this guest is, as the agent said.
#[derive(Clone)]
pub(crate) struct Identity {
    /// `seat-N`.
    pub(crate) hostname: String,
    /// What both ports want to see. Never logged: this type has no `Debug`.
    pub(crate) secret: String,
    /// Environment of new shells and commands.
    pub(crate) env: BTreeMap<String, String>,
    /// For the greeting.
    pub(crate) workshop_name: String,
    /// For /etc/resolv.conf; empty leaves it alone.
    pub(crate) nameservers: Vec<IpAddr>,
}

struct Inner {
    config: Config,
    instance: String,
    identity: watch::Sender<Option<Arc<Identity>>>,
    last_input_millis: AtomicI64,
    viewers: Viewers,
}

/// Cheap handle.
#[derive(Clone)]
pub(crate) struct Seat(Arc<Inner>);

impl Seat {
    /// Before anybody said who this is.
    pub(crate) fn new(config: Config) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(Inner {
            config,
            instance: random_id().context("could not draw an instance id")?,
            identity: watch::Sender::new(None),
            last_input_millis: AtomicI64::new(0),
            viewers: Viewers::default(),
        })))
    }

    /// The settings.
    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// New for every start of this guest.
    pub(crate) fn instance(&self) -> &str {
        &self.0.instance
    }

    /// Everybody who has a terminal open.
    pub(crate) fn viewers(&self) -> &Viewers {
        &self.0.viewers
    }

    /// None until the agent has spoken.
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        self.0.identity.borrow().clone()
    }

    /// Takes effect for the next request and the next shell.
    pub(crate) fn configure(&self, identity: Identity) {
        self.0.identity.send_replace(Some(Arc::new(identity)));
    }

    /// The learner typed, now.
    pub(crate) fn note_input(&self) {
        self.0
            .last_input_millis
            .store(unix_millis(SystemTime::now()), Ordering::Relaxed);
    }

    /// When the learner last typed, in milliseconds since 1970; 0 for never.
    pub(crate) fn last_input_millis(&self) -> i64 {
        self.0.last_input_millis.load(Ordering::Relaxed)
    }

    /// For tests that asked for port 0.
    pub(crate) fn publish_addresses(
        &self,
        terminal: std::net::SocketAddr,
        files: std::net::SocketAddr,
    ) -> anyhow::Result<()> {
        let Some(path) = &self.0.config.addresses_file else {
            return Ok(());
        };
        // Renamed into place, so that a reader never sees half of it.
        let half = path.with_extension("half");
        std::fs::write(&half, format!("{terminal}\n{files}\n"))
            .and_then(|()| std::fs::rename(&half, path))
            .context("could not write the addresses file")
    }
}

impl Identity {
    /// In constant time for secrets of the right length.
    pub(crate) fn secret_is(&self, offered: &[u8]) -> bool {
        self.secret.as_bytes().ct_eq(offered).into()
    }
}

/// 128 random bits as hex.
pub(crate) fn random_id() -> std::io::Result<String> {
    use std::fmt::Write as _;
    let mut bytes = [0_u8; 16];
    let got = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())?;
    if got != bytes.len() {
        return Err(std::io::Error::other(
            "the kernel gave too few random bytes",
        ));
    }
    Ok(bytes
        .iter()
        .fold(String::with_capacity(32), |mut hex, byte| {
            // Writing to a String cannot fail.
            write!(hex, "{byte:02x}").ok();
            hex
        }))
}

/// Milliseconds since 1970, 0 for times before.
pub(crate) fn unix_millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
