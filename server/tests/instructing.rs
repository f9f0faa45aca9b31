//! Instructors and admins at the doors: what may be asked, by whom, and how it
//! is refused.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that cannot go on should stop"
)]

mod town;

use std::{collections::HashMap, num::NonZeroU32, time::Duration};

use clarateach_domain::workshop::{Desired, Phase, Role};
use clarateach_proto::workshop as pb;
use clarateach_server::store::{entity, text::Text};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use tokio::task::JoinSet;
use tonic::Code;
use town::{Town, code, fields, reason, wish, with};

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

#[tokio::test(flavor = "multi_thread")]
async fn one_request_id_makes_one_workshop_however_often_it_is_sent() {
    let town = Town::start().await;
    let client = town.workshops().await;
    let mut ask = wish(2);
    ask.request_id = "r-1".into();
    for n in 0..10 {
        ask.env.insert(format!("V{n}"), n.to_string());
    }
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        // A map is sent in another order each time.
        let again = HashMap::from_iter(ask.env.clone());
        let ask = pb::CreateWorkshopRequest {
            env: again,
            ..ask.clone()
        };
        let (mut client, ask) = (client.clone(), with(&town.admin, ask));
        calls.spawn(async move { client.create_workshop(ask).await.unwrap().into_inner().id });
    }
    let mut ids = calls.join_all().await;
    assert_eq!(ids.len(), 100);
    ids.dedup();
    assert_eq!(ids.len(), 1, "{ids:?}");
    ask.seats = 3;
    let refused = client
        .clone()
        .create_workshop(with(&town.admin, ask.clone()))
        .await;
    assert_eq!(refused.unwrap_err().code(), Code::Aborted);
    let other = town.instructor("bob").await;
    let made = client
        .clone()
        .create_workshop(with(&other, ask))
        .await
        .unwrap();
    assert_ne!(
        made.into_inner().id,
        ids[0],
        "request ids are each caller's own"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_when_everybody_asks_at_once() {
    let mut settings = town::settings();
    settings.limits.seats_per_worker = NonZeroU32::new(2).unwrap();
    settings.limits.max_workers = 3;
    settings.limits.max_seats_per_owner = 100;
    let town = Town::start_with(settings).await;
    let client = town.workshops().await;
    let mut calls = JoinSet::new();
    for _ in 0..12 {
        let (mut client, ask) = (client.clone(), with(&town.admin, wish(1)));
        calls.spawn(async move { client.create_workshop(ask).await });
    }
    let made = calls.join_all().await;
    let refused: Vec<_> = made.iter().filter_map(|made| made.as_ref().err()).collect();
    assert_eq!(refused.len(), 9);
    assert!(refused.iter().all(|r| reason(r) == "WORKERS_EXHAUSTED"));
    let one = made.into_iter().find_map(Result::ok).unwrap().into_inner();
    let grow = |seats| {
        let ask = pb::UpdateWorkshopRequest {
            id: one.id.clone(),
            seats: Some(seats),
            ..Default::default()
        };
        with(&town.admin, ask)
    };
    client.clone().update_workshop(grow(2)).await.unwrap();
    let refused = client.clone().update_workshop(grow(3)).await.unwrap_err();
    assert_eq!(reason(&refused), "WORKERS_EXHAUSTED");
}

#[tokio::test]
async fn seats_grow_and_shrink_and_learners_are_asked_for_first() {
    let town = Town::start().await;
    let workshop = town.workshop(4).await;
    let mut client = town.workshops().await;
    let mut seats = town.seats().await;
    for _ in 0..2 {
        seats.join_workshop(code(&workshop)).await.unwrap();
    }
    let update = |seats, evict| {
        let ask = pb::UpdateWorkshopRequest {
            id: workshop.id.clone(),
            seats: Some(seats),
            evict,
            ..Default::default()
        };
        with(&town.admin, ask)
    };
    let kept = |w: &pb::Workshop| -> Vec<u32> {
        let kept = w.seat_list.iter();
        kept.filter(|s| s.state() != pb::SeatState::Removing)
            .map(|s| s.seat)
            .collect()
    };
    let shrunk = client
        .update_workshop(update(3, false))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(kept(&shrunk), [1, 2, 3], "free ones, highest first");
    let refused = client.update_workshop(update(1, false)).await.unwrap_err();
    assert_eq!(reason(&refused), "SEATS_IN_USE");
    let same = client
        .update_workshop(update(3, false))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(kept(&same), [1, 2, 3], "a refusal changes nothing");
    let evicted = client
        .update_workshop(update(1, true))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(kept(&evicted), [1]);
    let grown = client
        .update_workshop(update(3, false))
        .await
        .unwrap()
        .into_inner();
    // 2, 3 and 4 are still being removed: their numbers are not free yet.
    assert_eq!(kept(&grown), [1, 5, 6]);
    for (ttl, ok) in [(60, true), (86_400, true), (86_401, false), (0, false)] {
        let ask = pb::UpdateWorkshopRequest {
            id: workshop.id.clone(),
            ttl: Some(prost_types::Duration {
                seconds: ttl,
                nanos: 0,
            }),
            ..Default::default()
        };
        let answer = client.update_workshop(with(&town.admin, ask)).await;
        assert_eq!(answer.is_ok(), ok, "{ttl}");
    }
    let delete = pb::DeleteWorkshopRequest {
        id: workshop.id.clone(),
        request_id: String::new(),
    };
    client
        .delete_workshop(with(&town.admin, delete))
        .await
        .unwrap();
    let refused = client.update_workshop(update(2, false)).await.unwrap_err();
    assert_eq!(reason(&refused), "WORKSHOP_DELETING");
}

/// Random actors do random things to random workshops; a model of three lines
/// says what each must be told.
#[tokio::test]
async fn nobody_sees_or_touches_what_is_not_theirs() {
    let town = Town::start().await;
    let actors = [
        ("admin", town.admin.clone()),
        ("ada", town.instructor("ada").await),
        ("bob", town.instructor("bob").await),
    ];
    let mut client = town.workshops().await;
    let mut owned: Vec<(&str, String)> = vec![("nobody", "ws-zzzzzzzzzz".into())];
    for (name, token) in &actors {
        for _ in 0..2 {
            let made = client.create_workshop(with(token, wish(2))).await.unwrap();
            owned.push((name, made.into_inner().id));
        }
    }
    let seed = rand::random();
    println!("seed {seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    for _ in 0..200 {
        let (actor, token) = actors.choose(&mut dice).unwrap();
        let (owner, id) = owned.choose(&mut dice).unwrap().clone();
        let verb = dice.random_range(0..6);
        let message = |id: String| (id, String::new());
        let (id, request_id) = message(id);
        let done = match verb {
            0 => client
                .get_workshop(with(token, pb::GetWorkshopRequest { id }))
                .await
                .map(drop),
            1 => {
                let ask = pb::UpdateWorkshopRequest {
                    id,
                    name: Some("renamed".into()),
                    ..Default::default()
                };
                client.update_workshop(with(token, ask)).await.map(drop)
            }
            2 => {
                let ask = pb::ListSeatsRequest { workshop_id: id };
                client.list_seats(with(token, ask)).await.map(drop)
            }
            3 => {
                let ask = pb::ResetSeatRequest {
                    workshop_id: id,
                    seat: 1,
                    request_id,
                };
                client.reset_seat(with(token, ask)).await.map(drop)
            }
            4 => {
                let ask = pb::WatchWorkshopRequest {
                    id,
                    since_revision: 0,
                };
                client.watch_workshop(with(token, ask)).await.map(drop)
            }
            _ => {
                let ask = pb::ListWorkshopsRequest::default();
                let list = client.list_workshops(with(token, ask)).await.unwrap();
                let seen = list.into_inner().workshops;
                let want = if *actor == "admin" { 6 } else { 2 };
                assert_eq!(seen.len(), want, "{actor}");
                continue;
            }
        };
        let theirs = owner != "nobody" && (*actor == "admin" || *actor == owner);
        match done {
            Ok(()) => assert!(theirs, "{actor} did {verb} to a workshop of {owner}"),
            Err(refused) => {
                assert!(!theirs, "{actor} was refused {verb}: {refused}");
                // Foreign and unknown answer alike.
                assert_eq!(refused.code(), Code::NotFound);
                assert_eq!(refused.message(), "there is no such workshop");
            }
        }
    }
}

#[tokio::test]
async fn tokens_rotate_and_instructors_make_only_their_own() {
    let town = Town::start().await;
    let ada = town.instructor("ada").await;
    let mut client = town.tokens().await;
    let ask = |principal: &str, role: pb::Role| pb::CreateTokenRequest {
        principal: principal.into(),
        role: role.into(),
        label: "laptop".into(),
        request_id: String::new(),
    };
    let own = client
        .create_token(with(&ada, ask("ada", pb::Role::Unspecified)))
        .await
        .unwrap()
        .into_inner();
    for principal in ["admin", "new one"] {
        let refused = client
            .create_token(with(&ada, ask(principal, pb::Role::Instructor)))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{principal}");
    }
    let refused = client
        .create_token(with(&ada, ask("ada", pb::Role::Admin)))
        .await
        .unwrap_err();
    assert_eq!(fields(&refused), ["role"], "nobody promotes themselves");
    let repeated = || pb::CreateTokenRequest {
        request_id: "once".into(),
        ..ask("ada", pb::Role::Unspecified)
    };
    let first = client.create_token(with(&ada, repeated())).await.unwrap();
    let again = client.create_token(with(&ada, repeated())).await.unwrap();
    assert_eq!(
        again.get_ref(),
        first.get_ref(),
        "a lost answer comes again"
    );
    let other = pb::CreateTokenRequest {
        label: "desk".into(),
        ..repeated()
    };
    let refused = client.create_token(with(&ada, other)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "another wish by that id");
    let id = own.api_token.unwrap().id;
    let bob = town.instructor("bob").await;
    let revoke = || pb::RevokeTokenRequest { id: id.clone() };
    let refused = client.revoke_token(with(&bob, revoke())).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    for _ in 0..2 {
        let gone = client.revoke_token(with(&ada, revoke())).await.unwrap();
        assert!(gone.into_inner().revoked_at.is_some());
    }
    let refused = client
        .list_tokens(with(&own.token, pb::ListTokensRequest {}))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let listed = client
        .list_tokens(with(&ada, pb::ListTokensRequest {}))
        .await;
    assert_eq!(listed.unwrap().into_inner().tokens.len(), 3);
}

#[tokio::test]
async fn a_watch_tells_the_whole_state_then_changes_and_ends_after_the_end() {
    let town = Town::start().await;
    let workshop = town.workshop(2).await;
    let mut client = town.workshops().await;
    let watch = |since_revision| {
        let ask = pb::WatchWorkshopRequest {
            id: workshop.id.clone(),
            since_revision,
        };
        with(&town.admin, ask)
    };
    let mut stream = client.watch_workshop(watch(0)).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    let state = first.workshop.unwrap();
    assert_eq!((state.seat_list.len(), first.revision), (2, 1));
    let mut seats = town.seats().await;
    seats.join_workshop(code(&workshop)).await.unwrap();
    let next = stream.message().await.unwrap().unwrap();
    assert!(next.revision > first.revision);
    assert!(next.workshop.unwrap().seat_list[0].taken);

    // Resuming: nothing new, nothing told; something missed, all told at once.
    let mut same = client
        .watch_workshop(watch(next.revision))
        .await
        .unwrap()
        .into_inner();
    let silent = tokio::time::timeout(Duration::from_millis(300), same.message()).await;
    assert!(silent.is_err(), "nothing changed");
    let mut late = client.watch_workshop(watch(1)).await.unwrap().into_inner();
    let told = late.message().await.unwrap().unwrap();
    assert_eq!(told.revision, next.revision);

    // A client that does not read skips to the newest state.
    for n in 0..20 {
        let ask = pb::UpdateWorkshopRequest {
            id: workshop.id.clone(),
            name: Some(format!("name {n}")),
            ..Default::default()
        };
        client
            .update_workshop(with(&town.admin, ask))
            .await
            .unwrap();
    }
    town.edit(
        &workshop.id,
        entity::workshop::ActiveModel {
            desired: Set(Text(Desired::Absent)),
            phase: Set(Text(Phase::Deleted)),
            deleted_at: Set(Some(clarateach_server::api::now())),
            ..Default::default()
        },
    )
    .await;
    let mut last = None;
    let mut messages = 0;
    while let Some(message) = stream.message().await.unwrap() {
        messages += 1;
        last = message.workshop;
    }
    let last = last.unwrap();
    assert_eq!(last.status(), pb::WorkshopStatus::Deleted);
    assert_eq!(last.name, "name 19");
    assert!(messages < 20, "{messages} messages for 21 changes");
    let mut after = client.watch_workshop(watch(0)).await.unwrap().into_inner();
    assert!(after.message().await.unwrap().is_some());
    assert!(after.message().await.unwrap().is_none());
}

#[tokio::test]
async fn a_watch_ends_with_its_token_and_with_the_right_to_it() {
    let town = Town::start().await;
    let mut client = town.workshops().await;
    let (ada, eve) = (town.instructor("ada").await, town.instructor("eve").await);
    let made = client.create_workshop(with(&ada, wish(2))).await;
    let workshop = made.unwrap().into_inner();
    let ask = pb::WatchWorkshopRequest {
        id: workshop.id.clone(),
        since_revision: 0,
    };
    let all = pb::ListTokensRequest::default();
    let mut tokens = town.tokens().await;
    let listed = tokens.list_tokens(with(&town.admin, all)).await.unwrap();
    let id = |name: &str| {
        let tokens = &listed.get_ref().tokens;
        let token = tokens.iter().find(|token| token.principal == name);
        token.unwrap().id.clone()
    };
    // An admin that is none soon, for whom another's workshop is a matter of right.
    let role = async |role| {
        let change = entity::principal::Entity::update_many()
            .set(entity::principal::ActiveModel {
                role: Set(Text(role)),
                ..Default::default()
            })
            .filter(entity::principal::Column::Name.eq("eve"));
        change.exec(&town.rows().await).await.unwrap();
    };
    role(Role::Admin).await;
    let mut watch = async |token: &str| {
        let stream = client.watch_workshop(with(token, ask.clone())).await;
        stream.unwrap().into_inner()
    };
    let mut reads = watch(&ada).await;
    let unread = watch(&ada).await;
    let mut other = watch(&eve).await;
    let mut admins = watch(&town.admin).await;
    for stream in [&mut reads, &mut other, &mut admins] {
        stream.message().await.unwrap().unwrap();
    }

    let revoke = pb::RevokeTokenRequest { id: id("ada") };
    tokens
        .revoke_token(with(&town.admin, revoke))
        .await
        .unwrap();
    for mut stream in [reads, unread] {
        let end = loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("ended without a reason"),
                Err(end) => break end,
            }
        };
        assert_eq!(end.code(), Code::Unauthenticated, "{end}");
    }
    role(Role::Instructor).await;
    let end = other.message().await.unwrap_err();
    assert_eq!(end.code(), Code::NotFound, "{end}");

    // Nobody else's stream was touched.
    town.edit(&workshop.id, entity::workshop::ActiveModel::default())
        .await;
    assert!(admins.message().await.unwrap().is_some());
}

