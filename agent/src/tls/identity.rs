//! The agent's own key and the certificate in use.
//!
//! The key is made here and never leaves the run directory. A certificate is
//! taken into use only if it fits the key, comes from the workshop's CA and
//! names this worker; new handshakes show it at once, open connections stay.
//!
//! Until there is one, and when it is over, the control plane is shown one that
//! the key signed for itself: it asks then who this is in another way
//! (`crate::enrol::network`), and is answered nothing else.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use chrono::{DateTime, Utc};
use clarateach_certs::{CertError, key::Key, tls};
use rustls::{
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    server::{ClientHello, ResolvesServerCert, VerifierBuilderError},
    sign::CertifiedKey,
};
use rustls_pki_types::{InvalidDnsNameError, ServerName, UnixTime};

use super::{browsers::ForBrowsers, is_control};
use crate::files;

/// Why a certificate is not taken into use, or the key is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// A file of the run directory.
    #[error("could not {act} {path}", path = path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The key file or the request.
    #[error("could not use the agent's key")]
    Key(#[source] CertError),
    /// Not PEM, or not for this key.
    #[error("the certificate does not fit the agent's key")]
    Unfit(#[source] CertError),
    /// Foreign, over, for another name or use.
    #[error("the certificate is not one of this workshop's CA for {name}")]
    Refused {
        /// The name it must have.
        name: String,
        /// What is wrong with it.
        #[source]
        cause: rustls::Error,
    },
    /// Not PEM, or not for its key.
    #[error("the certificate for browsers does not fit its key")]
    Browsers(#[source] CertError),
    /// Signed before the one in use.
    #[error("the certificate ends at {ends}, before the one in use")]
    Older {
        /// When it ends.
        ends: DateTime<Utc>,
    },
    /// The CA cannot be used to check with.
    #[error("could not set up the check of certificates")]
    Check(#[from] VerifierBuilderError),
    /// The CA's text.
    #[error("could not use the workshop's CA")]
    Ca(#[source] CertError),
    /// The worker's control name is no DNS name.
    #[error("could not use the worker's name")]
    Name(#[from] InvalidDnsNameError),
}

/// A key, and the certificate for it once there is one.
pub(crate) struct Identity {
    key: Key,
    key_pem: String,
    name: String,
    check: Arc<WebPkiServerVerifier>,
    /// Signed by nobody else.
    own: Arc<CertifiedKey>,
    certificate_file: PathBuf,
    inuse: RwLock<Option<InUse>>,
    browsers: RwLock<Option<ForBrowsers>>,
}

#[derive(Clone)]
struct InUse {
    certified: Arc<CertifiedKey>,
    ends: DateTime<Utc>,
}

impl Identity {
    /// Finds the key in `run_dir` or makes it (0600), and takes up the
    /// certificate that is kept there if it is still good.
    pub(crate) fn open(run_dir: &Path, name: String, ca_pem: &str) -> Result<Self, IdentityError> {
        let key_file = run_dir.join("agent.key");
        let key_pem = key_text(&key_file)?;
        let key = Key::from_pem(&key_pem).map_err(IdentityError::Key)?;
        let roots = Arc::new(tls::roots(ca_pem).map_err(IdentityError::Ca)?);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let check = WebPkiServerVerifier::builder_with_provider(roots, provider).build()?;
        let own = key.self_signed(&name).map_err(IdentityError::Key)?;
        let own = tls::certified(&own, &key_pem).map_err(IdentityError::Key)?;
        let identity = Self {
            key,
            key_pem,
            name,
            check,
            own,
            certificate_file: run_dir.join("certificate.pem"),
            inuse: RwLock::new(None),
            browsers: RwLock::new(None),
        };
        if let Ok(kept) = fs::read_to_string(&identity.certificate_file) {
            match identity.check(&kept) {
                Ok(inuse) => identity.set(inuse),
                Err(error) => tracing::info!(%error, "kept certificate was of no use"),
            }
        }
        Ok(identity)
    }

    /// A signing request for the key, PEM.
    pub(crate) fn request(&self) -> Result<String, IdentityError> {
        self.key.request(&self.name).map_err(IdentityError::Key)
    }

    /// When the certificate in use ends.
    pub(crate) fn ends(&self) -> Option<DateTime<Utc>> {
        self.get().map(|inuse| inuse.ends)
    }

    /// Whether a certificate of the workshop's CA is shown now.
    pub(crate) fn certified(&self) -> bool {
        self.ends().is_some_and(|ends| ends > Utc::now())
    }

    /// Checks a chain (PEM, leaf first), keeps it on disk and shows it from now
    /// on. Returns when it ends.
    pub(crate) fn install(&self, chain_pem: &str) -> Result<DateTime<Utc>, IdentityError> {
        self.keep(chain_pem, self.check(chain_pem)?)
    }

    /// As [`Self::install`], but only what is newer: `None` for the certificate
    /// that is in use, an error for one that ends before it.
    pub(crate) fn take_up(&self, chain_pem: &str) -> Result<Option<DateTime<Utc>>, IdentityError> {
        let now = self.get();
        let leaf = tls::chain(chain_pem).map_err(IdentityError::Unfit)?;
        if let Some(now) = &now
            && now.certified.cert.first() == leaf.first()
        {
            return Ok(None); // even if it is over: nothing new to refuse
        }
        let next = self.check(chain_pem)?;
        if now.is_some_and(|now| next.ends < now.ends) {
            return Err(IdentityError::Older { ends: next.ends });
        }
        self.keep(chain_pem, next).map(Some)
    }

    fn keep(&self, chain_pem: &str, inuse: InUse) -> Result<DateTime<Utc>, IdentityError> {
        files::write_private(&self.certificate_file, chain_pem.as_bytes()).map_err(|cause| {
            IdentityError::File {
                act: "write",
                path: self.certificate_file.clone(),
                cause,
            }
        })?;
        let ends = inuse.ends;
        self.set(inuse);
        Ok(ends)
    }

    fn check(&self, chain_pem: &str) -> Result<InUse, IdentityError> {
        let certified = tls::certified(chain_pem, &self.key_pem).map_err(IdentityError::Unfit)?;
        let (leaf, intermediates) = certified
            .cert
            .split_first()
            .ok_or(IdentityError::Unfit(CertError::Pem("certificate")))?;
        let name = ServerName::try_from(self.name.as_str())?;
        self.check
            .verify_server_cert(leaf, intermediates, &name, &[], UnixTime::now())
            .map_err(|cause| IdentityError::Refused {
                name: self.name.clone(),
                cause,
            })?;
        let ends = tls::expiry(chain_pem).map_err(IdentityError::Unfit)?;
        Ok(InUse { certified, ends })
    }

    /// Shows browsers this chain from now on, under the names that it is for; with none,
    /// what everybody is shown.
    pub(crate) fn show_browsers(&self, pem: Option<(&str, &str)>) -> Result<(), IdentityError> {
        let read = pem.map(|(chain, key)| ForBrowsers::read(chain, key));
        let read = read.transpose().map_err(IdentityError::Browsers)?;
        *self
            .browsers
            .write()
            .unwrap_or_else(PoisonError::into_inner) = read;
        Ok(())
    }

    fn for_browser(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let shown = self.browsers.read().unwrap_or_else(PoisonError::into_inner);
        shown.as_ref()?.under(name)
    }

    fn get(&self) -> Option<InUse> {
        let inuse = self.inuse.read().unwrap_or_else(PoisonError::into_inner);
        inuse.clone()
    }

    fn set(&self, inuse: InUse) {
        let mut place = self.inuse.write().unwrap_or_else(PoisonError::into_inner);
        *place = Some(inuse);
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        match is_control(name) {
            true if !self.certified() => Some(self.own.clone()),
            true => self.get().map(|inuse| inuse.certified),
            false => self
                .for_browser(name)
                .or_else(|| self.get().map(|inuse| inuse.certified)),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Identity({})", self.name)
    }
}

fn key_text(file: &Path) -> Result<String, IdentityError> {
    let failed = |act| {
        move |cause| IdentityError::File {
            act,
            path: file.to_owned(),
            cause,
        }
    };
    match fs::read_to_string(file) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = Key::generate().map_err(IdentityError::Key)?.to_pem();
            files::write_private(file, text.as_bytes()).map_err(failed("write"))?;
            Ok(text)
        }
        Err(error) => Err(failed("read")(error)),
    }
}
