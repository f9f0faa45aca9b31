//! What is asked for is checked as a whole, and refused field by field.

use std::collections::HashMap;

use clarateach_proto::workshop as pb;
use tonic::Code;

use crate::town::{Town, fields, reason, wish, with};

type Change = fn(&mut pb::CreateWorkshopRequest);

#[tokio::test]
async fn bad_wishes_are_refused_with_every_fault_named() {
    let town = Town::start().await;
    let mut client = town.workshops().await;
    let ask = |change: Change| {
        let mut ask = wish(2);
        change(&mut ask);
        with(&town.admin, ask)
    };
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let cases: [(Change, &[&str]); 17] = [
        (|a| a.name.clear(), &["name"]),
        (|a| a.name = "x".repeat(101), &["name"]),
        (|a| a.name = "a\u{1b}[2J".into(), &["name"]),
        (|a| a.seats = 0, &["seats"]),
        (|a| a.seats = 1_000_000_000, &["seats"]),
        (|a| a.runtime = 0, &["runtime"]),
        (|a| a.runtime = 77, &["runtime"]),
        (|a| a.template = "other".into(), &["template"]),
        (|a| a.instructions = "x".repeat(65_537), &["instructions"]),
        (|a| a.instructions = "\0".into(), &["instructions"]),
        (|a| a.request_id = "x".repeat(65), &["request_id"]),
        (
            |a| a.env = HashMap::from([("1A".into(), "x".into())]),
            &["env[1A]"],
        ),
        (
            |a| a.env = HashMap::from([("A".into(), "\0".into())]),
            &["env[A]"],
        ),
        (
            |a| {
                a.resources = Some(pb::Resources {
                    vcpus: 99,
                    ..Default::default()
                });
            },
            &["resources.vcpus"],
        ),
        (
            |a| {
                a.resources = Some(pb::Resources {
                    processes: 3,
                    ..Default::default()
                });
            },
            &["resources.processes"],
        ),
        (
            |a| {
                a.resources = Some(pb::Resources {
                    network_mbits: 32_001,
                    ..Default::default()
                });
            },
            &["resources.network_mbits"],
        ),
        (
            |a| {
                a.name.clear();
                a.seats = 501;
            },
            &["name", "seats"],
        ),
    ];
    for (change, want) in cases {
        let refused = client.create_workshop(ask(change)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{want:?}: {refused}");
        assert_eq!(fields(&refused), want);
    }
    for ttl in [seconds(0), seconds(-5), seconds(86_401), seconds(i64::MAX)] {
        let mut bad = wish(2);
        bad.ttl = ttl;
        let refused = client.create_workshop(with(&town.admin, bad)).await;
        assert_eq!(fields(&refused.unwrap_err()), ["ttl"]);
    }
    let refused = client
        .create_workshop(ask(|a| a.runtime = pb::Runtime::Firecracker.into()))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "RUNTIME_UNAVAILABLE");
    let listed = client
        .list_workshops(with(&town.admin, pb::ListWorkshopsRequest::default()))
        .await
        .unwrap();
    assert!(listed.into_inner().workshops.is_empty(), "nothing was made");
}

