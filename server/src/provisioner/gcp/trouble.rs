//! What went wrong at Google's, and what is to be done about it: by code, never
//! by message.
//!
//! Sources: the Compute Engine pages on API quotas, on resource errors and on
//! troubleshooting VM creation; `zonesAvailable` as kubernetes and packer report
//! it from `ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS`.

use google_cloud_compute_v1::model::{Operation, operation};
use google_cloud_gax::error::{Error, rpc::StatusDetails};

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The same again, later.
    Retry,
    /// The same in another zone.
    NextZone,
    /// Nothing that this server can do helps; the text says who can.
    Permanent(&'static str),
    /// There is no such thing.
    Gone,
    /// There is such a thing already.
    Exists,
}

/// One failure as Google tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    /// What to do.
    pub(super) class: Class,
    /// Google's code, such as `QUOTA_EXCEEDED` or `rateLimitExceeded`.
    pub(super) code: String,
    /// Google's own words, for people.
    pub(super) message: String,
    /// Zones that Google says have room.
    pub(super) zones: Vec<String>,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Class::Permanent(advice) = self.class {
            write!(out, "{advice}: ")?;
        }
        write!(out, "{}", self.message)?;
        if self.code.is_empty() {
            return Ok(());
        }
        write!(out, " ({})", self.code)
    }
}

impl std::error::Error for Trouble {}

const QUOTA: &str = "the project's quota is used up, and somebody with access to Google Cloud must \
                     raise it or free some";
const DENIED: &str = "the control plane's service account may not do this, or a policy of the \
                      organization forbids it";
pub(super) const WRONG: &str = "Google refused the request as it was made: the settings of the control plane \
                     must be corrected";
const CREDENTIALS: &str = "the control plane's credentials for Google Cloud are not accepted";

/// Of an operation that ended badly.
const OPERATIONS: [(&str, Class); 16] = [
    ("ZONE_RESOURCE_POOL_EXHAUSTED", Class::NextZone),
    ("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", Class::NextZone),
    ("RESOURCE_POOL_EXHAUSTED", Class::NextZone),
    ("QUOTA_EXCEEDED", Class::Permanent(QUOTA)),
    ("CONCURRENT_OPERATIONS_QUOTA_EXCEEDED", Class::Retry),
    ("RATE_LIMIT_EXCEEDED", Class::Retry),
    ("RESOURCE_OPERATION_RATE_EXCEEDED", Class::Retry),
    ("RESOURCE_NOT_READY", Class::Retry),
    ("RESOURCE_IN_USE_BY_ANOTHER_RESOURCE", Class::Retry),
    ("INTERNAL_ERROR", Class::Retry),
    ("PERMISSIONS_ERROR", Class::Permanent(DENIED)),
    ("CONDITION_NOT_MET", Class::Permanent(DENIED)),
    ("INVALID_USAGE", Class::Permanent(WRONG)),
    ("INVALID_FIELD", Class::Permanent(WRONG)),
    ("RESOURCE_NOT_FOUND", Class::Permanent(WRONG)),
    ("RESOURCE_ALREADY_EXISTS", Class::Exists),
];

/// Of a call that was answered with an HTTP status, by Google's reason; an empty
/// reason is any other. The first that fits counts.
const CALLS: [(u16, &str, Class); 18] = [
    (400, "resourceNotReady", Class::Retry),
    (400, "", Class::Permanent(WRONG)),
    (401, "", Class::Permanent(CREDENTIALS)),
    (403, "rateLimitExceeded", Class::Retry),
    (403, "userRateLimitExceeded", Class::Retry),
    (403, "concurrentLimitExceeded", Class::Retry),
    (403, "quotaExceeded", Class::Permanent(QUOTA)),
    (403, "QUOTA_EXCEEDED", Class::Permanent(QUOTA)),
    (403, "limitExceeded", Class::Permanent(QUOTA)),
    (403, "", Class::Permanent(DENIED)),
    (404, "", Class::Gone),
    (408, "", Class::Retry),
    (409, "alreadyExists", Class::Exists),
    (409, "", Class::Retry),
    (410, "", Class::Gone),
    (412, "", Class::Permanent(DENIED)),
    (413, "", Class::Permanent(WRONG)),
    (429, "", Class::Retry),
];

impl Trouble {
    /// A call that failed.
    pub(super) fn of_call(error: &Error) -> Self {
        let status = error.status();
        let mut reasons = status.into_iter().flat_map(|status| &status.details);
        let reason = reasons
            .find_map(|details| match details {
                StatusDetails::ErrorInfo(info) => Some(info.reason.clone()),
                _ => None,
            })
            .unwrap_or_default();
        let message = match status {
            Some(status) if !status.message.is_empty() => status.message.clone(),
            _ => chain(error),
        };
        if error.is_authentication() {
            return Self::new(Class::Permanent(CREDENTIALS), String::new(), message);
        }
        let class = of_status(error.http_status_code(), &reason);
        Self::new(class, reason, message)
    }

    /// Whether Google did not take what was asked for as it was.
    pub(super) fn is_of_request(&self) -> bool {
        self.class == Class::Permanent(WRONG)
    }

    /// Whether Google's words name this field, however they spell it: its letters alone count.
    pub(super) fn names(&self, field: &str) -> bool {
        let letters = |text: &str| -> String {
            let letters = text.chars().filter(char::is_ascii_alphanumeric);
            letters.map(|letter| letter.to_ascii_lowercase()).collect()
        };
        letters(&self.message).contains(&letters(field))
    }

