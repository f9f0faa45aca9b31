//! A workshop's own certificates: its CA, the leaves it signs, and the rustls
//! settings made from them.
//!
//! Way: `Ca::generate` (control plane) -> `Key` and `request` (whoever holds the
//! key) -> `Ca::sign_*` -> `tls` (both ends of a connection). Chains pass
//! `openssl verify -x509_strict`.

pub mod ca;
pub mod key;
pub mod tls;

/// What can go wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// A key could not be made, read or used.
    #[error("could not use the private key")]
    Key(#[source] rcgen::Error),
    /// The CA's certificate or key could not be used.
    #[error("could not use the certificate authority")]
    Ca(#[source] rcgen::Error),
    /// A signing request is damaged, badly signed or of an unknown kind.
    #[error("could not read the signing request")]
    Request(#[source] rcgen::Error),
    /// A leaf could not be signed.
    #[error("could not sign the certificate")]
    Sign(#[source] rcgen::Error),
    /// A name does not fit into a certificate.
    #[error("{0:?} cannot stand in a certificate")]
    Name(String),
    /// PEM text holds no certificate or key, or a damaged one.
    #[error("no usable {0} in the PEM text")]
    Pem(&'static str),
    /// rustls refused what it was given.
    #[error("could not set up TLS")]
    Tls(#[source] rustls::Error),
    /// rustls could not use the CA for checking clients.
    #[error("could not set up the check of client certificates")]
    ClientCheck(#[source] rustls::server::VerifierBuilderError),
    /// A time lies outside of what certificates can say.
    #[error("a certificate cannot be valid at that time")]
    Time,
}
