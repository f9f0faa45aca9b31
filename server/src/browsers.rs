//! How browsers come straight to workers: by names and a certificate that they know.
//!
//! Way: `--worker-domain` -> [`WorkerDomain`] -> a worker's name in endpoints, and the
//! hosts that pages may speak to. The certificate's files -> [`BrowserAccess`] -> every
//! agent, over its link ([`crate::agents`]). Without it browsers use the gateway.

use std::{fmt, net::SocketAddr, path::Path, sync::Arc};

use anyhow::Context;
use rustls::{client::verify_server_name, server::ParsedCertificate};
use rustls_pki_types::ServerName;
use tokio::sync::watch;

use crate::{
    pem_files::{Pem, PemFiles},
    provisioner::AGENT_PORT,
};

/// The names of workers: one label with a hole, below a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerDomain {
    before: String,
    hole: Hole,
    after: String,
    domain: String,
}

/// What a worker's name says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hole {
    /// Its address, with hyphens for dots.
    Address,
    /// Its name.
    Worker,
}

impl WorkerDomain {
    /// From `w.example.org`, `{address}.w.example.org` or `{worker}.w.example.org`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || {
            format!(
                "{text:?} names no workers: write {{address}}.DOMAIN or {{worker}}.DOMAIN, such \
                 as {{address}}.w.example.org"
            )
        };
        let text = text.to_ascii_lowercase();
        let (label, domain) = match text.split_once('.') {
            Some((label, domain)) if label.contains('{') => (label, domain),
            _ => ("{address}", text.as_str()),
        };
        let found = [("{address}", Hole::Address), ("{worker}", Hole::Worker)]
            .into_iter()
            .find_map(|(word, hole)| Some((label.split_once(word)?, hole)));
        let ((before, after), hole) = found.ok_or_else(bad)?;
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let labels = || domain.split('.');
        let fits = plain(before)
            && plain(after)
            && labels().count() >= 2
            && labels().all(|label| (1..=63).contains(&label.len()) && plain(label));
        fits.then(|| Self {
            before: before.to_owned(),
            hole,
            after: after.to_owned(),
            domain: domain.to_owned(),
        })
        .ok_or_else(bad)
    }

    /// HOST:PORT of a worker for browsers, from its name and its own HOST:PORT.
    pub fn authority(&self, worker: &str, address: &str) -> Option<String> {
        let address: SocketAddr = address.parse().ok()?;
        let told = match (self.hole, address) {
            (Hole::Worker, _) => worker.to_owned(),
            (Hole::Address, SocketAddr::V4(at)) => at.ip().to_string().replace('.', "-"),
            (Hole::Address, SocketAddr::V6(at)) => {
                at.ip().segments().map(|part| format!("{part:x}")).join("-")
            }
        };
        Some(format!("{}:{}", self.host(&told), address.port()))
    }

    /// What a page's policy calls all of them, for HTTP and for WebSockets.
    pub fn sources(&self) -> (String, String) {
        let of = |scheme| format!("{scheme}://*.{}:{AGENT_PORT}", self.domain);
        (of("https"), of("wss"))
    }

    fn host(&self, told: &str) -> String {
        let Self {
            before,
            after,
            domain,
            ..
        } = self;
        format!("{before}{told}{after}.{domain}")
    }

    /// Refuses a certificate that is not for such names.
    fn check(&self, pem: &Pem) -> anyhow::Result<()> {
        let host = self.host("x");
        let name =
            ServerName::try_from(host.as_str()).context("no worker could have such a name")?;
        let leaf = pem.certified.cert.first().context("the chain is empty")?;
        let leaf = ParsedCertificate::try_from(leaf).context("the certificate cannot be read")?;
        verify_server_name(&leaf, &name)
            .with_context(|| format!("the certificate is not for names such as {host}"))
    }
}

/// What agents are told, so that browsers may come to them.
#[derive(Clone, PartialEq, Eq)]
pub struct BrowserAccess {
    /// The chain, PEM.
    pub chain: String,
    /// Its key, PEM.
    pub key: String,
    /// Whose pages may come.
    pub origins: Vec<String>,
}

/// The key is nobody's to read in a log.
impl fmt::Debug for BrowserAccess {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "BrowserAccess({:?})", self.origins)
    }
}

/// What agents are told now; changes when it changes.
pub type Told = watch::Receiver<Option<Arc<BrowserAccess>>>;

/// The certificate in these files for pages of `origins`, read again when it changes.
pub fn access(
    domain: &WorkerDomain,
    certificate: &Path,
    key: &Path,
    origins: &[String],
) -> anyhow::Result<Told> {
    let files = PemFiles::new(certificate, key);
    let (domain, origins) = (domain.clone(), origins.to_owned());
    let made = move |pem: Pem| {
        domain.check(&pem)?;
        anyhow::Ok(Some(Arc::new(BrowserAccess {
            chain: pem.chain,
            key: pem.key,
            origins: origins.clone(),
        })))
    };
    let (tell, told) = watch::channel(made(files.read()?)?);
    tokio::spawn(files.follow(move |fresh| {
        tell.send_replace(made(fresh)?);
        Ok(())
    }));
    Ok(told)
}

/// Of a server whose workers browsers do not come to.
pub fn nobody() -> Told {
    watch::channel(None).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_has_a_name_below_the_domain() {
        for (text, wanted) in [
            ("w.example.org", Some("192-0-2-7.w.example.org:9090")),
            (
                "{address}.w.example.org",
                Some("192-0-2-7.w.example.org:9090"),
            ),
            (
                "ct-{worker}.W.example.org",
                Some("ct-ws-1-w1.w.example.org:9090"),
            ),
            ("example", None),
            ("", None),
            ("{zone}.example.org", None),
            ("{address}.a b.org", None),
            ("{address}.example..org", None),
            ("w;script-src.example.org", None),
            ("a.{address}.example.org", None),
        ] {
            let domain = WorkerDomain::parse(text).ok();
            let got = domain.and_then(|domain| domain.authority("ws-1-w1", "192.0.2.7:9090"));
            assert_eq!(got.as_deref(), wanted, "{text:?}");
        }
        let domain = WorkerDomain::parse("w.example.org").unwrap();
        let v6 = domain.authority("w", "[2001:db8::7]:9090");
        assert_eq!(
            v6.as_deref(),
            Some("2001-db8-0-0-0-0-0-7.w.example.org:9090")
        );
        assert_eq!(domain.authority("w", ""), None, "not known yet");
        let sources = domain.sources();
        assert_eq!(sources.0, "https://*.w.example.org:9090");
    }
}
