//! What seats may reach, from the wish to the agent, and what agents say of
//! their walls.

use clarateach_domain::egress::Egress;
use clarateach_proto::agent::{self as pb, egress_policy::Mode};

use super::*;

fn list(names: &[&str]) -> Egress {
    let names = names.iter().map(|name| name.parse().unwrap());
    Egress::allow_list(names.collect())
}

fn change(egress: Egress) -> Change {
    Change {
        egress: Some(egress),
        ..Change::default()
    }
}

#[tokio::test]
async fn the_policy_is_told_before_the_first_seat_when_it_changes_and_when_it_is_forgotten() {
    let stage = Stage::faked(false).await;
    let id = stage
        .create_with(2, TimeDelta::hours(1), Egress::None)
        .await;
    stage.until_phase(&id, Phase::Running).await;
    let agent = stage.fakes().agent(&id);
    let mut told = agent.told();
    told[1..].sort();
    assert_eq!(told, ["MODE_NONE", "create 1", "create 2"]);

    let allowed = list(&["*.pypi.org", "203.0.113.0/24"]);
    stage.change(&id, change(allowed.clone())).await;
    let holds = |mode| agent.holds().is_some_and(|held| held.mode() == mode);
    let listed = |_: &WorkshopView| holds(Mode::AllowList);
    let view = stage.until(&id, "changed while it runs", listed).await;
    assert_eq!(view.workshop.egress, allowed);
    let event = stage.store.told(&id, &["workshop.updated"]).await.remove(0);
    assert_eq!(event[0], "test");
    assert_eq!(event[2], "egress allow-list");
    let data = r#"{"egress":{"mode":"allow_list","allow":["*.pypi.org","203.0.113.0/24"]}}"#;
    assert_eq!(event[3], data);

    agent.forgets();
    stage.until(&id, "told again", listed).await;
    let again = "MODE_ALLOW_LIST *.pypi.org 203.0.113.0/24";
    assert_eq!(
        agent.told(),
        [again; 2],
        "each time once, and no seat was made anew"
    );

    // The same once more is told to nobody.
    stage.change(&id, change(allowed)).await;
    stage.change(&id, seats(1)).await;
    stage
        .until(&id, "fewer seats", |view| view.seats.len() == 1)
        .await;
    assert_eq!(agent.told(), ["delete 2"]);
    // Shares were said with each machine; another number of seats makes none anew.
    for spec in agent.specs() {
        let limits = [
            spec.network_mbits,
            spec.disk_mib_per_second,
            spec.processes,
            spec.seats_on_worker,
        ];
        assert_eq!(limits, [50, 20, 300, 2], "seat {}", spec.seat);
    }
    let settled = stage.store.settling(&id).await.unwrap().unwrap();
    assert!(settled.attempts.is_empty(), "{:?}", settled.attempts);
    stage.delete(&id).await;
    stage.until_phase(&id, Phase::Deleted).await;
}

#[tokio::test]
async fn an_agent_too_old_for_the_policy_gets_no_seats_until_it_is_new() {
    let stage = Stage::faked(true).await;
    let id = stage.create(1).await;
    let refused = |view: &WorkshopView| {
        let reason = &view.workshop.reason;
        reason.contains("does not hold its egress policy") && reason.contains("no such call")
    };
    let view = stage.until(&id, "refused with its reason", refused).await;
    assert_eq!(view.workshop.phase, Phase::Provisioning);
    let agent = stage.fakes().agent(&id);
    assert!(agent.told().is_empty());
    *agent.too_old.lock().unwrap() = false;
    stage.until_phase(&id, Phase::Running).await;
    assert_eq!(agent.told(), ["MODE_INTERNET", "create 1"]);
    stage.delete(&id).await;
    stage.until_phase(&id, Phase::Deleted).await;
}

#[tokio::test]
async fn a_repair_of_the_walls_is_told_once() {
    const VERBS: [&str; 2] = ["network.repaired", "network.faulty"];
    let mut stage = Stage::faked(false).await;
    let id = stage.create(1).await;
    stage.until_phase(&id, Phase::Running).await;
    assert!(stage.store.told(&id, &VERBS).await.is_empty());
    let agent = stage.fakes().agent(&id);
    let health = |second: i64, fault: &str| pb::NetworkHealth {
        repairs: 3,
        last_drift: "table clarateach was flushed".into(),
        last_drift_at: Some(prost_types::Timestamp {
            seconds: 1_790_000_000 + second,
            nanos: 123_456_789,
        }),
        fault: fault.into(),
    };
    let network = |view: &WorkshopView| view.workers[0].network.to_string();
    agent.says(health(0, ""));
    let words = "put right at 2026-09-21T14:13:20Z: table clarateach was flushed";
    stage
        .until(&id, "repair shown", |view| network(view) == words)
        .await;

    // The same drift is no news to a new server, nor to a fresh agent's.
    stage.kill().await;
    stage.start();
    agent.forgets();
    stage
        .until(&id, "told again", |_| agent.holds().is_some())
        .await;
    agent.says(health(0, ""));
    stage.change(&id, seats(2)).await;
    let two = |view: &WorkshopView| view.seats.iter().all(|s| s.state == SeatState::Ready);
    stage.until(&id, "a second seat", two).await;
    agent.says(health(60, "nft is gone"));
    let fault = "could not be put right: nft is gone";
    stage
        .until(&id, "fault shown", |view| network(view) == fault)
        .await;
    assert_eq!(stage.store.census().await.unwrap().faulty, 1);
    agent.says(health(120, ""));
    let later = words.replace("14:13", "14:15");
    stage
        .until(&id, "put right", |view| network(view) == later)
        .await;

    let events = stage.store.told(&id, &VERBS).await;
    let worker = WorkerName::of(&id, Ordinal::MIN).to_string();
    let [first, second, third] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(first[..3], [&worker, VERBS[0], words]);
    assert_eq!(second[..3], [&worker, VERBS[1], fault]);
    assert_eq!(third[..3], [&worker, VERBS[0], &later]);
    let data: serde_json::Value = serde_json::from_str(&first[3]).unwrap();
    assert_eq!(data["drift"], "table clarateach was flushed");
    assert_eq!(data["repairs_since_start"], 3);
    stage.delete(&id).await;
    stage.until_phase(&id, Phase::Deleted).await;
}
