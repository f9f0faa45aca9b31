//! What one instance may learn about itself, path by path.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::fake_gce::Machine;

/// The instance behind one metadata server.
#[derive(Debug, Clone)]
pub struct About {
    /// Project id.
    pub project: String,
    /// Project number.
    pub project_number: u64,
    /// Zone, short.
    pub zone: String,
    /// Id.
    pub id: u64,
    /// Name.
    pub name: String,
    /// When it was made.
    pub created: SystemTime,
    /// The outside address it has now.
    pub external: Option<IpAddr>,
    /// Metadata of the instance.
    pub attributes: BTreeMap<String, String>,
    /// The attached service account, if any: without one there are no tokens.
    pub account: Option<String>,
    /// Google has said that it will take it.
    pub preempted: bool,
}

impl About {
    /// What the fake Google told of a machine, in this project.
    pub fn machine(machine: &Machine, project: &str, project_number: u64) -> Self {
        Self {
            project: project.to_owned(),
            project_number,
            zone: machine.zone.clone(),
            id: machine.id,
            name: machine.name.clone(),
            created: machine.created,
            external: machine.nat,
            attributes: machine.metadata.clone(),
            account: Some(format!("worker@{project}.iam.gserviceaccount.com")),
            preempted: false,
        }
    }

    /// The text at a path below `/computeMetadata/v1/`.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        let number = self.project_number;
        Some(match path {
            "project/project-id" => self.project.clone(),
            "project/numeric-project-id" => number.to_string(),
            "instance/id" => self.id.to_string(),
            "instance/name" => self.name.clone(),
            "instance/zone" => format!("projects/{number}/zones/{}", self.zone),
            "instance/hostname" => {
                format!("{}.{}.c.{}.internal", self.name, self.zone, self.project)
            }
            "instance/preempted" => if self.preempted { "TRUE" } else { "FALSE" }.to_owned(),
            "instance/network-interfaces/0/access-configs/0/external-ip" => {
                self.external.map(|ip| ip.to_string()).unwrap_or_default()
            }
            "instance/attributes/" => {
                let keys: Vec<_> = self.attributes.keys().map(String::as_str).collect();
                keys.join(
                    "
",
                ) + "
"
            }
            "instance/service-accounts/default/email" => self.account.clone()?,
            _ => {
                let key = path.strip_prefix("instance/attributes/")?;
                self.attributes.get(key)?.clone()
            }
        })
    }

    /// The claims of an identity token for this audience, issued now.
    pub(super) fn claims(&self, audience: &str, full: bool, now: SystemTime) -> Option<Value> {
        let account = self.account.as_ref()?;
        let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let subject = format!("1{:020}", self.project_number);
        let mut claims = json!({
            "iss": "https://accounts.google.com",
            "aud": audience,
            "azp": subject,
            "sub": subject,
            "iat": seconds(now),
            "exp": seconds(now) + 3600,
        });
        if full {
            claims["email"] = json!(account);
            claims["email_verified"] = json!(true);
            claims["google"] = json!({"compute_engine": {
                "project_id": self.project,
                "project_number": self.project_number,
                "zone": self.zone,
                "instance_id": self.id.to_string(),
                "instance_name": self.name,
                "instance_creation_timestamp": seconds(self.created),
            }});
        }
        Some(claims)
    }
}
