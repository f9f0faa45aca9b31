//! Google's metadata server, as far as a worker asks it: what to be, where it is,
//! who it can prove to be, and whether it is about to be taken away.
//!
//! Source: Compute Engine, "About VM metadata" and "Verify VM identity".

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{Request, StatusCode, header::ETAG};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use tokio::time::timeout;

/// Where every VM finds it. Guests never reach it: the address is closed to them.
pub(crate) const HOST: &str = "169.254.169.254";
/// What the server marks its answers with, and wants questions marked with: so
/// that nobody is led to ask it through a link.
const FLAVOR: (&str, &str) = ("metadata-flavor", "Google");
/// One answer that need not wait for anything.
const WITHIN: Duration = Duration::from_secs(5);
/// The longest a question for a change stays open, in seconds.
const OPEN: u64 = 60;
/// An identity token has about 1.5 KiB, a certificate less.
const ANSWER: usize = 64 * 1024;
/// An attribute of a VM that is made right now may be some moments late.
const PATIENCE: Duration = Duration::from_mins(1);

/// The server of this VM.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    client: Client<HttpConnector, Empty<Bytes>>,
    host: String,
}

/// Whether the VM is about to be taken, and the mark of this answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Preempted {
    pub(crate) is: bool,
    pub(crate) etag: String,
}

/// What the control plane wrote for this worker, all of it public.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Attributes {
    #[serde(rename = "clarateach-worker")]
    pub(crate) worker: String,
    #[serde(rename = "clarateach-workshop")]
    pub(crate) workshop: String,
    #[serde(rename = "clarateach-runtime")]
    pub(crate) runtime: String,
    #[serde(rename = "clarateach-ca")]
    pub(crate) ca: String,
    #[serde(rename = "clarateach-seat-key")]
    pub(crate) seat_key: String,
    #[serde(rename = "clarateach-origins", default)]
    pub(crate) origins: String,
}

impl Metadata {
    /// The server at `host`, HOST or HOST:PORT.
    pub(crate) fn at(host: &str) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            host: host.to_owned(),
        }
    }

    /// What this worker is to be. Waits a little for a server that is not up yet.
    pub(crate) async fn attributes(&self) -> anyhow::Result<Attributes> {
        let asked = async {
            loop {
                match self.get("instance/attributes/?recursive=true", WITHIN).await {
                    Ok((text, _)) => return text,
                    Err(error) => tracing::info!(error = format!("{error:#}"), "no metadata yet"),
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let text = timeout(PATIENCE, asked)
            .await
            .with_context(|| format!("the metadata server {} did not answer", self.host))?;
        serde_json::from_str(&text).context(
            "this VM's metadata does not say what it is to be: it was not made by a control plane",
        )
    }

    /// The VM's external address, if it has one.
    pub(crate) async fn external_address(&self) -> anyhow::Result<String> {
        let path = "instance/network-interfaces/0/access-configs/0/external-ip";
        Ok(self.get(path, WITHIN).await?.0.trim().to_owned())
    }

    /// Google's signed word, for `audience`, on which VM this is.
    pub(crate) async fn identity(&self, audience: &str) -> anyhow::Result<String> {
        let audience: String = form_urlencoded::byte_serialize(audience.as_bytes()).collect();
        let path = format!(
            "instance/service-accounts/default/identity?audience={audience}&format=full"
        );
        Ok(self.get(&path, WITHIN).await?.0.trim().to_owned())
    }

    /// Whether the VM is about to be taken; after `last` only when that changes,
    /// or after a minute.
    pub(crate) async fn preempted(&self, last: Option<&str>) -> anyhow::Result<Preempted> {
        let path = match last {
            None => "instance/preempted".to_owned(),
            Some(etag) => format!(
                "instance/preempted?wait_for_change=true&timeout_sec={OPEN}&last_etag={etag}"
            ),
        };
        let (text, etag) = self.get(&path, WITHIN + Duration::from_secs(OPEN)).await?;
        Ok(Preempted {
            is: text.trim() == "TRUE",
            etag,
        })
    }

    async fn get(&self, path: &str, within: Duration) -> anyhow::Result<(String, String)> {
        let uri = format!("http://{}/computeMetadata/v1/{path}", self.host);
        let request = Request::get(uri)
            .header(FLAVOR.0, FLAVOR.1)
            .body(Empty::new())
            .context("could not spell the question")?;
        let asked = async {
            let answer = self.client.request(request).await?;
            let (head, body) = answer.into_parts();
            let text = Limited::new(body, ANSWER).collect().await;
            let text = text.map_err(|cause| anyhow::anyhow!("its answer broke off: {cause}"))?;
            anyhow::Ok((head, text.to_bytes()))
        };
        let (head, text) = timeout(within, asked)
            .await
            .context("the metadata server took too long")?
            .context("could not ask the metadata server")?;
        if head.status != StatusCode::OK {
            bail!("the metadata server answered {} for {path}", head.status);
        }
        let marked = head.headers.get(FLAVOR.0).is_some_and(|by| by == FLAVOR.1);
        ensure!(marked, "what answers at {} is no metadata server", self.host);
        let etag = head.headers.get(ETAG).and_then(|etag| etag.to_str().ok());
        let etag = etag.unwrap_or_default().to_owned();
        let text = String::from_utf8(text.to_vec()).context("its answer is no text")?;
        Ok((text, etag))
    }
}
