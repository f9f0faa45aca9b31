//! The seats' resolver, on the bridge's own address: the only one they know.
//!
//! Way: a guest's question -> is it for the policy? -> the worker's own
//! resolvers -> does the answer point where no guest may go? -> its addresses
//! are opened where the policy is a list of names -> the answer. Nothing that a
//! learner asked is logged; how often one may ask is the rule set's to bound.

mod verdict;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::Context as _;
use clarateach_domain::{egress::is_closed, seat_net};
use hickory_resolver::{
    Resolver, TokioResolver,
    config::{NameServerConfig, ResolveHosts, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::{
        op::{Edns, Metadata, ResponseCode},
        rr::{Name, RData, Record, RecordType},
    },
};
use hickory_server::{
    Server,
    net::runtime::Time,
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::Semaphore,
    task::spawn_blocking,
};
use tracing::{debug, error, info};

use self::verdict::{Verdict, verdict};
use crate::network::Walls;

/// Questions that are answered at the same time.
const AT_ONCE: usize = 256;
/// How long the worker's resolvers may take, and how often each is tried.
const UPSTREAM_WITHIN: Duration = Duration::from_secs(3);
const TRIES: usize = 2;
/// A guest asks again after so long: before an address of an allowed name closes.
const LASTS: Duration = Duration::from_mins(30);
/// How long a TCP connection may be silent.
const SILENT: Duration = Duration::from_secs(10);
/// Answers that may wait on one TCP connection.
const WAITING: usize = 16;
/// What a guest may be sent by UDP without fragments (RFC 9715).
const PAYLOAD: u16 = 1232;
/// Serves until the runtime ends. `upstream` are the worker's own resolvers.
///
/// # Errors
///
/// When the bridge's address cannot be listened on.
pub(crate) async fn start(walls: Walls, upstream: &[IpAddr]) -> anyhow::Result<()> {
    let at = (seat_net::GATEWAY, 53);
    let busy = || format!("could not serve names on {}:53", seat_net::GATEWAY);
    let udp = UdpSocket::bind(at).await.with_context(busy)?;
    let tcp = TcpListener::bind(at).await.with_context(busy)?;
    let mut server = Server::new(Names {
        walls,
        upstream: resolver(upstream)?,
        places: Semaphore::new(AT_ONCE),
    });
    server.register_socket(udp);
    server.register_listener(tcp, SILENT, WAITING);
    info!(upstream = ?upstream, "seats' resolver serves");
    tokio::spawn(async move {
        if let Err(cause) = server.block_until_done().await {
            error!(%cause, "the seats' resolver ended");
        }
    });
    Ok(())
}

fn resolver(upstream: &[IpAddr]) -> anyhow::Result<TokioResolver> {
    let servers = upstream.iter().copied().map(NameServerConfig::udp_and_tcp);
    let config = ResolverConfig::from_parts(None, vec![], servers.collect());
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = UPSTREAM_WITHIN;
    options.attempts = TRIES;
    options.use_hosts_file = ResolveHosts::Never;
    options.positive_max_ttl = Some(LASTS);
    options.preserve_intermediates = true;
    builder.build().context("could not make the resolver")
}

struct Names {
    walls: Walls,
    upstream: TokioResolver,
    places: Semaphore,
}

/// What is said: a code, and with `NOERROR` the records.
type Said = (ResponseCode, Vec<Record>);

impl Names {
    async fn answer(&self, name: &Name, kind: RecordType) -> Said {
        let Ok(_place) = self.places.try_acquire() else {
            return (ResponseCode::ServFail, vec![]);
        };
        let text = plain(name);
        match verdict(&text, kind, self.walls.egress().answers(&text)) {
            Verdict::Ask => {}
            Verdict::Say(code) => return (code, vec![]),
        }
        let records = match self.upstream.lookup(name.clone(), kind).await {
            Ok(found) => found.answers().to_vec(),
            Err(none) if none.is_nx_domain() => return (ResponseCode::NXDomain, vec![]),
            Err(none) if none.is_no_records_found() => return (ResponseCode::NoError, vec![]),
            Err(_) => return (ResponseCode::ServFail, vec![]),
        };
        let addresses: Vec<_> = records.iter().filter_map(address).collect();
        if addresses.iter().copied().any(is_closed) {
            // A name of the internet that points inside: rebinding, or a mistake.
            return (ResponseCode::Refused, vec![]);
        }
        let walls = self.walls.clone();
        let opened = spawn_blocking(move || walls.learn(&text, &addresses)).await;
        match opened {
            Ok(Ok(())) => (ResponseCode::NoError, records),
            Ok(Err(cause)) => {
                error!(%cause, "addresses of an allowed name could not be opened");
                (ResponseCode::ServFail, vec![])
            }
            Err(_stopping) => (ResponseCode::ServFail, vec![]),
        }
    }
}

/// In lower case, without the last dot.
fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

fn address(record: &Record) -> Option<Ipv4Addr> {
    match &record.data {
        RData::A(address) => Some(address.0),
        _ => None,
    }
}

#[async_trait::async_trait]
impl RequestHandler for Names {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut out: R,
    ) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = true;
        let (code, records) = match request.request_info() {
            Ok(asked) => {
                let query = asked.query.original();
                self.answer(query.name(), query.query_type()).await
            }
            Err(_) => (ResponseCode::FormErr, vec![]),
        };
        metadata.response_code = code;
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if request.edns.is_some() {
            builder.edns(&edns);
        }
        let response = builder.build(metadata, &records, [], [], []);
        match out.send_response(response).await {
            Ok(sent) => sent,
            Err(cause) => {
                debug!(%cause, "an answer was not sent");
                metadata.response_code = ResponseCode::ServFail;
                hickory_resolver::proto::op::Header {
                    metadata,
                    counts: hickory_resolver::proto::op::HeaderCounts::default(),
                }
                .into()
            }
        }
    }
}
