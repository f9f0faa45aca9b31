//! Private keys (ECDSA P-256) and signing requests for them.

use rcgen::{CertificateParams, DnType, KeyPair};

use crate::CertError;

/// A private key that stays with whoever made it.
pub struct Key(pub(crate) KeyPair);

impl Key {
    /// A fresh key from the system's secure source.
    pub fn generate() -> Result<Self, CertError> {
        KeyPair::generate().map(Self).map_err(CertError::Key)
    }

    /// A key from PKCS#8 PEM.
    pub fn from_pem(pem: &str) -> Result<Self, CertError> {
        KeyPair::from_pem(pem).map(Self).map_err(CertError::Key)
    }

    /// PKCS#8 PEM. A secret: files of it are 0600.
    pub fn to_pem(&self) -> String {
        self.0.serialize_pem()
    }

    /// The public half as PEM, to compare keys by.
    pub fn public_pem(&self) -> String {
        self.0.public_key_pem()
    }

    /// A PKCS#10 request, PEM, that proves possession of the key. Names and
    /// uses in it are suggestions: the CA writes its own.
    pub fn request(&self, common_name: &str) -> Result<String, CertError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params
            .serialize_request(&self.0)
            .and_then(|request| request.pem())
            .map_err(CertError::Key)
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Key(…)")
    }
}
