//! What passes the gateway and what does not.
//!
//! The agent cleans for its guests; this cleans for the control plane, whose
//! origin serves the instructor's page: neither a guest nor a whole worker that
//! turned hostile may use an answer against it.

use axum::{body::Body, extract::Request, response::Response};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
    header::{
        self, ALT_SVC, AUTHORIZATION, CONNECTION, CONTENT_SECURITY_POLICY, COOKIE, DATE, FORWARDED,
        HOST, LINK, LOCATION, ORIGIN, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, REFERER, REFRESH,
        SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, SERVER, SET_COOKIE,
        STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
    },
};

use super::refuse::Refusal;

const TERMINAL_PROTOCOL: &str = "clarateach.terminal.v1";
const BEARER_OFFER: &str = "clarateach.bearer.v1.";

const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

const NOT_FOR_AGENTS: [HeaderName; 7] = [
    COOKIE,
    FORWARDED,
    HOST,
    ORIGIN,
    REFERER,
    VIA,
    SEC_WEBSOCKET_EXTENSIONS,
];

const NOT_FOR_BROWSERS: [HeaderName; 11] = [
    ALT_SVC,
    CONTENT_SECURITY_POLICY,
    DATE,
    LINK,
    REFRESH,
    SEC_WEBSOCKET_EXTENSIONS,
    SERVER,
    SET_COOKIE,
    STRICT_TRANSPORT_SECURITY,
    VIA,
    SEC_WEBSOCKET_PROTOCOL,
];

const NOT_FOR_BROWSERS_BY_NAME: [&str; 13] = [
    "clear-site-data",
    "critical-ch",
    "nel",
    "origin-agent-cluster",
    "permissions-policy",
    "public-key-pins",
    "report-to",
    "reporting-endpoints",
    "service-worker-allowed",
    "set-cookie2",
    "sourcemap",
    "speculation-rules",
    "x-frame-options",
];

/// The host and port the request came to.
pub(super) fn authority(request: &Request) -> Option<String> {
    let host = request.headers().get(HOST);
    let host = host.and_then(|host| host.to_str().ok()).map(str::to_owned);
    host.or_else(|| request.uri().authority().map(ToString::to_string))
}

/// Pages of this very origin may come, and programs, which name none.
pub(super) fn same_origin(request: &Request, allowed: &[String]) -> Result<(), Refusal> {
    let mut named = request.headers().get_all(ORIGIN).iter();
    let (first, second) = (named.next(), named.next());
    let origin = match (first, second) {
        (None, _) => return Ok(()),
        (Some(origin), None) => origin.to_str().map_err(|_| Refusal::FOREIGN)?,
        (Some(_), Some(_)) => return Err(Refusal::FOREIGN),
    };
    let own = authority(request).unwrap_or_default();
    let host = origin
        .strip_prefix("https://")
        .or_else(|| origin.strip_prefix("http://"));
    let same = host.is_some_and(|host| host.eq_ignore_ascii_case(&own));
    if same || allowed.iter().any(|allowed| allowed == origin) {
        Ok(())
    } else {
        Err(Refusal::FOREIGN)
    }
}

/// The one token of a request, wherever it is.
pub(super) fn the_token(request: &Request) -> Result<&str, Refusal> {
    let query = request.uri().query().unwrap_or_default();
    let names = query.split('&').filter_map(|pair| pair.split('=').next());
    let bad = ["token", "access_token", "bearer"];
    if names
        .into_iter()
        .any(|name| bad.iter().any(|bad| name.eq_ignore_ascii_case(bad)))
    {
        return Err(Refusal::TOKEN_IN_URL);
    }
    let mut tokens = Vec::with_capacity(1);
    for value in request.headers().get_all(AUTHORIZATION) {
        let value = value.to_str().map_err(|_| Refusal::TOKEN_INVALID)?;
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                tokens.push(token.trim_matches(' '));
            }
            Some(_) | None => return Err(Refusal::TOKEN_INVALID),
        }
    }
    for value in request.headers().get_all(SEC_WEBSOCKET_PROTOCOL) {
        let value = value.to_str().map_err(|_| Refusal::TOKEN_INVALID)?;
        let offers = value.split(',').map(str::trim);
        tokens.extend(offers.filter_map(|offer| offer.strip_prefix(BEARER_OFFER)));
    }
    match tokens.as_slice() {
        [] => Err(Refusal::TOKEN_MISSING),
        [token] => Ok(token),
        _ => Err(Refusal::TOKEN_AMBIGUOUS),
    }
}

