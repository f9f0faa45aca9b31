//! The server's own TLS.
//!
//! Way: PEM files ([`PemFiles`]) -> rustls; connections that are open keep the certificate
//! that they began with.

use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::Context;
use clarateach_certs::tls;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

use crate::pem_files::PemFiles;

#[derive(Debug)]
struct Present(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Present {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().ok().map(|present| present.clone())
    }
}

/// TLS with the certificate in these files, for as long as the process lives.
pub fn acceptor(certificate: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let files = PemFiles::new(certificate, key);
    let present = Arc::new(Present(RwLock::new(files.read()?.certified)));
    let mut config = tls::server(present.clone()).context("could not set up TLS")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    tokio::spawn(files.follow(move |fresh| {
        *present.0.write().unwrap_or_else(PoisonError::into_inner) = fresh.certified;
        Ok(())
    }));
    Ok(TlsAcceptor::from(Arc::new(config)))
}
