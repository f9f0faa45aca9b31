//! What a watch tells, and what ends it.

use std::time::Duration;

use clarateach_domain::workshop::{Desired, Phase, Role};
use clarateach_proto::workshop as pb;
use clarateach_server::store::{entity, text::Text};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use tonic::Code;

use crate::town::{Town, code, wish, with};

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
