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

/// Who this guest is, and which of its lives this is.
struct Known {
    instance: String,
    identity: Arc<Identity>,
}

struct Inner {
    config: Config,
    identity: watch::Sender<Option<Known>>,
    last_input_millis: AtomicI64,
    viewers: Viewers,
}

/// Cheap handle.
#[derive(Clone)]
pub(crate) struct Seat(Arc<Inner>);

impl Seat {
    /// Before anybody said who this is.
    pub(crate) fn new(config: Config) -> Self {
        Self(Arc::new(Inner {
            config,
            identity: watch::Sender::new(None),
            last_input_millis: AtomicI64::new(0),
            viewers: Viewers::default(),
        }))
    }

    /// The settings.
    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    /// New for every start and every restore of this guest; empty before it
    /// knows who it is, because a snapshot's clones would share it.
    pub(crate) fn instance(&self) -> String {
        let known = self.0.identity.borrow();
        known
            .as_ref()
            .map_or_else(String::new, |known| known.instance.clone())
    }

    /// Everybody who has a terminal open.
    pub(crate) fn viewers(&self) -> &Viewers {
        &self.0.viewers
    }

    /// None until the agent has spoken.
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        let known = self.0.identity.borrow();
        known.as_ref().map(|known| Arc::clone(&known.identity))
    }

    /// Takes effect for the next request and the next shell.
    pub(crate) fn configure(&self, identity: Identity) -> std::io::Result<()> {
        let instance = match self.instance() {
            none if none.is_empty() => random_id()?,
            present => present,
        };
        self.0.identity.send_replace(Some(Known {
            instance,
            identity: Arc::new(identity),
        }));
        Ok(())
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
