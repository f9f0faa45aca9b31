//! Which pages may reach seats: those of the control plane, and no others.

use std::sync::{PoisonError, RwLock};

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
#[derive(Debug, Default)]
pub(crate) struct Origins {
    /// From `--allowed-origin`.
    own: Vec<HeaderValue>,
    /// As the control plane last said.
    told: RwLock<Vec<HeaderValue>>,
}

impl Origins {
    /// From `--allowed-origin`, already in their one spelling.
    pub(crate) fn new(origins: &[String]) -> Self {
        Self {
            own: values(origins),
            told: RwLock::default(),
        }
    }

    /// Beside its own, these may come from now on, and those that were told before no more.
    pub(crate) fn welcome(&self, origins: &[String]) {
        *self.told.write().unwrap_or_else(PoisonError::into_inner) = values(origins);
    }

    fn may_come(&self, origin: &HeaderValue) -> bool {
        let told = self.told.read().unwrap_or_else(PoisonError::into_inner);
        self.own.contains(origin) || told.contains(origin)
    }

    /// The request's origin, if there is one and it may come. Programs send none.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
        let mut named = headers.get_all(ORIGIN).iter();
        match (named.next(), named.next()) {
            (None, _) => Ok(None),
            (Some(origin), None) if self.may_come(origin) => Ok(Some(origin.clone())),
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

fn values(origins: &[String]) -> Vec<HeaderValue> {
    let origins = origins.iter();
    origins
        .filter_map(|origin| HeaderValue::from_str(origin).ok())
        .collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_the_start_stay_and_those_that_are_told_are_replaced() {
        let [own, first, second] = [
            "https://a.example",
            "https://b.example",
            "https://c.example",
        ];
        let origins = Origins::new(&[own.to_owned()]);
        let come = |origin: &str| {
            let headers = [(ORIGIN, HeaderValue::from_str(origin).unwrap())];
            origins.check(&headers.into_iter().collect()).is_ok()
        };
        assert_eq!([own, first, second].map(come), [true, false, false]);
        origins.welcome(&[first.to_owned()]);
        assert_eq!([own, first, second].map(come), [true, true, false]);
        origins.welcome(&[second.to_owned()]);
        assert_eq!([own, first, second].map(come), [true, false, true]);
        assert!(!come("null"));
    }
}
