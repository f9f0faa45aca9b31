//! `files serve`: the seat's files for WebDAV clients that know neither tokens
//! nor private certificates.
//!
//! Way: a client of this machine at `http://127.0.0.1:PORT/files/` -> names
//! changed, token added -> the worker (or the gateway), and home the same way.
//! Bodies stream both ways and are never held.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
};

use super::{Body, MOUNT, Upstream, body, names::Names};
use crate::{config::ServeArgs, failure::Failure, keeper::Keeper, output::tell};

/// Headers that speak of one connection only (RFC 9110 §7.6.1), and those that
/// are ours to say.
const NOT_FORWARDED: [HeaderName; 12] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    header::HOST,
    header::AUTHORIZATION,
    header::COOKIE,
    // A compressed listing could not have its names changed.
    header::ACCEPT_ENCODING,
];

/// Serves until told to stop.
pub(super) async fn serve(args: ServeArgs) -> Result<(), Failure> {
    let keeper = Keeper::start(args.way).await?;
    let failed = |error| Failure::fault(format!("could not listen on {}", args.listen), error);
    let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
    let here = listener.local_addr().map_err(failed)?;
    let door = Arc::new(Door {
        keeper,
        here,
        upstream: Mutex::new(None),
    });
    // Scripts read this line to learn the port.
    crate::output::print(&format!("http://{here}{MOUNT}/"))?;
    tell("Serving until Ctrl-C, to everybody on this machine.");

    let mut interrupt = signals(SignalKind::interrupt())?;
    let mut terminate = signals(SignalKind::terminate())?;
    let graceful = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                stream
            } else {
                // Out of descriptors, or the client is gone already: others still come.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            },
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        };
        accept(&door, stream, &graceful);
    }
    // Transfers under way may end; idle connections close at once.
    let _ = tokio::time::timeout(Duration::from_secs(5), graceful.shutdown()).await;
    Ok(())
}

fn signals(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(|error| Failure::fault("could not listen for signals", error))
}

fn accept(door: &Arc<Door>, stream: TcpStream, graceful: &GracefulShutdown) {
    let _ = stream.set_nodelay(true);
    let door = Arc::clone(door);
    let service = service_fn(move |request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_mins(1))
        .serve_connection(TokioIo::new(stream), service);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        // A client that leaves half way is its own affair.
        let _ = connection.await;
    });
}

struct Door {
    keeper: Keeper,
    here: SocketAddr,
    /// With the connections of the last request.
    upstream: Mutex<Option<Upstream>>,
}

impl Door {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        match self.forward(request).await {
            Ok(response) => response,
            Err((status, why)) => say(status, &why),
        }
    }

    fn upstream(&self) -> Result<Upstream, Failure> {
        let mut kept = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Upstream::of(&self.keeper, kept.as_ref())?;
        *kept = Some(now.clone());
        Ok(now)
    }

    async fn forward(&self, request: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let host = own_host(request.headers(), self.here)?;
        let upstream = self
            .upstream()
            .map_err(|failure| (StatusCode::BAD_GATEWAY, failure.to_string()))?;
        let names = Names::new(&host, upstream.base());
        let (mut parts, body) = request.into_parts();
        if parts.uri.path() == "/" && parts.method == Method::GET {
            return Ok(redirect(&format!("{MOUNT}/")));
        }
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let there = names
            .path_there(path)
            .ok_or_else(|| (StatusCode::NOT_FOUND, format!("The files are at {MOUNT}/")))?;
        parts.headers = names_there(&names, &parts.headers)?;
        let body = body.map_err(Into::into).boxed_unsync();
        let response = upstream
            .send(parts.method, &there, parts.headers, body)
            .await
            .map_err(|failure| (StatusCode::BAD_GATEWAY, failure.to_string()))?;
        if response.status() == StatusCode::UNAUTHORIZED {
            // The token was voided early, by a reset say: the next request has a fresh one.
            let _ = self.keeper.renew().await;
        }
        Ok(names_here(&names, response))
    }
}

