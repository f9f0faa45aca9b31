//! Workshops are made once, within limits, and their seats follow the wish.

use std::{collections::HashMap, num::NonZeroU32};

use clarateach_proto::workshop as pb;
use tokio::task::JoinSet;
use tonic::Code;

use crate::town::{self, Town, code, reason, wish, with};

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