    /// An operation that ended badly; None if it ended well or goes on.
    pub(super) fn of_operation(operation: &Operation) -> Option<Self> {
        let errors = &operation.error.as_ref()?.errors;
        let Some(first) = errors.first() else {
            let message = operation.http_error_message.clone().unwrap_or_default();
            return Some(Self::new(Class::Retry, String::new(), message));
        };
        let code = first.code.clone().unwrap_or_default();
        let message = first.message.clone().unwrap_or_default();
        let mut trouble = Self::new(of_code(&code), code, message);
        trouble.zones = errors.iter().flat_map(hints).collect();
        Some(trouble)
    }

    fn new(class: Class, code: String, message: String) -> Self {
        Self {
            class,
            code,
            message,
            zones: vec![],
        }
    }
}

/// What has no status did not get an answer that could be read: it may have been
/// done all the same.
fn of_status(status: Option<u16>, reason: &str) -> Class {
    let Some(status) = status else {
        return Class::Retry;
    };
    let fits =
        |(of, why, _): &&(u16, &str, Class)| *of == status && (why.is_empty() || *why == reason);
    CALLS.iter().find(fits).map_or(Class::Retry, |row| row.2)
}

/// What is not in the table is tried again: that costs time, and giving up a
/// class.
fn of_code(code: &str) -> Class {
    let row = OPERATIONS.iter().find(|(of, _)| *of == code);
    row.map_or(Class::Retry, |row| row.1)
}

fn hints(error: &operation::error::Errors) -> Vec<String> {
    let infos = error.error_details.iter();
    let zones = infos
        .filter_map(|details| details.error_info.as_ref()?.metadatas.get("zonesAvailable"))
        .flat_map(|zones| zones.split(','));
    zones
        .map(|zone| zone.trim().to_owned())
        .filter(|zone| !zone.is_empty())
        .collect()
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        said = format!("{said}: {next}");
        cause = next.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use google_cloud_compute_v1::model::{ErrorInfo, operation::error::errors::ErrorDetails};

    use super::*;

    #[test]
    fn calls_are_classed_by_status_and_reason() {
        for (status, reason, want) in [
            (Some(403), "rateLimitExceeded", Class::Retry),
            (Some(403), "quotaExceeded", Class::Permanent(QUOTA)),
            (Some(403), "forbidden", Class::Permanent(DENIED)),
            (Some(400), "resourceNotReady", Class::Retry),
            (Some(400), "invalid", Class::Permanent(WRONG)),
            (Some(401), "authError", Class::Permanent(CREDENTIALS)),
            (Some(404), "notFound", Class::Gone),
            (Some(409), "alreadyExists", Class::Exists),
            (Some(409), "resourceInUse", Class::Retry),
            (Some(412), "conditionNotMet", Class::Permanent(DENIED)),
            (Some(429), "", Class::Retry),
            (Some(500), "backendError", Class::Retry),
            (Some(503), "", Class::Retry),
            (None, "", Class::Retry),
        ] {
            assert_eq!(of_status(status, reason), want, "{status:?} {reason}");
        }
    }

    #[test]
    fn operations_are_classed_by_code_and_hint_at_zones() {
        for (code, want) in [
            ("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", Class::NextZone),
            ("QUOTA_EXCEEDED", Class::Permanent(QUOTA)),
            ("RESOURCE_OPERATION_RATE_EXCEEDED", Class::Retry),
            ("SOMETHING_NEW", Class::Retry),
        ] {
            let info = ErrorInfo::new()
                .set_metadatas([("zonesAvailable", "us-central1-b, us-central1-f")]);
            let error = operation::error::Errors::new()
                .set_code(code)
                .set_message("no")
                .set_error_details([ErrorDetails::new().set_error_info(info)]);
            let ended = Operation::new().set_error(operation::Error::new().set_errors([error]));
            let trouble = Trouble::of_operation(&ended).unwrap();
            assert_eq!(trouble.class, want, "{code}");
            assert_eq!(trouble.zones, ["us-central1-b", "us-central1-f"]);
        }
        assert_eq!(Trouble::of_operation(&Operation::new()), None);
    }

    #[test]
    fn a_field_is_named_however_it_is_spelled() {
        for (message, wanted) in [
            (
                "Invalid value for field 'scheduling.preemptionNoticeDuration'",
                true,
            ),
            ("preemption_notice_duration is not supported", true),
            ("Preemption notice duration cannot be set.", true),
            ("Invalid value for field 'resource.minCpuPlatform'", false),
            ("", false),
        ] {
            let trouble = Trouble::new(Class::Permanent(WRONG), String::new(), message.to_owned());
            assert_eq!(
                trouble.names("preemptionNoticeDuration"),
                wanted,
                "{message}"
            );
        }
    }

    #[test]
    fn people_read_what_to_do() {
        let quota = Trouble::new(
            Class::Permanent(QUOTA),
            "QUOTA_EXCEEDED".to_owned(),
            "Quota 'N2_CPUS' exceeded. Limit: 24.0".to_owned(),
        );
        let said = quota.to_string();
        for part in ["quota is used up", "N2_CPUS", "(QUOTA_EXCEEDED)"] {
            assert!(said.contains(part), "{said}");
        }
    }
}
