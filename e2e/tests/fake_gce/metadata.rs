//! The metadata server is as strict as Google's, and its tokens verify.

use std::{net::Ipv4Addr, time::SystemTime};

use bytes::Bytes;
use clarateach_e2e::{
    fake_metadata::{About, FakeMetadata, Keys},
    http::send,
};
use http::{Request, Response};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::Value;

use crate::{fake, seconds};

fn about() -> About {
    About {
        project: "clarateach-test".to_owned(),
        project_number: 123_456_789_012,
        zone: "us-central1-a".to_owned(),
        id: 4_611_686_018_427_395_824,
        name: "worker-1".to_owned(),
        created: SystemTime::now(),
        external: Some([203, 0, 113, 1].into()),
        attributes: [("ca".to_owned(), "PEM".to_owned())].into(),
        account: Some("worker@clarateach-test.iam.gserviceaccount.com".to_owned()),
        preempted: false,
    }
}

async fn server() -> FakeMetadata {
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    FakeMetadata::start(listen, about(), Keys::google()).await
}

async fn try_get(
    host: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> std::io::Result<Response<Bytes>> {
    let mut request = Request::builder().uri(format!("http://{host}/computeMetadata/v1/{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request.body(Bytes::new()).unwrap(), "").await
}

const FLAVOR: (&str, &str) = ("Metadata-Flavor", "Google");

async fn get(server: &FakeMetadata, path: &str) -> (u16, String) {
    let answer = try_get(&server.host(), path, &[FLAVOR]).await.unwrap();
    assert_eq!(answer.headers()["metadata-flavor"], "Google");
    let body = String::from_utf8(answer.body().to_vec()).unwrap();
    (answer.status().as_u16(), body)
}

#[tokio::test]
async fn it_wants_its_header_and_tells_of_its_instance() {
    let server = server().await;
    let host = server.host();
    let bare = try_get(&host, "instance/name", &[]).await.unwrap();
    assert_eq!(bare.status(), 403);
    let forwarded = [FLAVOR, ("X-Forwarded-For", "192.168.100.11")];
    let forwarded = try_get(&host, "instance/name", &forwarded).await.unwrap();
    assert_eq!(forwarded.status(), 403);
    for (path, wanted) in [
        ("instance/name", "worker-1"),
        ("instance/id", "4611686018427395824"),
        ("instance/zone", "projects/123456789012/zones/us-central1-a"),
        ("project/project-id", "clarateach-test"),
        ("project/numeric-project-id", "123456789012"),
        ("instance/attributes/ca", "PEM"),
        ("instance/attributes/", "ca\n"),
        (
            "instance/network-interfaces/0/access-configs/0/external-ip",
            "203.0.113.1",
        ),
        (
            "instance/hostname",
            "worker-1.us-central1-a.c.clarateach-test.internal",
        ),
        ("instance/preempted", "FALSE"),
    ] {
        assert_eq!(get(&server, path).await, (200, wanted.to_owned()), "{path}");
    }
    assert_eq!(get(&server, "instance/attributes/none").await.0, 404);
    assert_eq!(server.requests().len(), 13);
}

#[tokio::test]
async fn who_waits_for_a_notice_hears_it_at_once() {
    let server = server().await;
    let waiting = "instance/preempted?wait_for_change=true&timeout_sec=60";
    let later = async {
        let waits = || server.requests().len() == 1;
        clarateach_e2e::wait::until("the wait to begin", seconds(10), async || {
            if waits() { Ok(()) } else { Err("nobody") }
        })
        .await;
        server.preempt();
    };
    let (heard, ()) = tokio::join!(get(&server, waiting), later);
    assert_eq!(heard, (200, "TRUE".to_owned()));
    // What the client knows is old already: no wait.
    let old = "instance/preempted?wait_for_change=true&last_etag=0";
    assert_eq!(get(&server, old).await.1, "TRUE");
    let known = try_get(&server.host(), "instance/preempted", &[FLAVOR])
        .await
        .unwrap();
    let etag = known.headers()["etag"].to_str().unwrap().to_owned();
    let path = format!("instance/preempted?wait_for_change=true&last_etag={etag}&timeout_sec=1");
    assert_eq!(
        get(&server, &path).await.1,
        "TRUE",
        "after its time, unchanged"
    );
}

#[tokio::test]
async fn its_tokens_verify_by_the_published_keys_and_no_others() {
    let (server, google) = (server().await, fake().await);
    let path = "instance/service-accounts/default/identity?audience=https://clarateach&format=full";
    let (status, token) = get(&server, path).await;
    assert_eq!(status, 200);
    let uri = format!("{}/oauth2/v3/certs", google.url());
    let request = Request::builder().uri(uri).body(Bytes::new()).unwrap();
    let published = send(request, "").await.unwrap();
    let keys: JwkSet = serde_json::from_slice(published.body()).unwrap();
    let kid = decode_header(&token).unwrap().kid.unwrap();
    let mut validation = Validation::new(Algorithm::RS256);
    validation.set_audience(&["https://clarateach"]);
    validation.set_issuer(&["https://accounts.google.com"]);
    let key = DecodingKey::from_jwk(keys.find(&kid).unwrap()).unwrap();
    let claims = decode::<Value>(&token, &key, &validation).unwrap().claims;
    let engine = &claims["google"]["compute_engine"];
    assert_eq!(engine["instance_id"], "4611686018427395824");
    assert_eq!(engine["project_number"], 123_456_789_012_u64);
    assert_eq!(engine["zone"], "us-central1-a");
    assert!(engine["instance_creation_timestamp"].is_u64());
    let foreign = Keys::default().sign(&claims);
    assert!(decode::<Value>(&foreign, &key, &validation).is_err());
    let path = "instance/service-accounts/default/identity?format=full";
    assert_eq!(get(&server, path).await.0, 400);
    let standard = "instance/service-accounts/default/identity?audience=https://clarateach";
    let (_, token) = get(&server, standard).await;
    let claims = decode::<Value>(&token, &key, &validation).unwrap().claims;
    assert!(claims.get("google").is_none());
    server.change(|about| about.account = None);
    assert_eq!(get(&server, standard).await.0, 404);
}

#[tokio::test]
async fn it_can_vanish_and_come_back() {
    let mut server = server().await;
    server.set_unavailable(true);
    assert_eq!(get(&server, "instance/name").await.0, 503);
    server.set_unavailable(false);
    server.vanish().await;
    let refused = try_get(&server.host(), "instance/name", &[FLAVOR]).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    server.come_back().await;
    assert_eq!(get(&server, "instance/name").await.0, 200);
}
