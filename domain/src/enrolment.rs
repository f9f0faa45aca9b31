//! How a VM of Google's proves which worker it is.
//!
//! Way: the agent's signing request -> [`audience`] -> Google's token for it -> its
//! claims, checked by signature outside -> [`Vm::check`] against the VM that was made.
//! <https://cloud.google.com/compute/docs/instances/verifying-instance-identity>

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::ids::WorkshopId;

/// Whom a token is for: this workshop, and this signing request (PEM) alone, so that
/// it proves nothing for any other key.
#[must_use]
pub fn audience(workshop: &WorkshopId, request: &str) -> String {
    let mut text = format!("clarateach:{workshop}:");
    for byte in Sha256::digest(request.as_bytes()) {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

/// A VM, by what Google can vouch for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vm {
    /// Google's number for it, never given twice.
    pub instance_id: String,
    /// The project's id.
    pub project: String,
    /// Its zone, such as `us-central1-a`.
    pub zone: String,
}

/// Why a token proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotThatVm {
    /// It tells no VM: a token of something else, or not in full.
    #[error("its token does not say of which VM it is")]
    NoVm,
    /// Another VM's.
    #[error("its token is of the VM {found}, and {wanted} was made")]
    Other {
        /// By the token.
        found: String,
        /// The one that was made.
        wanted: String,
    },
}

impl Vm {
    /// Whether `claimed`, as a token of Google's says, is this VM.
    ///
    /// # Errors
    ///
    /// When it is another one, or none.
    pub fn check(&self, claimed: Option<&Self>) -> Result<(), NotThatVm> {
        match claimed {
            None => Err(NotThatVm::NoVm),
            Some(claimed) if claimed == self => Ok(()),
            Some(claimed) => Err(NotThatVm::Other {
                found: claimed.words(),
                wanted: self.words(),
            }),
        }
    }

    fn words(&self) -> String {
        format!("{} in {} of {}", self.instance_id, self.zone, self.project)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vm(instance_id: &str, project: &str, zone: &str) -> Vm {
        Vm {
            instance_id: instance_id.into(),
            project: project.into(),
            zone: zone.into(),
        }
    }

    #[test]
    fn a_token_is_for_one_request_of_one_workshop() {
        let (a, b): (WorkshopId, WorkshopId) = (
            "ws-0123456789".parse().unwrap(),
            "ws-abcdefghij".parse().unwrap(),
        );
        assert_eq!(
            audience(&a, ""),
            "clarateach:ws-0123456789:\
             e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_ne!(audience(&a, "one"), audience(&b, "one"));
        assert_ne!(audience(&a, "one"), audience(&a, "two"));
    }

    #[test]
    fn only_the_vm_that_was_made_is_believed() {
        let made = vm("77", "classes", "us-central1-a");
        assert_eq!(made.check(Some(&made.clone())), Ok(()));
        assert_eq!(made.check(None), Err(NotThatVm::NoVm));
        for other in [
            vm("78", "classes", "us-central1-a"),
            vm("77", "others", "us-central1-a"),
            vm("77", "classes", "us-central1-b"),
        ] {
            assert!(matches!(
                made.check(Some(&other)),
                Err(NotThatVm::Other { .. })
            ));
        }
    }
}
