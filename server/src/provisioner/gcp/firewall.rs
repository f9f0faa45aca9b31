//! The one rule by which agents are reached: made if it is missing, looked at if not,
//! never changed. Whoever changed it had a reason.

use google_cloud_compute_v1::model::{
    Firewall,
    firewall::{Allowed, Direction},
};

use super::settings::GcpSettings;
use crate::provisioner::AGENT_PORT;

/// Its name in the project.
pub(super) const NAME: &str = "clarateach-agent";

/// To agents from everywhere: learners come from anywhere, and who drives an agent
/// shows a certificate on the same port.
pub(super) fn wanted(settings: &GcpSettings) -> Firewall {
    let agents = Allowed::new()
        .set_ip_protocol("tcp")
        .set_ports([AGENT_PORT.to_string()]);
    Firewall::new()
        .set_name(NAME)
        .set_description("Learners and the control plane to ClaraTeach's agents.")
        .set_network(format!("global/networks/{}", settings.network))
        .set_direction(Direction::Ingress)
        .set_allowed([agents])
        .set_source_ranges(["0.0.0.0/0"])
        // Tags can be given to any VM; the workers' account cannot.
        .set_target_service_accounts([settings.service_account.as_str()])
}

/// Why nobody reaches an agent by the rule that is there; none if it serves.
pub(super) fn fault(found: &Firewall, settings: &GcpSettings) -> Option<String> {
    let network = found.network.as_deref().unwrap_or_default();
    let on_network = network.rsplit('/').next() == Some(settings.network.as_str());
    let port = AGENT_PORT.to_string();
    let opens = |rule: &Allowed| {
        let protocol = rule.ip_protocol.as_deref();
        let ports = rule.ports.is_empty() || rule.ports.contains(&port);
        protocol == Some("all") || (protocol == Some("tcp") && ports)
    };
    let accounts = &found.target_service_accounts;
    let for_workers = accounts.contains(&settings.service_account)
        || found
            .target_tags
            .iter()
            .any(|tag| tag == super::machine::TAG)
        || (accounts.is_empty() && found.target_tags.is_empty());
    let faults = [
        (found.disabled == Some(true), "it is disabled"),
        (!on_network, "it is of another network"),
        (
            found.direction.as_ref() == Some(&Direction::Egress),
            "it is for what leaves",
        ),
        (
            !found.allowed.iter().any(opens),
            "it does not allow the agents' port",
        ),
        (!for_workers, "it is not for the workers' service account"),
    ];
    let first = faults.iter().find(|(is, _)| *is);
    first.map(|(_, why)| (*why).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provisioner::gcp::settings::tests::settings;

    #[test]
    fn the_rule_that_is_made_serves_and_a_spoilt_one_does_not() {
        let settings = settings();
        let good = || wanted(&settings);
        assert_eq!(fault(&good(), &settings), None);
        let full = "https://www.googleapis.com/compute/v1/projects/p/global/networks/default";
        assert_eq!(fault(&good().set_network(full), &settings), None);
        let all = Allowed::new().set_ip_protocol("all");
        assert_eq!(fault(&good().set_allowed([all]), &settings), None);
        let ssh = Allowed::new().set_ip_protocol("tcp").set_ports(["22"]);
        for (spoilt, why) in [
            (good().set_disabled(true), "disabled"),
            (good().set_network("global/networks/other"), "network"),
            (good().set_direction(Direction::Egress), "leaves"),
            (good().set_allowed([ssh]), "port"),
            (
                good().set_target_service_accounts(["x@y.iam.gserviceaccount.com"]),
                "account",
            ),
        ] {
            let said = fault(&spoilt, &settings).unwrap_or_default();
            assert!(said.contains(why), "{why}: {said}");
        }
    }
}
