//! The worker's files over HTTP: pooled connections, the present token, and
//! nobody trusted but the workshop's CA (or whoever vouches for the gateway).

use bytes::Bytes;
use clarateach_proto::workshop::CollectSeatResponse;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls::ClientConfig;
use serde_json::Value;

use super::Body;
use crate::{
    api::ControlPlane,
    failure::{Exit, Failure},
    keeper::{Keeper, is_near},
    trust,
};

/// Where a seat's files are now, and how to reach them.
#[derive(Clone)]
pub(crate) struct Upstream {
    base: Uri,
    /// The workshop's CA when this was made: another one means other connections.
    ca: String,
    authorization: HeaderValue,
    client: Client<HttpsConnector<HttpConnector>, Body>,
}

impl Upstream {
    /// The seat's files as they are now. Connections of `before` are kept if they
    /// lead to the same place.
    pub(crate) fn of(keeper: &Keeper, before: Option<&Self>) -> Result<Self, Failure> {
        let session = keeper.now();
        let files = keeper.ways().files;
        if files.is_empty() {
            return Err(Failure::new(
                Exit::Unreachable,
                "the seat has no machine now",
            ));
        }
        let base: Uri = files
            .parse()
            .map_err(|error| Failure::fault("the server named no address for the files", error))?;
        let authorization = bearer(&session.token)?;
        let client = match before {
            Some(before) if before.base == base && before.ca == session.ca_certificate => {
                before.client.clone()
            }
            _ => client(&*keeper.tls()?),
        };
        Ok(Self {
            base,
            ca: session.ca_certificate,
            authorization,
            client,
        })
    }

    /// One seat's files, to read: straight from the worker, or through the control
    /// plane where that does not answer or is wanted.
    pub(crate) async fn collecting(
        server: &ControlPlane,
        way: CollectSeatResponse,
        gateway: bool,
    ) -> Result<Self, Failure> {
        let direct = way.endpoints.unwrap_or_default().files;
        let through = way.gateway.unwrap_or_default().files;
        let near = !gateway && !direct.is_empty() && is_near(&direct).await;
        let (url, tls) = if near {
            (direct, trust::pinned(&way.ca_certificate)?)
        } else {
            (through, trust::control_plane(server)?)
        };
        let base: Uri = url
            .parse()
            .map_err(|error| Failure::fault("the server named no address for the files", error))?;
        Ok(Self {
            base,
            ca: way.ca_certificate,
            authorization: bearer(&way.token)?,
            client: client(&tls),
        })
    }

    /// The worker's name for the folder.
    pub(crate) fn base(&self) -> &Uri {
        &self.base
    }

    /// Sends one request to a path of the worker, with the seat's token.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Body,
    ) -> Result<Response<Incoming>, Failure> {
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = path.parse().ok();
        let uri = Uri::from_parts(parts)
            .map_err(|error| Failure::fault(format!("{path} is no path"), error))?;
        headers.insert(header::AUTHORIZATION, self.authorization.clone());
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        self.client.request(request).await.map_err(|error| {
            Failure::new(Exit::Unreachable, "could not reach the seat's files").because(error)
        })
    }

    /// Runs a command in the seat: the answer tells of it as it goes.
    pub(crate) async fn exec(&self, order: &Value) -> Result<Response<Incoming>, Failure> {
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let body = Full::new(Bytes::from(order.to_string()));
        let body = body.map_err(|never| match never {}).boxed_unsync();
        self.send(Method::POST, &self.beside("exec"), headers, body)
            .await
    }

    /// The path of another service of the same seat.
    fn beside(&self, verb: &str) -> String {
        let path = self.base.path().trim_end_matches('/');
        let seat = path.rsplit_once('/').map_or("", |(seat, _)| seat);
        format!("{seat}/{verb}")
    }

    /// Shows the worker a renewed token, which moves the deadline of every open
    /// socket of this learner.
    pub(crate) async fn post_renew(&self) -> Result<(), Failure> {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let answer = self
            .send(Method::POST, &self.beside("renew"), HeaderMap::new(), body)
            .await?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(
                Failure::new(Exit::Refused, "the worker refused the renewed token")
                    .because(answer.status().to_string()),
            )
        }
    }
}

fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    let mut bearer: HeaderValue = format!("Bearer {token}")
        .parse()
        .map_err(|error| Failure::fault("the seat's token is no token", error))?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

fn client(tls: &ClientConfig) -> Client<HttpsConnector<HttpConnector>, Body> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(std::time::Duration::from_secs(10)));
    // The connector says its own protocols.
    let mut tls = tls.clone();
    tls.alpn_protocols.clear();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(std::time::Duration::from_secs(30))
        .build(connector)
}
