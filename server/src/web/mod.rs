//! The pages for learners and instructors, as `scripts/build-web.sh` made them.
//!
//! Way: path -> one of the page's own addresses, answered with the one index under a
//! fresh [`policy`], or a hashed asset, answered from the binary in the best
//! encoding that the browser takes ([`assets`]). The page itself decides by its
//! address what it shows; nothing here knows who is looking.

mod assets;
mod policy;

use axum::{
    Extension, Router,
    http::{HeaderName, HeaderValue, header},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::api::Visit;

/// What the index has where the response's nonce goes.
const NONCE: &str = "__NONCE__";

/// The addresses of pages, and what they load.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/", get(page))
        .route("/j/{code}", get(page))
        .route("/console", get(page))
        .route("/console/{*place}", get(page))
        .route("/assets/{*path}", get(assets::asset))
}

/// The index, with a policy of its own: no two answers share a nonce, so none may be kept.
async fn page(Extension(visit): Extension<Visit>) -> Response {
    let Some(index) = assets::index() else {
        let page = Html(include_str!("absent.html"));
        return (headers(policy::WITHOUT_SCRIPTS), page).into_response();
    };
    let nonce = STANDARD.encode(rand::random::<[u8; 16]>());
    let policy = policy::of_page(&nonce, &visit.base, visit.workers.as_deref());
    (headers(&policy), Html(index.replace(NONCE, &nonce))).into_response()
}

fn headers(policy: &str) -> [(HeaderName, HeaderValue); 5] {
    let fixed = HeaderValue::from_static;
    [
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_str(policy).unwrap_or_else(|_| fixed(policy::WITHOUT_SCRIPTS)),
        ),
        (header::CACHE_CONTROL, fixed("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        // Join codes are in addresses: they go to nobody. With less than its origin a
        // download's form would have none, and be refused by a worker.
        (header::REFERRER_POLICY, fixed("strict-origin")),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            fixed("same-origin"),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use axum::{body::Body, http::Request};
    use http::StatusCode;
    use tower::ServiceExt;

    use super::*;

    async fn ask(path: &str) -> Response {
        let visit = Visit {
            base: "http://class.example:8080".into(),
            address: IpAddr::from([127, 0, 0, 1]),
            workers: None,
        };
        let request = Request::get(path).extension(visit);
        let request = request.body(Body::empty()).unwrap();
        router().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn every_address_of_a_page_answers_with_a_policy_and_is_not_kept() {
        for path in ["/", "/j/ABCDE-FGHJK", "/console", "/console/ws-0123456789"] {
            let answer = ask(path).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            let headers = answer.headers();
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
            assert!(
                policy.contains("frame-ancestors 'none'"),
                "{path}: {policy}"
            );
            assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{path}");
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
        }
    }

    #[tokio::test]
    async fn what_is_no_asset_is_not_found() {
        for path in [
            "/assets/none.js",
            "/assets/../index.html",
            "/assets/%2e%2e/index.html",
        ] {
            assert_eq!(ask(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
