//! Where a MOVE or COPY may go: into the same seat's files and nowhere else.

use http::{HeaderValue, Uri};

/// The `Destination` header as the guest gets it, if it lies below `prefix`
/// (`/proxy/{workshop}/{seat}/files`). Absolute URLs must name `authority`,
/// the one the request itself came to; the guest gets the path alone.
pub(crate) fn within(
    value: &HeaderValue,
    prefix: &str,
    authority: Option<&str>,
) -> Option<HeaderValue> {
    let text = value.to_str().ok()?;
    let path = if text.starts_with('/') {
        text
    } else {
        let uri: Uri = text.parse().ok()?;
        let named = uri.authority()?.as_str();
        if !matches!(uri.scheme_str(), Some("http" | "https"))
            || authority.is_some_and(|own| !own.eq_ignore_ascii_case(named))
        {
            return None;
        }
        let from = text.find("://")? + "://".len();
        &text[from + text[from..].find('/')?..]
    };
    let below = path.strip_prefix(prefix)?;
    let clean = below.starts_with('/')
        && !below.contains(['?', '#', '\\'])
        && below.split('/').all(|segment| !climbs(segment));
    if clean {
        HeaderValue::from_str(path).ok()
    } else {
        None
    }
}

/// `.` and `..` however they are spelled, and what hides a slash or a NUL. A backslash that
/// is spelled as `%5c` is a letter of a name like any other: guests are Linux.
fn climbs(segment: &str) -> bool {
    let lower = segment.to_ascii_lowercase();
    let plain = lower.replace("%2e", ".");
    matches!(plain.as_str(), "." | "..") || ["%2f", "%00"].iter().any(|bad| lower.contains(bad))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_stays_within_the_seats_files() {
        let prefix = "/proxy/ws-abcdefghij/3/files";
        for (text, want) in [
            (
                "/proxy/ws-abcdefghij/3/files/a",
                Some("/proxy/ws-abcdefghij/3/files/a"),
            ),
            (
                "https://h:9090/proxy/ws-abcdefghij/3/files/a%20b/",
                Some("/proxy/ws-abcdefghij/3/files/a%20b/"),
            ),
            (
                "https://H:9090/proxy/ws-abcdefghij/3/files/",
                Some("/proxy/ws-abcdefghij/3/files/"),
            ),
            (
                "/proxy/ws-abcdefghij/3/files/a%5Cb",
                Some("/proxy/ws-abcdefghij/3/files/a%5Cb"),
            ),
            ("/proxy/ws-abcdefghij/3/files/a\\b", None),
            ("/proxy/ws-abcdefghij/3/files..a", None),
            ("/proxy/ws-abcdefghij/3/files", None),
            ("/proxy/ws-abcdefghij/4/files/a", None),
            ("/proxy/ws-abcdefghij/3/files/../../4/files/a", None),
            ("/proxy/ws-abcdefghij/3/files/%2E%2e/a", None),
            ("/proxy/ws-abcdefghij/3/files/.%2e/a", None),
            ("/proxy/ws-abcdefghij/3/files/a%2f..%2fb", None),
            ("/proxy/ws-abcdefghij/3/files/a%00", None),
            ("/proxy/ws-abcdefghij/3/files/a?x", None),
            ("https://elsewhere/proxy/ws-abcdefghij/3/files/a", None),
            ("https://h:9090", None),
            ("file:///proxy/ws-abcdefghij/3/files/a", None),
            ("/a", None),
            ("", None),
        ] {
            let got = within(
                &HeaderValue::from_str(text).unwrap(),
                prefix,
                Some("h:9090"),
            );
            assert_eq!(got.as_ref().map(|v| v.to_str().unwrap()), want, "{text}");
        }
    }
}
