//! How an agent on a VM of Google's gets a certificate: over the connection of the
//! control plane, which does not know it yet.
//!
//! Way: the agent's signing request -> its hash in the audience of a token that only
//! this VM can have of Google -> both to the control plane, which knows which VM it
//! made -> `InstallCertificate`. Nothing of it is secret.

use std::sync::Mutex;

use clarateach_domain::{enrolment, ids::WorkshopId};
use clarateach_proto::agent::EnrolResponse;

use crate::{
    metadata::{Metadata, MetadataError},
    tls::{Identity, IdentityError},
};

/// Why it cannot.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrolError {
    /// The key.
    #[error("the agent's key is of no use")]
    Identity(#[from] IdentityError),
    /// Google does not say who this is.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
}

/// Asks Google who this is.
pub(crate) struct Vouched {
    metadata: Metadata,
    /// The one request of this process: each signature over it would differ, and with
    /// it what is vouched for.
    request: Mutex<Option<String>>,
}

impl Vouched {
    pub(crate) fn new(metadata: Metadata) -> Self {
        Self {
            metadata,
            request: Mutex::new(None),
        }
    }

    /// The signing request, and Google's word bound to it.
    pub(crate) async fn enrol(
        &self,
        identity: &Identity,
        workshop: &WorkshopId,
    ) -> Result<EnrolResponse, EnrolError> {
        let request = self.request(identity)?;
        let audience = enrolment::audience(workshop, &request);
        Ok(EnrolResponse {
            identity_token: self.metadata.identity_token(&audience).await?,
            certificate_request: request,
        })
    }

    fn request(&self, identity: &Identity) -> Result<String, EnrolError> {
        let mut kept = self
            .request
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(request) = &*kept {
            return Ok(request.clone());
        }
        let request = identity.request()?;
        *kept = Some(request.clone());
        Ok(request)
    }
}
