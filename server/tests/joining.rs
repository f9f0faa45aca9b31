//! Learners at the doors: codes, seats, tokens.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that cannot go on should stop"
)]

mod town;

use std::{collections::BTreeSet, time::Duration};

use clarateach_domain::{
    plan::SeatWish,
    workshop::{Desired, Phase},
};
use clarateach_proto::workshop as pb;
use clarateach_server::store::{entity, text::Text};
use sea_orm::{ActiveValue::Set, EntityTrait};
use tokio::task::JoinSet;
use tonic::Code;
use tonic_types::StatusExt;
use town::{Town, code, fields, reason, with};

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_learners_get_fifty_distinct_seats_and_clean_refusals() {
    let town = Town::start().await;
    let workshop = town.workshop(50).await;
    let client = town.seats().await;
    let mut joins = JoinSet::new();
    for _ in 0..500 {
        let (mut client, ask) = (client.clone(), code(&workshop));
        joins.spawn(async move { client.join_workshop(ask).await });
    }
    let (mut seats, mut codes, mut full) = (BTreeSet::new(), BTreeSet::new(), 0);
    while let Some(joined) = joins.join_next().await {
        match joined.unwrap() {
            Ok(joined) => {
                let joined = joined.into_inner();
                assert_eq!(joined.seat_state(), pb::SeatState::Waiting);
                assert!(seats.insert(joined.seat), "seat {} twice", joined.seat);
                codes.insert(joined.reconnect_code);
            }
            Err(refused) => {
                assert_eq!(reason(&refused), "SEATS_EXHAUSTED", "{refused}");
                full += 1;
            }
        }
    }
    assert_eq!((seats.len(), codes.len(), full), (50, 50, 450));
    assert_eq!(seats, (1..=50).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_join_takes_one_seat_and_another_body_is_aborted() {
    let town = Town::start().await;
    let workshop = town.workshop(5).await;
    let client = town.seats().await;
    let ask = pb::JoinWorkshopRequest {
        request_id: "5f0a41c8d2e96b37".into(),
        display_name: "Ada".into(),
        ..code(&workshop)
    };
    let mut joins = JoinSet::new();
    for _ in 0..20 {
        let (mut client, ask) = (client.clone(), ask.clone());
        joins.spawn(async move { client.join_workshop(ask).await.unwrap().into_inner() });
    }
    let joined = joins.join_all().await;
    let same: BTreeSet<_> = joined
        .iter()
        .map(|joined| (joined.seat, joined.reconnect_code.clone()))
        .collect();
    assert_eq!(same.len(), 1, "{same:?}");
    let other = pb::JoinWorkshopRequest {
        display_name: "Bob".into(),
        ..ask
    };
    let refused = client.clone().join_workshop(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    let view = town.workshops().await;
    let seats = with(
        &town.admin,
        pb::ListSeatsRequest {
            workshop_id: workshop.id,
        },
    );
    let seats = view
        .clone()
        .list_seats(seats)
        .await
        .unwrap()
        .into_inner()
        .seats;
    assert_eq!(seats.iter().filter(|seat| seat.taken).count(), 1);
    assert_eq!(seats[0].learner, "Ada");
}

#[tokio::test]
async fn a_reconnect_code_brings_back_its_own_seat_and_never_another() {
    let town = Town::start().await;
    let (here, there) = (town.workshop(2).await, town.workshop(2).await);
    let mut client = town.seats().await;
    let first = client
        .join_workshop(code(&here))
        .await
        .unwrap()
        .into_inner();
    let foreign = client
        .join_workshop(code(&there))
        .await
        .unwrap()
        .into_inner();
    let back = pb::JoinWorkshopRequest {
        reconnect_code: first.reconnect_code.to_lowercase(),
        ..code(&here)
    };
    let back = client.join_workshop(back).await.unwrap().into_inner();
    assert_eq!(back.seat, first.seat);
    for wrong in [foreign.reconnect_code.as_str(), "nonsense", &"0".repeat(26)] {
        let ask = pb::JoinWorkshopRequest {
            reconnect_code: wrong.to_owned(),
            ..code(&here)
        };
        let refused = client.join_workshop(ask).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{wrong}");
        assert_eq!(reason(&refused), "RECONNECT_UNKNOWN");
    }
    let free = client
        .join_workshop(code(&here))
        .await
        .unwrap()
        .into_inner();
    assert_ne!(free.seat, first.seat, "the refusals took no seat");
}

#[tokio::test]
async fn stopped_over_failed_and_full_each_say_so_and_a_gone_code_is_unknown() {
    let town = Town::start().await;
    let mut client = town.seats().await;
    let now = clarateach_server::api::now();
    let blank = entity::workshop::ActiveModel::default;
    for (change, want) in [
        (
            entity::workshop::ActiveModel {
                desired: Set(Text(Desired::Stopped)),
                phase: Set(Text(Phase::Stopped)),
                ..blank()
            },
            "NOT_RUNNING",
        ),
        (
            entity::workshop::ActiveModel {
                desired: Set(Text(Desired::Absent)),
                phase: Set(Text(Phase::Deleting)),
                ..blank()
            },
            "WORKSHOP_OVER",
        ),
        (
            entity::workshop::ActiveModel {
                expires_at: Set(now),
                ..blank()
            },
            "WORKSHOP_OVER",
        ),
        (
            entity::workshop::ActiveModel {
                phase: Set(Text(Phase::Failed)),
                ..blank()
            },
            "WORKSHOP_FAILED",
        ),
        (
            entity::workshop::ActiveModel {
                desired: Set(Text(Desired::Absent)),
                phase: Set(Text(Phase::Deleted)),
                ..blank()
            },
            "CODE_UNKNOWN",
        ),
    ] {
        let workshop = town.workshop(1).await;
        town.edit(&workshop.id, change).await;
        let refused = client.join_workshop(code(&workshop)).await.unwrap_err();
        assert_eq!(reason(&refused), want);
    }
    let workshop = town.workshop(1).await;
    client.join_workshop(code(&workshop)).await.unwrap();
    let refused = client.join_workshop(code(&workshop)).await.unwrap_err();
    assert_eq!(reason(&refused), "SEATS_EXHAUSTED");
    assert!(refused.message().contains("more seats"), "{refused}");
}

#[tokio::test]
async fn only_wrong_codes_are_counted_and_a_right_one_always_opens() {
    let town = Town::start().await;
    let workshop = town.workshop(3).await;
    let mut client = town.seats().await;
    let wrong = |code: &str| pb::JoinWorkshopRequest {
        code: code.to_owned(),
        ..Default::default()
    };
    for (n, text) in ["00000-00000", "", "ZZZZZZZZZZ", "UUUUU"]
        .iter()
        .cycle()
        .take(120)
        .enumerate()
    {
        let refused = client.join_workshop(wrong(text)).await.unwrap_err();
        assert_eq!(reason(&refused), "CODE_UNKNOWN", "{n}");
    }
    let refused = client
        .join_workshop(wrong("00000-00000"))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let wait = refused
        .get_error_details()
        .retry_info()
        .unwrap()
        .retry_delay;
    assert!(wait.is_some_and(|wait| wait <= Duration::from_mins(1)));
    client.join_workshop(code(&workshop)).await.unwrap();
}

#[tokio::test]
async fn a_seat_token_is_refreshed_while_it_counts_and_not_after() {
    let mut settings = town::settings();
    settings.seat_token_life = Duration::from_secs(5);
    let town = Town::start_with(settings).await;
    let workshop = town.workshop(2).await;
    let other = town.workshop(2).await;
    let mut client = town.seats().await;
    let refresh = || pb::RefreshTokenRequest {};
    let one = client
        .join_workshop(code(&workshop))
        .await
        .unwrap()
        .into_inner();
    let two = client
        .join_workshop(code(&workshop))
        .await
        .unwrap()
        .into_inner();
    let stranger = client
        .join_workshop(code(&other))
        .await
        .unwrap()
        .into_inner();
    let fresh = client
        .refresh_token(with(&one.token, refresh()))
        .await
        .unwrap();
    assert_eq!(fresh.get_ref().ca_certificate, workshop.ca_certificate);
    assert_ne!(fresh.get_ref().token, one.token);

    // A body of one workshop under the signature of another's key.
    let (head, rest) = one.token.split_once('.').unwrap();
    let (body, _) = rest.split_once('.').unwrap();
    let (_, signature) = stranger.token.rsplit_once('.').unwrap();
    for (bad, why) in [
        (String::from("x"), "no token"),
        (town.admin.clone(), "an API token"),
        (format!("{head}.{body}.{signature}"), "another's signature"),
        (format!("eyJhbGciOiJub25lIn0.{body}."), "alg none"),
        (format!("{},{}", one.token, two.token), "two tokens"),
    ] {
        let refused = client
            .refresh_token(with(&bad, refresh()))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{why}: {refused}");
        assert_eq!(reason(&refused), "TOKEN_INVALID", "{why}");
    }

    let mut instructor = town.workshops().await;
    let reset = pb::ResetSeatRequest {
        workshop_id: workshop.id.clone(),
        seat: one.seat,
        request_id: String::new(),
    };
    let seat = instructor
        .reset_seat(with(&town.admin, reset))
        .await
        .unwrap();
    assert!(seat.get_ref().taken && seat.get_ref().epoch == 2);
    let refused = client
        .refresh_token(with(&one.token, refresh()))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "TOKEN_OUTDATED");
    let back = pb::JoinWorkshopRequest {
        reconnect_code: one.reconnect_code.clone(),
        ..code(&workshop)
    };
    let back = client.join_workshop(back).await.unwrap().into_inner();
    assert_eq!(back.seat, one.seat, "a reset seat keeps its learner");

    tokio::time::sleep(Duration::from_secs(6)).await;
    let refused = client
        .refresh_token(with(&two.token, refresh()))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_revoked_seat_is_nobodys_until_its_machine_is_fresh() {
    let town = Town::start().await;
    let workshop = town.workshop(1).await;
    let mut client = town.seats().await;
    let mut instructor = town.workshops().await;
    let joined = client
        .join_workshop(code(&workshop))
        .await
        .unwrap()
        .into_inner();
    let revoke = || {
        let ask = pb::RevokeSeatRequest {
            workshop_id: workshop.id.clone(),
            seat: 1,
            request_id: String::new(),
        };
        with(&town.admin, ask)
    };
    for _ in 0..2 {
        let seat = instructor.revoke_seat(revoke()).await.unwrap().into_inner();
        assert_eq!(seat.state(), pb::SeatState::Removing);
        assert!(!seat.taken && seat.epoch == 2, "asked twice, done once");
    }
    let back = pb::JoinWorkshopRequest {
        reconnect_code: joined.reconnect_code,
        ..code(&workshop)
    };
    let refused = client.join_workshop(back).await.unwrap_err();
    assert_eq!(reason(&refused), "RECONNECT_UNKNOWN", "the code is void");
    let refused = client.join_workshop(code(&workshop)).await.unwrap_err();
    assert_eq!(reason(&refused), "SEATS_EXHAUSTED");
    let soon = refused.get_error_details().retry_info().is_some();
    assert!(soon, "a seat is about to be free");

    // The loop has seen the fresh machine.
    let freed = entity::seat::ActiveModel {
        workshop_id: Set(workshop.id.clone()),
        seat: Set(1),
        wish: Set(Text(SeatWish::Kept)),
        ..Default::default()
    };
    let rows = town.rows().await;
    entity::seat::Entity::update(freed)
        .exec(&rows)
        .await
        .unwrap();
    let next = client
        .join_workshop(code(&workshop))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(next.seat, 1);
    let refused = instructor.revoke_seat(with(
        &town.admin,
        pb::RevokeSeatRequest {
            workshop_id: workshop.id.clone(),
            seat: 2,
            request_id: String::new(),
        },
    ));
    assert_eq!(reason(&refused.await.unwrap_err()), "SEAT_UNKNOWN");
}

#[tokio::test]
async fn a_join_names_every_fault_of_its_fields() {
    let town = Town::start().await;
    let workshop = town.workshop(1).await;
    let mut client = town.seats().await;
    let ask = pb::JoinWorkshopRequest {
        display_name: "x".repeat(65),
        request_id: "\u{7}".into(),
        ..code(&workshop)
    };
    let refused = client.join_workshop(ask).await.unwrap_err();
    assert_eq!(fields(&refused), ["display_name", "request_id"]);
    // Another learner may have used it, and would be found by it.
    let ask = pb::JoinWorkshopRequest {
        request_id: "1".into(),
        ..code(&workshop)
    };
    let refused = client.join_workshop(ask).await.unwrap_err();
    assert_eq!(fields(&refused), ["request_id"]);
    // What people type.
    let typed = workshop
        .code
        .to_lowercase()
        .replace('-', " ")
        .replace('0', "o");
    let ask = pb::JoinWorkshopRequest {
        code: typed.replace('1', "l"),
        display_name: "Zoë".into(),
        ..Default::default()
    };
    client.join_workshop(ask).await.unwrap();
}
