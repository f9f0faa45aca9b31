//! What Google says of the VM this agent is on.
//!
//! Way: a path -> the metadata server at its fixed address -> text, at once or when
//! it changes. Only this agent hears it: seats' packets to that address are dropped.
//! <https://cloud.google.com/compute/docs/metadata/querying-metadata>

use std::{io, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, header::ETAG};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

/// The metadata server of every VM. Not a setting: whoever could change it could
/// be taken for Google.
const SERVER: &str = "http://169.254.169.254/computeMetadata/v1";
/// A local answer; the server is at times away for seconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one request for a change may rest; then it is made again.
const REST: Duration = Duration::from_mins(1);
/// The longest value is 256 KB.
const MOST: usize = 300 << 10;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MetadataError {
    /// The VM has no such value.
    #[error("the VM has no {0}")]
    Absent(String),
    /// It did not answer in time.
    #[error("the metadata server did not answer in time")]
    Late,
    /// It answered otherwise.
    #[error("the metadata server answered {0}")]
    Status(StatusCode),
    /// The way to it.
    #[error("could not ask the metadata server")]
    Way(#[source] io::Error),
}

/// A value and the mark by which a later one is told from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// The text.
    pub(crate) text: String,
    /// Its mark.
    pub(crate) etag: String,
}

/// Asks. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Metadata {
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Metadata {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(PATIENCE));
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
        }
    }

    /// The value at `path`, as in `instance/id`.
    pub(crate) async fn get(&self, path: &str) -> Result<String, MetadataError> {
        Ok(self.ask(path, "", PATIENCE).await?.text)
    }

    /// The value at `path` as soon as it is another than `known`, or again the same
    /// after a minute.
    pub(crate) async fn changed(&self, path: &str, known: &str) -> Result<Value, MetadataError> {
        let wait = format!(
            "?wait_for_change=true&last_etag={known}&timeout_sec={}",
            REST.as_secs()
        );
        self.ask(path, &wait, REST + PATIENCE).await
    }

    /// Google's own word, signed, of which VM this is, for this `audience` alone.
    pub(crate) async fn identity_token(&self, audience: &str) -> Result<String, MetadataError> {
        let query: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("audience", audience)
            .append_pair("format", "full")
            .finish();
        let path = "instance/service-accounts/default/identity";
        Ok(self.ask(path, &format!("?{query}"), PATIENCE).await?.text)
    }

    async fn ask(&self, path: &str, query: &str, within: Duration) -> Result<Value, MetadataError> {
        let request = Request::get(format!("{SERVER}/{path}{query}"))
            .header("Metadata-Flavor", "Google")
            .body(Empty::new())
            .map_err(|cause| MetadataError::Way(io::Error::other(cause)))?;
        let answer = async {
            let answer = self
                .client
                .request(request)
                .await
                .map_err(io::Error::other)?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MOST).collect().await;
            let body = body.map_err(io::Error::other)?.to_bytes();
            Ok::<_, io::Error>((head, body))
        };
        let (head, body) = timeout(within, answer)
            .await
            .map_err(|_elapsed| MetadataError::Late)?
            .map_err(MetadataError::Way)?;
        match head.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(MetadataError::Absent(path.to_owned())),
            other => return Err(MetadataError::Status(other)),
        }
        let etag = head.headers.get(ETAG).and_then(|etag| etag.to_str().ok());
        Ok(Value {
            text: String::from_utf8_lossy(&body).trim_end().to_owned(),
            etag: etag.unwrap_or_default().to_owned(),
        })
    }
}
