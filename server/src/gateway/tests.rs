//! The gateway's rules of headers, as tables. How it carries is told by `e2e`.

use http::{HeaderMap, HeaderValue};

use super::*;

fn request(headers: &[(&'static str, &str)], uri: &str) -> Request {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = uri.parse().unwrap();
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().append(*name, value);
    }
    request
}

#[test]
fn only_pages_of_this_origin_come_in() {
    let allowed = ["https://class.example.org".to_owned()];
    let host = ("host", "h:8080");
    for (origins, want) in [
        (vec![], true),
        (vec!["http://h:8080"], true),
        (vec!["https://H:8080"], true),
        (vec!["https://class.example.org"], true),
        (vec!["http://h"], false),
        (vec!["http://evil"], false),
        (vec!["null"], false),
        (vec!["h:8080"], false),
        (vec!["http://h:8080.evil"], false),
        (vec!["http://h:8080", "http://h:8080"], false),
    ] {
        let mut headers = vec![host];
        headers.extend(origins.iter().map(|origin| ("origin", *origin)));
        let got = headers::same_origin(&request(&headers, "/"), &allowed);
        assert_eq!(got.is_ok(), want, "{origins:?}");
    }
}

#[test]
fn one_token_is_taken_and_never_from_the_url() {
    let bearer = ("authorization", "Bearer T");
    let offer = "sec-websocket-protocol";
    for (headers, uri, want) in [
        (vec![bearer], "/", Ok("T")),
        (vec![("authorization", "bearer  T ")], "/", Ok("T")),
        (
            vec![(offer, "clarateach.terminal.v1, clarateach.bearer.v1.T")],
            "/?cols=80",
            Ok("T"),
        ),
        (vec![], "/", Err(Refusal::TOKEN_MISSING)),
        (
            vec![(offer, "clarateach.terminal.v1")],
            "/",
            Err(Refusal::TOKEN_MISSING),
        ),
        (vec![bearer, bearer], "/", Err(Refusal::TOKEN_AMBIGUOUS)),
        (
            vec![bearer, (offer, "clarateach.bearer.v1.T")],
            "/",
            Err(Refusal::TOKEN_AMBIGUOUS),
        ),
        (
            vec![("authorization", "Basic T")],
            "/",
            Err(Refusal::TOKEN_INVALID),
        ),
        (vec![bearer], "/?token=T", Err(Refusal::TOKEN_IN_URL)),
        (
            vec![bearer],
            "/?a=b&Access_Token=T",
            Err(Refusal::TOKEN_IN_URL),
        ),
    ] {
        let request = request(&headers, uri);
        assert_eq!(headers::the_token(&request), want, "{headers:?} {uri}");
    }
}

#[test]
fn a_destination_is_written_anew_and_stays_within_the_seats_files() {
    let prefix = "/proxy/ws-abcdefghij/3/files";
    for (text, want) in [
        ("/proxy/ws-abcdefghij/3/files/a", Some("/a")),
        (
            "http://h:8080/proxy/ws-abcdefghij/3/files/a%20b",
            Some("/a%20b"),
        ),
        ("https://H:8080/proxy/ws-abcdefghij/3/files/%61", Some("/a")),
        ("http://evil/proxy/ws-abcdefghij/3/files/a", None),
        ("/proxy/ws-abcdefghij/4/files/a", None),
        ("/proxy/ws-zzzzzzzzzz/3/files/a", None),
        ("/proxy/ws-abcdefghij/3/files/../../4/files/a", None),
        ("/proxy/ws-abcdefghij/3/files/%2e%2e/a", None),
        ("/proxy/ws-abcdefghij/3/exec", None),
        ("/proxy/ws-abcdefghij/3/files/a?x", None),
        ("", None),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("destination", HeaderValue::from_str(text).unwrap());
        let got = headers::destination(&mut headers, prefix, Some("h:8080"));
        let path = headers["destination"]
            .to_str()
            .unwrap()
            .strip_prefix(prefix);
        assert_eq!(got.ok().and(path), want, "{text}");
    }
}

#[test]
fn an_answer_cannot_reach_beyond_its_seat() {
    let prefix = "/proxy/ws-abcdefghij/3/files";
    let mut answer = HeaderMap::new();
    for (name, value) in [
        ("set-cookie", "a=b"),
        ("clear-site-data", "\"*\""),
        ("service-worker-allowed", "/"),
        ("access-control-allow-origin", "*"),
        ("content-security-policy", "default-src *"),
        ("content-security-policy-report-only", "default-src *"),
        ("strict-transport-security", "max-age=1"),
        ("cross-origin-opener-policy", "unsafe-none"),
        ("link", "</x>; rel=preload"),
        ("refresh", "0; /"),
        ("location", "https://evil/"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("etag", "\"1\""),
        ("content-length", "3"),
    ] {
        answer.append(name, HeaderValue::from_static(value));
    }
    headers::clean_answer(&mut answer, prefix);
    let mut left: Vec<_> = answer.keys().map(http::HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(
        left,
        [
            "content-length",
            "content-security-policy",
            "cross-origin-resource-policy",
            "etag",
            "x-content-type-options",
            "x-frame-options",
        ]
    );
    let policy = answer["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("sandbox;"), "{policy}");
    for (location, stays) in [
        ("/proxy/ws-abcdefghij/3/files/a/", true),
        ("/proxy/ws-abcdefghij/3/filesystem", false),
        ("/proxy/ws-abcdefghij/4/files/a", false),
        ("//evil/", false),
    ] {
        let mut answer = HeaderMap::new();
        answer.insert("location", HeaderValue::from_static(location));
        headers::clean_answer(&mut answer, prefix);
        assert_eq!(answer.contains_key("location"), stays, "{location}");
    }
}

#[test]
fn a_request_says_nothing_of_where_it_came_from() {
    let mut headers = request(
        &[
            ("cookie", "a=b"),
            ("origin", "http://h"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-prefix", "/elsewhere"),
            ("clarateach-secret", "guess"),
            ("clarateach-viewer", "x;drive"),
            ("sec-fetch-site", "same-origin"),
            ("sec-websocket-key", "k"),
            ("sec-websocket-extensions", "permessage-deflate"),
            ("connection", "authorization, x-hop"),
            ("x-hop", "1"),
            ("authorization", "Bearer T"),
            ("if-match", "\"1\""),
        ],
        "/",
    )
    .headers()
    .clone();
    headers::clean_request(&mut headers, false);
    let mut left: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
    left.sort_unstable();
    assert_eq!(left, ["authorization", "if-match", "sec-websocket-key"]);
}

#[tokio::test]
async fn an_agent_that_never_answers_is_a_504_in_json() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let (mut agent, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        // Takes all and says nothing, until the gateway hangs up.
        tokio::io::copy(&mut agent, &mut heard).await.unwrap();
        String::from_utf8(heard).unwrap()
    });
    let client = Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let request = http::Request::put(url).body(Body::from("hello")).unwrap();
    let refused = answer(&client, request, Duration::from_millis(300)).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused, Refusal::LATE);
    assert!(silent.await.unwrap().ends_with("hello"));

    let told = refused.into_response();
    assert_eq!(told.status(), StatusCode::GATEWAY_TIMEOUT);
    let body = axum::body::to_bytes(told.into_body(), 1024).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["reason"], "SEAT_TIMED_OUT");
}
