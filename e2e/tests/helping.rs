//! An instructor looks over a class: the wall of screens, a look at one terminal,
//! and a hand when the learner lets them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop"
)]

use clarateach_e2e::{
    house::{House, patience},
    house_or_skip,
    http::send,
    terminal::Terminal,
};
use clarateach_proto::workshop::{
    AttachMode, ObserveSeatRequest, ObserveSeatResponse, ResetSeatRequest, WatchPreviewsRequest,
    WatchPreviewsResponse,
};
use serde_json::json;
use tonic::{Code, Status, Streaming};

async fn observe(
    house: &House,
    workshop: &str,
    seat: u32,
    mode: AttachMode,
) -> Result<ObserveSeatResponse, Status> {
    let ask = ObserveSeatRequest {
        workshop_id: workshop.to_owned(),
        seat,
        mode: mode.into(),
    };
    let answer = house.workshops().await.observe_seat(ask).await;
    answer.map(tonic::Response::into_inner)
}

/// Opens what an observer was given, straight at the worker.
async fn open(way: &ObserveSeatResponse) -> Terminal {
    let terminal = &way.endpoints.as_ref().unwrap().terminal;
    let opened = Terminal::open(terminal, &way.token, &way.ca_certificate).await;
    opened.unwrap()
}

/// Reads until the seat's picture has a line with `text`.
async fn shows(pictures: &mut Streaming<WatchPreviewsResponse>, seat: u32, text: &str) {
    let mut last = None;
    let found = tokio::time::timeout(patience(), async {
        loop {
            let picture = pictures
                .message()
                .await
                .unwrap()
                .expect("the stream goes on");
            let found = picture.lines.iter().any(|line| line.contains(text));
            if picture.seat == seat && found {
                assert!(picture.changed_at.is_some());
                assert!(picture.lines.len() <= 12, "{picture:?}");
                return;
            }
            last = Some(picture);
        }
    });
    assert!(found.await.is_ok(), "no {text:?} of seat {seat}: {last:?}");
}

#[tokio::test]
async fn a_wall_shows_what_every_seat_shows() {
    let house = house_or_skip!();
    let workshop = house.class("Wall", 2).await;
    let ask = WatchPreviewsRequest {
        workshop_id: workshop.id.clone(),
    };
    let mut workshops = house.workshops().await;
    let stranger = WatchPreviewsRequest {
        workshop_id: "ws-0000000000".to_owned(),
    };
    let refused = workshops.watch_previews(stranger).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let mut pictures = workshops.watch_previews(ask).await.unwrap().into_inner();

    let first = house.join(&workshop.code, "first").await.unwrap();
    let second = house.join(&workshop.code, "second").await.unwrap();
    for (learner, word) in [(&first, "apple"), (&second, "pear")] {
        let mut terminal = learner.terminal("").await.unwrap();
        terminal.run(&format!("echo {word}-tree")).await;
        shows(&mut pictures, learner.seat(), &format!("{word}-tree")).await;
    }
    // Another terminal of the same seat: the one that wrote last is shown.
    let mut other = first.terminal("?terminal=other").await.unwrap();
    other.run("printf '\\033[31mplum-tree\\033[0m\\n'").await;
    shows(&mut pictures, first.seat(), "plum-tree").await;

    house.delete(&workshop.id).await;
    let ended = tokio::time::timeout(patience(), async {
        while let Ok(Some(_)) = pictures.message().await {}
    });
    assert!(ended.await.is_ok(), "the stream outlives the workshop");
    house.close();
}

#[tokio::test]
async fn a_helper_looks_types_with_consent_and_is_seen() {
    let house = house_or_skip!();
    let workshop = house.class("Help", 1).await;
    let free = observe(&house, &workshop.id, 1, AttachMode::Observe).await;
    assert_eq!(free.unwrap_err().code(), Code::FailedPrecondition);
    let learner = house.join(&workshop.code, "ada").await.unwrap();
    let driving = observe(&house, &workshop.id, 1, AttachMode::Drive).await;
    assert_eq!(driving.unwrap_err().code(), Code::InvalidArgument);
    let mut terminal = learner.terminal("").await.unwrap();
    terminal.run("echo stuck-here").await;

    // A look: what is there, what comes, and nothing typed.
    let look = observe(&house, &workshop.id, 1, AttachMode::Observe)
        .await
        .unwrap();
    assert_eq!(look.endpoints.as_ref().unwrap().files, "");
    let mut watching = open(&look).await;
    watching.until("stuck-here").await;
    let seen = loop {
        let seen = terminal.control("viewers").await;
        if seen["watching"]
            .as_array()
            .is_some_and(|all| !all.is_empty())
        {
            break seen;
        }
    };
    assert_eq!(seen["watching"][0]["mode"], "observe", "{seen}");
    watching.type_in("echo not-mine\r").await;
    assert_eq!(watching.control("error").await["reason"], "observing");
    // Its token opens the terminal and nothing else.
    let files = &learner.joined.endpoints.as_ref().unwrap().files;
    let request = http::Request::get(format!("{files}/"))
        .header("authorization", format!("Bearer {}", look.token))
        .body(bytes::Bytes::new())
        .unwrap();
    let refused = send(request, &look.ca_certificate).await.unwrap();
    assert_eq!(refused.status(), 403);

    // A hand: not before the learner lets it, and not after.
    let help = observe(&house, &workshop.id, 1, AttachMode::Assist)
        .await
        .unwrap();
    let mut helper = open(&help).await;
    helper.type_in("echo too-early\r").await;
    assert_eq!(helper.control("error").await["reason"], "consent_needed");
    let who = loop {
        let seen = terminal.control("viewers").await;
        let all = seen["watching"].as_array().cloned().unwrap_or_default();
        if let Some(found) = all.iter().find(|viewer| viewer["mode"] == "assist") {
            break found["viewer"].clone();
        }
    };
    terminal
        .say(json!({"type": "consent", "viewer": who, "allow": true}))
        .await;
    // Consent and keys come by different sockets: the shell's answer tells that it counts.
    let mut helped = false;
    for _ in 0..100 {
        helper.type_in("echo with-\"\"love\r").await;
        helper.say(json!({"type": "ping"})).await;
        helper.control("pong").await;
        if helper.has("with-love") {
            helped = true;
            break;
        }
    }
    assert!(helped, "{}", helper.text());
    terminal.until("with-love").await;

    // A reset ends the observers with the learner.
    let request = ResetSeatRequest {
        workshop_id: workshop.id.clone(),
        seat: 1,
        ..Default::default()
    };
    house.workshops().await.reset_seat(request).await.unwrap();
    for socket in [&mut terminal, &mut watching, &mut helper] {
        socket.must_close(4409).await;
    }
    house.close();
}
