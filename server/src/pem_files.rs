//! A certificate and its key in two files, read again when they change: so it is renewed
//! by writing its files, without a restart.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Context;
use clarateach_certs::tls;
use rustls::sign::CertifiedKey;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(30);

/// Where they are.
#[derive(Debug)]
pub(crate) struct PemFiles {
    certificate: PathBuf,
    key: PathBuf,
}

/// What is in them.
pub(crate) struct Pem {
    /// The chain, PEM.
    pub chain: String,
    /// The key, PEM.
    pub key: String,
    /// Both, checked to belong together.
    pub certified: Arc<CertifiedKey>,
}

impl PemFiles {
    /// Of these two files.
    pub(crate) fn new(certificate: &Path, key: &Path) -> Self {
        Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        }
    }

    /// What is in them now.
    pub(crate) fn read(&self) -> anyhow::Result<Pem> {
        let text = |path: &Path| {
            fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
        };
        let (chain, key) = (text(&self.certificate)?, text(&self.key)?);
        let certified = tls::certified(&chain, &key).with_context(|| {
            format!(
                "{} and {} do not make a certificate and its key",
                self.certificate.display(),
                self.key.display()
            )
        })?;
        Ok(Pem {
            chain,
            key,
            certified,
        })
    }

    /// Hands over what is in them whenever that changed, for as long as it is polled. What
    /// `take` refuses is not used.
    pub(crate) async fn follow(self, take: impl Fn(Pem) -> anyhow::Result<()>) {
        let mut seen = self.changed();
        let mut clock = interval(LOOK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            let now = self.changed();
            if now == seen {
                continue;
            }
            match self.read().and_then(&take) {
                Ok(()) => {
                    seen = now;
                    info!(certificate = %self.certificate.display(), "certificate read again");
                }
                // Half written, perhaps: the old one serves until it is whole.
                Err(cause) => warn!(error = ?cause, "the changed certificate is not used"),
            }
        }
    }

    fn changed(&self) -> Option<(SystemTime, SystemTime)> {
        let at = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        Some((at(&self.certificate)?, at(&self.key)?))
    }
}
