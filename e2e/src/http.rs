//! The plainest HTTP/1.1 client there is: one connection a request, so that a
//! story sees exactly what the other side does. TLS trusts one CA only.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Trusts only `ca` (PEM).
pub fn tls(ca: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Connects to the host of `uri`; `ca` is asked for with https and wss only.
pub async fn connect(uri: &Uri, ca: &str) -> std::io::Result<Box<dyn Stream>> {
    let host = uri.host().unwrap();
    let secure = matches!(uri.scheme_str(), Some("https" | "wss"));
    let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let address: SocketAddr = tokio::net::lookup_host((host, port)).await?.next().unwrap();
    connect_at(uri, ca, address).await
}

/// Connects to `address` for the host of `uri`, whatever a resolver says of that.
async fn connect_at(uri: &Uri, ca: &str, address: SocketAddr) -> std::io::Result<Box<dyn Stream>> {
    let host = uri.host().unwrap();
    let secure = matches!(uri.scheme_str(), Some("https" | "wss"));
    let tcp = TcpStream::connect(address).await?;
    tcp.set_nodelay(true)?;
    if !secure {
        return Ok(Box::new(tcp));
    }
    let name = host.to_owned().try_into().unwrap();
    Ok(Box::new(
        TlsConnector::from(tls(ca)).connect(name, tcp).await?,
    ))
}

/// Sends one request and reads the whole answer.
pub async fn send(request: Request<Bytes>, ca: &str) -> std::io::Result<Response<Bytes>> {
    let stream = connect(request.uri(), ca).await?;
    exchange(stream, request).await
}

/// The same of whoever is at `address`, under the name in the request.
pub async fn send_at(
    request: Request<Bytes>,
    ca: &str,
    address: SocketAddr,
) -> std::io::Result<Response<Bytes>> {
    let stream = connect_at(request.uri(), ca, address).await?;
    exchange(stream, request).await
}

async fn exchange(
    stream: Box<dyn Stream>,
    request: Request<Bytes>,
) -> std::io::Result<Response<Bytes>> {
    let other = std::io::Error::other;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(other)?;
    let driver = tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    let uri = parts.uri;
    parts.uri = uri.path_and_query().unwrap().as_str().parse().unwrap();
    parts
        .headers
        .insert("host", uri.authority().unwrap().as_str().parse().unwrap());
    let answer = sender
        .send_request(Request::from_parts(parts, Full::new(body)))
        .await
        .map_err(other)?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(other)?.to_bytes();
    driver.abort();
    Ok(Response::from_parts(parts, body))
}
