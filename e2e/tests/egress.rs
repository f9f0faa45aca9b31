//! What seats may reach, as an instructor says it: asked for with the workshop,
//! changed while it runs, refused in words to the learner.

use clarateach_e2e::{House, house, house_or_skip, wait};
use clarateach_proto::workshop::{
    CreateWorkshopRequest, EgressPolicy, UpdateWorkshopRequest, WorkshopStatus, egress_policy::Mode,
};
use tonic::Code;

fn policy(mode: Mode, allow: &[&str]) -> EgressPolicy {
    EgressPolicy {
        mode: mode.into(),
        allow: allow.iter().map(ToString::to_string).collect(),
    }
}

/// Nothing here leaves the machine: what is tried is closed in every one of these
/// policies. What they open is told by `agent/tests/network.rs`, in a world of its
/// own.
#[tokio::test(flavor = "multi_thread")]
async fn a_class_without_a_way_out_is_told_so_and_its_policy_changes_while_it_runs() {
    let house = house_or_skip!();
    let mut workshops = house.workshops().await;
    let refused = CreateWorkshopRequest {
        egress: Some(policy(Mode::AllowList, &["pypi.org", "10.0.0.0/8"])),
        ..House::wish("Refused", 1)
    };
    let refused = workshops.create_workshop(refused).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("10.0.0.0/8"), "{refused:?}");

    let wish = CreateWorkshopRequest {
        egress: Some(policy(Mode::None, &[])),
        ..House::wish("Shut", 1)
    };
    let made = workshops.create_workshop(wish).await.unwrap().into_inner();
    let workshop = house.until_status(&made.id, WorkshopStatus::Running).await;
    assert_eq!(workshop.egress.as_ref().unwrap().mode(), Mode::None);
    let learner = house.join(&workshop.code, "a").await.unwrap();
    let mut terminal = learner.terminal("").await.unwrap();
    let shut = [
        // curl's own words: 7 is a connection refused, 6 a name without an address.
        ("curl -sm 20 http://203.0.113.10/; echo $?", "7"),
        ("curl -sm 20 http://open.example/; echo $?", "6"),
        ("curl -sm 20 http://169.254.169.254/; echo $?", "7"),
        ("curl -sm 20 http://10.128.0.77/; echo $?", "7"),
    ];
    for (command, ends) in shut {
        assert_eq!(terminal.run(command).await, ends, "{command}");
    }

    let noted = || {
        let worker = &workshop.workers[0].name;
        let note = house
            .data()
            .join("workers")
            .join(worker)
            .join("run/egress.json");
        std::fs::read_to_string(note).unwrap_or_default()
    };
    assert_eq!(noted(), r#"{"mode":"none"}"#);
    let update = UpdateWorkshopRequest {
        id: workshop.id.clone(),
        egress: Some(policy(Mode::AllowList, &["192.0.2.0/24", "*.example.org"])),
        ..Default::default()
    };
    workshops.update_workshop(update).await.unwrap();
    wait::until("the new policy in force", house::patience(), async || {
        let noted = noted();
        noted.contains("192.0.2.0/24").then_some(()).ok_or(noted)
    })
    .await;
    for (command, ends) in shut {
        assert_eq!(terminal.run(command).await, ends, "{command}");
    }
    assert_eq!(house.canary().hits(), 0, "what seats tried");
    // It counts, where there is something to count: a worker itself is not walled.
    let net = format!("--net=/proc/{}/ns/net", house.agents()[0]);
    let say = ["bash", "-c", "echo anybody > /dev/udp/10.128.0.77/9"];
    let said = std::process::Command::new("nsenter")
        .arg(net)
        .args(say)
        .status();
    assert!(said.unwrap().success(), "a datagram waits for nobody");
    assert_eq!(house.canary().hits(), 1);
    house.canary().forget();
    house.delete(&workshop.id).await;
    house.close();
}
