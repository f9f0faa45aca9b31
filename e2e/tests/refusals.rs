//! Bad input is clearly refused, and nothing is lost by it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop"
)]

use std::time::Duration;

use clarateach_e2e::{
    House,
    house::{patience, runtime},
    house_or_skip,
    http::send,
    micro_vms::pace,
    terminal::Terminal,
    wait::until,
};
use clarateach_proto::workshop::{
    CreateWorkshopRequest, DeleteWorkshopRequest, GetWorkshopRequest, JoinWorkshopRequest, Runtime,
    UpdateWorkshopRequest, WorkshopStatus,
};
use http::{Method, Request};
use tonic::Code;
use tonic_types::StatusExt;

fn wish(name: &str, seats: u32) -> CreateWorkshopRequest {
    CreateWorkshopRequest {
        name: name.to_owned(),
        seats,
        runtime: runtime().into(),
        ..Default::default()
    }
}

#[tokio::test]
async fn wishes_that_make_no_sense_are_refused_with_the_field_named() {
    let house = house_or_skip!();
    let mut workshops = house.workshops().await;
    let long = "x".repeat(101);
    let mut unknown = wish("a", 1);
    unknown.runtime = 99;
    let mut missing = wish("a", 1);
    missing.runtime = 0;
    let mut foreign = wish("a", 1);
    foreign.runtime = match runtime() {
        Runtime::Container => Runtime::Firecracker.into(),
        Runtime::Firecracker | Runtime::Unspecified => Runtime::Container.into(),
    };
    for (bad, field) in [
        (wish("", 1), "name"),
        (wish("   ", 1), "name"),
        (wish(&long, 1), "name"),
        (wish("a\u{7}b", 1), "name"),
        (wish("a", 0), "seats"),
        (wish("a", 1_000_000_000), "seats"),
        (wish("a", u32::MAX), "seats"),
        (unknown, "runtime"),
        (missing, "runtime"),
    ] {
        let refused = workshops.create_workshop(bad).await.unwrap_err();
        assert_eq!(
            refused.code(),
            Code::InvalidArgument,
            "{field}: {refused:?}"
        );
        let details = refused.get_error_details();
        let fields = &details.bad_request().unwrap().field_violations;
        assert!(
            fields.iter().any(|f| f.field == field),
            "{field}: {fields:?}"
        );
        assert!(!details.error_info().unwrap().reason.is_empty());
    }
    let refused = workshops.create_workshop(foreign).await.unwrap_err();
    assert!(
        matches!(
            refused.code(),
            Code::FailedPrecondition | Code::InvalidArgument
        ),
        "a runtime that this server cannot give: {refused:?}"
    );

    // The same words through the JSON face.
    let token = house.admin_token();
    for (body, status) in [
        (r#"{"name":"","seats":1,"runtime":"container"}"#, 400),
        (r#"{"name":"a","seats":-1,"runtime":"container"}"#, 400),
        (r#"{"name":"a","seats":1,"runtime":"qemu"}"#, 400),
        (r#"{"name":"a","seats":"#, 400),
        ("[]", 400),
    ] {
        let answer = house
            .json(Method::POST, "/api/workshops", Some(&token), body)
            .await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), status, "{body}");
        let error: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
        assert!(error["error"]["reason"].is_string(), "{error}");
        assert!(error["error"]["message"].is_string(), "{error}");
    }
    for token in [None, Some(""), Some("nonsense")] {
        let answer = house
            .json(Method::GET, "/api/workshops", token, "")
            .await
            .unwrap();
        assert_eq!(answer.status(), 401, "{token:?}");
    }
    let nobody = house
        .workshops_as("nonsense")
        .await
        .get_workshop(GetWorkshopRequest::default())
        .await;
    assert_eq!(nobody.unwrap_err().code(), Code::Unauthenticated);
    house.close();
}

#[tokio::test]
async fn repeats_are_harmless_and_the_over_is_over() {
    let house = house_or_skip!();
    let mut workshops = house.workshops().await;
    let mut first = wish("Once", 1);
    first.request_id = "req-1".into();
    let (one, two) = {
        let (mut a, mut b) = (workshops.clone(), workshops.clone());
        tokio::join!(
            a.create_workshop(first.clone()),
            b.create_workshop(first.clone())
        )
    };
    let (one, two) = (one.unwrap().into_inner(), two.unwrap().into_inner());
    assert_eq!(one.id, two.id, "the same wish twice is one workshop");
    let mut other = first.clone();
    other.seats = 2;
    let refused = workshops.create_workshop(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused:?}");

    for id in ["ws-zzzzzzzzzz", "nonsense", "", "ws-../../etc"] {
        let refused = workshops
            .get_workshop(GetWorkshopRequest { id: id.into() })
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{id:?}: {refused:?}");
    }

    let delete = DeleteWorkshopRequest {
        id: one.id.clone(),
        ..Default::default()
    };
    workshops.delete_workshop(delete.clone()).await.unwrap();
    workshops.delete_workshop(delete.clone()).await.unwrap();
    let update = UpdateWorkshopRequest {
        id: one.id.clone(),
        seats: Some(2),
        ..Default::default()
    };
    let refused = workshops.update_workshop(update).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    let refused = house.join(&one.code, "late").await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    let info = refused.get_error_details();
    assert_eq!(info.error_info().unwrap().reason, "WORKSHOP_OVER");
    house.until_status(&one.id, WorkshopStatus::Deleted).await;
    workshops.delete_workshop(delete).await.unwrap();
    house.close();
}

#[tokio::test]
async fn codes_and_tokens_open_only_what_they_are_for() {
    let house = house_or_skip!();
    let workshop = house.class("Tokens", 2).await;
    let learner = house.join(&workshop.code, "a").await.unwrap();

    let typed = workshop.code.to_lowercase().replace('-', " ");
    let second = house.join(&typed, "b").await.unwrap();
    let refused = house.join("00000-00000", "x").await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let foreign = JoinWorkshopRequest {
        code: workshop.code.clone(),
        reconnect_code: "0".repeat(26),
        ..Default::default()
    };
    let refused = house.join_with(foreign).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "never a silent new seat");

    // Wrong paths and wrong tokens, straight and through the control plane.
    let token = &learner.joined.token;
    let ca = &learner.joined.ca_certificate;
    for base in [&learner.terminal_url, &learner.gateway_terminal_url] {
        let root = base.split("/proxy/").next().unwrap();
        for (seat, status) in [
            ("0", 404),
            ("01", 404),
            ("1%2f", 404),
            ("1;x", 404),
            ("-9", 404),
            ("4294967297", 404),
            ("2", 403),
        ] {
            let url = format!("{root}/proxy/{}/{seat}/terminal", workshop.id);
            let refused = Terminal::open(&url, token, ca).await.err().unwrap();
            assert_eq!(refused.status, status, "{url}: {}", refused.body);
            let body: serde_json::Value = serde_json::from_str(&refused.body).unwrap();
            assert!(body["error"]["reason"].is_string(), "{body}");
        }
        let url = format!("{root}/proxy/ws-zzzzzzzzzz/1/terminal");
        let status = Terminal::open(&url, token, ca).await.err().unwrap().status;
        assert!(matches!(status, 401 | 403 | 404), "{url}: {status}");
        for (bad, why) in [
            (String::new(), "none"),
            (format!("{token}x"), "damaged"),
            (forged(token), "alg none"),
            (second.joined.token.clone(), "another seat's"),
        ] {
            let refused = Terminal::open(base, &bad, ca).await.err().unwrap();
            assert!(matches!(refused.status, 401 | 403), "{why}: {refused:?}");
        }
        let two = format!("Bearer {token}");
        let offer = format!("clarateach.terminal.v1, clarateach.bearer.v1.{token}");
        let headers = [
            ("authorization", two.as_str()),
            ("sec-websocket-protocol", &offer),
        ];
        let refused = Terminal::with(base, ca, &headers).await.err().unwrap();
        assert_eq!(refused.status, 401, "two tokens");
        let headers = [
            ("origin", "https://evil.example"),
            ("sec-websocket-protocol", &offer),
        ];
        let refused = Terminal::with(base, ca, &headers).await.err().unwrap();
        assert_eq!(refused.status, 403, "a foreign origin");
        let url = format!("{base}?token={token}");
        let refused = Terminal::with(&url, ca, &[]).await.err().unwrap();
        assert_eq!(refused.status, 401, "a token in the URL opens nothing");
    }

    // Nonsense in an open terminal is answered, and the terminal lives on.
    let mut terminal = learner.terminal("").await.unwrap();
    for (cols, rows) in [(0, 24), (65_535, 65_535), (80, 0)] {
        terminal
            .say(serde_json::json!({"type":"resize","cols":cols,"rows":rows}))
            .await;
        terminal.control("error").await;
    }
    terminal.say(serde_json::json!({"type":"unheard-of"})).await;
    assert_eq!(terminal.run("echo alive").await, "alive");
    let mut huge = learner.terminal("?terminal=huge").await.unwrap();
    huge.type_in(vec![b'x'; 200 * 1024]).await;
    assert_eq!(huge.until_closed().await, 1009, "and it is said why");
    assert_eq!(terminal.run("echo alive").await, "alive");
    files_stay_inside(&house, &learner).await;
    house.close();
}

/// The token with its signature cut off and `alg: none` in its head.
fn forged(token: &str) -> String {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let body = token.split('.').nth(1).unwrap();
    let head = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    format!("{head}.{body}.")
}

async fn files_stay_inside(house: &House, learner: &clarateach_e2e::learner::Learner) {
    let _ = house;
    learner
        .run("ln -s /etc/passwd out; ln -s /etc etc; mkfifo pipe; echo in > in")
        .await;
    for base in [&learner.files_url, &learner.gateway_files_url] {
        for path in [
            "/../../../etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/..%2f..%2fetc/passwd",
            "/out",
            "/etc/passwd",
            "/in%00",
            "/%2fetc%2fpasswd",
            "/..",
        ] {
            let request = Request::get(format!("{base}{path}"))
                .header("authorization", format!("Bearer {}", learner.joined.token))
                .body(bytes::Bytes::new())
                .unwrap();
            let answer = send(request, &learner.joined.ca_certificate).await.unwrap();
            let status = answer.status().as_u16();
            assert!(matches!(status, 400 | 403 | 404), "{base}{path}: {status}");
            assert!(!answer.body().windows(5).any(|w| w == b"root:"), "{path}");
        }
    }
    assert_eq!(learner.get("in").await.0, 200);

    // A full disk says 507 and keeps the old file.
    assert_eq!(learner.put("kept", "old").await, 201);
    let fill = "fallocate -l $(($(df --output=avail -B1 . | tail -n 1) - (4 << 20))) filler";
    let filled = learner.run(fill).await;
    assert_eq!(filled.exit_code, Some(0), "{filled:?}");
    assert_eq!(learner.put("kept", vec![7_u8; 8 << 20]).await, 507);
    learner.run("rm -f filler").await;
    assert_eq!(learner.get("kept").await.1, "old");
    until("room again", patience(), async || {
        match learner.put("kept", vec![7_u8; 8 << 20]).await {
            204 => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

#[tokio::test]
async fn five_hundred_learners_fifty_seats() {
    let house = house_or_skip!();
    // Seats are given before their machines are there: the row is the truth.
    let workshop = house.create("Crowd", 50).await;
    let seats = house.seats().await;
    let mut joins = tokio::task::JoinSet::new();
    for n in 0..500 {
        let mut seats = seats.clone();
        let code = workshop.code.clone();
        joins.spawn(async move {
            let request = JoinWorkshopRequest {
                code,
                display_name: format!("learner {n}"),
                ..Default::default()
            };
            seats.join_workshop(request).await
        });
    }
    let (mut given, mut refused) = (Vec::new(), 0);
    while let Some(joined) = joins.join_next().await {
        match joined.unwrap() {
            Ok(answer) => given.push(answer.into_inner().seat),
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                let info = status.get_error_details();
                assert_eq!(info.error_info().unwrap().reason, "SEATS_EXHAUSTED");
                refused += 1;
            }
        }
    }
    given.sort_unstable();
    let want: Vec<u32> = (1..=50).collect();
    assert_eq!(given, want, "fifty distinct seats");
    assert_eq!(refused, 450);
    house.delete(&workshop.id).await;
    house.close();
}

#[tokio::test]
async fn an_unrenewed_token_ends_its_sockets_and_a_renewed_one_does_not() {
    let life = format!("{}s", 8 * pace());
    let house = house_or_skip!("--seat-token-ttl", &life);
    let workshop = house.class("Short", 1).await;
    let learner = house.join(&workshop.code, "a").await.unwrap();
    let mut left = learner.terminal("").await.unwrap();
    assert_eq!(left.run("echo hi").await, "hi");
    let mut seats = house.seats().await;
    let mut ask = tonic::Request::new(clarateach_proto::workshop::RefreshTokenRequest {});
    let bearer = format!("Bearer {}", learner.joined.token).parse().unwrap();
    ask.metadata_mut().insert("authorization", bearer);
    let fresh = seats.refresh_token(ask).await.unwrap().into_inner();
    assert_ne!(fresh.token, learner.joined.token);
    // The renewal moves the deadline past the first token's end.
    let renew = learner
        .terminal_url
        .replace("wss://", "https://")
        .replace("/terminal", "/renew");
    let request = Request::post(renew)
        .header("authorization", format!("Bearer {}", fresh.token))
        .body(bytes::Bytes::new())
        .unwrap();
    let answer = send(request, &learner.joined.ca_certificate).await.unwrap();
    assert_eq!(answer.status(), 204);
    let began = std::time::Instant::now();
    left.must_close(4401).await;
    assert!(
        began.elapsed() < Duration::from_secs(80),
        "{:?}",
        began.elapsed()
    );
    let refused = learner.terminal("").await.err().unwrap();
    assert_eq!(refused.status, 401);
    house.close();
}
