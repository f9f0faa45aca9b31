//! Which door a path leads to, and what every request passes on its way.
//!
//! Way: panic guard -> who and from where ([`Visit`]) -> CORS where browsers of
//! other origins may come -> bodies of calls whole, their answers in time -> gRPC,
//! JSON, gateway or a plain page.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use clarateach_proto::{
    DESCRIPTOR_SET,
    workshop::{
        seat_service_server::SeatServiceServer, token_service_server::TokenServiceServer,
        workshop_service_server::WorkshopServiceServer,
    },
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, uri::Authority};
use metrics::counter;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;
use tonic_web::GrpcWebLayer;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowOrigin, CorsLayer},
};

use super::{
    Peer,
    answer::{ANSWER, bound},
    gather::{BODY, Gather, gather},
    metrics as figures,
};
use crate::{
    api::{Api, Visit, error::ApiError, rest_router},
    browsers::WorkerDomain,
    store::Store,
    web,
};

/// Calls answered at once; the rest wait in line. Streams count until they
/// have begun.
const AT_ONCE: usize = 256;
/// gRPC messages are at most so long, both ways.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// Services that reflection shows.
const SERVICES: [&str; 4] = [
    "clarateach.workshop.v1.WorkshopService",
    "clarateach.workshop.v1.TokenService",
    "clarateach.workshop.v1.SeatService",
    "grpc.health.v1.Health",
];

/// How callers reach this server.
#[derive(Debug, Clone)]
pub struct Reach {
    /// `http(s)://HOST[:PORT]` that people use; each request's own host if none.
    pub public_url: Option<String>,
    /// A proxy before this server says who calls and how.
    pub trusted_proxy: bool,
    /// Stands in where a request names no host.
    pub fallback_host: String,
    /// Origins whose pages may call.
    pub allowed_origins: Vec<String>,
    /// How browsers call workers, if they can come to them.
    pub workers: Option<Arc<WorkerDomain>>,
}

/// What stands behind the port.
pub struct Doors {
    /// Workshops, tokens, seats.
    pub api: Api,
    /// For the figures of `/metrics`.
    pub store: Store,
    /// `/proxy/**`.
    pub gateway: Router,
    /// How callers reach it.
    pub reach: Reach,
}

/// All routes, and the switch of `grpc.health.v1`.
pub async fn router(doors: Doors) -> anyhow::Result<(Router, HealthReporter)> {
    figures::start();
    let (grpc, health) = grpc(&doors.api).await?;
    let cors = cors(&doors.reach.allowed_origins)?;
    let admin = Admin {
        api: doors.api.clone(),
        store: doors.store,
    };
    let called = grpc
        .merge(rest_router(doors.api))
        .layer(GlobalConcurrencyLimitLayer::new(AT_ONCE))
        .layer(from_fn_with_state(ANSWER, bound))
        .layer(from_fn_with_state(Gather::new(BODY), gather))
        .layer(cors);
    let plain = Router::new()
        .merge(web::router())
        .route("/health", get(healthy))
        .route("/openapi.json", get(openapi))
        .route("/metrics", get(scrape).with_state(admin));
    let all = called
        .merge(doors.gateway)
        .merge(plain)
        .fallback(nothing)
        .layer(from_fn_with_state(doors.reach, note_visit))
        .layer(CatchPanicLayer::custom(|_| {
            tracing::error!("a handler panicked");
            ApiError::new(tonic::Code::Internal, "INTERNAL", "the server failed").into_response()
        }));
    Ok((all, health))
}

async fn grpc(api: &Api) -> anyhow::Result<(Router, HealthReporter)> {
    let (reporter, health) = tonic_health::server::health_reporter();
    for service in &SERVICES[..3] {
        reporter
            .set_service_status(*service, tonic_health::ServingStatus::Serving)
            .await;
    }
    let reflect = || {
        let mut builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        for service in SERVICES {
            builder = builder.with_service_name(service);
        }
        builder
    };
    macro_rules! bounded {
        ($service:ident) => {
            $service::new(api.clone())
                .max_decoding_message_size(MAX_MESSAGE)
                .max_encoding_message_size(MAX_MESSAGE)
        };
    }
    let router = Routes::new(bounded!(WorkshopServiceServer))
        .add_service(bounded!(TokenServiceServer))
        .add_service(bounded!(SeatServiceServer))
        .add_service(health)
        .add_service(reflect().build_v1()?)
        .add_service(reflect().build_v1alpha()?)
        .prepare()
        .into_axum_router()
        // Only the services' own paths: the layer answers everything else over
        // HTTP/1.1 with 400, which is no way to say 404.
        .route_layer(GrpcWebLayer::new())
        .reset_fallback();
    Ok((router, reporter))
}

/// Browsers of these origins may call; of others they may not.
fn cors(origins: &[String]) -> anyhow::Result<CorsLayer> {
    let origins = origins.iter().map(|origin| HeaderValue::from_str(origin));
    let origins = origins.collect::<Result<Vec<_>, _>>()?;
    let name = HeaderName::from_static;
    Ok(CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            name("x-grpc-web"),
            name("x-user-agent"),
            name("grpc-timeout"),
        ])
        .expose_headers([
            name("grpc-status"),
            name("grpc-message"),
            name("grpc-status-details-bin"),
            header::RETRY_AFTER,
        ])
        .max_age(Duration::from_mins(10)))
}

