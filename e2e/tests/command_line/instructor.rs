//! What an instructor does, from `login` to `delete`, and what the doctor says.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::Stdio,
};

use clarateach_e2e::house_or_skip;
use serde_json::Value;

use clarateach_e2e::person::Person;

#[tokio::test(flavor = "multi_thread")]
async fn an_instructor_runs_a_class_from_login_to_delete() {
    let house = house_or_skip!();
    let ada = Person::new();
    // Nothing is remembered yet, and a wrong token is not kept.
    let nobody = ada.run(&format!("workshop list --server {}", house.url));
    assert_eq!(nobody.code, 4, "{}", nobody.errors);
    assert!(
        nobody.errors.contains("clarateach login"),
        "{}",
        nobody.errors
    );
    let wrong = ada.run_with(&["login", "--server", &house.url], b"ctk_wrong");
    assert_eq!((wrong.code, wrong.errors.contains("ctk_wrong")), (4, false));
    assert!(!ada.path(".config").exists());
    ada.login(&house);
    let kept = ada.path(".config/clarateach/login.json");
    assert_eq!(
        fs::metadata(kept).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // The token goes to its own server alone.
    let elsewhere = ada.run("workshop list --server http://127.0.0.1:9");
    assert_eq!(elsewhere.code, 4, "{}", elsewhere.errors);

    let runtime = clarateach_e2e::house::runtime_name();
    fs::write(ada.path("read.md"), "# Read me").unwrap();
    fs::write(ada.path("course.env"), "# Ours\nCOURSE='git basics'\n").unwrap();
    let made = ada
        .run(&format!(
            "workshop create Git --seats 2 --runtime {runtime} --ttl 1h --wait -o json \
             --memory-mib 300 --instructions read.md --env-file course.env"
        ))
        .json();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made["status"], "running");
    let code = made["code"].as_str().unwrap().to_owned();
    let bob = Person::new();
    bob.join(&house, &code, "Bob");
    assert_eq!(made["instructions"], "# Read me");
    assert_eq!(made["resources"]["memory_mib"], 300);
    let told = bob.run_with(&["exec", "--", "sh", "-c", "echo $COURSE"], b"");
    assert_eq!(told.good(), "git basics\n");

    let got = ada.run("workshop get Git -o json").json();
    assert_eq!(got["seat_list"].as_array().unwrap().len(), 2);
    assert_eq!(got["workers"].as_array().unwrap().len(), 1);
    let text = ada.run(&format!("workshop get {}", &id[..6])).good();
    assert!(text.contains("Bob") && text.contains(&code), "{text}");

    // Everything at once, and an end that is moved from where it was.
    let before = got["expires_at"].as_str().unwrap().to_owned();
    fs::write(ada.path("steps.md"), "# First").unwrap();
    let changed = ada
        .run("workshop update Git --extend 1h --seats 3 --name Rust --instructions steps.md --egress none -o json")
        .json();
    assert_eq!(changed["name"], "Rust");
    assert_eq!(changed["seats"], 3);
    assert_eq!(changed["instructions"], "# First");
    assert_eq!(changed["egress"]["mode"], "none");
    let time = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap();
    let moved = time(changed["expires_at"].as_str().unwrap()) - time(&before);
    assert!((3590..=3610).contains(&moved.num_seconds()), "{moved}");
    let watched = ada
        .run("workshop watch Rust --until running -o json")
        .good();
    let last: Value = serde_json::from_str(watched.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["status"], &last["seats"]),
        (&"running".into(), &3.into())
    );
    let taken = ada.run("workshop update Rust --seats 0");
    assert_eq!(taken.code, 2, "{}", taken.errors);

    let names = ada.run("seats list Rust -o name").good();
    assert_eq!(names, "1\n2\n3\n");
    let asked = ada.run("seats reset Rust 1");
    assert_eq!((asked.code, asked.errors.contains("--yes")), (2, true));
    let reset = ada.run("seats reset Rust 1 --yes -o json").json();
    assert_eq!(reset["seats"][0]["learner"], "Bob");
    assert_eq!(ada.run("seats revoke Rust 9 --yes").code, 3);
    ada.run("seats revoke Rust 1 --yes").good();
    ada.run("workshop watch Rust --until running").good();
    assert!(!ada.run("seats list Rust").good().contains("Bob"));
    ada.run("seats log Rust 2").good();
    assert!(
        ada.run("workshop stop Rust --wait")
            .good()
            .contains("stopped")
    );
    assert_eq!(ada.run("workshop watch Rust --until running").code, 8);
    assert!(
        ada.run("workshop start Rust --wait")
            .good()
            .contains("running")
    );

    // What it has cost: nothing, on machines that are there anyway.
    let cost = ada.run("workshop cost Rust -o json").json();
    assert_eq!(cost["costs"][0]["workshop_id"], id);
    assert_eq!(
        (&cost["costs"][0]["total_microusd"], &cost["price_known"]),
        (&0.into(), &true.into())
    );
    assert!(ada.run("workshop cost").good().contains("$0.00"));
    assert!(ada.run("workshop get Rust").good().contains("$0.00 so far"));
    let estimate = format!("workshop estimate --seats 60 --runtime {runtime} --ttl 4h -o json");
    assert_eq!(ada.run(&estimate).json()["workers"], 2);
    assert_eq!(ada.run("workshop cost nothing").code, 3);

    // A token for a colleague, until it is taken back.
    let token = ada
        .run("token create eve --role instructor --label laptop")
        .good();
    fs::write(ada.path("eve"), &token).unwrap();
    assert_eq!(ada.run("workshop list --token-file eve -o name").good(), "");
    let all = ada.run("token list -o json").json();
    let eve = all["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["principal"] == "eve");
    let eve = eve.unwrap()["id"].as_str().unwrap().to_owned();
    assert!(!all.to_string().contains(token.trim()), "shown once");
    ada.run(&format!("token revoke {eve}")).good();
    assert_eq!(ada.run("workshop list --token-file eve").code, 4);

    ada.run("workshop delete Rust --yes").good();
    ada.run(&format!("workshop watch {id} --until deleted"))
        .good();
    assert_eq!(ada.run("workshop get Rust").code, 3);
    ada.run("logout").good();
    assert_eq!(
        ada.run(&format!("workshop list --server {}", house.url))
            .code,
        4
    );
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_is_well_and_what_to_do() {
    let house = house_or_skip!();
    let workshop = house.class("Doctor", 1).await;
    let ada = Person::new();
    ada.login(&house);
    ada.join(&house, &workshop.code, "Ada");
    let well = ada.run("doctor");
    assert_eq!(well.code, 0, "{}", well.out);
    for line in [
        "OK     tcp",
        "OK     answer",
        "OK     versions",
        "OK     clock",
        "OK     API token",
        "OK     worker",
        "OK     seat 1",
    ] {
        assert!(well.out.contains(line), "{line}:\n{}", well.out);
    }
    let gone = ada.run("doctor --server http://127.0.0.1:9 -o json");
    assert_eq!(gone.code, 1);
    let told: Value = serde_json::from_str(&gone.out).unwrap();
    let last = told["checks"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["name"], &last["state"]),
        (&"tcp".into(), &"fails".into())
    );
    assert!(last["fix"].as_str().unwrap().contains("running"));
    // TLS where none is spoken, and the reverse: a line each, never a hang.
    let tls = ada.run(&format!(
        "doctor --server {}",
        house.url.replace("http:", "https:")
    ));
    assert_eq!(
        (tls.code, tls.out.contains("FAILS  tls")),
        (1, true),
        "{}",
        tls.out
    );
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_lives_through_a_servers_death() {
    let mut house = house_or_skip!();
    let ada = Person::new();
    ada.login(&house);
    let workshop = house.class("Restart", 1).await;
    let line = [
        "workshop", "watch", "Restart", "--until", "deleted", "-o", "json",
    ];
    let mut watching = ada.command(&line).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let status = |line: &str| serde_json::from_str::<Value>(line).unwrap()["status"].clone();
    assert_eq!(status(&lines.next().unwrap().unwrap()), "running");
    house.kill_server();
    house.start_server().await;
    house.delete(&workshop.id).await;
    let last = lines.map_while(Result::ok).last().unwrap();
    assert_eq!(status(&last), "deleted");
    assert_eq!(watching.wait().unwrap().code(), Some(0));
    house.close();
}