/// A `Destination` must name this origin and the same seat's files; the agent
/// gets its path alone.
pub(super) fn destination(
    headers: &mut HeaderMap,
    prefix: &str,
    own: Option<&str>,
) -> Result<(), Refusal> {
    let mut named = headers.get_all("destination").iter();
    let text = match (named.next(), named.next()) {
        (None, _) => return Ok(()),
        (Some(value), None) => value.to_str().map_err(|_| Refusal::AWAY)?,
        (Some(_), Some(_)) => return Err(Refusal::AWAY),
    };
    let uri: Uri = text.parse().map_err(|_| Refusal::AWAY)?;
    let elsewhere = uri
        .authority()
        .is_some_and(|named| own.is_none_or(|own| !own.eq_ignore_ascii_case(named.as_str())));
    let route = super::Route::parse(uri.path()).ok_or(Refusal::AWAY)?;
    let within = route.files_prefix() == prefix && matches!(route.verb, super::Verb::Files(_));
    if elsewhere || !within || uri.query().is_some() || text.contains('#') {
        return Err(Refusal::AWAY);
    }
    let path = HeaderValue::from_str(&route.path()).map_err(|_| Refusal::AWAY)?;
    headers.insert("destination", path);
    Ok(())
}

/// Removes what belongs to this connection or says through what it came. An
/// upgrade keeps what makes it one.
pub(super) fn clean_request(headers: &mut HeaderMap, upgrade: bool) {
    remove_hop_by_hop(headers);
    for name in &NOT_FOR_AGENTS {
        headers.remove(name);
    }
    remove_where(headers, |name| {
        name.starts_with("clarateach-")
            || name.starts_with("x-forwarded-")
            || name == "x-real-ip"
            || (name.starts_with("sec-") && !name.starts_with("sec-websocket-"))
    });
    if upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
}

/// Removes from an answer what reaches beyond its seat, and adds what keeps a
/// page of it away from everything.
pub(super) fn clean_answer(headers: &mut HeaderMap, prefix: &str) {
    remove_hop_by_hop(headers);
    for name in NOT_FOR_BROWSERS.iter().chain(&[SEC_WEBSOCKET_ACCEPT]) {
        headers.remove(name);
    }
    for name in NOT_FOR_BROWSERS_BY_NAME {
        headers.remove(name);
    }
    remove_where(headers, |name| {
        name.starts_with("clarateach-")
            || name.starts_with("access-control-")
            || name.starts_with("cross-origin-")
            || name.starts_with("content-security-policy")
            || name.starts_with("x-accel-")
    });
    let away = |value: &HeaderValue| {
        let below = value.to_str().ok().and_then(|v| v.strip_prefix(prefix));
        prefix.is_empty() || below.is_none_or(|rest| !rest.starts_with('/'))
    };
    if headers.get(LOCATION).is_some_and(away) {
        headers.remove(LOCATION);
    }
    for (name, value) in [
        (
            CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Our own 101, from the agent's.
pub(super) fn switched(agent: &HeaderMap) -> Option<Response> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(
        SEC_WEBSOCKET_ACCEPT,
        agent.get(SEC_WEBSOCKET_ACCEPT)?.clone(),
    );
    if agent.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        let ours = HeaderValue::from_static(TERMINAL_PROTOCOL);
        headers.insert(SEC_WEBSOCKET_PROTOCOL, ours);
    }
    Some(answer)
}

/// The fixed ones and those that `Connection` names.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // A caller must not talk us out of what frames or permits the message.
        .filter(|name| {
            ![header::CONTENT_LENGTH, header::CONTENT_TYPE, AUTHORIZATION].contains(name)
                && !name.as_str().starts_with("sec-websocket-")
        })
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection", "http2-settings"] {
        headers.remove(name);
    }
}

fn remove_where(headers: &mut HeaderMap, unfit: impl Fn(&str) -> bool) {
    let names = headers.keys().filter(|name| unfit(name.as_str()));
    let unfit: Vec<HeaderName> = names.cloned().collect();
    for name in unfit {
        headers.remove(name);
    }
}
