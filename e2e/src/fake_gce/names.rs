//! What may be a name, a label and an entry of metadata.

use std::collections::BTreeSet;

use serde_json::Value;

use super::refusal::Refusal;

const METADATA_VALUE: usize = 256 * 1024;
const METADATA_ALL: usize = 512 * 1024;

/// RFC 1035, as Compute wants every name.
pub(crate) fn is_name(text: &str) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text.bytes().all(inner)
}

/// `resource.name`, which must be there and be one.
pub(crate) fn name_of(body: &Value) -> Result<&str, Refusal> {
    let name = body["name"].as_str().unwrap_or_default();
    if is_name(name) {
        return Ok(name);
    }
    let why = "Must be a match of regex '(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)'";
    Err(Refusal::field("resource.name", name, why))
}

/// At most 64 labels; keys begin with a letter; no capitals.
pub(crate) fn check_labels(labels: &Value, at: &str) -> Result<(), Refusal> {
    let Some(labels) = labels.as_object() else {
        return Ok(());
    };
    if labels.len() > 64 {
        return Err(Refusal::field(at, labels.len(), "At most 64 labels."));
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
    for (key, value) in labels {
        let value = value.as_str().unwrap_or_default();
        let begins = key.starts_with(|c: char| c.is_ascii_lowercase());
        if !begins || key.len() > 63 || !key.chars().all(plain) {
            return Err(Refusal::field(at, key, "Not a label key."));
        }
        if value.len() > 63 || !value.chars().all(plain) {
            return Err(Refusal::field(at, value, "Not a label value."));
        }
    }
    Ok(())
}

/// Keys are there, unlike one another and short; values have a size.
pub(crate) fn check_metadata(metadata: &Value, at: &str) -> Result<(), Refusal> {
    let mut all = 0;
    let mut seen = BTreeSet::new();
    for item in metadata["items"].as_array().into_iter().flatten() {
        let Some(key) = item["key"].as_str() else {
            return Err(Refusal::required(&format!("{at}.items.key")));
        };
        let value = item["value"].as_str().unwrap_or_default();
        if !seen.insert(key) {
            return Err(Refusal::field(at, key, "Duplicate metadata key."));
        }
        if value.len() > METADATA_VALUE {
            return Err(Refusal::field(at, key, "Value is larger than 262144."));
        }
        all += key.len() + value.len();
    }
    if all > METADATA_ALL {
        return Err(Refusal::field(at, all, "Metadata is larger than 524288."));
    }
    Ok(())
}

/// The last part of a full or partial URL whose other parts fit: `want` is such
/// as `zones/us-central1-a/machineTypes`.
pub(crate) fn last_part<'a>(url: &'a str, project: &str, want: &str) -> Option<&'a str> {
    let mut rest = url;
    for prefix in [
        "https://www.googleapis.com/compute/v1/",
        "https://compute.googleapis.com/compute/v1/",
    ] {
        rest = rest.strip_prefix(prefix).unwrap_or(rest);
    }
    let project = format!("projects/{project}/");
    let rest = rest.strip_prefix(&project).unwrap_or(rest);
    let name = rest.strip_prefix(want)?.strip_prefix('/')?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}
