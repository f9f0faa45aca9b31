//! The main job: a class from the first call to the last trace.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop"
)]

use clarateach_e2e::{house_or_skip, learner::Learner, wait::until};
use clarateach_proto::workshop::SeatState;

#[tokio::test]
async fn a_class_of_five_runs_and_leaves_nothing_behind() {
    let house = house_or_skip!();
    let workshop = house.class("Python 101", 5).await;
    assert_eq!(workshop.seat_list.len(), 5);
    assert!(
        workshop
            .seat_list
            .iter()
            .all(|seat| seat.state() == SeatState::Ready && !seat.taken)
    );

    let mut learners = Vec::new();
    for n in 1..=5 {
        let learner = house.join(&workshop.code, &format!("learner {n}")).await;
        learners.push(learner.unwrap());
    }
    let mut seats: Vec<_> = learners.iter().map(Learner::seat).collect();
    seats.sort_unstable();
    assert_eq!(seats, [1, 2, 3, 4, 5]);

    for learner in &learners {
        let seat = learner.seat();
        let mut terminal = learner.terminal("").await.unwrap();
        assert_eq!(terminal.run("whoami").await, "learner");
        assert_eq!(terminal.run("hostname").await, format!("seat-{seat}"));
        assert_eq!(terminal.run("pwd").await, "/home/learner/workspace");
        assert_eq!(terminal.run("sudo id -u").await, "0");
        assert_eq!(
            terminal.run("python3 -c 'print(6*7)'").await,
            "42",
            "seat {seat}"
        );
        let address = terminal.run("hostname -I || ip -4 -br addr").await;
        assert!(
            address.contains(&format!("192.168.100.{}", 10 + seat)),
            "{address}"
        );

        // What is written through one door is there behind every other.
        assert_eq!(learner.put("hello.txt", format!("seat {seat}")).await, 201);
        assert_eq!(terminal.run("cat hello.txt").await, format!("seat {seat}"));
        let ran = learner.run("cat hello.txt; id -un >&2; exit 3").await;
        assert_eq!(ran.stdout, format!("seat {seat}"));
        assert_eq!((ran.stderr.as_str(), ran.exit_code), ("learner\n", Some(3)));

        let mut gateway = learner.gateway_terminal("?terminal=two").await.unwrap();
        assert_eq!(gateway.run("cat hello.txt").await, format!("seat {seat}"));
    }

    let seen = house.workshop(&workshop.id).await;
    assert!(seen.seat_list.iter().all(|seat| seat.taken));
    until(
        "typing to be seen",
        clarateach_e2e::house::patience(),
        async || {
            let seats = house.workshop(&workshop.id).await.seat_list;
            let typed = seats.iter().filter(|seat| seat.last_input_at.is_some());
            let typed = typed.count();
            if typed == 5 { Ok(()) } else { Err(typed) }
        },
    )
    .await;

    // What a seat's machine says is there for whoever teaches.
    let mut workshops = house.workshops().await;
    let ask = |seat| clarateach_proto::workshop::GetSeatLogRequest {
        workshop_id: workshop.id.clone(),
        seat,
    };
    let log = workshops.get_seat_log(ask(1)).await.unwrap().into_inner();
    assert!(log.log.contains("guest configured"), "{}", log.log);
    let none = workshops.get_seat_log(ask(6)).await.unwrap_err();
    assert_eq!(none.code(), tonic::Code::NotFound, "{none:?}");

    let full = house.join(&workshop.code, "one too many").await;
    assert_eq!(full.unwrap_err().code(), tonic::Code::ResourceExhausted);

    house.delete(&workshop.id).await;
    let left = house.traces();
    let server = |trace: &&String| trace.contains("clarateach-server");
    let ours: Vec<_> = left.iter().filter(|trace| !server(trace)).collect();
    assert!(ours.is_empty(), "left behind by a deleted class: {ours:#?}");
    house.close();
}

#[tokio::test]
async fn a_reset_gives_a_fresh_machine_and_a_revoke_a_fresh_learner() {
    use clarateach_proto::workshop::{ResetSeatRequest, RevokeSeatRequest};

    let house = house_or_skip!();
    let workshop = house.class("Reset", 1).await;
    let learner = house.join(&workshop.code, "first").await.unwrap();
    let mut terminal = learner.terminal("").await.unwrap();
    assert_eq!(terminal.run("echo mine > secret; cat secret").await, "mine");

    let request = ResetSeatRequest {
        workshop_id: workshop.id.clone(),
        seat: 1,
        ..Default::default()
    };
    house.workshops().await.reset_seat(request).await.unwrap();
    terminal.must_close(4409).await;
    // The old token is of an older epoch; the learner is still the learner.
    let request = clarateach_proto::workshop::JoinWorkshopRequest {
        code: workshop.code.clone(),
        reconnect_code: learner.joined.reconnect_code.clone(),
        ..Default::default()
    };
    let again = house.join_with(request.clone()).await.unwrap();
    assert_eq!(again.seat(), 1);
    let mut terminal = until(
        "the fresh seat",
        clarateach_e2e::house::patience(),
        async || again.terminal("").await.map_err(|refused| refused.body),
    )
    .await;
    assert_eq!(terminal.run("ls -A").await, "", "a fresh machine");
    assert_eq!(learner.terminal("").await.err().unwrap().status, 403);

    assert_eq!(terminal.run("echo mine > secret; cat secret").await, "mine");
    let revoke = RevokeSeatRequest {
        workshop_id: workshop.id.clone(),
        seat: 1,
        ..Default::default()
    };
    house.workshops().await.revoke_seat(revoke).await.unwrap();
    terminal.must_close(4403).await;
    let back = house.join_with(request).await.unwrap_err();
    assert_eq!(back.code(), tonic::Code::NotFound, "{back:?}");
    let next = until(
        "the seat to be free",
        clarateach_e2e::house::patience(),
        async || house.join(&workshop.code, "second").await,
    )
    .await;
    let mut terminal = until(
        "the fresh seat",
        clarateach_e2e::house::patience(),
        async || next.terminal("").await.map_err(|refused| refused.body),
    )
    .await;
    assert_eq!(
        terminal.run("ls -A").await,
        "",
        "never the last one's files"
    );
    house.close();
}

