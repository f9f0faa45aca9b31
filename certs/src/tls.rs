//! From PEM to rustls, and the name in a peer's certificate.
//!
//! TLS 1.3 and 1.2 (AEAD suites only, which is all rustls has); ALPN is chosen
//! by the caller.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::CryptoProvider,
    server::{ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use x509_parser::{extensions::GeneralName, prelude::FromDer};

use crate::CertError;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// All certificates in PEM text, at least one.
pub fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| CertError::Pem("certificate"))?;
    if chain.is_empty() {
        return Err(CertError::Pem("certificate"));
    }
    Ok(chain)
}

/// The first private key in PEM text.
pub fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, CertError> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| CertError::Pem("private key"))
}

/// A chain and its key, checked to belong together.
pub fn certified(chain_pem: &str, key_pem: &str) -> Result<Arc<CertifiedKey>, CertError> {
    let key = private_key(key_pem)?;
    CertifiedKey::from_der(chain(chain_pem)?, key, &provider())
        .map(Arc::new)
        .map_err(CertError::Tls)
}

/// A root store of the certificates in PEM text.
pub fn roots(ca_pem: &str) -> Result<RootCertStore, CertError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(ca_pem)? {
        roots.add(certificate).map_err(CertError::Tls)?;
    }
    Ok(roots)
}

/// A server that asks nobody for a certificate.
pub fn server(certificate: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, CertError> {
    Ok(ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(CertError::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(certificate))
}

/// A server that talks to nobody without a certificate of `client_ca` (PEM).
pub fn server_for(
    client_ca: &str,
    certificate: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig, CertError> {
    let check =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots(client_ca)?), provider())
            .build()
            .map_err(CertError::ClientCheck)?;
    Ok(ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(CertError::Tls)?
        .with_client_cert_verifier(check)
        .with_cert_resolver(certificate))
}

/// A client that trusts only `ca` (PEM) and shows nothing.
pub fn client(ca: &str) -> Result<ClientConfig, CertError> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(CertError::Tls)?
        .with_root_certificates(roots(ca)?)
        .with_no_client_auth())
}

/// A client that trusts only `ca` (PEM) and shows `chain_pem`.
pub fn client_with(ca: &str, chain_pem: &str, key_pem: &str) -> Result<ClientConfig, CertError> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(CertError::Tls)?
        .with_root_certificates(roots(ca)?)
        .with_client_auth_cert(chain(chain_pem)?, private_key(key_pem)?)
        .map_err(CertError::Tls)
}

/// A client that shows `chain_pem` and takes any certificate whose key the other end
/// has: for the one question who that is, which is answered in another way. Nothing
/// that is secret may be said over such a connection.
///
/// # Errors
///
/// When the chain does not fit the key.
pub fn client_to_unknown(chain_pem: &str, key_pem: &str) -> Result<ClientConfig, CertError> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(CertError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unknown(provider())))
        .with_client_auth_cert(chain(chain_pem)?, private_key(key_pem)?)
        .map_err(CertError::Tls)
}

/// Takes whatever certificate is shown, but wants its key proved.
#[derive(Debug)]
struct Unknown(Arc<CryptoProvider>);

impl ServerCertVerifier for Unknown {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// The one URI a peer's certificate names, if it names exactly one.
pub fn uri(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    let mut uris = names.value.general_names.iter().filter_map(|name| {
        if let GeneralName::URI(uri) = name {
            Some((*uri).to_owned())
        } else {
            None
        }
    });
    let first = uris.next()?;
    uris.next().is_none().then_some(first)
}

/// When the first certificate in PEM text ends.
pub fn expiry(pem: &str) -> Result<DateTime<Utc>, CertError> {
    let chain = chain(pem)?;
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(&chain[0])
        .map_err(|_| CertError::Pem("certificate"))?;
    DateTime::from_timestamp(parsed.validity().not_after.timestamp(), 0).ok_or(CertError::Time)
}
