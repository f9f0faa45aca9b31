//! Clients with nothing of ours in them: litmus, cadaver, rclone, buf curl, a
//! plain WebSocket.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop"
)]

use std::{
    fs,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use clarateach_e2e::{
    House,
    house::{binary, patience},
    house_or_skip,
    learner::Learner,
    micro_vms::pace,
    terminal::Terminal,
    wait::until,
};

/// A program on the path, or the reason to skip.
fn program(name: &'static str) -> Result<&'static str, String> {
    let found = Command::new(name)
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    found
        .map(|_| name)
        .map_err(|_| format!("needs {name}: scripts/test.sh installs it"))
}

fn run(command: &mut Command) -> Output {
    let done = command.stdin(Stdio::null()).output().unwrap();
    println!("{}", String::from_utf8_lossy(&done.stdout));
    println!("{}", String::from_utf8_lossy(&done.stderr));
    done
}

/// `clarateach join` and `clarateach files serve`, as a learner would.
struct FilesServe {
    child: Child,
    url: String,
    _home: tempfile::TempDir,
}

impl FilesServe {
    async fn start(house: &House, code: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let cli = |arguments: &[&str]| {
            let mut command = Command::new(binary("clarateach"));
            command
                .args(arguments)
                .env("HOME", home.path())
                .env("XDG_STATE_HOME", home.path().join("state"))
                .env("XDG_CONFIG_HOME", home.path().join("config"))
                .env("CLARATEACH_URL", &house.url)
                .stdin(Stdio::null());
            command
        };
        let joined = run(&mut cli(&["join", code, "--name", "a learner"]));
        assert!(joined.status.success());
        let listen = format!("127.0.0.1:{port}");
        let child = cli(&["files", "serve", "--listen", &listen])
            .spawn()
            .unwrap();
        let serve = Self {
            child,
            url: format!("http://{listen}/files/"),
            _home: home,
        };
        until("files serve to answer", patience(), async || {
            tokio::net::TcpStream::connect(&listen).await.map(drop)
        })
        .await;
        serve
    }
}

impl Drop for FilesServe {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webdav_clients_find_a_webdav_server() {
    let (litmus, cadaver) = match (program("litmus"), program("cadaver")) {
        (Ok(litmus), Ok(cadaver)) => (litmus, cadaver),
        (Err(why), _) | (_, Err(why)) => return println!("SKIPPED: litmus and cadaver: {why}"),
    };
    let house = house_or_skip!();
    let workshop = house.class("WebDAV", 1).await;
    let serve = FilesServe::start(&house, &workshop.code).await;
    for suite in ["basic", "copymove", "http", "locks"] {
        let folder = tempfile::tempdir().unwrap();
        let done = run(Command::new(litmus)
            .args(["-k", &serve.url])
            .env("TESTS", suite)
            .current_dir(folder.path()));
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        let summary = said.lines().find(|line| line.contains("summary for"));
        let summary = summary.unwrap_or_default();
        assert!(summary.contains("0 failed"), "{suite}: {summary}");
        assert!(
            !summary.contains(" 0 passed"),
            "{suite} ran nothing: {summary}"
        );
    }
    let listing = tempfile::NamedTempFile::new().unwrap();
    fs::write(listing.path(), "ls\nquit\n").unwrap();
    let done = Command::new(cadaver)
        .arg(&serve.url)
        .stdin(fs::File::open(listing.path()).unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(said.contains("Listing collection"), "{said}");
    assert!(said.contains("succeeded"), "{said}");
    drop(serve);
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn rclone_copies_a_tree_to_the_agent_and_back_unchanged() {
    let rclone = match program("rclone") {
        Ok(rclone) => rclone,
        Err(why) => return println!("SKIPPED: rclone: {why}"),
    };
    let house = house_or_skip!();
    let workshop = house.class("rclone", 1).await;
    let learner = house.join(&workshop.code, "a").await.unwrap();
    let here = tempfile::tempdir().unwrap();
    let (out, back) = (here.path().join("out"), here.path().join("back"));
    // Each file costs some thirty system calls in the guest.
    let files = 1000 / pace();
    println!("{files} files");
    for n in 0..files {
        let folder = out.join(format!("folder {}/über", n % 20));
        fs::create_dir_all(&folder).unwrap();
        let body = format!("{n} ").repeat(usize::try_from(n).unwrap());
        fs::write(folder.join(format!("file {n}.txt")), body).unwrap();
    }
    let ca = here.path().join("ca.pem");
    fs::write(&ca, &learner.joined.ca_certificate).unwrap();
    let config = here.path().join("rclone.conf");
    fs::write(
        &config,
        format!(
            "[seat]\ntype = webdav\nurl = {}\nvendor = other\nbearer_token = {}\n",
            learner.files_url, learner.joined.token
        ),
    )
    .unwrap();
    let copy = |from: &str, to: &str| {
        let done = run(Command::new(rclone)
            .args(["copy", from, to, "--transfers", "8", "--ca-cert"])
            .arg(&ca)
            .arg("--config")
            .arg(&config));
        assert!(done.status.success());
    };
    copy(out.to_str().unwrap(), "seat:tree");
    copy("seat:tree", back.to_str().unwrap());
    let same = run(Command::new("diff").arg("-r").arg(&out).arg(&back));
    assert!(same.status.success());
    let ran = learner
        .run("find tree -type f | wc -l; find tree ! -user learner | wc -l")
        .await;
    assert_eq!(
        ran.stdout.split_whitespace().collect::<Vec<_>>(),
        [files.to_string().as_str(), "0"]
    );
    house.close();
}

#[tokio::test]
async fn a_plain_websocket_is_a_terminal() {
    let house = house_or_skip!();
    let workshop = house.class("Plain", 1).await;
    let learner = house.join(&workshop.code, "a").await.unwrap();
    let bearer = format!("Bearer {}", learner.joined.token);
    let ca = &learner.joined.ca_certificate;
    let url = format!("{}?cols=100&rows=30", learner.terminal_url);
    let mut plain = Terminal::with(&url, ca, &[("authorization", &bearer)])
        .await
        .unwrap();
    plain.type_in("stty size\r").await;
    plain.until("30 100").await;
    // vim draws its screen.
    plain.type_in("vi greeting.txt\r").await;
    plain.until("greeting.txt").await;
    plain.type_in("ihello from vi\x1b:wq\r").await;
    plain.until("written").await;
    assert_eq!(learner.get("greeting.txt").await.1, "hello from vi\n");
    assert!(
        plain.controls.is_empty(),
        "no control without the subprotocol"
    );
    house.close();
}

#[tokio::test]
async fn control_c_stops_a_flood_and_every_byte_passes() {
    let house = house_or_skip!();
    let workshop = house.class("Flood", 1).await;
    let learner = house.join(&workshop.code, "a").await.unwrap();
    let mut terminal = learner.terminal("").await.unwrap();
    terminal
        .say(serde_json::json!({"type":"resize","cols":120,"rows":40}))
        .await;
    terminal.control("resized").await;
    assert_eq!(terminal.run("stty size").await, "40 120");

    terminal.seen.clear();
    terminal
        .say(serde_json::json!({"type":"ack","offset":terminal.offset}))
        .await;
    terminal.type_in("yes flood\r").await;
    terminal.until("flood\r\nflood").await;
    let start = terminal.offset;
    // A terminal's driver looks at every byte, which an emulated kernel does slowly.
    let flood = (4 << 20) / u64::from(pace() * pace());
    while terminal.offset < start + flood {
        assert!(terminal.step().await);
        terminal
            .say(serde_json::json!({"type":"ack","offset":terminal.offset}))
            .await;
    }
    let pressed = std::time::Instant::now();
    terminal.type_in("\x03").await;
    let mut tail = 0_usize;
    terminal.seen.clear();
    while !terminal.has("^C") {
        assert!(terminal.step().await);
        tail += terminal.seen.len();
        if terminal.seen.len() > 1 << 20 {
            terminal.seen.drain(..1 << 19);
        }
        terminal
            .say(serde_json::json!({"type":"ack","offset":terminal.offset}))
            .await;
    }
    println!("Ctrl-C took {:?} and {tail} bytes", pressed.elapsed());
    assert!(
        pressed.elapsed() < Duration::from_secs(10) * pace(),
        "ten times the promise"
    );
    assert_eq!(terminal.run("echo alive").await, "alive");

    // Bytes 0 to 255, both ways, through a raw tty.
    terminal
        .type_in(
            "stty raw -echo; echo re\"\"ady; head -c 256 | tee got; stty sane; echo do\"\"ne\r",
        )
        .await;
    terminal.until("ready").await;
    let all: Vec<u8> = (0..=255).collect();
    terminal.seen.clear();
    terminal.type_in(all.clone()).await;
    terminal.until("done").await;
    assert!(
        terminal.seen.windows(256).any(|window| window == all),
        "{:?}",
        terminal.text()
    );
    assert_eq!(learner.get("got").await.1, all);
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn buf_curl_drives_a_workshop_over_grpc_and_grpc_web() {
    let buf = match program("buf") {
        Ok(buf) => buf,
        Err(why) => return println!("SKIPPED: buf curl: {why}"),
    };
    let house = house_or_skip!();
    let bearer = format!("Authorization: Bearer {}", house.admin_token());
    let curl = |protocol: &str, arguments: &[&str]| {
        let mut command = Command::new(buf);
        command.args(["curl", "--protocol", protocol, "--header", &bearer]);
        if protocol == "grpc" {
            command.arg("--http2-prior-knowledge");
        } else {
            // Reflection is a bidirectional stream, which grpc-web has not.
            command
                .arg("--schema")
                .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../proto"));
        }
        let done = run(command.args(arguments));
        (
            done.status.success(),
            String::from_utf8(done.stdout).unwrap(),
        )
    };
    let (ok, services) = curl("grpc", &["--list-services", &house.url]);
    assert!(ok, "{services}");
    for service in ["WorkshopService", "SeatService", "TokenService"] {
        assert!(
            services.contains(&format!("clarateach.workshop.v1.{service}")),
            "{services}"
        );
    }
    for protocol in ["grpc", "grpcweb"] {
        let call = |method: &str, body: &str| {
            let url = format!(
                "{}/clarateach.workshop.v1.WorkshopService/{method}",
                house.url
            );
            curl(protocol, &["--data", body, &url])
        };
        let runtime = clarateach_e2e::house::runtime().as_str_name();
        let wish = format!(r#"{{"name":"By curl","seats":1,"runtime":"{runtime}"}}"#);
        let (ok, made) = call("CreateWorkshop", &wish);
        assert!(ok, "{protocol}: {made}");
        let made: serde_json::Value = serde_json::from_str(&made).unwrap();
        let id = made["id"].as_str().unwrap();
        let one = format!(r#"{{"id":"{id}"}}"#);
        let (ok, _) = call("DeleteWorkshop", &one);
        assert!(ok, "{protocol}");
        // The watch ends by itself once the workshop is gone.
        let (ok, watched) = call("WatchWorkshop", &one);
        assert!(ok, "{protocol}: {watched}");
        assert!(
            watched.contains("WORKSHOP_STATUS_DELETED"),
            "{protocol}: {watched}"
        );
        let (ok, _) = call("CreateWorkshop", r#"{"name":""}"#);
        assert!(!ok, "{protocol}: a bad wish");
    }
    house.close();
}

#[tokio::test]
async fn a_learner_works_through_the_gateway_alone() {
    let house = house_or_skip!();
    let workshop = house.class("Gateway", 1).await;
    let learner = house.join(&workshop.code, "a").await.unwrap();
    let through = Learner {
        terminal_url: learner.gateway_terminal_url.clone(),
        files_url: learner.gateway_files_url.clone(),
        exec_url: learner.joined.gateway.clone().unwrap().exec,
        ..learner
    };
    assert!(
        through.terminal_url.starts_with("ws://127.0.0.1:"),
        "{}",
        through.terminal_url
    );
    let body: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    assert_eq!(through.put("big", body.clone()).await, 201);
    assert!(through.get("big").await.1 == body, "12 MB there and back");
    assert_eq!(through.run("stat -c %s big").await.stdout, "12000000\n");
    let mut terminal = through.terminal("").await.unwrap();
    assert_eq!(terminal.run("echo hi").await, "hi");
    house.close();
}
