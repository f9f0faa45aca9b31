//! A browser's download form: the one way a token comes in a body, because a
//! link or form can set no header.
//!
//! Way: `POST …/files/download` with `token`, `path`, `archive` -> the token as
//! if it had been a header -> the form without it.

use std::time::Duration;

use form_urlencoded::Serializer;
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{
    refuse::{Body, Refusal, full},
    route::{Route, Verb},
};

/// A token and a path fit well.
const LIMIT: usize = 16 * 1024;
/// A form is small: who sends it this slowly sends something else.
const WITHIN: Duration = Duration::from_secs(10);

const NOT_A_FORM: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    "BAD_FORM",
    "a download form has one token and a path, 16 KiB in all",
);

/// Whether a request is such a form.
pub(super) fn is_download(route: &Route, request: &Request<Incoming>) -> bool {
    let to_download = matches!(&route.verb, Verb::Files(path) if path.ends_with("/download"));
    let typed = request.headers().get(CONTENT_TYPE);
    let form = typed.and_then(|t| t.to_str().ok()).is_some_and(|t| {
        let kind = t.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    });
    to_download && form && request.method() == Method::POST
}

/// The form with its token where a program would have put it. A header that is
/// there already stays: two tokens are refused like everywhere.
pub(super) async fn unfold(request: Request<Incoming>) -> Result<Request<Body>, Refusal> {
    let (mut head, body) = request.into_parts();
    let read = timeout(WITHIN, Limited::new(body, LIMIT).collect()).await;
    let form = read
        .map_err(|_| NOT_A_FORM)?
        .map_err(|_| NOT_A_FORM)?
        .to_bytes();
    let mut rest = Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(&form) {
        if name == "token" {
            let mut bearer =
                HeaderValue::try_from(format!("Bearer {value}")).map_err(|_| NOT_A_FORM)?;
            bearer.set_sensitive(true);
            head.headers.append(AUTHORIZATION, bearer);
        } else {
            rest.append_pair(&name, &value);
        }
    }
    let rest = rest.finish();
    head.headers.remove(TRANSFER_ENCODING);
    head.headers.insert(CONTENT_LENGTH, rest.len().into());
    Ok(Request::from_parts(head, full(rest)))
}
