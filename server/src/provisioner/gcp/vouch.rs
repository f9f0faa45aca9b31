//! Google's word for which VM a token comes from.
//!
//! The signature, the issuer, the audience, the time and the service account are
//! checked by Google's own crate; what is left is to read the VM out of the claims.
//! <https://cloud.google.com/compute/docs/instances/verifying-instance-identity>

use anyhow::Context as _;
use clarateach_domain::enrolment::Vm;
use google_cloud_auth::credentials::idtoken::verifier::{Builder, Map, Value};

use super::settings::GcpSettings;

/// The VM that `token` is of, if Google signed it for `audience` and for the workers'
/// own service account; `None` if it tells of no VM.
pub(super) async fn vm(
    settings: &GcpSettings,
    audience: &str,
    token: &str,
) -> anyhow::Result<Option<Vm>> {
    let mut builder = Builder::new([audience]).with_email(&settings.service_account);
    // Whoever could change the keys could be Google: a fake's are for tests alone.
    if cfg!(debug_assertions)
        && let Some(endpoint) = &settings.endpoint
    {
        builder = builder.with_jwks_url(format!("{endpoint}/oauth2/v3/certs"));
    }
    let claims = builder.build().verify(token).await;
    Ok(of(&claims.context("its token is not Google's word")?))
}

fn of(claims: &Map<String, Value>) -> Option<Vm> {
    let engine = claims.get("google")?.get("compute_engine")?;
    let text = |name: &str| Some(engine.get(name)?.as_str()?.to_owned());
    Some(Vm {
        instance_id: text("instance_id")?,
        project: text("project_id")?,
        zone: text("zone")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_vm_is_read_out_of_a_full_token_alone() {
        let full = json!({"google": {"compute_engine": {
            "instance_id": "7", "project_id": "p", "zone": "z", "project_number": 1,
        }}});
        let vm = Vm {
            instance_id: "7".into(),
            project: "p".into(),
            zone: "z".into(),
        };
        assert_eq!(of(full.as_object().unwrap()), Some(vm));
        for part in [
            json!({}),
            json!({"google": {}}),
            json!({"google": {"compute_engine": {"zone": "z"}}}),
        ] {
            assert_eq!(of(part.as_object().unwrap()), None, "{part}");
        }
    }
}
