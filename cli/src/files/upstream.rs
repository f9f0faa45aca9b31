//! The worker's files over HTTP: pooled connections, the present token, and
//! nobody trusted but the workshop's CA (or whoever vouches for the gateway).

use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use super::Body;
use crate::{
    failure::{Exit, Failure},
    keeper::Keeper,
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
        let base: Uri =
            keeper.ways().files.parse().map_err(|error| {
                Failure::fault("the server named no address for the files", error)
            })?;
        let mut authorization: HeaderValue = format!("Bearer {}", session.token)
            .parse()
            .map_err(|error| Failure::fault("the seat's token is no token", error))?;
        authorization.set_sensitive(true);
        let client = match before {
            Some(before) if before.base == base && before.ca == session.ca_certificate => {
                before.client.clone()
            }
            _ => client(keeper)?,
        };
        Ok(Self {
            base,
            ca: session.ca_certificate,
            authorization,
            client,
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

    /// Shows the worker a renewed token, which moves the deadline of every open
    /// socket of this learner.
    pub(crate) async fn post_renew(&self) -> Result<(), Failure> {
        let path = self.base.path().trim_end_matches('/');
        let seat = path.rsplit_once('/').map_or("", |(seat, _)| seat);
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let answer = self
            .send(
                Method::POST,
                &format!("{seat}/renew"),
                HeaderMap::new(),
                body,
            )
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

fn client(keeper: &Keeper) -> Result<Client<HttpsConnector<HttpConnector>, Body>, Failure> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(std::time::Duration::from_secs(10)));
    // The connector says its own protocols.
    let mut tls = (*keeper.tls()?).clone();
    tls.alpn_protocols.clear();
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(std::time::Duration::from_secs(30))
        .build(connector))
}
