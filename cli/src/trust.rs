//! Whom a connection believes: the control plane by this machine's certificates
//! (or a file), a worker by its workshop's CA alone.

use std::{fs, path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};

use crate::{
    api::ControlPlane,
    failure::{Exit, Failure},
};

/// TLS that believes this PEM and nothing else.
pub(crate) fn pinned(pem: &str) -> Result<Arc<ClientConfig>, Failure> {
    Ok(config(roots_of(pem)?))
}

/// TLS for plain HTTP and WebSockets of the control plane.
pub(crate) fn control_plane(server: &ControlPlane) -> Result<Arc<ClientConfig>, Failure> {
    Ok(config(control_plane_roots(server)?))
}

/// Whom the control plane's certificate must come from.
pub(crate) fn control_plane_roots(server: &ControlPlane) -> Result<RootCertStore, Failure> {
    if let Some(pin) = &server.pin {
        return roots_of(pin);
    }
    if let Some(file) = &server.ca {
        return roots_of(&read_pem(file)?);
    }
    let mut roots = RootCertStore::empty();
    // Bundles have an unreadable certificate now and then; the others still count.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(
            Failure::new(Exit::Fault, "this machine trusts no certificates at all")
                .hint("Install ca-certificates, or name a file with --ca."),
        );
    }
    Ok(roots)
}

pub(crate) fn roots_of(pem: &str) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate
            .map_err(|error| Failure::fault("could not read the certificate to trust", error))?;
        roots
            .add(certificate)
            .map_err(|error| Failure::fault("could not use the certificate to trust", error))?;
    }
    if roots.is_empty() {
        return Err(Failure::new(
            Exit::Fault,
            "there is no certificate to trust where one should be",
        ));
    }
    Ok(roots)
}

/// A PEM file's text.
pub(crate) fn read_pem(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file)
        .map_err(|error| Failure::fault(format!("could not read {}", file.display()), error))
}

fn config(roots: RootCertStore) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // WebSockets and WebDAV here are HTTP/1.1; gRPC brings its own connector.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
