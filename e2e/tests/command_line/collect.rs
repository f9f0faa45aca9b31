//! Everybody's work in one archive.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use clarateach_e2e::{House, house_or_skip};
use clarateach_proto::workshop::{Resources, WorkshopStatus};
use serde_json::Value;

use clarateach_e2e::person::Person;

#[tokio::test(flavor = "multi_thread")]
async fn a_class_is_collected_and_nobody_may_write_with_that() {
    let house = house_or_skip!();
    let ada = Person::new();
    ada.login(&house);
    let workshop = house.class("Collect", 3).await;
    let none = ada.run("workshop collect Collect");
    assert_eq!(none.code, 3, "{}", none.errors);
    for name in ["Zoë 山田", "../../etc"] {
        let learner = house.join(&workshop.code, name).await.unwrap();
        assert_eq!(learner.put("work.txt", format!("by {name}")).await, 201);
        let long = "d".repeat(120);
        let ran = learner
            .run(&format!(
                "mkdir -p {long}/{long}; echo deep > {long}/{long}/f; ln -s /etc/passwd out; ln -s work.txt link"
            ))
            .await;
        assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
    }
    for gateway in [false, true] {
        let flag: &[&str] = if gateway { &["--gateway"] } else { &[] };
        let line = [&["workshop", "collect", "Collect", "-O", "all.tar"], flag].concat();
        ada.run_with(&line, b"").good();
        let to = ada.path(if gateway { "through" } else { "direct" });
        fs::create_dir(&to).unwrap();
        let done = Command::new("tar")
            .arg("xf")
            .arg(ada.path("all.tar"))
            .arg("-C")
            .arg(&to)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        let read = |path: &str| fs::read_to_string(to.join(path)).unwrap();
        assert_eq!(read("seat-001-Zoë-山田/work.txt"), "by Zoë 山田");
        assert_eq!(read("seat-002-..-..-etc/work.txt"), "by ../../etc");
        let long = "d".repeat(120);
        assert_eq!(
            read(&format!("seat-001-Zoë-山田/{long}/{long}/f")),
            "deep\n"
        );
        assert_eq!(
            fs::read_link(to.join("seat-001-Zoë-山田/link")).unwrap(),
            Path::new("work.txt")
        );
        assert!(
            !to.join("seat-001-Zoë-山田/out").is_symlink(),
            "it leads out"
        );
        let told: Value = serde_json::from_str(&read("collected.json")).unwrap();
        assert_eq!(told["seats"].as_array().unwrap().len(), 2);
        assert_eq!(told["seats"][0]["missing_because"], Value::Null);
    }
    let out = ada
        .command(&["workshop", "collect", "Collect", "--seat", "2", "-O", "-"])
        .output()
        .unwrap();
    assert!(out.status.success());
    assert!(out.stdout.len() > 1024 && out.stdout.len().is_multiple_of(512));
    assert_eq!(ada.run("workshop collect Collect --seat 3").code, 3);

    // Only the owner is let in, and the token reads and does nothing else.
    let mut workshops = house.workshops().await;
    let ask = |seat| clarateach_proto::workshop::CollectSeatRequest {
        workshop_id: workshop.id.clone(),
        seat,
    };
    let way = workshops.collect_seat(ask(1)).await.unwrap().into_inner();
    let free = workshops.collect_seat(ask(3)).await.unwrap_err();
    assert_eq!(free.code(), tonic::Code::FailedPrecondition);
    let token = ada.run("token create eve --role instructor").good();
    let mut others = house.workshops_as(token.trim()).await;
    assert_eq!(
        others.collect_seat(ask(1)).await.unwrap_err().code(),
        tonic::Code::NotFound
    );
    for base in [way.endpoints.unwrap(), way.gateway.unwrap()] {
        for (method, url, status) in [
            ("GET", format!("{}/work.txt", base.files), 200),
            ("PUT", format!("{}/work.txt", base.files), 403),
            ("DELETE", format!("{}/work.txt", base.files), 403),
            ("POST", base.exec.clone(), 403),
            ("POST", base.exec.replace("/exec", "/renew"), 204),
        ] {
            let request = http::Request::builder()
                .method(method)
                .uri(&url)
                .header("authorization", format!("Bearer {}", way.token))
                .body(bytes::Bytes::new())
                .unwrap();
            let answer = clarateach_e2e::http::send(request, &way.ca_certificate)
                .await
                .unwrap();
            assert_eq!(answer.status(), status, "{method} {url}");
        }
    }
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seat_that_takes_longer_than_its_token_lives_is_collected_whole() {
    let house = house_or_skip!("--seat-token-ttl", "5s");
    let ada = Person::new();
    ada.login(&house);
    let mut wish = House::wish("Slow", 1);
    // A megabyte takes eight seconds so.
    wish.resources = Some(Resources {
        network_mbits: 1,
        ..Default::default()
    });
    let made = house.workshops().await.create_workshop(wish).await;
    let made = made.unwrap().into_inner();
    house.until_status(&made.id, WorkshopStatus::Running).await;
    let learner = house.join(&made.code, "Ada").await.unwrap();
    let ran = learner.run("head -c 1200000 /dev/urandom > big").await;
    assert_eq!(ran.exit_code, Some(0), "{}", ran.stderr);
    let began = Instant::now();
    ada.run("workshop collect Slow -O slow.tar").good();
    // Begun anew, it would have been told three times, and not at all.
    let life = Duration::from_secs(5);
    assert!(
        began.elapsed() > life,
        "it was not slow: {:?}",
        began.elapsed()
    );
    assert!(fs::metadata(ada.path("slow.tar")).unwrap().len() > 1_200_000);
    house.close();
}
