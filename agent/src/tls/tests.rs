//! Who gets through which door, with real handshakes.

use std::{fs, time::Duration};

use bytes::Bytes;
use chrono::Utc;
use clarateach_certs::{
    ca::{Ca, Dialler},
    key::Key,
    tls as certs_tls,
};
use clarateach_proto::agent::Worker;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Identity;
use crate::{
    enrol,
    testing::{BOUND, CONTROL_NAME, Client, Stage, WORKSHOP, claims, leaf, read_to_end, sign},
};

/// One call over HTTP/2 by hand, with an empty message.
async fn call(client: Client, method: &str) -> Result<Incoming, String> {
    let io = TokioIo::new(client);
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await;
    let (mut sender, connection) = handshake.map_err(|e| format!("{e:?}"))?;
    tokio::spawn(connection);
    let request = http::Request::post(format!(
        "https://{CONTROL_NAME}/clarateach.agent.v1.AgentService/{method}"
    ))
    .header("content-type", "application/grpc")
    .header("te", "trailers")
    .body(http_body_util::Full::new(Bytes::from_static(&[0; 5])))
    .unwrap();
    let sent = sender.send_request(request).await;
    let answer = sent.map_err(|e| format!("{e:?}"))?;
    let kind = answer.headers().get("content-type");
    if kind.is_none_or(|kind| kind != "application/grpc") {
        return Err(format!("HTTP {}", answer.status()));
    }
    Ok(answer.into_body())
}

/// `GetWorker`, or why not.
async fn get_worker(client: Client) -> Result<Worker, String> {
    let body = call(client, "GetWorker").await?.collect().await;
    let bytes = body.map_err(|e| format!("{e:?}"))?.to_bytes();
    let message = bytes.get(5..).ok_or("a gRPC error")?;
    Worker::decode(message).map_err(|e| e.to_string())
}

fn h2(mut settings: rustls::ClientConfig) -> rustls::ClientConfig {
    settings.alpn_protocols = vec![b"h2".to_vec()];
    settings
}

