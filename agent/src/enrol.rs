//! How a local agent gets its first certificate: through files.
//!
//! Way: `request.pem` out -> the control plane signs -> `certificate.pem` in ->
//! [`Identity::install`]. Renewal comes by `InstallCertificate`, never this way.

use std::{fs, path::Path, time::Duration};

use anyhow::Context as _;
use tracing::{info, warn};

use crate::{files, tls::Identity};

/// How often the folder is looked at until the certificate is there.
const POLL: Duration = Duration::from_millis(100);

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
    let mut refused = String::new();
    loop {
        // Absent until signed; an old one of a former key is passed over.
        if let Ok(chain) = fs::read_to_string(folder.join("certificate.pem")) {
            match identity.install(&chain) {
                Ok(ends) => {
                    info!(%ends, "certificate taken into use");
                    return Ok(());
                }
                Err(error) if refused != chain => {
                    warn!(error = %anyhow::Error::new(error), "certificate was refused");
                    refused = chain;
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep(POLL).await;
    }
}
