//! The proxy before a guest that logs every byte.

use std::time::Duration;

use clarateach_domain::{ids::SeatNo, microvm::MicroVmState, seat_token::Mode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, timeout},
};

use crate::{
    fleet::{Cut, SeatLife},
    testing::{
        BOUND, Client, SEAT, SECRET, Stage, WORKSHOP, claims, read_to_end, ready, short_claims,
        sign, upgrade,
    },
};

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

async fn says(client: &mut Client, want: &str) {
    let mut got = vec![0; want.len()];
    let read = timeout(BOUND, client.read_exact(&mut got)).await;
    read.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&got), want);
}

#[tokio::test]
async fn a_guest_sees_its_secret_and_no_token() {
    let stage = Stage::start().await;
    let token = sign(&claims());
    let answer = stage
        .ask(
            "GET",
            "3/files/a%20b?archive=tar",
            &token,
            "Cookie: c=1\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Prefix: /evil\r\n\
             clarateach-secret: guessed\r\nclarateach-viewer: me;drive\r\nProxy-Authorization: x\r\n\
             TE: trailers\r\nX-Fine: yes\r\nIf-Match: \"e\"\r\n",
        )
        .await;
    assert_eq!(status(&answer), "200", "{answer}");
    let heard = stage.guest.heard().to_ascii_lowercase();
    assert!(
        heard.starts_with("get /a%20b?archive=tar http/1.1\r\n"),
        "{heard}"
    );
    for want in [
        &format!("clarateach-secret: {SECRET}\r\n"),
        "clarateach-viewer: stay1.1;drive\r\n",
        &format!("x-forwarded-prefix: /proxy/{WORKSHOP}/3/files\r\n"),
        "x-fine: yes\r\n",
        "if-match: \"e\"\r\n",
    ] {
        assert!(heard.contains(want), "{want} in {heard}");
    }
    let lower = token.to_ascii_lowercase();
    for bad in [
        lower.as_str(),
        "authorization",
        "cookie",
        "9.9.9.9",
        "/evil",
        "guessed",
        "me;drive",
        "te:",
        "connection:",
    ] {
        assert!(!heard.contains(bad), "{bad} in {heard}");
    }
}

#[tokio::test]
async fn a_browser_gets_nothing_that_reaches_beyond_the_seat() {
    let stage = Stage::start().await;
    let answer = stage.ask("GET", "3/files/x", &sign(&claims()), "").await;
    let answer = answer.to_ascii_lowercase();
    for bad in [
        "set-cookie",
        "service-worker-allowed",
        "strict-transport-security",
        "link:",
        SECRET,
        "access-control-allow-origin",
        "default-src *",
        "evil.example",
        "x-hop",
    ] {
        assert!(!answer.contains(bad), "{bad} in {answer}");
    }
    for want in [
        "content-security-policy: sandbox",
        "nosniff",
        "x-keep: yes",
        "\r\n\r\nok",
    ] {
        assert!(answer.contains(want), "{want} in {answer}");
    }
}