#[tokio::test]
async fn two_workshops_share_addresses_and_never_meet() {
    let house = house_or_skip!();
    let (one, two) = tokio::join!(house.class("One", 2), house.class("Two", 2));
    let in_one = house.join(&one.code, "a").await.unwrap();
    let in_two = house.join(&two.code, "b").await.unwrap();
    let (mut first, mut second) = (
        in_one.terminal("").await.unwrap(),
        in_two.terminal("").await.unwrap(),
    );
    let address = "hostname -I || ip -4 -br addr";
    let both = [first.run(address).await, second.run(address).await];
    assert!(
        both.iter().all(|ip| ip.contains("192.168.100.11")),
        "{both:?}"
    );
    assert_eq!(in_one.put("whose", "one").await, 201);
    assert_eq!(
        second.run("ls whose 2>&1").await,
        "ls: cannot access 'whose': No such file or directory"
    );

    // A token of one workshop opens nothing of the other.
    for url in [&in_two.terminal_url, &in_two.gateway_terminal_url] {
        let refused = clarateach_e2e::terminal::Terminal::open(
            url,
            &in_one.joined.token,
            &in_two.joined.ca_certificate,
        )
        .await;
        assert_eq!(refused.err().unwrap().status, 401, "{url}");
    }
    // Nor does a neighbour's seat, nor a neighbour on the bridge.
    let neighbour = house.join(&one.code, "c").await.unwrap();
    let refused = clarateach_e2e::terminal::Terminal::open(
        &neighbour.terminal_url,
        &in_one.joined.token,
        &in_one.joined.ca_certificate,
    )
    .await;
    assert_eq!(refused.err().unwrap().status, 403);
    let peek = "curl -s -m 2 -o /dev/null -w '%{http_code}' http://192.168.100.12:3002/";
    assert_eq!(first.run(peek).await, "000");
    house.close();
}

#[tokio::test]
async fn seats_come_and_go_with_an_update() {
    use clarateach_proto::workshop::{UpdateWorkshopRequest, WorkshopStatus};

    let house = house_or_skip!();
    let workshop = house.class("Elastic", 2).await;
    let change = async |seats: u32, evict: bool| {
        let request = UpdateWorkshopRequest {
            id: workshop.id.clone(),
            seats: Some(seats),
            evict,
            ..Default::default()
        };
        house.workshops().await.update_workshop(request).await
    };
    change(4, false).await.unwrap();
    until(
        "four seats",
        clarateach_e2e::house::patience(),
        async || {
            let now = house.workshop(&workshop.id).await;
            let ready = now
                .seat_list
                .iter()
                .filter(|s| s.state() == SeatState::Ready)
                .count();
            if ready == 4 && now.status() == WorkshopStatus::Running {
                Ok(())
            } else {
                Err(now)
            }
        },
    )
    .await;
    for n in 0..3 {
        house.join(&workshop.code, &format!("l{n}")).await.unwrap();
    }
    let refused = change(2, false).await.unwrap_err();
    assert_eq!(
        refused.code(),
        tonic::Code::FailedPrecondition,
        "{refused:?}"
    );
    change(3, false).await.unwrap();
    change(2, true).await.unwrap();
    until("two seats", clarateach_e2e::house::patience(), async || {
        let now = house.workshop(&workshop.id).await;
        if now.seat_list.len() == 2 && now.status() == WorkshopStatus::Running {
            Ok(())
        } else {
            Err(now)
        }
    })
    .await;
    house.close();
}

#[tokio::test]
async fn a_class_ends_when_its_time_is_over_and_everybody_was_told() {
    use clarateach_proto::workshop::{
        UpdateWorkshopRequest, WatchWorkshopRequest, WorkshopStatus, notice::Kind,
    };

    let house = house_or_skip!();
    let workshop = house.class("Short", 1).await;
    let learner = house.join(&workshop.code, "a").await.unwrap();
    let mut terminal = learner.terminal("").await.unwrap();
    let watch = WatchWorkshopRequest {
        id: workshop.id.clone(),
        ..Default::default()
    };
    let mut workshops = house.workshops().await;
    let mut watched = workshops.watch_workshop(watch).await.unwrap().into_inner();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(
        first.workshop.unwrap().id,
        workshop.id,
        "the full state first"
    );

    let request = UpdateWorkshopRequest {
        id: workshop.id.clone(),
        ttl: Some(prost_types::Duration {
            seconds: 20,
            nanos: 0,
        }),
        ..Default::default()
    };
    workshops.update_workshop(request).await.unwrap();
    let notice = terminal.control("notice").await;
    assert_eq!(notice["kind"], "expiring", "{notice}");
    assert!(
        notice["message"].as_str().unwrap().contains("minute"),
        "{notice}"
    );
    let mut told = false;
    while let Some(change) = watched.message().await.unwrap() {
        told |= change.notices.iter().any(|n| n.kind() == Kind::Expiring);
        let status = change.workshop.map(|workshop| workshop.status());
        if status == Some(WorkshopStatus::Deleted) {
            break;
        }
    }
    assert!(told, "the watch was told before the end");
    terminal.must_close(4410).await;
    house
        .until_status(&workshop.id, WorkshopStatus::Deleted)
        .await;
    house.close();
}
