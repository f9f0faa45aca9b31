//! A seat's files in our words: what is there, make a folder, remove, read, write.
//!
//! Way: a [`RemotePath`] -> one request -> an answer, or a [`Failure`] that says
//! what the worker said and what to do. Waits of silence are bounded, lengths of
//! transfers are not.

use std::{sync::Mutex, sync::PoisonError, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::timeout;

use super::{Body, BoxError, Upstream, path::RemotePath, patience::Patience, refusal::refusal};
use crate::{
    failure::{Exit, Failure},
    keeper::Keeper,
};

/// A worker that says nothing for so long has gone.
pub(crate) const SILENCE: Duration = Duration::from_mins(1);
/// No answer but a file's content is longer.
const LONGEST: usize = 16 << 20;

/// Anything that may answer for a seat's files.
pub(crate) struct Remote {
    keeper: Option<Keeper>,
    kept: Mutex<Option<Upstream>>,
}

/// One thing in a folder.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) size: u64,
    pub(crate) modified: Option<chrono::DateTime<chrono::Utc>>,
    #[serde(default)]
    pub(crate) mode: String,
}

impl Entry {
    pub(crate) fn is_folder(&self) -> bool {
        self.kind == "directory"
    }

    pub(crate) fn is_file(&self) -> bool {
        self.kind == "file"
    }
}

#[derive(Deserialize)]
struct Page {
    entries: Vec<Entry>,
    next_page_token: String,
}

impl Remote {
    /// With whatever token the keeper has.
    pub(crate) fn new(keeper: Keeper) -> Self {
        Self {
            keeper: Some(keeper),
            kept: Mutex::new(None),
        }
    }

    /// With a token that nobody renews.
    pub(crate) fn at(upstream: Upstream) -> Self {
        Self {
            keeper: None,
            kept: Mutex::new(Some(upstream)),
        }
    }

    fn upstream(&self) -> Result<Upstream, Failure> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keeper) = &self.keeper {
            *kept = Some(Upstream::of(keeper, kept.as_ref())?);
        }
        kept.clone()
            .ok_or_else(|| Failure::new(Exit::Fault, "there is no way to the files"))
    }

    /// A fresh token and address, after a refusal or a lost connection.
    pub(crate) async fn renew(&self) -> Result<(), Failure> {
        match &self.keeper {
            Some(keeper) => keeper.renew().await,
            None => Ok(()),
        }
    }

    /// One request, whatever is answered. `query` begins with `?` or is empty.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &RemotePath,
        query: &str,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Response<Incoming>, Failure> {
        let upstream = self.upstream()?;
        let base = upstream.base().path().trim_end_matches('/').to_owned();
        // The workspace itself is spelled with a slash.
        let slash = if path.is_root() { "/" } else { "" };
        let url = format!("{base}{}{slash}{query}", path.encoded());
        upstream.send(method, &url, headers, body).await
    }

    /// As [`Remote::ask_once`], until somebody answers, if whoever keeps the seat can find
    /// it again.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &RemotePath,
        query: &str,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, Failure> {
        let mut patience = Patience::default();
        loop {
            let asked = self.ask_once(method.clone(), path, query, headers.clone());
            let why = match asked.await {
                Ok(answer) if !is_away(answer.status()) => return Ok(answer),
                Ok(answer) => {
                    match good(answer, || format!("could not reach {}", path.shown())).await {
                        Ok(answer) => return Ok(answer),
                        Err(why) => why,
                    }
                }
                Err(why) => why,
            };
            if self.keeper.is_none() {
                return Err(why);
            }
            patience.again(self, why).await?;
        }
    }

    /// As [`Remote::send`], with nothing to send; a refused token is renewed once.
    pub(crate) async fn ask_once(
        &self,
        method: Method,
        path: &RemotePath,
        query: &str,
        headers: HeaderMap,
    ) -> Result<Response<Incoming>, Failure> {
        let sent = self.send(method.clone(), path, query, headers.clone(), empty());
        let answer = silent(sent, "the seat's files").await??;
        if answer.status() != StatusCode::UNAUTHORIZED || self.keeper.is_none() {
            return Ok(answer);
        }
        self.renew().await?;
        silent(
            self.send(method, path, query, headers, empty()),
            "the seat's files",
        )
        .await?
    }

    /// What a folder holds, by name; nothing if it is a file.
    pub(crate) async fn list(&self, path: &RemotePath) -> Result<Option<Vec<Entry>>, Failure> {
        let act = || format!("could not look at {}", path.shown());
        let mut accept = HeaderMap::new();
        accept.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let mut all = Vec::new();
        let mut query = String::new();
        loop {
            let answer = self.ask(Method::GET, path, &query, accept.clone()).await?;
            let answer = good(answer, act).await?;
            let kind = answer.headers().get(header::CONTENT_TYPE);
            if kind.is_none_or(|kind| !kind.as_bytes().starts_with(b"application/json")) {
                return Ok(None);
            }
            if answer.headers().contains_key(header::ETAG) {
                return Ok(None); // a file of that kind
            }
            let page: Page = serde_json::from_slice(&text(answer, act).await?)
                .map_err(|error| Failure::fault(act(), error))?;
            all.extend(page.entries);
            if page.next_page_token.is_empty() {
                return Ok(Some(all));
            }
            let next = format!("?page_token={}", page.next_page_token);
            if next == query {
                return Ok(Some(all)); // a worker that repeats itself
            }
            query = next;
        }
    }

    /// Makes a folder; one that is there is as good.
    pub(crate) async fn make_folder(&self, path: &RemotePath) -> Result<(), Failure> {
        let act = || format!("could not make the folder {}", path.shown());
        let mkcol = Method::from_bytes(b"MKCOL").map_err(|error| Failure::fault(act(), error))?;
        let answer = self.ask(mkcol, path, "", HeaderMap::new()).await?;
        if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            // RFC 4918: something is there. A file shows itself when it is written into.
            return Ok(());
        }
        good(answer, act).await.map(drop)
    }

    /// Removes a file or a folder with all that is in it.
    pub(crate) async fn remove(&self, path: &RemotePath) -> Result<(), Failure> {
        let act = || format!("could not remove {}", path.shown());
        let answer = self.ask(Method::DELETE, path, "", HeaderMap::new()).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(());
        }
        good(answer, act).await.map(drop)
    }
}

/// Whether a machine is away, and nothing wrong with what it was asked.
fn is_away(status: StatusCode) -> bool {
    matches!(status.as_u16(), 502..=504)
}

/// `work`, unless nothing comes of it for too long.
pub(crate) async fn silent<T>(work: impl Future<Output = T>, whom: &str) -> Result<T, Failure> {
    timeout(SILENCE, work).await.map_err(|_| {
        Failure::new(Exit::TimedOut, format!("{whom} said nothing for a minute"))
            .hint("See clarateach doctor.")
    })
}

/// Nothing to send.
pub(crate) fn empty() -> Body {
    Full::new(Bytes::new())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// The answer, if it is a good one.
pub(crate) async fn good(
    answer: Response<Incoming>,
    act: impl Fn() -> String,
) -> Result<Response<Incoming>, Failure> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let said = text(answer, &act).await.unwrap_or_default();
    Err(refusal(act(), status, &said))
}

async fn text(answer: Response<Incoming>, act: impl Fn() -> String) -> Result<Bytes, Failure> {
    let body = Limited::new(answer.into_body(), LONGEST).collect();
    let body = silent(body, "the seat's files").await?;
    body.map(http_body_util::Collected::to_bytes)
        .map_err(|error: BoxError| Failure::new(Exit::Unreachable, act()).because(error))
}