#[tokio::test]
async fn what_is_refused_never_reaches_a_guest() {
    let stage = Stage::start().await;
    let good = sign(&claims());
    let other = |change: &dyn Fn(&mut clarateach_domain::seat_token::Claims)| {
        let mut claims = claims();
        change(&mut claims);
        sign(&claims)
    };
    let seat_four = other(&|c| c.seat = SeatNo::try_from(4).unwrap());
    let observer = other(&|c| c.mode = Mode::Observe);
    let collector = other(&|c| c.mode = Mode::Collect);
    let foreign = other(&|c| c.workshop = "ws-zzzzzzzzzz".parse().unwrap());
    let old = other(&|c| c.epoch = 1);
    let twice = format!("Authorization: Bearer {good}\r\n");
    let offered = format!("Sec-WebSocket-Protocol: clarateach.bearer.v1.{good}\r\n");
    let away = "Destination: /proxy/ws-abcdefghij/4/files/b\r\n";
    let form = "Content-Length: 0\r\n";
    for (method, tail, token, more, want) in [
        ("GET", "3/files/", "", "", "401"),
        ("GET", "3/files/", "x.y.z", "", "401"),
        ("GET", "3/files/", foreign.as_str(), "", "401"),
        ("GET", "3/files/", old.as_str(), "", "403"),
        ("GET", "3/files/", seat_four.as_str(), "", "403"),
        ("GET", "4/files/", seat_four.as_str(), "", "404"),
        ("GET", "3/files/", observer.as_str(), "", "403"),
        ("POST", "3/exec", observer.as_str(), form, "403"),
        ("POST", "3/exec", collector.as_str(), form, "403"),
        ("GET", "3/terminal", collector.as_str(), "", "403"),
        ("PUT", "3/files/a", collector.as_str(), form, "403"),
        ("DELETE", "3/files/a", collector.as_str(), "", "403"),
        ("MKCOL", "3/files/a", collector.as_str(), "", "403"),
        ("GET", "3/files/", good.as_str(), twice.as_str(), "401"),
        ("GET", "3/files/", good.as_str(), offered.as_str(), "401"),
        ("GET", "3/files/?token=x", good.as_str(), "", "401"),
        (
            "GET",
            "3/files/",
            good.as_str(),
            "Origin: https://evil.example\r\n",
            "403",
        ),
        ("GET", "3/terminal", good.as_str(), "", "426"),
        ("GET", "3/exec", good.as_str(), "", "405"),
        ("TRACE", "3/files/", good.as_str(), "", "405"),
        ("MOVE", "3/files/a", good.as_str(), away, "403"),
        ("GET", "03/files/", good.as_str(), "", "404"),
        ("GET", "0/files/", good.as_str(), "", "404"),
        ("GET", "4294967299/files/", good.as_str(), "", "404"),
        ("GET", "3%3f/files/", good.as_str(), "", "404"),
        ("GET", "3;x/files/", good.as_str(), "", "404"),
    ] {
        let answer = stage.ask(method, tail, token, more).await;
        assert_eq!(status(&answer), want, "{method} {tail}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("application/json"), "{head}");
        let json: serde_json::Value = serde_json::from_str(body).unwrap();
        assert!(json["error"]["reason"].is_string(), "{body}");
    }
    assert_eq!(stage.guest.heard(), "");
}

#[tokio::test]
async fn a_browsers_form_brings_its_token_and_leaves_it_at_the_door() {
    let stage = Stage::start().await;
    let token = sign(&claims());
    let post = |form: &str, more: &str| {
        format!(
            "POST /proxy/{WORKSHOP}/3/files/download HTTP/1.1\r\nHost: h\r\n{more}\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{form}",
            form.len()
        )
    };
    let header = format!("Authorization: Bearer {token}\r\n");
    let huge = format!("token={token}&path={}", "x".repeat(17 * 1024));
    for (form, more, want) in [
        ("path=%2Fa", "", "401"),
        ("token=x.y.z&path=%2Fa", "", "401"),
        (&format!("token={token}&token={token}"), "", "401"),
        (&format!("token={token}"), header.as_str(), "401"),
        (huge.as_str(), "", "400"),
    ] {
        let answer = stage.exchange(&post(form, more)).await;
        assert_eq!(status(&answer), want, "{form}: {answer}");
    }
    assert_eq!(stage.guest.heard(), "");
    let form = format!("token={token}&path=%2Fa+b&archive=tar");
    let answer = stage.exchange(&post(&form, "")).await;
    assert_eq!(status(&answer), "200", "{answer}");
    let heard = stage.guest.heard();
    assert!(
        heard.ends_with("\r\n\r\npath=%2Fa+b&archive=tar"),
        "{heard}"
    );
    assert!(!heard.contains(&token), "{heard}");
}

#[tokio::test]
async fn pages_of_the_control_plane_and_no_others_may_come() {
    let stage = Stage::start().await;
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /proxy/{WORKSHOP}/3/files/a HTTP/1.1\r\nHost: h\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: PUT\r\nConnection: close\r\n\r\n"
        )
    };
    let own = stage
        .exchange(&preflight("https://class.example.org"))
        .await;
    assert_eq!(status(&own), "204", "{own}");
    assert!(
        own.contains("access-control-allow-origin: https://class.example.org\r\n"),
        "{own}"
    );
    let foreign = stage.exchange(&preflight("https://evil.example")).await;
    assert_eq!(status(&foreign), "403", "{foreign}");
    assert!(
        !foreign.contains("access-control-allow-origin"),
        "{foreign}"
    );
    assert_eq!(stage.guest.heard(), "");
    let origin = "Origin: https://class.example.org\r\n";
    let read = stage
        .ask("GET", "3/files/a", &sign(&claims()), origin)
        .await;
    assert!(
        read.contains("access-control-allow-origin: https://class.example.org\r\n"),
        "{read}"
    );
}

