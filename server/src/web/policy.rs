//! What a page may do: load from here, speak to here, and run no text as code.

use crate::browsers::WorkerDomain;

/// For a page that is text and style alone.
pub(super) const WITHOUT_SCRIPTS: &str = "default-src 'none'; style-src 'unsafe-inline'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The policy of one answer. `base` is this server as the caller sees it; to `workers`
/// pages may speak and send the forms of downloads, where they have names.
///
/// Styles that scripts make (the terminal's, the editor's) carry the nonce; those on
/// elements are let through, for the terminal draws 24-bit colours with them. Downloads
/// begin in a frame that is not seen; what a guest sends otherwise refuses to be framed.
pub(super) fn of_page(nonce: &str, base: &str, workers: Option<&WorkerDomain>) -> String {
    let sockets = sockets(base).unwrap_or_default();
    let (files, lines) = workers.map(WorkerDomain::sources).unzip();
    let files = files.map(|source| format!(" {source}")).unwrap_or_default();
    let lines = lines.map(|source| format!(" {source}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; \
         style-src-elem 'self' 'nonce-{nonce}'; style-src-attr 'unsafe-inline'; \
         connect-src 'self'{sockets}{files}{lines}; img-src 'self' data: blob:; font-src 'self'; \
         worker-src 'self'; frame-src 'self'{files}; base-uri 'none'; form-action 'self'{files}; frame-ancestors 'none'; \
         require-trusted-types-for 'script'"
    )
}

/// The WebSockets of this server: not every browser counts them as 'self'. The host comes
/// from the request, so it is named only when it cannot be anything but a host.
fn sockets(base: &str) -> Option<String> {
    let (scheme, host) = base.split_once("://")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    let scheme = if scheme == "https" { "wss" } else { "ws" };
    (!host.is_empty() && host.chars().all(plain)).then(|| format!(" {scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_this_server_and_of_no_other() {
        let connect = |base| {
            let policy = of_page("bm9uY2U=", base, None);
            let found = policy
                .split("; ")
                .find(|part| part.starts_with("connect-src"));
            found.unwrap().to_owned()
        };
        for (base, wanted) in [
            (
                "http://127.0.0.1:8080",
                "connect-src 'self' ws://127.0.0.1:8080",
            ),
            (
                "https://class.example",
                "connect-src 'self' wss://class.example",
            ),
            ("http://[::1]:8080", "connect-src 'self' ws://[::1]:8080"),
            // A host that would end its directive and begin another.
            ("http://a;script-src", "connect-src 'self'"),
            ("http://a,b", "connect-src 'self'"),
            ("nonsense", "connect-src 'self'"),
        ] {
            assert_eq!(connect(base), wanted, "{base}");
        }
    }

    #[test]
    fn workers_that_have_names_are_spoken_to_and_nobody_else() {
        let domain = WorkerDomain::parse("w.example.org").unwrap();
        let policy = of_page("bm9uY2U=", "https://class.example", Some(&domain));
        let files = "'self' https://*.w.example.org:9090";
        for wanted in [
            "connect-src 'self' wss://class.example https://*.w.example.org:9090 \
             wss://*.w.example.org:9090",
            &format!("form-action {files}"),
            &format!("frame-src {files}"),
            "script-src 'self'",
        ] {
            assert!(
                policy.split("; ").any(|part| part == wanted),
                "{wanted} in {policy}"
            );
        }
    }
}
