//! The server's own certificate, read again when its file changes.
//!
//! Way: PEM files -> rustls; connections that are open keep the old one. So a
//! certificate is renewed by writing its files, without a restart.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use clarateach_certs::tls;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(30);

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Debug)]
struct Present(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Present {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().ok().map(|present| present.clone())
    }
}

impl Files {
    fn read(&self) -> anyhow::Result<Arc<CertifiedKey>> {
        let text = |path: &Path| {
            fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
        };
        tls::certified(&text(&self.certificate)?, &text(&self.key)?).with_context(|| {
            format!(
                "{} and {} do not make a certificate and its key",
                self.certificate.display(),
                self.key.display()
            )
        })
    }

    fn changed(&self) -> Option<(SystemTime, SystemTime)> {
        let at = |path: &Path| fs::metadata(path).and_then(|file| file.modified()).ok();
        Some((at(&self.certificate)?, at(&self.key)?))
    }
}

/// TLS with the certificate in these files, for as long as the process lives.
pub fn acceptor(certificate: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let files = Files {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
    };
    let mut seen = files.changed();
    let present = Arc::new(Present(RwLock::new(files.read()?)));
    let mut config = tls::server(present.clone()).context("could not set up TLS")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    tokio::spawn(async move {
        let mut clock = interval(LOOK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            clock.tick().await;
            let now = files.changed();
            if now == seen {
                continue;
            }
            match files.read() {
                Ok(fresh) => {
                    seen = now;
                    if let Ok(mut present) = present.0.write() {
                        *present = fresh;
                    }
                    info!("certificate read again");
                }
                // Half written, perhaps: the old one serves until it is whole.
                Err(cause) => warn!(error = ?cause, "the changed certificate is not used"),
            }
        }
    });
    Ok(TlsAcceptor::from(Arc::new(config)))
}
