//! Who may see, change and reckon what.

use clarateach_proto::workshop as pb;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tonic::Code;

use crate::town::{Town, fields, wish, with};

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
