//! Both control planes are one to whoever asks them.

use clarateach_e2e::{House, house::patience, postgres, wait::until};
use http::Method;

use crate::{missing, stage::Stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_class_runs_on_postgresql_and_leaves_nothing_behind() {
    if missing() {
        return;
    }
    let url = postgres::shared().database("class");
    let mut house = House::start_with(&["--database", &url]).await;
    let workshop = house.class("On PostgreSQL", 2).await;
    let learner = house.join(&workshop.code, "a").await.unwrap();
    let mut terminal = learner.terminal("").await.unwrap();
    assert_eq!(terminal.run("whoami").await, "learner");
    assert_eq!(learner.put("kept.txt", "kept".to_owned()).await, 201);
    // What is known is in the database: another process goes on with it.
    house.kill_server();
    house.start_server().await;
    let again = house.workshop(&workshop.id).await;
    assert_eq!(again.seat_list.len(), 2);
    assert!(again.seat_list[0].taken);
    assert_eq!(learner.run("cat kept.txt").await.stdout, "kept");
    house.delete(&workshop.id).await;
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_control_plane_is_told_the_other_does() {
    if missing() {
        return;
    }
    let stage = Stage::new().await;
    let id = stage.create(0, 2).await;
    stage.until_status(1, &id, "running").await;
    let path = format!("/api/workshops/{id}");
    let seen = stage.ask(0, Method::GET, &path, "").await;
    let body = format!(r#"{{"code":{},"display_name":"a"}}"#, seen["code"]);
    let joined = stage.ask(1, Method::POST, "/api/join", &body).await;
    assert_eq!(joined["seat"], 1);
    // The gateway of either leads to the same machine.
    for whom in [0, 1] {
        let run = format!("/proxy/{id}/1/exec");
        let token = joined["token"].as_str().unwrap();
        let said = until("the seat to answer", patience(), async || {
            let ask = stage.planes[whom].ask(token, Method::POST, &run, r#"{"command":"true"}"#);
            match ask.await {
                Ok((200, said)) => Ok(said),
                other => Err(other),
            }
        })
        .await;
        assert_eq!(said["exit_code"], 0);
    }
    stage.ask(1, Method::DELETE, &path, "").await;
    stage.until_status(0, &id, "deleted").await;
    assert_eq!(stage.left(), Vec::<String>::new());
    stage.close();
}
