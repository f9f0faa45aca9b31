//! What crosses the door and what stays outside.
//!
//! Way in: everything that belongs to the connection, to the caller's identity
//! or to us is removed, then the seat's secret is added. Way out: everything a
//! hostile guest could use against other seats of the same origin is removed.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        self, ACCEPT_ENCODING, ALT_SVC, AUTHORIZATION, CONNECTION, CONTENT_SECURITY_POLICY, COOKIE,
        DATE, EXPECT, FORWARDED, HOST, LINK, LOCATION, ORIGIN, PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION, REFERER, REFRESH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, SERVER, SET_COOKIE,
        STRICT_TRANSPORT_SECURITY, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA, WARNING,
    },
};

/// Belongs to one connection and never to the next (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Says who the caller is or through what they came; a guest never learns it.
/// `Expect` is answered here.
const NOT_FOR_GUESTS: [HeaderName; 15] = [
    AUTHORIZATION,
    COOKIE,
    EXPECT,
    FORWARDED,
    HOST,
    ORIGIN,
    REFERER,
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION,
    VIA,
    WARNING,
    ACCEPT_ENCODING,
];

/// Works on the whole origin, which every seat of the worker shares.
const NOT_FOR_BROWSERS: [HeaderName; 12] = [
    ALT_SVC,
    CONTENT_SECURITY_POLICY,
    DATE,
    LINK,
    REFRESH,
    SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_PROTOCOL,
    SERVER,
    SET_COOKIE,
    STRICT_TRANSPORT_SECURITY,
    VIA,
];

/// The same, without constants in `http`.
const NOT_FOR_BROWSERS_BY_NAME: [&str; 12] = [
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
];

/// Headers of ours, which nobody outside may set.
const OURS: &str = "clarateach-";
/// The seat's secret, hex.
pub(crate) const SECRET: HeaderName = HeaderName::from_static("clarateach-secret");
/// `id;mode` of whoever watches.
pub(crate) const VIEWER: HeaderName = HeaderName::from_static("clarateach-viewer");
/// Where the seat's files stand for the caller.
pub(crate) const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Removes from a request what a guest must not see or could misread.
pub(crate) fn clean_request(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    for name in &NOT_FOR_GUESTS {
        headers.remove(name);
    }
    remove_where(headers, |name| {
        name.starts_with(OURS) || name.starts_with("x-forwarded-") || name.starts_with("sec-")
    });
}

/// Removes from a guest's answer what would reach beyond its seat, and adds
/// what keeps a page of it away from everything. `prefix` is the part of the
/// origin that is the seat's own.
pub(crate) fn clean_answer(headers: &mut HeaderMap, prefix: &str) {
    remove_hop_by_hop(headers);
    for name in &NOT_FOR_BROWSERS {
        headers.remove(name);
    }
    for name in NOT_FOR_BROWSERS_BY_NAME {
        headers.remove(name);
    }
    remove_where(headers, |name| {
        name.starts_with(OURS)
            || name.starts_with("access-control-")
            || name.starts_with("cross-origin-")
            || name.starts_with("content-security-policy")
            || name.starts_with("x-accel-")
    });
    let away = |value: &HeaderValue| {
        let below = value.to_str().ok().and_then(|v| v.strip_prefix(prefix));
        below.is_none_or(|rest| !rest.starts_with('/'))
    };
    if headers.get(LOCATION).is_some_and(away) {
        headers.remove(LOCATION);
    }
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-site"),
    );
}

/// The fixed ones and those that `Connection` names.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // A caller must not talk us out of headers that frame the message.
        .filter(|name| name != header::CONTENT_LENGTH && name != header::CONTENT_TYPE)
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    headers.remove("http2-settings");
}

fn remove_where(headers: &mut HeaderMap, unfit: impl Fn(&str) -> bool) {
    let unfit: Vec<HeaderName> = headers
        .keys()
        .filter(|name| unfit(name.as_str()))
        .cloned()
        .collect();
    for name in unfit {
        headers.remove(name);
    }
}