/// Notes from where and how a request came, and counts it.
async fn note_visit(State(reach): State<Reach>, mut request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let visit = visit(&reach, peer, &request);
    request.extensions_mut().insert(visit);
    let door = door(request.uri().path());
    let response = next.run(request).await;
    let status = response.status().as_u16().to_string();
    counter!("clarateach_http_requests_total", "door" => door, "status" => status).increment(1);
    response
}

fn door(path: &str) -> &'static str {
    match path.split('/').nth(1).unwrap_or_default() {
        "api" => "json",
        "proxy" => "gateway",
        service if service.contains('.') => "grpc",
        _ => "page",
    }
}

fn visit(reach: &Reach, peer: Option<Peer>, request: &Request) -> Visit {
    let peer_address = peer.map_or(IpAddr::from([127, 0, 0, 1]), |peer| {
        peer.address.ip().to_canonical()
    });
    let proxied = reach.trusted_proxy;
    let address = proxied
        .then(|| forwarded_for(request.headers()))
        .flatten()
        .unwrap_or(peer_address);
    let told = request.headers().get("x-forwarded-proto");
    let secure = match peer {
        Some(Peer { tls: true, .. }) => true,
        _ => proxied && told.is_some_and(|proto| proto == "https"),
    };
    let scheme = if secure { "https" } else { "http" };
    let base = reach.public_url.clone().unwrap_or_else(|| {
        let host = host(request).unwrap_or_else(|| reach.fallback_host.clone());
        format!("{scheme}://{host}")
    });
    Visit {
        base,
        address,
        workers: reach.workers.clone(),
    }
}

/// The last address of the list: the one that the proxy itself saw and added.
/// What stands before it the caller may have made up.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    let last = last.to_str().ok()?.rsplit(',').next()?.trim();
    last.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

/// The host that the caller asked for, if it is one.
fn host(request: &Request) -> Option<String> {
    let named = request.uri().authority().map(Authority::as_str);
    let named = named.or_else(|| request.headers().get(header::HOST)?.to_str().ok())?;
    let authority: Authority = named.parse().ok()?;
    let plain = !authority.as_str().contains('@') && !authority.host().is_empty();
    plain.then(|| authority.as_str().to_ascii_lowercase())
}

#[derive(Clone)]
struct Admin {
    api: Api,
    store: Store,
}

async fn scrape(State(admin): State<Admin>, headers: HeaderMap) -> Result<Response, ApiError> {
    admin.api.admin(&headers).await?;
    let text = figures::scrape(&admin.store).await?;
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    Ok((kind, text).into_response())
}

/// What the JSON face takes and answers; `proto/docs/generate.py` makes it.
async fn openapi() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, include_str!("../api/openapi.json"))
}

async fn healthy() -> &'static str {
    "ok\n"
}

async fn nothing() -> ApiError {
    ApiError::new(
        tonic::Code::NotFound,
        "ROUTE_UNKNOWN",
        "nothing is here; / says what this server is",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(trusted_proxy: bool, public_url: Option<&str>) -> Reach {
        Reach {
            public_url: public_url.map(str::to_owned),
            trusted_proxy,
            fallback_host: "127.0.0.1:8080".into(),
            allowed_origins: vec![],
            workers: None,
        }
    }

    fn ask(headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().uri("/api/join");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(axum::body::Body::empty()).unwrap()
    }

    #[test]
    fn the_caller_sees_the_server_as_it_came() {
        let peer = |tls| Peer {
            address: "192.0.2.9:1234".parse().unwrap(),
            tls,
        };
        for (reach, tls, headers, base, address) in [
            (
                reach(false, None),
                false,
                &[("host", "Class.example:8080")][..],
                "http://class.example:8080",
                "192.0.2.9",
            ),
            (
                reach(false, None),
                true,
                &[("host", "class.example")],
                "https://class.example",
                "192.0.2.9",
            ),
            (
                reach(false, None),
                false,
                &[],
                "http://127.0.0.1:8080",
                "192.0.2.9",
            ),
            (
                reach(false, None),
                false,
                &[("host", "user@evil.example")],
                "http://127.0.0.1:8080",
                "192.0.2.9",
            ),
            // Nobody asked this server to believe such headers.
            (
                reach(false, None),
                false,
                &[
                    ("host", "a.example"),
                    ("x-forwarded-for", "198.51.100.7"),
                    ("x-forwarded-proto", "https"),
                ],
                "http://a.example",
                "192.0.2.9",
            ),
            (
                reach(true, None),
                false,
                &[
                    ("host", "a.example"),
                    ("x-forwarded-for", "203.0.113.1, 198.51.100.7"),
                    ("x-forwarded-proto", "https"),
                ],
                "https://a.example",
                "198.51.100.7",
            ),
            (
                reach(true, Some("https://b.example")),
                false,
                &[("host", "a.example"), ("x-forwarded-for", "nonsense")],
                "https://b.example",
                "192.0.2.9",
            ),
        ] {
            let seen = visit(&reach, Some(peer(tls)), &ask(headers));
            assert_eq!(seen.base, base, "{headers:?}");
            assert_eq!(seen.address.to_string(), address, "{headers:?}");
        }
    }
}
