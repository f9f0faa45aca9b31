//! The data directory and the learner's watch: what outlives what.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that cannot go on should stop"
)]

mod town;

use std::time::Duration;

use chrono::TimeDelta;
use clarateach_domain::workshop::{Desired, Phase};
use clarateach_proto::workshop as pb;
use clarateach_server::{
    api,
    store::{entity, sealing::MasterKey, text::Text},
};
use sea_orm::ActiveValue::Set;
use tonic::Code;
use town::{Town, code, reason, with};

#[tokio::test]
async fn a_database_opens_again_with_its_own_key_and_with_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let first = town::store(&dir).await;
    first
        .ensure_admin(&dir.path().join("admin.token"), api::now())
        .await
        .unwrap();
    first.close().await.unwrap();
    let again = town::store(&dir).await;
    assert_eq!(again.tokens(None).await.unwrap().len(), 1);
    again
        .ensure_admin(&dir.path().join("admin.token"), api::now())
        .await
        .unwrap();
    assert_eq!(again.tokens(None).await.unwrap().len(), 1, "made once");
    let other = MasterKey::load_or_make(&dir.path().join("other.key")).unwrap();
    let refused = town::open(&dir, other).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn a_deleted_workshop_is_readable_for_seven_days_and_hidden_from_lists() {
    let town = Town::start().await;
    let workshop = town.workshop(2).await;
    let now = api::now();
    let gone = |days| entity::workshop::ActiveModel {
        desired: Set(Text(Desired::Absent)),
        phase: Set(Text(Phase::Deleted)),
        deleted_at: Set(Some(now - TimeDelta::days(days))),
        ..Default::default()
    };
    let path = format!("/api/workshops/{}", workshop.id);
    town.edit(&workshop.id, gone(6)).await;
    assert_eq!(town.store.purge(now).await.unwrap(), 0);
    assert_eq!(town.json("GET", &path, "").await.1["status"], "deleted");
    for (query, want) in [("", 0), ("?show_deleted=true", 1)] {
        let (_, list) = town
            .json("GET", &format!("/api/workshops{query}"), "")
            .await;
        assert_eq!(list["workshops"].as_array().unwrap().len(), want, "{query}");
    }
    town.edit(&workshop.id, gone(8)).await;
    assert_eq!(town.store.purge(now).await.unwrap(), 1);
    assert_eq!(town.json("GET", &path, "").await.0, 404);
}

#[tokio::test]
async fn a_learners_watch_ends_with_the_token_the_seat_and_the_server() {
    let mut settings = town::settings();
    settings.seat_token_life = Duration::from_secs(5);
    let town = Town::start_with(settings).await;
    let workshop = town.workshop(3).await;
    let mut client = town.seats().await;
    let mut streams = Vec::new();
    let mut held = Vec::new();
    for _ in 0..2 {
        let joined = client
            .join_workshop(code(&workshop))
            .await
            .unwrap()
            .into_inner();
        let watch = pb::WatchSeatRequest::default();
        let stream = client.watch_seat(with(&joined.token, watch)).await.unwrap();
        let mut stream = stream.into_inner();
        let first = stream.message().await.unwrap().unwrap();
        assert_eq!(first.state(), pb::SeatState::Waiting);
        assert_eq!(first.workshop_status(), pb::WorkshopStatus::Provisioning);
        streams.push(stream);
        held.push(joined);
    }
    let ends = async |stream: &mut tonic::Streaming<pb::WatchSeatResponse>| loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("ended without a reason"),
            Err(status) => break status,
        }
    };
    let revoke = pb::RevokeSeatRequest {
        workshop_id: workshop.id.clone(),
        seat: held[0].seat,
        request_id: String::new(),
    };
    town.workshops()
        .await
        .revoke_seat(with(&town.admin, revoke))
        .await
        .unwrap();
    assert_eq!(reason(&ends(&mut streams[0]).await), "SEAT_REVOKED");
    assert_eq!(reason(&ends(&mut streams[1]).await), "TOKEN_EXPIRED");

    let watch = pb::WatchWorkshopRequest {
        id: workshop.id.clone(),
        since_revision: 0,
    };
    let mut watched = town.workshops().await;
    let watched = watched
        .watch_workshop(with(&town.admin, watch))
        .await
        .unwrap();
    let mut watched = watched.into_inner();
    watched.message().await.unwrap().unwrap();
    town.stop.cancel();
    let end = watched.message().await.unwrap_err();
    assert_eq!(
        (end.code(), reason(&end).as_str()),
        (Code::Unavailable, "DRAINING")
    );
}
