//! The line to the control plane, opened step by step, so that the step that
//! fails is named.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::verdict::Check;
use crate::{
    api::ControlPlane,
    failure::{Exit, Failure},
    trust,
};

/// For each step.
const PATIENCE: Duration = Duration::from_secs(10);
/// A certificate with less left is told.
const SOON: i64 = 7 * 24 * 3600;
/// No health is longer.
const LONGEST: usize = 64 * 1024;

/// An open line.
pub(super) struct Line {
    sender: SendRequest<Empty<Bytes>>,
    host: String,
}

/// What the server says of itself.
pub(super) struct Health {
    pub(super) version: String,
    pub(super) date: Option<SystemTime>,
}

impl Line {
    /// Opens it; each step leaves a check.
    pub(super) async fn open(server: &ControlPlane, checks: &mut Vec<Check>) -> Option<Self> {
        let uri: Uri = server.url.parse().ok()?;
        let host = uri.host()?.trim_matches(['[', ']']).to_owned();
        let tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let tcp = dial(&host, port, checks).await?;
        let authority = uri.authority()?.to_string();
        if !tls {
            return Self::over(tcp, authority, checks).await;
        }
        let secured = secure(server, &host, tcp).await;
        match secured {
            Err(failure) => {
                checks.push(Check::fails("tls", failure.line(), failure.what_to_try()));
                None
            }
            Ok((stream, check)) => {
                checks.push(check);
                Self::over(stream, authority, checks).await
            }
        }
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        host: String,
        checks: &mut Vec<Check>,
    ) -> Option<Self> {
        match handshake(TokioIo::new(stream)).await {
            Ok((sender, connection)) => {
                tokio::spawn(connection);
                Some(Self { sender, host })
            }
            Err(error) => {
                checks.push(Check::fails("answer", error.to_string(), None));
                None
            }
        }
    }

    /// Asks how it is.
    pub(super) async fn health(mut self) -> Result<Health, Failure> {
        #[derive(Deserialize)]
        struct Said {
            version: String,
        }
        let failed = || Failure::new(Exit::Unreachable, "the server did not answer as ours do");
        let request = Request::get("/api/health")
            .header(header::HOST, self.host)
            .body(Empty::new())
            .map_err(|error| failed().because(error))?;
        let answer = timeout(PATIENCE, self.sender.send_request(request))
            .await
            .map_err(|_| failed().because("ten seconds were over"))?
            .map_err(|error| failed().because(error))?;
        if !answer.status().is_success() {
            return Err(failed().because(answer.status().to_string()));
        }
        let date = answer
            .headers()
            .get(header::DATE)
            .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok());
        let body = timeout(
            PATIENCE,
            Limited::new(answer.into_body(), LONGEST).collect(),
        )
        .await
        .map_err(|_| failed().because("ten seconds were over"))?
        .map_err(|error| failed().because(error))?;
        let said: Said =
            serde_json::from_slice(&body.to_bytes()).map_err(|error| failed().because(error))?;
        Ok(Health {
            version: said.version,
            date,
        })
    }
}

async fn dial(host: &str, port: u16, checks: &mut Vec<Check>) -> Option<TcpStream> {
    let found: Vec<_> = match timeout(PATIENCE, lookup_host((host, port))).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => {
            checks.push(Check::fails(
                "name",
                format!("{host}: {error}"),
                Some("Check its spelling, and this machine's resolver."),
            ));
            return None;
        }
        Err(_) => {
            checks.push(Check::fails(
                "name",
                format!("{host}: the resolver does not answer"),
                Some("Is this machine on a network?"),
            ));
            return None;
        }
    };
    let shown: Vec<String> = found
        .iter()
        .map(|address| address.ip().to_string())
        .collect();
    checks.push(Check::ok(
        "name",
        &format!("{host} is {}", shown.join(", ")),
    ));
    match timeout(PATIENCE, TcpStream::connect(found.as_slice())).await {
        Ok(Ok(tcp)) => {
            checks.push(Check::ok("tcp", &format!("port {port} opens")));
            Some(tcp)
        }
        Ok(Err(error)) => {
            checks.push(Check::fails(
                "tcp",
                format!("port {port}: {error}"),
                Some("Is the server running, and is this its port? A firewall may be between."),
            ));
            None
        }
        Err(_) => {
            checks.push(Check::fails(
                "tcp",
                format!("port {port}: nothing answers"),
                Some("A firewall may be between, or the machine be off."),
            ));
            None
        }
    }
}

type Secured = tokio_rustls::client::TlsStream<TcpStream>;

async fn secure(
    server: &ControlPlane,
    host: &str,
    tcp: TcpStream,
) -> Result<(Secured, Check), Failure> {
    let config = trust::control_plane(server)?;
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| Failure::fault("no certificate has such a name", error))?;
    let secured = timeout(PATIENCE, TlsConnector::from(config).connect(name, tcp)).await;
    let stream = secured
        .map_err(|_| {
            Failure::new(Exit::TimedOut, "the server began no TLS")
                .hint("Is this port for https? Perhaps the address begins with http://.")
        })?
        .map_err(refused)?;
    let (_, session) = stream.get_ref();
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let left = leaf.and_then(|leaf| {
        let (_, leaf) = x509_parser::parse_x509_certificate(leaf).ok()?;
        Some((
            leaf.validity().time_to_expiration()?,
            leaf.validity().not_after.to_string(),
        ))
    });
    let check = match left {
        Some((left, until)) if left.whole_seconds() < SOON => Check::warns(
            "tls",
            format!("the certificate is good until {until} only"),
            Some("Renew it, and start the server with the new one."),
        ),
        Some((_, until)) => Check::ok("tls", &format!("the certificate is good until {until}")),
        None => Check::ok("tls", "the certificate is good"),
    };
    Ok((stream, check))
}

/// rustls' words, and ours for what to do.
fn refused(error: std::io::Error) -> Failure {
    let text = error.to_string();
    let hint = [
        ("UnknownIssuer", "If the certificate is of your own making, name its file: clarateach login --ca cert.pem"),
        ("CaUsedAsEndEntity", "The certificate says that it is a CA: make it with basicConstraints=critical,CA:FALSE"),
        ("NotValidForName", "It is for another name: use that one in --server, or make one for this."),
        ("Expired", "Renew it; or this machine's clock is ahead."),
        ("NotValidYet", "This machine's clock is behind, or the server's was ahead."),
        ("InvalidContentType", "This port speaks no TLS: perhaps the address begins with http://."),
    ]
    .into_iter()
    .find(|(word, _)| text.contains(word))
    .map(|(_, hint)| hint);
    let failure = Failure::new(Exit::Unreachable, "no line that can be trusted").because(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
