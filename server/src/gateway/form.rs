//! A page's download form. It can set no header, so its token comes in its body; from
//! here on it is a header like every other, and the agent never sees it in the form.

use std::time::Duration;

use axum::{body::Body, extract::Request};
use form_urlencoded::Serializer;
use http::{
    HeaderValue, Method,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
};
use tokio::time::timeout;

use super::{
    refuse::Refusal,
    route::{Route, Verb},
};

/// A token and the longest path fit well.
const LIMIT: usize = 16 * 1024;
/// Who sends a form this slowly sends something else.
const WITHIN: Duration = Duration::from_secs(10);

/// The request with its token where the gateway looks for it; what is no such form
/// stays as it is.
pub(super) async fn unfold(route: &Route, request: Request) -> Result<Request, Refusal> {
    if !is_download(route, &request) {
        return Ok(request);
    }
    let (mut head, body) = request.into_parts();
    let read = timeout(WITHIN, axum::body::to_bytes(body, LIMIT)).await;
    let form = read.map_err(|_| Refusal::BAD_FORM)?;
    let form = form.map_err(|_| Refusal::BAD_FORM)?;
    let mut rest = Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(&form) {
        if name == "token" {
            let bearer = HeaderValue::try_from(format!("Bearer {value}"));
            let mut bearer = bearer.map_err(|_| Refusal::BAD_FORM)?;
            bearer.set_sensitive(true);
            // Beside one that is there already: two are refused like everywhere.
            head.headers.append(AUTHORIZATION, bearer);
        } else {
            rest.append_pair(&name, &value);
        }
    }
    let rest = rest.finish();
    head.headers.remove(TRANSFER_ENCODING);
    head.headers.insert(CONTENT_LENGTH, rest.len().into());
    Ok(Request::from_parts(head, Body::from(rest)))
}

fn is_download(route: &Route, request: &Request) -> bool {
    let typed = request.headers().get(CONTENT_TYPE);
    let form = typed
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
        });
    form && request.method() == Method::POST
        && matches!(&route.verb, Verb::Files(path) if path == "/download")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(path: &str, form: &str) -> (Route, Request) {
        let request = Request::post(path)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form.to_owned()))
            .unwrap();
        (Route::parse(path).unwrap(), request)
    }

    #[tokio::test]
    async fn a_token_leaves_the_form_and_nothing_else_does() {
        let path = "/proxy/ws-0123456789/3/files/download";
        let (route, request) = post(path, "token=a.b.c&path=%C3%BC%26.txt&archive=tar");
        let (head, body) = unfold(&route, request).await.unwrap().into_parts();
        assert_eq!(head.headers[AUTHORIZATION], "Bearer a.b.c");
        let rest = axum::body::to_bytes(body, LIMIT).await.unwrap();
        assert_eq!(rest, "path=%C3%BC%26.txt&archive=tar");
        assert_eq!(head.headers[CONTENT_LENGTH], rest.len().to_string());
    }

    #[tokio::test]
    async fn what_is_no_download_is_left_alone_and_no_form_is_too_long() {
        let (route, request) = post("/proxy/ws-0123456789/3/exec", "token=a");
        let request = unfold(&route, request).await.unwrap();
        assert!(!request.headers().contains_key(AUTHORIZATION));
        let long = format!("token=a&path={}", "x".repeat(LIMIT));
        let (route, request) = post("/proxy/ws-0123456789/3/files/download", &long);
        assert_eq!(
            unfold(&route, request).await.unwrap_err(),
            Refusal::BAD_FORM
        );
    }
}