#[tokio::test]
async fn bytes_out_are_exactly_one_request() {
    let stage = Stage::start().await;
    let token = sign(&claims());
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    let head = format!(
        "PUT /proxy/{WORKSHOP}/3/files/f HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n"
    );
    for (what, tail) in [
        (
            "CL and TE",
            format!("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        (
            "TE and CL",
            format!("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        (
            "two CLs",
            format!("Content-Length: 0\r\nContent-Length: 44\r\n\r\n{smuggled}"),
        ),
        (
            "CL list",
            format!("Content-Length: 0, 44\r\n\r\n{smuggled}"),
        ),
        ("CL sign", format!("Content-Length: +0\r\n\r\n{smuggled}")),
        (
            "TE twice",
            format!(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{smuggled}"
            ),
        ),
        (
            "TE odd",
            format!("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        (
            "TE tab",
            format!("Transfer-Encoding:\tchunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n{smuggled}"),
        ),
        (
            "space before colon",
            format!("Content-Length : 44\r\n\r\n{smuggled}"),
        ),
        (
            "folded line",
            format!("X-A: b\r\n Content-Length: 44\r\n\r\n{smuggled}"),
        ),
        (
            "bare CR",
            format!("X-A: b\rContent-Length: 44\r\n\r\n{smuggled}"),
        ),
        ("NUL", format!("X-A: b\0\r\n\r\n{smuggled}")),
        (
            "chunk size",
            format!("Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n{smuggled}"),
        ),
        (
            "chunk overflow",
            format!("Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n\r\n{smuggled}"),
        ),
        (
            "hop named",
            format!(
                "Connection: close, content-length\r\nContent-Length: 44\r\n\r\n{smuggled}........."
            ),
        ),
    ] {
        let before = stage.guest.requests();
        let mut client = stage.learner().await;
        client
            .write_all(format!("{head}{tail}").as_bytes())
            .await
            .unwrap();
        // Long enough for anything behind the first request to be acted on.
        let mut answer = Vec::new();
        let _open = timeout(Duration::from_millis(300), client.read_to_end(&mut answer)).await;
        assert!(answer.starts_with(b"HTTP/1.1 "), "{what} was not answered");
        let heard = stage.guest.heard();
        let came = stage.guest.requests() - before;
        // The body of "hop named" is data and stays data: framed by our length.
        let framed = usize::from(what == "hop named");
        assert!(came <= 1 + framed, "{what}: {heard}");
        let as_request = heard.contains("\r\n\r\nGET /smuggled") && framed == 0;
        assert!(!as_request, "{what}: {heard}");
    }
    // A second request on one connection is judged by itself: it has no token.
    let mut client = stage.learner().await;
    let last = smuggled.replace("Host: x", "Connection: close");
    let both = format!("{head}Content-Length: 0\r\n\r\n{last}");
    client.write_all(both.as_bytes()).await.unwrap();
    let answers = read_to_end(&mut client).await;
    assert!(answers.contains("HTTP/1.1 404"), "{answers}");
}

#[tokio::test]
async fn a_head_is_bounded_in_bytes_and_fields() {
    let stage = Stage::start().await;
    let token = sign(&claims());
    let long = format!("X-Long: {}\r\n", "x".repeat(17 * 1024));
    let many = "X-Many: 1\r\n".repeat(101);
    for more in [long, many] {
        let answer = stage.ask("GET", "3/files/", &token, &more).await;
        assert_eq!(status(&answer), "431", "{answer}");
    }
    assert_eq!(stage.guest.heard(), "");
}

#[tokio::test]
async fn a_terminal_is_relayed_once_and_spliced_unread() {
    let stage = Stage::start().await;
    let token = sign(&claims());
    let (mut client, head) = stage.terminal(&token).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(
        head.contains("sec-websocket-protocol: clarateach.terminal.v1\r\n"),
        "{head}"
    );
    assert!(
        !head.contains("bearer") && !head.contains("set-cookie"),
        "{head}"
    );
    says(&mut client, "hello ").await;
    let all: Vec<u8> = (0..=255).collect();
    client.write_all(&all).await.unwrap();
    let mut back = vec![0; 256];
    timeout(BOUND, client.read_exact(&mut back))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(back, all);
    let heard = stage.guest.heard();
    let upgrade = heard.split("\r\n\r\n").next().unwrap().to_ascii_lowercase();
    assert!(
        upgrade.starts_with("get /terminal?cols=80&rows=24 http/1.1"),
        "{upgrade}"
    );
    assert!(
        upgrade.contains("sec-websocket-protocol: clarateach.terminal.v1"),
        "{upgrade}"
    );
    for bad in ["bearer", "cookie", "me;drive", "deflate", "authorization"] {
        assert!(!upgrade.contains(bad), "{bad} in {upgrade}");
    }
    // Half-close: the learner's end reaches the guest, and its last words us.
    client.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut client).await, " bye");
}

#[tokio::test]
async fn bytes_sent_behind_the_upgrade_are_not_lost() {
    let stage = Stage::start().await;
    let mut client = stage.learner().await;
    let eager = format!("{}early", upgrade(&sign(&claims())));
    client.write_all(eager.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(BOUND, client.read_u8()).await.unwrap().unwrap());
    }
    says(&mut client, "hello early").await;
}

