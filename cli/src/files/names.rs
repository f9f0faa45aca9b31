//! One file has two names: the client's below `/files` of this machine, and the
//! worker's below its proxy path. Pure.

use http::{HeaderMap, Uri};

use super::MOUNT;

/// Turns one name into the other.
pub(super) struct Names {
    /// `http://127.0.0.1:8765/files`
    here: String,
    /// `https://192.0.2.1:9090/proxy/ws-…/3/files`
    there: String,
    /// `/proxy/ws-…/3/files`
    prefix: String,
}

impl Names {
    /// `host` is what the client calls this machine, `base` the worker's files.
    pub(super) fn new(host: &str, base: &Uri) -> Self {
        let there = base.to_string();
        Self {
            here: format!("http://{host}{MOUNT}"),
            there: there.trim_end_matches('/').to_owned(),
            prefix: base.path().trim_end_matches('/').to_owned(),
        }
    }

    /// A request's path and query, for the worker.
    pub(super) fn path_there(&self, path: &str) -> Option<String> {
        Some(format!("{}{}", self.prefix, below(path, MOUNT)?))
    }

    /// A Destination: a URL of here, or a bare path.
    pub(super) fn url_there(&self, url: &str) -> Option<String> {
        let rest = below(url, &self.here).or_else(|| below(url, MOUNT))?;
        Some(format!("{}{rest}", self.there))
    }

    /// An `If` header: the resources it tags, in angle brackets.
    pub(super) fn condition_there(&self, condition: &str) -> String {
        condition
            .replace(&format!("<{}/", self.here), &format!("<{}/", self.there))
            .replace(&format!("<{MOUNT}/"), &format!("<{}/", self.prefix))
    }

    /// A Location: a URL of there, or a path.
    pub(super) fn url_here(&self, url: &str) -> Option<String> {
        let rest = below(url, &self.there).or_else(|| below(url, &self.prefix))?;
        Some(format!("{MOUNT}{rest}"))
    }

    /// What to look for in a listing, and what to put there.
    pub(super) fn href(&self) -> (Vec<u8>, Vec<u8>) {
        (
            format!(">{}", self.prefix).into_bytes(),
            format!(">{MOUNT}").into_bytes(),
        )
    }

    /// The answer to LOCK names the locked resource too.
    #[allow(
        clippy::unused_self,
        reason = "beside its siblings it reads as what it is"
    )]
    pub(super) fn is_lock(&self, headers: &HeaderMap) -> bool {
        headers.contains_key("lock-token")
    }
}

/// What follows `base` in `text`, if that is where it is.
fn below<'t>(text: &'t str, base: &str) -> Option<&'t str> {
    let rest = text.strip_prefix(base)?;
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let base = "https://192.0.2.1:9090/proxy/ws-0123456789/3/files";
        Names::new("127.0.0.1:8765", &base.parse().unwrap())
    }

    #[test]
    fn a_clients_path_becomes_the_workers() {
        for (path, there) in [
            ("/files/", Some("/proxy/ws-0123456789/3/files/")),
            (
                "/files/a%20b?x=1",
                Some("/proxy/ws-0123456789/3/files/a%20b?x=1"),
            ),
            (
                "/files?archive=tar",
                Some("/proxy/ws-0123456789/3/files?archive=tar"),
            ),
            ("/files2/x", None),
            ("/", None),
            ("/proxy/ws-0123456789/4/files/", None),
        ] {
            assert_eq!(names().path_there(path).as_deref(), there, "{path}");
        }
    }

    #[test]
    fn a_destination_stays_on_this_seat() {
        let there = Some("https://192.0.2.1:9090/proxy/ws-0123456789/3/files/b");
        for (url, there) in [
            ("http://127.0.0.1:8765/files/b", there),
            ("/files/b", there),
            ("http://127.0.0.1:9999/files/b", None),
            ("http://127.0.0.1:8765/filesx/b", None),
            ("https://elsewhere.example/files/b", None),
        ] {
            assert_eq!(names().url_there(url).as_deref(), there, "{url}");
        }
    }

    #[test]
    fn conditions_name_the_workers_files() {
        assert_eq!(
            names().condition_there(
                "<http://127.0.0.1:8765/files/a> (<opaquelocktoken:1>) </files/b> ([\"etag\"])"
            ),
            "<https://192.0.2.1:9090/proxy/ws-0123456789/3/files/a> (<opaquelocktoken:1>) \
             </proxy/ws-0123456789/3/files/b> ([\"etag\"])"
        );
    }

    #[test]
    fn a_location_comes_home() {
        for url in [
            "/proxy/ws-0123456789/3/files/d/",
            "https://192.0.2.1:9090/proxy/ws-0123456789/3/files/d/",
        ] {
            assert_eq!(names().url_here(url).as_deref(), Some("/files/d/"), "{url}");
        }
        assert_eq!(names().url_here("https://elsewhere.example/"), None);
    }
}
