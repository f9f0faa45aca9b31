//! What `check --gcp` finds of a project, and the way to agents that a server opens.

use std::collections::BTreeMap;

use clarateach_e2e::fake_gce::{Config, Fault, Kind};
use clarateach_server::provisioner::gcp::Line;

use crate::Stage;

fn bad(lines: &[Line]) -> Vec<&str> {
    let bad = lines.iter().filter(|line| !line.good);
    bad.map(|line| line.name.as_str()).collect()
}

#[tokio::test]
async fn the_way_to_agents_is_opened_once_and_a_spoilt_one_is_told() {
    let stage = Stage::new().await;
    let before = stage.gcp.survey().await;
    assert_eq!(bad(&before), [""; 0], "{before:#?}");
    assert!(before.iter().any(|line| line.found.contains("none yet")));
    for _ in 0..2 {
        stage.gcp.open_the_way().await;
        stage.fake.quiet().await;
    }
    let after = stage.gcp.survey().await;
    let rule = after.iter().find(|line| line.name.starts_with("firewall"));
    assert_eq!(rule.unwrap().found, "opens the agents' port", "{after:#?}");
    // Who may not look is told, and the server goes on.
    stage.fake.fault_next(Kind::GetFirewall, Fault::Status(503));
    stage.gcp.open_the_way().await;
}

#[tokio::test]
async fn what_a_project_lacks_is_said_with_what_to_do() {
    let lacking = Config {
        snapshots: BTreeMap::new(),
        quotas: BTreeMap::from([("N2_CPUS".to_owned(), 4.0)]),
        ..Config::default()
    };
    let stage = Stage::with(lacking).await;
    let lines = stage.gcp.survey().await;
    let said = bad(&lines);
    assert!(said.contains(&"snapshot clara2-snapshot"), "{lines:#?}");
    assert!(
        said.iter().any(|name| name.starts_with("quota N2_CPUS")),
        "{lines:#?}"
    );
    assert!(lines.iter().all(|line| line.good == line.advice.is_empty()));
}
