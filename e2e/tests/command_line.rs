//! The command line against a live server: an instructor from `login` to
//! `collect`, a learner's files there and back, and what is said of faults.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop"
)]

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
    process::{Command, Stdio},
};

use clarateach_e2e::{
    House,
    house::{binary, patience},
    house_or_skip,
    wait::until,
};
use serde_json::Value;

/// One person's machine: a home of their own, and the program.
struct Person {
    home: tempfile::TempDir,
}

/// What a run gave.
struct Ran {
    code: i32,
    out: String,
    errors: String,
}

impl Ran {
    /// The data of a run that went well.
    fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.errors);
        self.out
    }

    fn json(self) -> Value {
        serde_json::from_str(&self.good()).unwrap()
    }
}

impl Person {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(binary("clarateach"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .current_dir(self.home.path());
        command
    }

    /// Runs it with this on stdin.
    fn run_with<S: AsRef<OsStr>>(&self, arguments: &[S], input: &[u8]) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).ok();
        let done = child.wait_with_output().unwrap();
        let ran = Ran {
            code: done.status.code().unwrap(),
            out: String::from_utf8_lossy(&done.stdout).into_owned(),
            errors: String::from_utf8_lossy(&done.stderr).into_owned(),
        };
        let words: Vec<_> = arguments
            .iter()
            .map(|a| a.as_ref().to_string_lossy())
            .collect();
        println!(
            "$ clarateach {}\n{}{}",
            words.join(" "),
            ran.out,
            ran.errors
        );
        ran
    }

    fn run(&self, line: &str) -> Ran {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.run_with(&words, b"")
    }

    fn login(&self, house: &House) {
        let login = ["login", "--server", &house.url];
        self.run_with(&login, house.admin_token().as_bytes()).good();
    }

    fn join(&self, house: &House, code: &str, name: &str) {
        self.run_with(&["join", code, "--name", name, "--server", &house.url], b"")
            .good();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    /// What lies in its folder, but what is kept for the program.
    fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name != ".config" && name != ".local")
            .collect();
        names.sort();
        names
    }
}

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
    let made = ada
        .run(&format!(
            "workshop create Git --seats 2 --runtime {runtime} --ttl 1h --wait -o json"
        ))
        .json();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made["status"], "running");
    let code = made["code"].as_str().unwrap().to_owned();
    let bob = Person::new();
    bob.join(&house, &code, "Bob");

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