#[tokio::test]
async fn the_json_face_refuses_the_same_in_its_own_shape() {
    let town = Town::start().await;
    for (body, status, want) in [
        ("", 400, vec!["body"]),
        ("[]", 400, vec!["body"]),
        (
            r#"{"name":"x","seats":-1,"runtime":"container"}"#,
            400,
            vec!["seats"],
        ),
        (
            r#"{"name":"x","seats":1e9,"runtime":"container"}"#,
            400,
            vec!["seats"],
        ),
        (
            r#"{"name":"x","seats":1000000000,"runtime":"container"}"#,
            400,
            vec!["seats"],
        ),
        (r#"{"name":"x","seats":2}"#, 400, vec!["runtime"]),
        (
            r#"{"name":"x","seats":2,"runtime":"docker"}"#,
            400,
            vec!["runtime"],
        ),
        (
            r#"{"name":"x","seats":2,"runtime":"container","ttl":"1 week"}"#,
            400,
            vec!["ttl"],
        ),
        (
            r#"{"name":"x","seats":2,"runtime":"container","sudo":true}"#,
            400,
            vec!["sudo"],
        ),
        (
            r#"{"name":7,"seats":2,"runtime":"container"}"#,
            400,
            vec!["name"],
        ),
        (
            r#"{"name":"x","seats":2,"runtime":"container","resources":{"vcpus":"many"}}"#,
            400,
            vec!["resources.vcpus"],
        ),
        (
            r#"{"name":"x","seats":2,"runtime":"container","resources":{"disk_mib_per_second":10001}}"#,
            400,
            vec!["resources.disk_mib_per_second"],
        ),
        (
            r#"{"name":"x","seats":2,"runtime":"firecracker"}"#,
            409,
            vec![],
        ),
    ] {
        let (got, answer) = town.json("POST", "/api/workshops", body).await;
        assert_eq!(got, status, "{body}: {answer}");
        let named = answer["error"]["fields"].as_array().unwrap();
        let named: Vec<_> = named.iter().map(|f| f["field"].as_str().unwrap()).collect();
        assert_eq!(named, want, "{body}");
        assert!(answer["error"]["reason"].is_string());
    }
    let asked = r#"{"name":"x","seats":1,"runtime":"container","resources":{"network_mbits":50,"processes":300}}"#;
    let (status, made) = town.json("POST", "/api/workshops", asked).await;
    assert_eq!(status, 201, "{made}");
    let limits = ["network_mbits", "disk_mib_per_second", "processes"];
    let limits = limits.map(|name| made["resources"][name].as_u64().unwrap());
    assert_eq!(limits, [50, 0, 300]);
    let huge = format!(r#"{{"name":"{}"}}"#, "x".repeat(2 * 1024 * 1024));
    let (status, answer) = town.json("POST", "/api/workshops", &huge).await;
    assert_eq!(
        (status, &answer["error"]["fields"][0]["field"]),
        (400, &"body".into())
    );
    for path in [
        "/api/workshops/ws-zzzzzzzzzz",
        "/api/workshops/..%2f",
        "/api/nothing",
    ] {
        let (status, answer) = town.json("GET", path, "").await;
        assert_eq!(status, 404, "{path}");
        assert!(answer["error"]["message"].is_string(), "{path}");
    }
    let (status, _) = town.json("PUT", "/api/join", "{}").await;
    assert_eq!(status, 405);
}

#[tokio::test]
async fn a_policy_is_asked_for_changed_and_refused_with_field_and_reason() {
    use pb::egress_policy::Mode;
    let town = Town::start().await;
    let mut client = town.workshops().await;
    let policy = |mode: Mode, allow: &[&str]| pb::EgressPolicy {
        mode: mode.into(),
        allow: allow.iter().map(ToString::to_string).collect(),
    };
    let many = vec!["pypi.org"; 101];
    let (far, closed) = ("2001:db8::1", "10.0.0.0/8");
    let mut ask = wish(2);
    ask.egress = Some(policy(Mode::AllowList, &["pypi.org", "203.0.113.0/24"]));
    let made = client
        .create_workshop(with(&town.admin, ask.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(made.egress, ask.egress);
    for (allow, field, why) in [
        (&many[..], "egress.allow", "at most 100 entries, not 101"),
        (&["pypi.org", closed], "egress.allow[1]", "closed to seats"),
        (&[far], "egress.allow[0]", "IPv6"),
        (&["not a name"], "egress.allow[0]", "must be a host name"),
    ] {
        ask.egress = Some(policy(Mode::AllowList, allow));
        let create = client.create_workshop(with(&town.admin, ask.clone())).await;
        let change = pb::UpdateWorkshopRequest {
            id: made.id.clone(),
            egress: ask.egress.clone(),
            ..Default::default()
        };
        let update = client.update_workshop(with(&town.admin, change)).await;
        for refused in [create.unwrap_err(), update.unwrap_err()] {
            assert_eq!(refused.code(), Code::InvalidArgument);
            assert_eq!(fields(&refused), [field]);
            assert!(refused.message().contains(why), "{}", refused.message());
        }
    }

    let mut change = pb::UpdateWorkshopRequest {
        id: made.id.clone(),
        name: Some("Renamed".into()),
        ..Default::default()
    };
    for egress in [
        None,
        Some(policy(Mode::None, &[])),
        Some(policy(Mode::Internet, &[])),
    ] {
        change.egress.clone_from(&egress);
        let changed = client.update_workshop(with(&town.admin, change.clone()));
        let changed = changed.await.unwrap().into_inner();
        let want = egress.or_else(|| made.egress.clone());
        assert_eq!(changed.egress, want, "an absent one stays as it is");
    }

    let body = |egress: &str| {
        format!(r#"{{"name":"x","seats":1,"runtime":"container","egress":{egress}}}"#)
    };
    for (egress, field) in [
        (r#"{"mode":"some"}"#, "egress.mode"),
        (r#"{"mode":"none","allow":["pypi.org"]}"#, "egress.allow"),
        (
            r#"{"mode":"allow_list","allow":["169.254.169.254"]}"#,
            "egress.allow[0]",
        ),
        (
            r#"{"mode":"allow_list","allow":"pypi.org"}"#,
            "egress.allow",
        ),
    ] {
        let (status, answer) = town.json("POST", "/api/workshops", &body(egress)).await;
        assert_eq!(status, 400, "{egress}");
        assert_eq!(answer["error"]["fields"][0]["field"], field, "{answer}");
    }
    let egress = body(r#"{"mode":"allow_list","allow":["pypi.org"]}"#);
    let (status, made) = town.json("POST", "/api/workshops", &egress).await;
    assert_eq!(status, 201, "{made}");
    let want = serde_json::json!({ "mode": "allow_list", "allow": ["pypi.org"] });
    assert_eq!(made["egress"], want);
}

#[tokio::test]
async fn json_and_grpc_show_the_same_workshop() {
    let town = Town::start().await;
    let body =
        r#"{"name":"Py","seats":2,"runtime":"container","ttl":"90m","env":{"KEY":"secret"}}"#;
    let (status, made) = town.json("POST", "/api/workshops", body).await;
    assert_eq!(status, 201);
    assert_eq!(made["status"], "provisioning");
    assert_eq!(made["seat_list"][1]["state"], "waiting");
    assert_eq!(made["env_names"][0], "KEY");
    assert!(!made.to_string().contains("secret"), "env is write-only");
    let id = made["id"].as_str().unwrap().to_owned();
    let ask = pb::GetWorkshopRequest { id: id.clone() };
    let same = town
        .workshops()
        .await
        .get_workshop(with(&town.admin, ask))
        .await;
    let same = same.unwrap().into_inner();
    assert_eq!(made["code"], same.code.as_str());
    let join = format!(r#"{{"code":"{}","display_name":"Ada"}}"#, same.code);
    let (status, joined) = town.json("POST", "/api/join", &join).await;
    assert_eq!(status, 200);
    let terminal = format!("ws://{}/proxy/{id}/1/terminal", town.address);
    assert_eq!(joined["gateway"]["terminal"], terminal.as_str());
    let path = format!("/api/workshops/{id}");
    let list = r#"{"egress":{"mode":"allow_list","allow":["pypi.org"]}}"#;
    let (status, changed) = town.json("PATCH", &path, list).await;
    assert_eq!(
        (status, &changed["egress"]["allow"][0]),
        (200, &"pypi.org".into())
    );
    for (bad, field) in [
        (
            r#"{"egress":{"mode":"allow_list","allow":["10.0.0.0/8"]}}"#,
            "egress.allow[0]",
        ),
        (r#"{"egress":{"mode":"some"}}"#, "egress.mode"),
        (r#"{"seats":0}"#, "seats"),
        (r#"{"seats":"3"}"#, "seats"),
        (r#"{"name":""}"#, "name"),
        (r#"{"evict":"yes"}"#, "evict"),
        (r#"{"runtime":"firecracker"}"#, "runtime"),
    ] {
        let (status, refused) = town.json("PATCH", &path, bad).await;
        assert_eq!(
            (status, &refused["error"]["fields"][0]["field"]),
            (400, &field.into())
        );
    }
    let (_, kept) = town.json("GET", &path, "").await;
    assert_eq!(kept["egress"], changed["egress"]);
    let all = r#"{"seats":3,"name":"Other","ttl":"2h","instructions":"Read.","request_id":"p-1","evict":null}"#;
    let (status, changed) = town.json("PATCH", &path, all).await;
    let said = ["seats", "name", "instructions"].map(|name| changed[name].clone());
    assert_eq!(
        (status, said),
        (200, [3.into(), "Other".into(), "Read.".into()])
    );
    assert_eq!(kept["egress"], changed["egress"], "not said, not changed");
    assert_ne!(kept["expires_at"], changed["expires_at"]);
    let (status, fewer) = town
        .json("PATCH", &path, r#"{"seats":1,"evict":true}"#)
        .await;
    assert_eq!((status, &fewer["seats"]), (200, &1.into()));
    let (status, again) = town.json("PATCH", &path, all).await;
    assert_eq!((status, &again["seats"]), (200, &1.into()), "said before");
    let (status, gone) = town.json("DELETE", &path, "").await;
    assert_eq!((status, &gone["status"]), (202, &"deleting".into()));
    let (again, _) = town.json("DELETE", &path, "").await;
    assert_eq!(again, 202, "asked twice, nothing changes");
}
