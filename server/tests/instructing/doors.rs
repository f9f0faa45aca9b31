//! What browsers and strangers find at the port.

use crate::town::Town;

#[tokio::test]
async fn browsers_of_other_origins_see_what_grpc_web_needs_and_strangers_nothing() {
    let town = Town::start().await;
    let path = "clarateach.workshop.v1.WorkshopService/ListWorkshops";
    let url = format!("http://{}/{path}", town.address);
    for (origin, allowed) in [
        ("https://console.example", true),
        ("https://evil.example", false),
    ] {
        let preflight = http::Request::options(&url)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "x-grpc-web,authorization");
        let (_, headers, _) = town.http(preflight, "").await;
        let told = headers.get("access-control-allow-origin");
        assert_eq!(told.is_some(), allowed, "{origin}");
    }
    // Over HTTP/1.1: an empty message, and the trailers as the last frame.
    let call = http::Request::post(&url)
        .header("origin", "https://console.example")
        .header("content-type", "application/grpc-web+proto")
        .header("x-grpc-web", "1")
        .header("authorization", format!("Bearer {}", town.admin));
    let (status, headers, body) = town.http(call, vec![0, 0, 0, 0, 0]).await;
    assert_eq!(status, 200);
    assert_eq!(headers["content-type"], "application/grpc-web+proto");
    let exposed = headers["access-control-expose-headers"].to_str().unwrap();
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        assert!(exposed.contains(name), "{exposed}");
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(text.contains("grpc-status:0"), "{text:?}");
}

#[tokio::test]
async fn the_port_answers_what_is_public_and_nothing_more() {
    let town = Town::start().await;
    let ask = |path: &str| http::Request::get(format!("http://{}{path}", town.address));
    for (path, want) in [
        ("/", 200),
        ("/health", 200),
        ("/api/health", 200),
        ("/metrics", 401),
        ("/api/workshops", 401),
        ("/favicon.ico", 404),
        ("/clarateach.workshop.v1.Nothing/Here", 404),
    ] {
        let (status, _, _) = town.http(ask(path), "").await;
        assert_eq!(status, want, "{path}");
    }
    let (status, _) = town.json("GET", "/metrics", "").await;
    assert_eq!(status, 200);
    let ada = town.instructor("ada").await;
    let (status, _) = town.json_as(&ada, "GET", "/metrics", "").await;
    assert_eq!(status, 403);
}