#[tokio::test]
async fn a_megabyte_comes_back_whole_however_slowly_it_is_read() {
    let stage = Stage::start().await;
    let (client, _) = stage.terminal(&sign(&claims())).await;
    let (mut reader, mut writer) = tokio::io::split(client);
    let sent: Vec<u8> = (0..1_u32 << 20).map(|n| (n % 251) as u8).collect();
    let copy = sent.clone();
    let writing = tokio::spawn(async move {
        writer.write_all(&copy).await.unwrap();
        writer
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut back = vec![0; 6 + sent.len()];
    timeout(BOUND, reader.read_exact(&mut back))
        .await
        .unwrap()
        .unwrap();
    assert!(back[6..] == sent[..], "bytes changed on the way");
    writing.await.unwrap();
}

#[tokio::test]
async fn a_terminal_closes_when_its_token_ends_and_not_before_a_newer_one_does() {
    let stage = Stage::start().await;
    let (mut left, _) = stage.terminal(&sign(&short_claims())).await;
    let mut other_stay = short_claims();
    other_stay.sid = "stay2".parse().unwrap();
    let (mut renewed, _) = stage.terminal(&sign(&other_stay)).await;
    other_stay.expires_at += Duration::from_secs(30);
    let more = "Content-Length: 0\r\n";
    let answer = stage.ask("POST", "3/renew", &sign(&other_stay), more).await;
    assert_eq!(status(&answer), "204", "{answer}");
    assert_eq!(read_to_end(&mut left).await, "hello ");
    let closed = stage.closed.lock().unwrap().clone();
    assert_eq!(closed.len(), 1, "{closed:?}");
    assert_eq!(closed[0].1, 4401);
    assert!(closed[0].0[0].starts_with("stay1."), "{closed:?}");
    renewed.write_all(b"still here").await.unwrap();
    says(&mut renewed, "hello still here").await;
}

#[tokio::test]
async fn reset_revoke_delete_and_restart_close_with_their_codes() {
    let life = |epoch, cut, boot| SeatLife {
        state: MicroVmState::Ready,
        epoch: Some(epoch),
        made_for: 2,
        cut: Some(cut),
        life: boot,
    };
    for (next, code) in [
        (life(3, Cut::Reset, 1), 4409),
        (life(3, Cut::Revoked, 1), 4403),
        (life(2, Cut::Deleted, 1), 4410),
        (life(2, Cut::Restarted, 2), 1012),
    ] {
        let stage = Stage::start().await;
        let token = sign(&claims());
        let (mut terminal, _) = stage.terminal(&token).await;
        let mut download = stage.learner().await;
        let get = format!(
            "GET /proxy/{WORKSHOP}/{SEAT}/files/slow HTTP/1.1\r\nHost: h\r\n\
             Authorization: Bearer {token}\r\n\r\n"
        );
        download.write_all(get.as_bytes()).await.unwrap();
        timeout(BOUND, download.read_u8()).await.unwrap().unwrap();
        let began = Instant::now();
        stage.life.send_replace(next);
        read_to_end(&mut terminal).await;
        read_to_end(&mut download).await;
        assert!(began.elapsed() < BOUND);
        let closed = stage.closed.lock().unwrap().clone();
        assert_eq!(closed.iter().map(|c| c.1).collect::<Vec<_>>(), [code]);
    }
}

#[tokio::test]
async fn a_seat_without_an_epoch_or_a_machine_admits_nobody() {
    let stage = Stage::start().await;
    let token = sign(&claims());
    for (epoch, made_for, state, want) in [
        (None, 2, MicroVmState::Ready, "503"),
        (Some(2), 2, MicroVmState::Booting, "503"),
        (Some(2), 2, MicroVmState::Restarting, "503"),
        (Some(3), 2, MicroVmState::Ready, "403"),
        (Some(2), 1, MicroVmState::Ready, "503"), // the last stay's machine
        (Some(1), 1, MicroVmState::Ready, "200"),
    ] {
        let mut life = ready(2);
        (life.epoch, life.made_for, life.state) = (epoch, made_for, state);
        stage.life.send_replace(life);
        let answer = stage.ask("GET", "3/files/", &token, "").await;
        assert_eq!(
            status(&answer),
            want,
            "{epoch:?} {made_for} {state:?}: {answer}"
        );
    }
}

#[tokio::test]
async fn connections_to_a_guest_are_used_again_within_one_life() {
    let stage = Stage::start().await;
    let token = sign(&claims());
    for _ in 0..5 {
        let answer = stage.ask("GET", "3/files/", &token, "").await;
        assert_eq!(status(&answer), "200", "{answer}");
    }
    assert_eq!(stage.guest.requests(), 5);
}

#[tokio::test]
async fn draining_ends_terminals_with_a_code_that_says_come_back() {
    let stage = Stage::start().await;
    let (mut terminal, _) = stage.terminal(&sign(&claims())).await;
    stage.stop.cancel();
    assert_eq!(read_to_end(&mut terminal).await, "hello ");
    assert_eq!(stage.closed.lock().unwrap()[0].1, 1012);
}
