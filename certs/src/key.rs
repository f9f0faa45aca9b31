//! Private keys (ECDSA P-256) and signing requests for them.

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DnType, KeyPair, PublicKeyData as _,
};

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

    /// A certificate that the key signed for itself, PEM: for whoever has none of a
    /// CA yet. It proves nothing but possession of the key.
    ///
    /// # Errors
    ///
    /// When `name` is no DNS name.
    pub fn self_signed(&self, name: &str) -> Result<String, CertError> {
        CertificateParams::new([name.to_owned()])
            .and_then(|params| params.self_signed(&self.0))
            .map(|certificate| certificate.pem())
            .map_err(CertError::Key)
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

/// The public key of a signing request (PKCS#10, PEM), to compare keys by.
///
/// # Errors
///
/// When it is no request, or does not prove that its maker has the key.
pub fn of_request(request: &str) -> Result<Vec<u8>, CertError> {
    CertificateSigningRequestParams::from_pem(request)
        .map(|request| request.public_key.der_bytes().to_vec())
        .map_err(CertError::Request)
}

impl std::fmt::Debug for Key {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Key(…)")
    }
}