#[tokio::test]
async fn browsers_of_other_origins_see_what_grpc_web_needs_and_strangers_nothing() {
    let town = Town::start().await;
    let path = "clarateach.workshop.v1.WorkshopService/ListWorkshops";
    let url = format!("http://{}/{path}", town.address);
    for (origin, allowed) in [
        ("https://console.example", true),
        ("https://evil.example", false),
    ] {
        let preflight = http::Request::options(&url)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "x-grpc-web,authorization");
        let (_, headers, _) = town.http(preflight, "").await;
        let told = headers.get("access-control-allow-origin");
        assert_eq!(told.is_some(), allowed, "{origin}");
    }
    // Over HTTP/1.1: an empty message, and the trailers as the last frame.
    let call = http::Request::post(&url)
        .header("origin", "https://console.example")
        .header("content-type", "application/grpc-web+proto")
        .header("x-grpc-web", "1")
        .header("authorization", format!("Bearer {}", town.admin));
    let (status, headers, body) = town.http(call, vec![0, 0, 0, 0, 0]).await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "application/grpc-web+proto");
    let exposed = headers["access-control-expose-headers"].to_str().unwrap();
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(text.contains("grpc-status:0"), "{text:?}");
}

#[tokio::test]
async fn the_port_answers_what_is_public_and_nothing_more() {
    let town = Town::start().await;
    let ask = |path: &str| http::Request::get(format!("http://{}{path}", town.address));
    for (path, want) in [
        ("/", 200),
        ("/health", 200),
        ("/api/health", 200),
        ("/metrics", 401),
        ("/api/workshops", 401),
        ("/favicon.ico", 404),
        ("/clarateach.workshop.v1.Nothing/Here", 404),
    ] {
        let (status, _, _) = town.http(ask(path), "").await;
        assert_eq!(status, want, "{path}");
    }
    let (status, _) = town.json("GET", "/metrics", "").await;
    assert_eq!(status, 200);
    let ada = town.instructor("ada").await;
    let (status, _) = town.json_as(&ada, "GET", "/metrics", "").await;
    assert_eq!(status, 403);
}

#[tokio::test]
async fn an_estimate_reckons_workers_and_time_and_only_for_those_who_may_ask() {
    let town = Town::start().await;
    let mut client = town.workshops().await;
    let shape = |seats, seconds| pb::EstimateCostRequest {
        seats,
        ttl: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..Default::default()
    };
    for (seats, hours, workers, total) in [(50, 1, 1, 240_000), (51, 2, 2, 960_000)] {
        let ask = with(&town.admin, shape(seats, hours * 3600));
        let said = client.estimate_cost(ask).await.unwrap().into_inner();
        assert_eq!((said.workers, said.total_microusd), (workers, total));
    }
    let bad = client.estimate_cost(with(&town.admin, shape(0, -1))).await;
    assert_eq!(fields(&bad.unwrap_err()), ["seats", "ttl"]);
    let stranger = client.estimate_cost(with("nobody", shape(1, 3600))).await;
    assert_eq!(stranger.unwrap_err().code(), Code::Unauthenticated);
}
