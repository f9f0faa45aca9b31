//! A workshop's certificate authority and the leaves it signs.
//!
//! Only the control plane holds one. What a leaf may do is decided here and
//! never by the request: an agent serves, a control plane or gateway dials.

use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType, SerialNumber,
};

use crate::{CertError, key::Key};

/// Leaves start this long before they are signed: a learner's clock may be an hour late,
/// as when a machine takes summer time for its own.
pub const BACKDATE: Duration = Duration::from_mins(70);
/// The longest life of a leaf.
pub const MAX_LEAF_LIFE: Duration = Duration::from_hours(24);

/// A certificate authority.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    ends: Option<DateTime<Utc>>,
}

/// Who dials agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialler {
    /// May drive the agent.
    ControlPlane,
    /// May only carry learners.
    Gateway,
}

impl Dialler {
    /// The URI in its certificate: `spiffe://clarateach/{workshop}/…`.
    pub fn uri(self, workshop: &str) -> String {
        let role = match self {
            Self::ControlPlane => "control-plane",
            Self::Gateway => "gateway",
        };
        format!("spiffe://clarateach/{workshop}/{role}")
    }
}

impl Ca {
    /// A new authority for one workshop, valid from `now` for `life`.
    pub fn generate(workshop: &str, now: DateTime<Utc>, life: Duration) -> Result<Self, CertError> {
        let mut params = params(&format!("ClaraTeach workshop {workshop}"), now, life)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(CertError::Key)?;
        let pem = key.serialize_pem();
        let certificate = CertifiedIssuer::self_signed(params, key)
            .map_err(CertError::Ca)?
            .pem();
        Self::from_pem(&certificate, &pem)
    }

    /// An authority that was made earlier.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, CertError> {
        let key = KeyPair::from_pem(key).map_err(CertError::Key)?;
        Ok(Self {
            issuer: Issuer::from_ca_cert_pem(certificate, key).map_err(CertError::Ca)?,
            certificate: certificate.to_owned(),
            ends: crate::tls::expiry(certificate).ok(),
        })
    }

    /// Its certificate, PEM: public.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// Its key, PKCS#8 PEM: sealed before it is stored.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A server certificate for the agent that made `request` (PEM): for
    /// `control_name`, which the control plane dials, and for its `addresses`.
    pub fn sign_agent(
        &self,
        request: &str,
        control_name: &str,
        addresses: &[IpAddr],
        now: DateTime<Utc>,
        life: Duration,
    ) -> Result<String, CertError> {
        let request =
            CertificateSigningRequestParams::from_pem(request).map_err(CertError::Request)?;
        let mut params = self.leaf(control_name, now, life)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = vec![SanType::DnsName(name(control_name)?)];
        let ips = addresses.iter().copied().map(SanType::IpAddress);
        params.subject_alt_names.extend(ips);
        let leaf = params
            .signed_by(&request.public_key, &self.issuer)
            .map_err(CertError::Sign)?;
        Ok(leaf.pem())
    }

    /// A client certificate for whoever holds `key`.
    pub fn sign_dialler(
        &self,
        key: &Key,
        who: Dialler,
        workshop: &str,
        now: DateTime<Utc>,
        life: Duration,
    ) -> Result<String, CertError> {
        let uri = who.uri(workshop);
        let mut params = self.leaf(&uri, now, life)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::URI(name(&uri)?)];
        let leaf = params
            .signed_by(&key.0, &self.issuer)
            .map_err(CertError::Sign)?;
        Ok(leaf.pem())
    }

    /// What all leaves share. A leaf never outlives its authority.
    fn leaf(
        &self,
        subject: &str,
        now: DateTime<Utc>,
        life: Duration,
    ) -> Result<CertificateParams, CertError> {
        let left = self
            .ends
            .and_then(|ends| (ends - now).to_std().ok())
            .unwrap_or_default();
        let mut params = params(subject, now, life.min(MAX_LEAF_LIFE).min(left))?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        Ok(params)
    }
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Ca(…)")
    }
}

fn params(
    subject: &str,
    now: DateTime<Utc>,
    life: Duration,
) -> Result<CertificateParams, CertError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    // X.520 allows 64 characters; the names that count are in the SANs.
    let subject: String = subject.chars().take(64).collect();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.serial_number = Some(serial()?);
    params.not_before = (now - BACKDATE).timestamp().try_into_offset()?;
    params.not_after = (now + life).timestamp().try_into_offset()?;
    Ok(params)
}

/// 127 random bits: two leaves of one key must differ.
fn serial() -> Result<SerialNumber, CertError> {
    let mut bytes = [0_u8; 16];
    rustls::crypto::ring::default_provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| CertError::Tls(rustls::Error::FailedToGetRandomBytes))?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn name(text: &str) -> Result<rcgen::string::Ia5String, CertError> {
    text.try_into()
        .map_err(|_| CertError::Name(text.to_owned()))
}

trait IntoOffset {
    fn try_into_offset(self) -> Result<time::OffsetDateTime, CertError>;
}

impl IntoOffset for i64 {
    fn try_into_offset(self) -> Result<time::OffsetDateTime, CertError> {
        time::OffsetDateTime::from_unix_timestamp(self).map_err(|_| CertError::Time)
    }
}
