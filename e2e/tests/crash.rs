//! The server is killed between any two steps of creating and deleting, and
//! what was asked for comes true all the same.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop"
)]

use std::time::Instant;

use clarateach_e2e::{
    House,
    house::{patience, runtime_name},
    house_or_skip,
    wait::{tick, until},
};
use clarateach_server::crash::CRASH_POINTS;
use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Asks the JSON face; `None` if the server died over it.
async fn ask(house: &House, method: Method, path: &str, body: &str) -> Option<Value> {
    let token = house.admin_token();
    let answer = house.json(method, path, Some(&token), body).await.ok()?;
    serde_json::from_slice(answer.body()).ok()
}

/// Waits until the workshop has this status (true) or the server has died.
async fn status_or_death(house: &mut House, path: &str, status: &str) -> bool {
    let began = Instant::now();
    loop {
        if house.server_ended() {
            return false;
        }
        let seen = ask(house, Method::GET, path, "").await;
        if seen.as_ref().is_some_and(|w| w["status"] == status) {
            return true;
        }
        assert!(began.elapsed() < patience(), "not {status}: {seen:?}");
        tick().await;
    }
}

fn signal_agents(house: &House, signal: Signal) {
    for agent in house.agents() {
        kill_process(Pid::from_raw(agent).unwrap(), signal).unwrap();
    }
}

#[tokio::test]
async fn the_server_may_die_between_any_two_steps() {
    let mut house = house_or_skip!();
    house.stop_server().await;
    for point in CRASH_POINTS {
        println!("dying at {point}");
        house.spawn_server(&["--crash-at", point]);
        until("the server to answer", patience(), async || {
            ask(&house, Method::GET, "/api/health", "").await.ok_or(())
        })
        .await;
        let runtime = runtime_name();
        let wish = format!(r#"{{"name":"{point}","seats":1,"runtime":"{runtime}"}}"#);
        let made = ask(&house, Method::POST, "/api/workshops", &wish).await;
        // The answer comes after the row: a client that got none asks again.
        let mut died = false;
        let id = if let Some(made) = made {
            made["id"].as_str().unwrap().to_owned()
        } else {
            house.until_server_ended().await;
            died = true;
            house.start_server().await;
            let list = ask(&house, Method::GET, "/api/workshops", "").await;
            let list = list.unwrap();
            let mut found = list["workshops"].as_array().unwrap().iter();
            let found = found.find(|workshop| workshop["name"] == *point);
            found.unwrap()["id"].as_str().unwrap().to_owned()
        };
        let path = format!("/api/workshops/{id}");
        if !status_or_death(&mut house, &path, "running").await {
            died = true;
            house.start_server().await;
            assert!(status_or_death(&mut house, &path, "running").await);
        }
        let seen = ask(&house, Method::GET, &path, "").await.unwrap();
        assert_eq!(
            seen["workers"].as_array().unwrap().len(),
            1,
            "{point}: {seen}"
        );
        assert_eq!(house.agents().len(), 1, "{point}");
        let learner = house
            .join(seen["code"].as_str().unwrap(), "a")
            .await
            .unwrap();
        assert_eq!(learner.run("echo hi").await.stdout, "hi\n", "{point}");

        // Learners are cut off past the rounds, which may end the seats of a
        // deleted workshop before a round finds any: not while the agent sleeps.
        let asleep = point.starts_with("seats.delete:");
        if asleep {
            signal_agents(&house, Signal::STOP);
        }
        let _ = ask(&house, Method::DELETE, &path, "").await;
        if !status_or_death(&mut house, &path, "deleted").await {
            died = true;
            signal_agents(&house, Signal::CONT);
            house.start_server().await;
            assert!(status_or_death(&mut house, &path, "deleted").await);
        }
        assert!(died, "{point} was never passed");
        house.stop_server().await;
        let left = house.traces();
        assert!(left.is_empty(), "{point} left behind: {left:#?}");
    }
    house.close();
}
