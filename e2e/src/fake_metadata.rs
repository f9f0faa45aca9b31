//! The metadata server of one instance, as strict as Google's: it wants its header,
//! refuses forwarded requests, lets a client wait for a change, and signs what the
//! instance is. It can vanish, as a real one can.
//!
//! Way: request -> `refused` -> token, identity, or the text at a path of
//! [`About`], at once or when it changes.

mod about;
mod keys;

pub use about::About;
pub use keys::Keys;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::listener::{Answer, json as as_json, serve, text};

const FLAVOR: &str = "metadata-flavor";
const ROOT: &str = "/computeMetadata/v1/";

struct Shared {
    about: watch::Sender<About>,
    keys: Arc<Keys>,
    unavailable: watch::Sender<bool>,
    requests: Mutex<Vec<String>>,
}

/// One metadata server, until it is dropped.
pub struct FakeMetadata {
    shared: Arc<Shared>,
    address: SocketAddr,
    serving: Option<JoinHandle<()>>,
}

impl FakeMetadata {
    /// Starts one at this address.
    pub async fn start(listen: SocketAddr, about: About, keys: Arc<Keys>) -> Self {
        Self::start_on(TcpListener::bind(listen).await.unwrap(), about, keys)
    }

    /// Starts one on a listener that the caller made, in a namespace perhaps.
    pub fn start_on(listener: TcpListener, about: About, keys: Arc<Keys>) -> Self {
        let shared = Arc::new(Shared {
            about: watch::Sender::new(about),
            keys,
            unavailable: watch::Sender::new(false),
            requests: Mutex::default(),
        });
        let mut server = Self {
            shared,
            address: listener.local_addr().unwrap(),
            serving: None,
        };
        server.return_on(listener);
        server
    }

    /// For `GCE_METADATA_HOST`: host and port.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Changes what the instance is told; whoever waits for it hears of it.
    pub fn change(&self, change: impl FnOnce(&mut About)) {
        self.shared.about.send_modify(change);
    }

    /// The notice: `instance/preempted` turns TRUE.
    pub fn preempt(&self) {
        self.change(|about| about.preempted = true);
    }

    /// Answers 503 to everything, or no longer.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.shared.unavailable.send_replace(unavailable);
    }

    /// Connections are refused and those that stand are cut.
    pub async fn vanish(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            let _ended = serving.await;
        }
    }

    /// Is there again, at the same address.
    pub async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.return_on(listener);
    }

    /// Is there again, on a listener that the caller made.
    pub fn return_on(&mut self, listener: TcpListener) {
        assert!(self.serving.is_none(), "it is there");
        let shared = self.shared.clone();
        self.serving = Some(tokio::spawn(async move {
            match serve(listener, move |request| handle(shared.clone(), request)).await {}
        }));
    }

    /// Method and path of every request so far, refused ones too.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap().clone()
    }
}

impl Drop for FakeMetadata {
    fn drop(&mut self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }
}

async fn handle(shared: Arc<Shared>, request: Request<Bytes>) -> Answer {
    let line = format!("{} {}", request.method(), request.uri());
    shared.requests.lock().unwrap().push(line);
    let mut response = match refused(&shared, &request) {
        Some(refusal) => refusal,
        None => answer(&shared, &request).await,
    };
    let flavor = HeaderValue::from_static("Google");
    response.headers_mut().insert(FLAVOR, flavor);
    Ok(response)
}

fn refused(shared: &Shared, request: &Request<Bytes>) -> Option<Response<Full<Bytes>>> {
    let html = |status, why: &'static str| Some(text(status, "text/html", why));
    if *shared.unavailable.borrow() {
        return html(503, "Service Unavailable");
    }
    if request.headers().contains_key("x-forwarded-for") {
        return html(403, "X-Forwarded-For is not allowed");
    }
    let flavor = request.headers().get(FLAVOR);
    if flavor.is_none_or(|flavor| flavor != "Google") {
        return html(403, "Missing Metadata-Flavor:Google header.");
    }
    if request.method() != Method::GET {
        return html(405, "Method Not Allowed");
    }
    None
}

async fn answer(shared: &Shared, request: &Request<Bytes>) -> Response<Full<Bytes>> {
    let query = request.uri().query().unwrap_or_default();
    let query: HashMap<_, _> = form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    if request.uri().path() == "/" {
        return text(200, "application/text", "computeMetadata/\n");
    }
    let Some(path) = request.uri().path().strip_prefix(ROOT) else {
        return text(404, "text/html", "Not Found");
    };
    let about = shared.about.borrow().clone();
    match path {
        "instance/service-accounts/default/identity" => identity(shared, &about, &query),
        "instance/service-accounts/default/token" if about.account.is_some() => {
            let token = format!("ya29.fake-{}", about.id);
            let body = json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"});
            as_json(200, &body)
        }
        _ => value(shared, path, &query).await,
    }
}

fn identity(
    shared: &Shared,
    about: &About,
    query: &HashMap<String, String>,
) -> Response<Full<Bytes>> {
    let Some(audience) = query
        .get("audience")
        .filter(|audience| !audience.is_empty())
    else {
        return text(400, "text/html", "non-empty audience parameter required");
    };
    let full = match query.get("format").map(String::as_str) {
        Some("full") => true,
        None | Some("standard") => false,
        Some(_) => return text(400, "text/html", "unknown format"),
    };
    match about.claims(audience, full, SystemTime::now()) {
        Some(claims) => text(200, "text/html", shared.keys.sign(&claims)),
        None => text(404, "text/html", "Not Found"),
    }
}

/// The text at a path, now, or as soon as it is no longer what the client knows.
async fn value(
    shared: &Shared,
    path: &str,
    query: &HashMap<String, String>,
) -> Response<Full<Bytes>> {
    let mut about = shared.about.subscribe();
    let mut unavailable = shared.unavailable.subscribe();
    let seen = |about: &About| about.text(path).map(|text| (etag(&text), text));
    let mut found = seen(&about.borrow_and_update());
    if query
        .get("wait_for_change")
        .is_some_and(|wait| wait.eq_ignore_ascii_case("true"))
    {
        let now = found.as_ref().map(|(etag, _)| etag.clone());
        let known = query.get("last_etag").cloned().or(now);
        let limit = query
            .get("timeout_sec")
            .and_then(|limit| limit.parse().ok());
        // Google's own limit is not told; a client gives up before this one.
        let limit = Duration::from_secs(limit.unwrap_or(3600));
        let changed = about.wait_for(|about| seen(about).map(|(etag, _)| etag) != known);
        let gone = unavailable.wait_for(|unavailable| *unavailable);
        tokio::select! {
            _ = tokio::time::timeout(limit, changed) => {}
            _ = gone => return text(503, "text/html", "Service Unavailable"),
        }
        found = seen(&shared.about.borrow());
    }
    let Some((etag, found)) = found else {
        return text(404, "text/html", "Not Found");
    };
    let mut response = text(200, "application/text", found);
    let etag = HeaderValue::from_str(&etag).unwrap();
    response.headers_mut().insert("etag", etag);
    response
}

/// The same for the same text.
fn etag(text: &str) -> String {
    let digest = Sha256::digest(text);
    let first = digest[..8].try_into().expect("eight of thirty-two");
    format!("{:016x}", u64::from_be_bytes(first))
}
