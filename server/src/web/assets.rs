//! The built files. A release has them in its binary; a debug build reads them from
//! the checkout, so that whoever changes a page need not build the server again.

use std::borrow::Cow;

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use rust_embed::RustEmbed;

/// Empty when the pages were never built.
#[derive(RustEmbed)]
#[folder = "../web/dist/site"]
#[allow_missing = true]
struct Site;

/// Names have a hash of what they hold: whoever has one has it for good.
const FOR_GOOD: &str = "public, max-age=31536000, immutable";

/// The index, in which a nonce is yet to be put.
pub(super) fn index() -> Option<String> {
    String::from_utf8(file("index.html")?.into_owned()).ok()
}

/// One asset, in the smallest of the encodings that were made and are welcome.
pub(super) async fn asset(Path(path): Path<String>, asked: HeaderMap) -> Response {
    let path = format!("assets/{path}");
    let Some(plain) = kind(&path).and_then(|kind| Some((kind, file(&path)?))) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let (kind, plain) = plain;
    let encoded = [("br", "br"), ("gzip", "gz")]
        .into_iter()
        .find_map(|(name, ending)| {
            let smaller = takes(&asked, name).then(|| file(&format!("{path}.{ending}")))??;
            Some((name, smaller))
        });
    let mut headers = HeaderMap::new();
    let fixed = HeaderValue::from_static;
    headers.insert(header::CONTENT_TYPE, fixed(kind));
    headers.insert(header::CACHE_CONTROL, fixed(FOR_GOOD));
    headers.insert(header::VARY, fixed("accept-encoding"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff"));
    let body = match encoded {
        Some((name, smaller)) => {
            headers.insert(header::CONTENT_ENCODING, fixed(name));
            smaller
        }
        None => plain,
    };
    (headers, body.into_owned()).into_response()
}

fn file(path: &str) -> Option<Cow<'static, [u8]>> {
    Some(Site::get(path)?.data)
}

/// What a browser takes a file for; what is not in here is no asset.
fn kind(path: &str) -> Option<&'static str> {
    let (_, ending) = path.rsplit_once('.')?;
    Some(match ending {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "woff2" => "font/woff2",
        _ => return None,
    })
}

/// Whether the caller takes an encoding; a quality of none is a refusal.
fn takes(asked: &HeaderMap, name: &str) -> bool {
    let welcome = |part: &str| {
        let (coding, quality) = part.split_once(';').unwrap_or((part, ""));
        let refused = quality
            .trim()
            .strip_prefix("q=")
            .is_some_and(|q| q.parse() == Ok(0.0));
        coding.trim().eq_ignore_ascii_case(name) && !refused
    };
    asked.get_all(header::ACCEPT_ENCODING).iter().any(|value| {
        let value = value.to_str().unwrap_or_default();
        value.split(',').any(welcome)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_taken_when_it_is_welcome() {
        for (said, name, wanted) in [
            ("gzip, deflate, br, zstd", "br", true),
            ("gzip;q=1.0, br;q=0", "br", false),
            ("gzip;q=0.5", "gzip", true),
            ("GZip", "gzip", true),
            ("identity", "gzip", false),
            ("brotli", "br", false),
        ] {
            let mut asked = HeaderMap::new();
            asked.insert(header::ACCEPT_ENCODING, said.parse().unwrap());
            assert_eq!(takes(&asked, name), wanted, "{said} {name}");
        }
        assert!(!takes(&HeaderMap::new(), "br"));
    }
}
