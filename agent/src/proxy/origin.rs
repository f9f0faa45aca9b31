//! Which pages may reach seats: those of the control plane, and no others.

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
        ORIGIN, VARY,
    },
};

use super::refuse::{Body, Refusal, empty};

const FOREIGN: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "ORIGIN_FOREIGN",
    "pages of this origin may not reach seats",
);
const METHODS: &str =
    "GET, HEAD, PUT, POST, DELETE, OPTIONS, PROPFIND, PROPPATCH, MKCOL, COPY, MOVE, LOCK, UNLOCK";
const REQUEST_HEADERS: &str = "authorization, content-type, range, if, if-match, if-none-match, \
     if-modified-since, if-unmodified-since, depth, destination, overwrite, lock-token, timeout, accept";
const ANSWER_HEADERS: &str = "etag, content-range, content-disposition, accept-ranges, dav, \
     last-modified, lock-token, location, retry-after";

/// The origins whose pages may come, as browsers spell them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origins(Vec<HeaderValue>);

impl Origins {
    /// From `--allowed-origin`, already in their one spelling.
    pub(crate) fn new(origins: &[String]) -> Self {
        Self(
            origins
                .iter()
                .filter_map(|origin| HeaderValue::from_str(origin).ok())
                .collect(),
        )
    }

    /// The request's origin, if there is one and it may come. Programs send none.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        let mut named = headers.get_all(ORIGIN).iter();
        match (named.next(), named.next()) {
            (None, _) => Ok(None),
            (Some(origin), None) if self.0.contains(origin) => Ok(Some(origin.clone())),
            _ => Err(FOREIGN),
        }
    }

    /// The answer to a preflight; `None` if the request is something else.
    pub(crate) fn preflight<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let headers = request.headers();
        let asks = request.method() == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !asks {
            return None;
        }
        let origin = match self.check(headers) {
            Ok(origin) => origin,
            Err(refusal) => return Some(refusal.answer()),
        };
        let mut answer = Response::new(empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let headers = answer.headers_mut();
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, METHODS),
            (ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS),
            (ACCESS_CONTROL_MAX_AGE, "600"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(origin) = origin {
            allow(headers, origin);
        }
        Some(answer)
    }
}

/// Lets pages of `origin` read an answer.
pub(crate) fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(ANSWER_HEADERS),
    );
    headers.append(VARY, HeaderValue::from_static("Origin"));
}
