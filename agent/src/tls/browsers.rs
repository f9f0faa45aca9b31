//! The certificate that browsers are shown: one that they know, for names of this worker.
//!
//! It comes from the control plane and is kept in memory alone. Who asks for a name that
//! it is not for (an address, above all) is shown the workshop's own.

use std::sync::Arc;

use clarateach_certs::{CertError, tls};
use rustls::{client::verify_server_name, server::ParsedCertificate, sign::CertifiedKey};
use rustls_pki_types::ServerName;

/// A chain with its key, and the names that it is for.
#[derive(Clone)]
pub(super) struct ForBrowsers(Arc<CertifiedKey>);

impl ForBrowsers {
    /// From PEM; the two must belong together.
    pub(super) fn read(chain_pem: &str, key_pem: &str) -> Result<Self, CertError> {
        tls::certified(chain_pem, key_pem).map(Self)
    }

    /// What to show whoever asks for `name`; `None` if it is not for that name.
    pub(super) fn under(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let name = ServerName::try_from(name?).ok()?;
        let leaf = ParsedCertificate::try_from(self.0.cert.first()?).ok()?;
        verify_server_name(&leaf, &name).ok()?;
        Some(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::Utc;
    use clarateach_certs::{
        ca::{Ca, Dialler},
        key::Key,
    };

    use super::*;
    use crate::testing::{CONTROL_NAME, Stage, WORKSHOP};

    #[tokio::test]
    async fn browsers_are_shown_their_certificate_under_its_names_and_nobody_else_is() {
        let stage = Stage::start().await;
        let (now, life) = (Utc::now(), Duration::from_mins(10));
        let known = Ca::generate(WORKSHOP, now, life).unwrap();
        let key = Key::generate().unwrap();
        let request = key.request("x").unwrap();
        let chain = known.sign_agent(&request, "*.w.example.org", &[], now, life);
        let (chain, key) = (chain.unwrap(), key.to_pem());
        let trusting = |ca: &Ca| tls::client(ca.certificate_pem()).unwrap();
        let named = "192-0-2-7.w.example.org";
        let before = stage.dial(trusting(&known), named).await;
        assert!(before.is_err(), "nothing was given yet");

        let foreign = Key::generate().unwrap().to_pem();
        let refused = stage.identity.show_browsers(Some((&chain, &foreign)));
        assert!(refused.is_err(), "a key of somebody else");
        stage.identity.show_browsers(Some((&chain, &key))).unwrap();
        for (what, settings, name, works) in [
            ("a browser", trusting(&known), named, true),
            ("a client that pins", trusting(&stage.ca), "127.0.0.1", true),
            (
                "a browser, by address",
                trusting(&known),
                "127.0.0.1",
                false,
            ),
            ("another name", trusting(&known), "a.b.w.example.org", false),
            (
                "the control plane",
                stage.dialler_settings(&stage.ca, Dialler::ControlPlane, WORKSHOP),
                CONTROL_NAME,
                true,
            ),
        ] {
            assert_eq!(stage.dial(settings, name).await.is_ok(), works, "{what}");
        }

        stage.identity.show_browsers(None).unwrap();
        assert!(stage.dial(trusting(&known), named).await.is_err());
    }
}