#[tokio::test]
async fn only_the_control_planes_certificate_reaches_the_service() {
    let stage = Stage::start().await;
    let foreign = Ca::generate(WORKSHOP, Utc::now(), Duration::from_mins(10)).unwrap();
    let server_key = Key::generate().unwrap();
    let as_server = stage
        .ca
        .sign_agent(
            &server_key.request("w2").unwrap(),
            CONTROL_NAME,
            &[],
            Utc::now(),
            Duration::from_mins(1),
        )
        .unwrap();
    let server_leaf =
        certs_tls::client_with(stage.ca.certificate_pem(), &as_server, &server_key.to_pem())
            .unwrap();
    let over = Key::generate().unwrap();
    let expired = stage
        .ca
        .sign_dialler(
            &over,
            Dialler::ControlPlane,
            WORKSHOP,
            Utc::now() - Duration::from_mins(50),
            Duration::from_mins(1),
        )
        .unwrap();
    let expired =
        certs_tls::client_with(stage.ca.certificate_pem(), &expired, &over.to_pem()).unwrap();
    let dialler = |ca, who, workshop| stage.dialler_settings(ca, who, workshop);
    for (what, settings, name, want) in [
        (
            "control plane",
            dialler(&stage.ca, Dialler::ControlPlane, WORKSHOP),
            CONTROL_NAME,
            true,
        ),
        (
            "no certificate",
            stage.learner_settings(),
            CONTROL_NAME,
            false,
        ),
        (
            "foreign CA",
            dialler(&foreign, Dialler::ControlPlane, WORKSHOP),
            CONTROL_NAME,
            false,
        ),
        (
            "another workshop's name",
            dialler(&stage.ca, Dialler::ControlPlane, "ws-zzzzzzzzzz"),
            CONTROL_NAME,
            false,
        ),
        (
            "gateway",
            dialler(&stage.ca, Dialler::Gateway, WORKSHOP),
            CONTROL_NAME,
            false,
        ),
        ("an agent's own leaf", server_leaf, CONTROL_NAME, false),
        ("expired", expired, CONTROL_NAME, false),
        (
            "by the learners' door",
            dialler(&stage.ca, Dialler::ControlPlane, WORKSHOP),
            "127.0.0.1",
            false,
        ),
    ] {
        let got = match stage.dial(h2(settings), name).await {
            Ok(client) => get_worker(client).await,
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(got.is_ok(), want, "{what}: {got:?}");
        if let Ok(worker) = got {
            assert_eq!(
                (worker.name.as_str(), worker.workshop_id.as_str()),
                ("w1", WORKSHOP)
            );
        }
    }
}

#[tokio::test]
async fn who_comes_from_elsewhere_drives_nothing_and_learners_come_from_anywhere() {
    for (sources, want) in [
        (vec![], true),
        (vec!["127.0.0.0/8"], true),
        (vec!["2001:db8::/32", "127.0.0.1/32"], true),
        (vec!["203.0.113.0/24"], false),
    ] {
        let nets = sources.iter().map(|net| net.parse().unwrap()).collect();
        let stage = Stage::driven_from(nets).await;
        let settings = h2(stage.dialler_settings(&stage.ca, Dialler::ControlPlane, WORKSHOP));
        let driven = match stage.dial(settings, CONTROL_NAME).await {
            Ok(client) => get_worker(client).await.is_ok(),
            Err(_) => false,
        };
        assert_eq!(driven, want, "{sources:?}");
        let gateway = stage.dialler_settings(&stage.ca, Dialler::Gateway, WORKSHOP);
        let came = stage.dial(gateway, CONTROL_NAME).await.is_ok();
        assert_eq!(came, want, "the gateway, {sources:?}");
        let health = stage
            .exchange("GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            .await;
        assert!(health.starts_with("HTTP/1.1 200"), "{sources:?}: {health}");
    }
}

#[tokio::test]
async fn an_agent_that_stops_ends_the_watch_and_waits_for_nobody() {
    let stage = Stage::start().await;
    let settings = h2(stage.dialler_settings(&stage.ca, Dialler::ControlPlane, WORKSHOP));
    let client = stage.dial(settings, CONTROL_NAME).await.unwrap();
    let mut watched = call(client, "WatchMicroVms").await.unwrap();
    let first = watched.frame().await.unwrap().unwrap();
    assert!(first.is_data(), "the list comes at once");
    stage.stop.cancel();
    let rest = tokio::time::timeout(BOUND, watched.collect()).await;
    assert!(rest.unwrap().is_ok(), "the stream ends in order");
}

#[tokio::test]
async fn the_gateway_sees_the_proxy_and_nothing_else() {
    let stage = Stage::start().await;
    let token = sign(&claims());
    for (path, want) in [
        (format!("/proxy/{WORKSHOP}/3/files/"), "200"),
        ("/health".to_owned(), "404"),
        (
            "/clarateach.agent.v1.AgentService/GetWorker".to_owned(),
            "404",
        ),
    ] {
        let settings = stage.dialler_settings(&stage.ca, Dialler::Gateway, WORKSHOP);
        let mut client = stage.dial(settings, CONTROL_NAME).await.unwrap();
        let get = format!(
            "GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\
             Origin: https://anywhere.example\r\nConnection: close\r\n\r\n"
        );
        client.write_all(get.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut client).await;
        assert_eq!(&answer[9..12], want, "{path}: {answer}");
    }
}

#[tokio::test]
async fn learners_are_never_asked_for_a_certificate_and_see_health() {
    let stage = Stage::start().await;
    let answer = stage
        .exchange("GET /health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(env!("CARGO_PKG_VERSION")), "{answer}");
    let answer = stage
        .exchange("POST /clarateach.agent.v1.AgentService/GetWorker HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_at_once_and_open_connections_stay() {
    let stage = Stage::start().await;
    let (mut terminal, _) = stage.terminal(&sign(&claims())).await;
    let shown = |client: &Client| {
        let chain = client.get_ref().1.peer_certificates().unwrap();
        chain[0].to_vec()
    };
    let before = shown(&stage.learner().await);
    stage
        .identity
        .install(&leaf(&stage.ca, &stage.identity))
        .unwrap();
    assert_ne!(shown(&stage.learner().await), before);
    terminal.write_all(b"typed").await.unwrap();
    let mut back = vec![0; "hello typed".len()];
    terminal.read_exact(&mut back).await.unwrap();
    assert_eq!(back, b"hello typed");
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_refused_and_the_old_one_stays() {
    let stage = Stage::start().await;
    let identity = &stage.identity;
    let ends = identity.ends();
    let foreign = Ca::generate(WORKSHOP, Utc::now(), Duration::from_mins(10)).unwrap();
    let request = identity.request().unwrap();
    let life = Duration::from_mins(1);
    let other_key = Key::generate().unwrap().request("x").unwrap();
    let sign =
        |request: &str, name: &str, at| stage.ca.sign_agent(request, name, &[], at, life).unwrap();
    let past = Utc::now() - Duration::from_mins(50);
    for (what, chain) in [
        ("not PEM", "certificate".to_owned()),
        ("another key", sign(&other_key, CONTROL_NAME, Utc::now())),
        ("another CA", leaf(&foreign, identity)),
        (
            "another name",
            sign(
                &request,
                "w2.ws-abcdefghij.agent.clarateach.internal",
                Utc::now(),
            ),
        ),
        ("expired", sign(&request, CONTROL_NAME, past)),
    ] {
        assert!(identity.install(&chain).is_err(), "{what}");
        assert_eq!(identity.ends(), ends, "{what}");
    }
}

#[tokio::test]
async fn an_agent_enrols_through_files_and_not_again_after_a_restart() {
    let ca = Ca::generate(WORKSHOP, Utc::now(), Duration::from_hours(1)).unwrap();
    let (run, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = || Identity::open(run.path(), CONTROL_NAME.into(), ca.certificate_pem()).unwrap();
    let identity = open();
    let signing = async {
        let request = loop {
            match fs::read_to_string(folder.path().join("request.pem")) {
                Ok(request) => break request,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        // What does not fit is passed over; the next is taken.
        fs::write(folder.path().join("certificate.pem"), "nonsense").unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
        let chain = ca
            .sign_agent(
                &request,
                CONTROL_NAME,
                &[],
                Utc::now(),
                Duration::from_mins(10),
            )
            .unwrap();
        fs::write(folder.path().join("certificate.pem"), chain).unwrap();
    };
    let (enrolled, ()) = tokio::join!(enrol::through_files(&identity, folder.path()), signing);
    enrolled.unwrap();
    let key = fs::metadata(run.path().join("agent.key")).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777,
        0o600
    );

    fs::remove_file(folder.path().join("request.pem")).unwrap();
    let again = open();
    enrol::through_files(&again, folder.path()).await.unwrap();
    assert_eq!(again.ends(), identity.ends());
    assert!(!folder.path().join("request.pem").exists());
}

#[tokio::test]
async fn an_agent_whose_certificate_is_over_takes_up_the_next_from_its_folder() {
    let stage = Stage::start().await;
    let identity = &stage.identity;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("certificate.pem");
    let request = identity.request().unwrap();
    let sign = |ca: &Ca, request: &str, seconds| {
        let life = Duration::from_secs(seconds);
        ca.sign_agent(request, CONTROL_NAME, &[], Utc::now(), life)
            .unwrap()
    };
    let dial = || {
        let settings = stage.dialler_settings(&stage.ca, Dialler::ControlPlane, WORKSHOP);
        stage.dial(h2(settings), CONTROL_NAME)
    };
    let short = sign(&stage.ca, &request, 2);
    let ends = identity.install(&short).unwrap();
    fs::write(&file, &short).unwrap();

    let story = async {
        while Utc::now() <= ends + Duration::from_secs(1) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let over = dial().await;
        assert!(over.is_err(), "a leaf that is over convinces nobody");

        let foreign = Ca::generate(WORKSHOP, Utc::now(), Duration::from_mins(10)).unwrap();
        let other_key = Key::generate().unwrap().request("x").unwrap();
        for (what, chain) in [
            ("another CA", sign(&foreign, &request, 60)),
            ("another key", sign(&stage.ca, &other_key, 60)),
        ] {
            fs::write(&file, chain).unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert_eq!(identity.ends(), Some(ends), "{what}");
        }

        // Any new one will do, however long it lives: it may be for an address.
        for seconds in [60, 120] {
            let next = sign(&stage.ca, &request, seconds);
            let until = certs_tls::expiry(&next).unwrap();
            fs::write(&file, &next).unwrap();
            let taken = async {
                while identity.ends() != Some(until) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::time::timeout(BOUND, taken).await.unwrap();
        }
        get_worker(dial().await.unwrap()).await.unwrap();

        let best = identity.ends();
        fs::write(&file, sign(&stage.ca, &request, 90)).unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(identity.ends(), best, "an older one came later");
    };
    tokio::select! {
        () = story => {}
        never = enrol::afterwards(identity, folder.path(), Duration::from_millis(10)) => match never {},
    }
}
