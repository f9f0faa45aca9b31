//! Where tokens may stand, as a table.

use http::{HeaderMap, HeaderValue, header};

use super::{INVALID, MISSING, SEVERAL, names_a_token, the_token};

#[test]
fn exactly_one_token_counts() {
    let bearer = header::AUTHORIZATION;
    let offer = header::SEC_WEBSOCKET_PROTOCOL;
    for (headers, want) in [
        (vec![], Err(MISSING)),
        (vec![(&bearer, "Bearer t")], Ok("t")),
        (vec![(&bearer, "bearer t")], Ok("t")),
        (vec![(&bearer, "Basic dDp0")], Err(INVALID)),
        (vec![(&bearer, "t")], Err(INVALID)),
        (
            vec![(&bearer, "Bearer t"), (&bearer, "Bearer t")],
            Err(SEVERAL),
        ),
        (vec![(&offer, "clarateach.terminal.v1")], Err(MISSING)),
        (
            vec![(&offer, "clarateach.terminal.v1, clarateach.bearer.v1.t")],
            Ok("t"),
        ),
        (
            vec![
                (&offer, "clarateach.bearer.v1.t"),
                (&offer, "clarateach.terminal.v1"),
            ],
            Ok("t"),
        ),
        (
            vec![(&offer, "clarateach.bearer.v1.t,clarateach.bearer.v1.u")],
            Err(SEVERAL),
        ),
        (
            vec![(&bearer, "Bearer t"), (&offer, "clarateach.bearer.v1.t")],
            Err(SEVERAL),
        ),
    ] {
        let mut map = HeaderMap::new();
        for (name, value) in &headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        assert_eq!(the_token(&map), want, "{headers:?}");
    }
}

#[test]
fn a_token_in_a_url_is_seen() {
    for (query, want) in [
        ("cols=80&rows=24", false),
        ("token=x", true),
        ("cols=80&Access_Token=x", true),
        ("tokens=x", false),
        ("x=token", false),
        ("", false),
    ] {
        assert_eq!(names_a_token(query), want, "{query}");
    }
}
