//! How a local agent gets a certificate through files: its first, and the one
//! it needs when nobody could renew in time.
//!
//! Way: `request.pem` out -> the control plane signs -> `certificate.pem` in ->
//! [`Identity::take_up`]. While both ends meet, renewal comes by
//! `InstallCertificate`. A control plane that was away longer than a leaf lives
//! cannot call an agent whose leaf is over; it writes the file. How an agent on a VM
//! gets one: [`network`].

use std::{
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tracing::{info, warn};

use crate::{files, tls::Identity};

pub(crate) mod network;

/// How often the folder is looked at until the certificate is there.
const POLL: Duration = Duration::from_millis(100);
/// And from then on: one small file, always. To wait for half life would leave
/// an agent that came back at another address with the old one's name for hours.
pub(crate) const LOOK: Duration = Duration::from_secs(5);

/// Returns once a good certificate is in use: at once if one was kept.
pub(crate) async fn through_files(identity: &Identity, folder: &Path) -> anyhow::Result<()> {
    if let Some(ends) = identity.ends() {
        info!(%ends, "kept certificate taken up");
        return Ok(());
    }
    fs::create_dir_all(folder)
        .with_context(|| format!("could not make --enrol-dir {}", folder.display()))?;
    let request = identity.request()?;
    files::write_public(&folder.join("request.pem"), request.as_bytes())
        .context("could not write the signing request")?;
    info!("signing request written");
    let mut given = Given::of(identity, folder);
    // Absent until signed; an old one of a former key is passed over.
    while given.look().is_none() {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Takes up whatever newer certificate lies in `folder`, looking `every` so
/// often and at once; to be raced with the end of the agent.
pub(crate) async fn afterwards(identity: &Identity, folder: &Path, every: Duration) -> Infallible {
    let mut given = Given::of(identity, folder);
    loop {
        given.look();
        tokio::time::sleep(every).await;
    }
}

/// The file the control plane writes.
struct Given<'a> {
    identity: &'a Identity,
    file: PathBuf,
    /// The last text that was of no use: told once.
    refused: String,
}

impl<'a> Given<'a> {
    fn of(identity: &'a Identity, folder: &Path) -> Self {
        Self {
            identity,
            file: folder.join("certificate.pem"),
            refused: String::new(),
        }
    }

    /// When the certificate ends that was taken into use by this look.
    fn look(&mut self) -> Option<DateTime<Utc>> {
        let chain = fs::read_to_string(&self.file).ok()?;
        match self.identity.take_up(&chain) {
            Ok(taken) => {
                if let Some(ends) = taken {
                    info!(%ends, "certificate taken into use");
                }
                taken
            }
            Err(error) => {
                if self.refused != chain {
                    warn!(error = %anyhow::Error::new(error), "certificate was refused");
                    self.refused = chain;
                }
                None
            }
        }
    }
}