type Refusal = (StatusCode, String);

/// Who asks must have asked for this very address: a page of another origin in a
/// browser here, or a name that was made to point here, is not the learner.
fn own_host(headers: &HeaderMap, here: SocketAddr) -> Result<String, Refusal> {
    let allowed = [here.to_string(), format!("localhost:{}", here.port())];
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().unwrap_or("?"))
    };
    let host = text(header::HOST).unwrap_or_default();
    if !allowed.iter().any(|own| own.eq_ignore_ascii_case(host)) {
        let why = format!("This is {here}, not {}.", crate::output::plain(host));
        return Err((StatusCode::MISDIRECTED_REQUEST, why));
    }
    if let Some(origin) = text(header::ORIGIN)
        && origin.strip_prefix("http://") != Some(host)
    {
        return Err((
            StatusCode::FORBIDDEN,
            "Pages of other sites stay out.".into(),
        ));
    }
    Ok(host.to_owned())
}

/// The client's headers as the worker should see them.
fn names_there(names: &Names, from: &HeaderMap) -> Result<HeaderMap, Refusal> {
    let connection: Vec<String> = from
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut to = HeaderMap::with_capacity(from.len());
    for (name, value) in from {
        if NOT_FORWARDED.contains(name) || connection.iter().any(|own| own == name.as_str()) {
            continue;
        }
        let value = match name.as_str() {
            "destination" => header_with(value, |text| names.url_there(text))?,
            "if" => header_with(value, |text| Some(names.condition_there(text)))?,
            "keep-alive" | "proxy-connection" => continue,
            _ => value.clone(),
        };
        to.append(name.clone(), value);
    }
    Ok(to)
}

fn header_with(
    value: &HeaderValue,
    change: impl Fn(&str) -> Option<String>,
) -> Result<HeaderValue, Refusal> {
    // RFC 4918 §9.8.5: a destination on another server is 502.
    value
        .to_str()
        .ok()
        .and_then(change)
        .and_then(|text| HeaderValue::from_str(&text).ok())
        .ok_or_else(|| (StatusCode::BAD_GATEWAY, "That is on another server.".into()))
}

/// The worker's answer as the client should see it.
fn names_here(names: &Names, response: Response<Incoming>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        parts.headers.remove(name);
    }
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        if let Some(value) = parts.headers.get(&name)
            && let Some(here) = value.to_str().ok().and_then(|text| names.url_here(text))
            && let Ok(here) = HeaderValue::from_str(&here)
        {
            parts.headers.insert(name, here);
        }
    }
    let xml = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.contains("xml"));
    // Only what the server itself says has names to change: a file stays as it is.
    let listing =
        xml && (parts.status == StatusCode::MULTI_STATUS || names.is_lock(&parts.headers));
    if !listing {
        return Response::from_parts(parts, body.map_err(Into::into).boxed_unsync());
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    let (from, to) = names.href();
    Response::from_parts(parts, body::replace(body, from, to))
}

fn say(status: StatusCode, why: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(format!("{why}\n")));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

fn redirect(to: &str) -> Response<Body> {
    let mut response = say(StatusCode::TEMPORARY_REDIRECT, to);
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asks_for_this_address_gets_in() {
        let here: SocketAddr = "127.0.0.1:8765".parse().unwrap();
        let ask = |host: &str, origin: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            own_host(&headers, here).is_ok()
        };
        assert!(ask("127.0.0.1:8765", None));
        assert!(ask("localhost:8765", None));
        assert!(ask("127.0.0.1:8765", Some("http://127.0.0.1:8765")));
        assert!(!ask("rebound.example:8765", None));
        assert!(!ask("127.0.0.1:8766", None));
        assert!(!ask("127.0.0.1:8765", Some("https://page.example")));
        assert!(!ask("127.0.0.1:8765", Some("null")));
    }
}