/// Names that break what is careless.
fn hard_names() -> Vec<Vec<u8>> {
    vec![
        b"50% #1?.txt".to_vec(),
        "über 😀 山田".as_bytes().to_vec(),
        b"new\nline \x1b[2J".to_vec(),
        b"not \xff\xfe text".to_vec(),
        b"-rf".to_vec(),
        b"a&b;c'd\"e".to_vec(),
        vec![b'x'; 255],
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learners_files_go_there_and_back_unchanged() {
    let house = house_or_skip!();
    let workshop = house.class("Files", 1).await;
    let bob = Person::new();
    bob.join(&house, &workshop.code, "Bob");
    let project = bob.path("project");
    fs::create_dir_all(project.join("deep/er")).unwrap();
    for (number, name) in hard_names().iter().enumerate() {
        fs::write(
            project.join("deep").join(OsStr::from_bytes(name)),
            format!("{number}"),
        )
        .unwrap();
    }
    let big: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(project.join("big"), &big).unwrap();
    fs::write(project.join("program"), "#!/bin/sh\n").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", project.join("link")).unwrap();

    let put = bob.run("files put project");
    assert!(
        put.errors.contains("left out") && put.errors.contains("link"),
        "{}",
        put.errors
    );
    put.good();
    let listed = bob.run("files ls project -o json").json();
    let names: Vec<_> = listed["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["name"].clone())
        .collect();
    assert_eq!(names, ["big", "deep", "program"]);
    let shown = bob.run("files ls project/deep").good();
    assert!(
        !shown.contains('\x1b'),
        "a name drives no terminal: {shown:?}"
    );

    bob.run("files get project back").good();
    fs::remove_file(project.join("link")).unwrap();
    let same = Command::new("diff")
        .arg("-r")
        .arg(&project)
        .arg(bob.path("back"))
        .output()
        .unwrap();
    assert!(
        same.status.success(),
        "{}",
        String::from_utf8_lossy(&same.stdout)
    );
    assert_eq!(
        bob.names("back"),
        ["big", "deep", "program"],
        "nothing half made"
    );

    // One file: renamed, into a folder that is made, from stdin, to stdout.
    bob.run("files put project/program new/folder/run.sh")
        .good();
    bob.run("files get new/folder/run.sh").good();
    assert_eq!(fs::read(bob.path("run.sh")).unwrap(), b"#!/bin/sh\n");
    bob.run_with(&["files", "put", "-", "from-stdin"], b"hello\0there")
        .good();
    assert_eq!(bob.run("files get from-stdin -").good(), "hello\0there");
    // What leads out is refused here already; what is not there is told apart.
    assert_eq!(bob.run("files get ../x").code, 2);
    assert_eq!(bob.run("files get nothing").code, 3);
    assert_eq!(bob.run("files put nothing-here").code, 3);
    assert!(!bob.path("nothing").exists());
    // A folder is in the way of a file.
    assert_eq!(
        bob.run("files put project/program project/deep/er/").code,
        0
    );
    bob.run_with(&["files", "put", "-", "project/deep"], b"x");
    assert!(
        bob.run("files ls project/deep -o name")
            .good()
            .contains("er/")
    );

    // Only what differs moves, and the other way, too.
    let again = bob.run("files sync project project -n").good();
    assert_eq!(
        again.lines().filter(|line| !line.contains("not ")).count(),
        0,
        "{again}"
    );
    fs::write(project.join("big"), "small now").unwrap();
    fs::remove_file(project.join("program")).unwrap();
    bob.run("files sync project project --delete").good();
    assert_eq!(bob.run("files get project/big -").good(), "small now");
    assert_eq!(bob.run("files get project/program").code, 3);
    bob.run("files sync down project --down").good();
    assert_eq!(fs::read(bob.path("down/big")).unwrap(), b"small now");
    assert_eq!(bob.run("files sync down project --down -n").good(), "");
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_and_ctrl_c_leave_nothing_half_made() {
    let house = house_or_skip!();
    let workshop = house.class("Faults", 1).await;
    let bob = Person::new();
    bob.join(&house, &workshop.code, "Bob");
    let learner = house.join(&workshop.code, "x").await;
    assert!(learner.is_err(), "one seat only");
    // A file that takes a while, made there.
    let big = vec![7_u8; 96 << 20];
    bob.run_with(&["files", "put", "-", "big"], &big).good();

    // Ctrl-C in the middle: no file, nothing beside it.
    fs::create_dir(bob.path("in")).unwrap();
    let mut child = bob
        .command(&["files", "get", "big", "in/big"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("a half made file", patience(), async || {
        let names = bob.names("in");
        names
            .iter()
            .any(|name| name.starts_with(".clarateach-download-"))
            .then_some(())
            .ok_or(names)
    })
    .await;
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let ended = child.wait().unwrap();
    // It may have been quicker than we were; then it is whole.
    match ended.code() {
        Some(130) => assert_eq!(bob.names("in"), [""; 0]),
        Some(0) => assert_eq!(bob.names("in"), ["big"]),
        other => panic!("ended with {other:?}"),
    }

    // A disk of this machine without room.
    let small = bob.path("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "none"])
        .arg(&small)
        .status()
        .unwrap();
    assert!(mounted.success());
    let full = bob.run("files get big small/big");
    let archive = bob.run("files get . small/all");
    let left = bob.names("small");
    let all = fs::read_dir(small.join("all"))
        .map(Iterator::count)
        .unwrap_or_default();
    Command::new("umount").arg(&small).status().unwrap();
    assert_eq!(
        (full.code, full.errors.contains("disk is full")),
        (1, true),
        "{}",
        full.errors
    );
    assert_eq!(archive.code, 1, "{}", archive.errors);
    assert!(
        archive.errors.contains("full") || archive.errors.contains("space"),
        "{}",
        archive.errors
    );
    assert_eq!((left, all), (vec!["all".to_owned()], 0));
    house.close();
}

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
                "mkdir -p {long}/{long}; echo deep > {long}/{long}/f; ln -s /etc/passwd link"
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
            Path::new("/etc/passwd")
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
