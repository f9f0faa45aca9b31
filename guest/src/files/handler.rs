//! The door of files: who asks, under which prefix, for which of the three
//! faces (WebDAV, JSON, archive).
//!
//! Way: request -> secret -> prefix -> face -> answer with headers that keep a
//! learner's HTML from acting in a browser.

use std::sync::Arc;

use cap_std::fs::Dir;
use dav_server::{DavHandler, davpath::DavPath, fs::FsError, memls::MemLs};
use futures_util::{StreamExt as _, stream::poll_fn};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};

use super::{
    archive,
    body::SharedBody,
    fs::WorkspaceFs,
    listing::{self, PageToken},
    workspace::{self, dav_error, relative},
};
use crate::{
    reply::{self, Refusal, Reply},
    seat::Seat,
    serve,
    terminal::wire::{Mode, Viewer},
};

/// Of a file in one read.
const READ: usize = 128 * 1024;
/// Of a form that asks for a download.
const MAX_FORM: usize = 16 * 1024;
/// A path within the workspace at most.
const MAX_PREFIX: usize = 256;

/// Cheap handle.
#[derive(Clone)]
pub(crate) struct Handler {
    seat: Seat,
    locks: Box<MemLs>,
}

/// What the agent stripped off the path: before every href, and before every
/// Destination.
struct Prefix(String);

impl Handler {
    /// No locks yet.
    pub(crate) fn new(seat: Seat) -> Self {
        Self {
            seat,
            locks: MemLs::new(),
        }
    }

    /// Any request.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Reply {
        let head = request.method() == Method::HEAD;
        let mut reply = self.route(request).await.unwrap_or_else(Into::into);
        if head && reply.status().is_client_error() {
            let (parts, _) = reply.into_parts();
            reply = Reply::from_parts(
                parts,
                http_body_util::Empty::new()
                    .map_err(|never| match never {})
                    .boxed_unsync(),
            );
        }
        reply
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Reply, Refusal> {
        serve::admit(&self.seat, request.headers())?;
        if request.headers().contains_key("clarateach-viewer")
            && Viewer::parse(request.headers())?.mode != Mode::Drive
        {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "OBSERVING",
                "who looks on gets no files",
            ));
        }
        let prefix = Prefix::parse(request.headers())?;
        let path = request.uri().path();
        // With a prefix this is a learner's file of that name.
        if prefix.0.is_empty() && path == "/health" && request.method() == Method::GET {
            return Ok(serve::health(&self.seat));
        }
        if request.method() == Method::POST && path.ends_with("/download") {
            return self.download(request).await;
        }
        if request.method() == Method::GET
            && let Some(reply) = self.other_face(&request)?
        {
            return Ok(harmless(reply));
        }
        let reading = matches!(*request.method(), Method::GET | Method::HEAD);
        let reply = self.dav(request, &prefix).await?;
        Ok(if reading { harmless(reply) } else { reply })
    }

    fn open(&self) -> Result<Dir, Refusal> {
        workspace::open(self.seat.config()).map_err(|cause| refusal(dav_error(&cause)))
    }

    /// JSON or tar, if that is what a GET asks for.
    fn other_face(&self, request: &Request<Incoming>) -> Result<Option<Reply>, Refusal> {
        let query = |wanted: &str| {
            form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
                .find(|(name, _)| name == wanted)
                .map(|(_, value)| value.into_owned())
        };
        let path = dav_path(request.uri().path())?;
        if let Some(kind) = query("archive") {
            return self.archive(&path, &kind).map(Some);
        }
        let json = request
            .headers()
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("application/json"));
        if !json {
            return Ok(None);
        }
        let dir = self.open()?;
        let relative = relative(&path);
        let meta = dir
            .metadata(&relative)
            .map_err(|cause| refusal(dav_error(&cause)))?;
        if !meta.is_dir() {
            return Ok(None); // a file is itself, whatever was asked for
        }
        let after = query("page_token")
            .filter(|token| !token.is_empty())
            .map(|token| {
                PageToken::parse(&token)
                    .ok_or_else(|| Refusal::bad("BAD_PAGE_TOKEN", "that page was never given out"))
            })
            .transpose()?;
        let shown = path.as_pathbuf().to_string_lossy().into_owned();
        listing::page(&dir, &relative, &shown, after.as_ref())
            .map(|page| Some(reply::json(StatusCode::OK, &page)))
            .map_err(|cause| refusal(dav_error(&cause)))
    }

    fn archive(&self, path: &DavPath, kind: &str) -> Result<Reply, Refusal> {
        if kind != "tar" {
            return Err(Refusal::bad("BAD_ARCHIVE", "archive must be tar"));
        }
        let dir = self
            .open()?
            .open_dir(relative(path))
            .map_err(|cause| refusal(dav_error(&cause)))?;
        let name = match path.file_name_bytes() {
            b"" => b"workspace",
            name => name,
        };
        let root = relative(path)
            .file_name()
            .map_or_else(|| "workspace".into(), Into::into);
        let mut pieces = archive::stream(dir, root);
        let stream = poll_fn(move |context| pieces.poll_recv(context));
        let body = StreamBody::new(stream.map(|piece| piece.map(Frame::data)));
        let mut reply = Reply::new(body.boxed_unsync());
        let headers = reply.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-tar"),
        );
        headers.insert(
            header::CONTENT_DISPOSITION,
            attachment(&[name, b".tar"].concat()),
        );
        Ok(reply)
    }

    /// A browser's form: the same as a GET, as an attachment.
    async fn download(&self, request: Request<Incoming>) -> Result<Reply, Refusal> {
        let form = Limited::new(request.into_body(), MAX_FORM)
            .collect()
            .await
            .map_err(|_| {
                Refusal::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "TOO_LARGE",
                    "that is no form of ours",
                )
            })?
            .to_bytes();
        let (mut path, mut archive) = (None, None);
        for (name, value) in form_urlencoded::parse(&form) {
            match name.as_ref() {
                "path" => path = Some(value.into_owned()),
                "archive" if !value.is_empty() => archive = Some(value.into_owned()),
                _ => {} // the token was for the agent
            }
        }
        let path = path.ok_or_else(|| Refusal::bad("BAD_FORM", "path is missing"))?;
        let url = encode(path.trim_start_matches('/'));
        let path = dav_path(&url)?;
        if let Some(kind) = archive {
            return self.archive(&path, &kind).map(harmless);
        }
        let request = Request::get(url)
            .body(http_body_util::Empty::<bytes::Bytes>::new())
            .map_err(|_| Refusal::bad("BAD_FORM", "path is no path"))?;
        let dav = self.handler(&Prefix(String::new()))?;
        let mut reply = spoken(dav.handle(request).await);
        if reply.status() == StatusCode::OK {
            reply.headers_mut().insert(
                header::CONTENT_DISPOSITION,
                attachment(path.file_name_bytes()),
            );
        }
        Ok(harmless(reply))
    }

    async fn dav(&self, request: Request<Incoming>, prefix: &Prefix) -> Result<Reply, Refusal> {
        dav_path(request.uri().path())?;
        prefix.admit_destination(request.headers())?;
        let dav = self.handler(prefix)?;
        let (mut parts, body) = request.into_parts();
        parts.uri = prefix.before(&parts.uri)?;
        let body = SharedBody::new(body);
        let mut reply = spoken(dav.handle(Request::from_parts(parts, body.clone())).await);
        if body.is_unfinished() {
            // The sender is heard out, then it reads why it was refused.
            reply.headers_mut().remove(header::CONNECTION);
            tokio::spawn(body.discard());
        }
        Ok(reply)
    }

    fn handler(&self, prefix: &Prefix) -> Result<DavHandler, Refusal> {
        let fs = WorkspaceFs::new(Arc::new(self.open()?));
        Ok(DavHandler::builder()
            .filesystem(Box::new(fs))
            .locksystem(self.locks.clone())
            .strip_prefix(prefix.0.clone())
            .autoindex(true)
            .read_buf_size(READ)
            .build_handler())
    }
}

impl Prefix {
    fn parse(headers: &HeaderMap) -> Result<Self, Refusal> {
        let Some(raw) = headers.get("x-forwarded-prefix") else {
            return Ok(Self(String::new()));
        };
        let fits = |prefix: &&str| {
            prefix.len() <= MAX_PREFIX
                && prefix.starts_with('/')
                && !prefix.ends_with('/')
                && prefix.split('/').skip(1).all(|part| {
                    !matches!(part, "" | "." | "..")
                        && part
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
                })
        };
        raw.to_str()
            .ok()
            .filter(|raw| !raw.is_empty())
            .filter(fits)
            .map(|prefix| Self(prefix.to_owned()))
            .ok_or_else(|| Refusal::bad("BAD_PREFIX", "X-Forwarded-Prefix is no plain path"))
    }

    fn before(&self, uri: &Uri) -> Result<Uri, Refusal> {
        let tail = uri.path_and_query().map_or("/", |tail| tail.as_str());
        format!("{}{tail}", self.0)
            .parse()
            .map_err(|_| Refusal::bad("BAD_PATH", "that is no path"))
    }

    /// COPY and MOVE stay within the same seat's files.
    fn admit_destination(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(raw) = headers.get("destination") else {
            return Ok(());
        };
        let inside = raw
            .to_str()
            .ok()
            .and_then(|raw| raw.parse::<Uri>().ok())
            .and_then(|uri| DavPath::new(uri.path()).ok())
            .is_some_and(|mut path| path.set_prefix(&format!("{}/", self.0)).is_ok());
        if inside {
            return Ok(());
        }
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "OUTSIDE",
            "the destination is not among this seat's files",
        ))
    }
}

fn dav_path(raw: &str) -> Result<DavPath, Refusal> {
    use dav_server::davpath::ParseError;
    DavPath::new(raw).map_err(|cause| match cause {
        ParseError::ForbiddenPath => refusal(FsError::Forbidden),
        ParseError::InvalidPath | ParseError::PrefixMismatch => {
            Refusal::bad("BAD_PATH", "that is no path of a file")
        }
    })
}

fn refusal(cause: FsError) -> Refusal {
    let status = match cause {
        FsError::NotFound => StatusCode::NOT_FOUND,
        FsError::Forbidden => StatusCode::FORBIDDEN,
        FsError::Exists => StatusCode::CONFLICT,
        FsError::InsufficientStorage => StatusCode::INSUFFICIENT_STORAGE,
        FsError::LoopDetected => StatusCode::LOOP_DETECTED,
        FsError::PathTooLong => StatusCode::URI_TOO_LONG,
        FsError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        FsError::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        FsError::IsRemote | FsError::GeneralFailure => StatusCode::INTERNAL_SERVER_ERROR,
    };
    said(status)
}

/// The library answers errors without a word; people get one.
fn said(status: StatusCode) -> Refusal {
    let (reason, message) = match status {
        StatusCode::NOT_FOUND => ("NOT_FOUND", "there is no such file"),
        StatusCode::FORBIDDEN => (
            "FORBIDDEN",
            "the path leaves the workspace, or the learner may not",
        ),
        StatusCode::CONFLICT => (
            "CONFLICT",
            "its folder is missing, or something is in the way",
        ),
        StatusCode::LOCKED => ("LOCKED", "somebody holds a lock on it"),
        StatusCode::PRECONDITION_FAILED => ("PRECONDITION_FAILED", "it is not as you expected it"),
        StatusCode::INSUFFICIENT_STORAGE => (
            "DISK_FULL",
            "the seat's disk is full; the old file is as it was",
        ),
        StatusCode::METHOD_NOT_ALLOWED => ("BAD_METHOD", "that cannot be done with it"),
        StatusCode::RANGE_NOT_SATISFIABLE => ("BAD_RANGE", "the file has no such part"),
        _ => ("REFUSED", "the request was refused"),
    };
    Refusal::new(status, reason, message)
}

fn spoken(response: http::Response<dav_server::body::Body>) -> Reply {
    let status = response.status();
    let silent = response.body().is_end_stream()
        || matches!(response.body().inner, dav_server::body::BodyType::Empty);
    if !silent || !(status.is_client_error() || status.is_server_error()) {
        return response.map(http_body_util::BodyExt::boxed_unsync);
    }
    let mut reply: Reply = said(status).into();
    for (name, value) in response.headers() {
        if name != header::CONTENT_LENGTH && name != header::CONTENT_TYPE {
            reply.headers_mut().append(name, value.clone());
        }
    }
    reply
}

/// A learner's HTML, opened in a browser, is a page of nobody's.
fn harmless(mut reply: Reply) -> Reply {
    let headers = reply.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'"),
    );
    reply
}

/// A file's name for a browser, whatever bytes it has.
fn attachment(name: &[u8]) -> HeaderValue {
    let encoded = encode(&String::from_utf8_lossy(name));
    let value = format!(
        "attachment; filename*=UTF-8''{}",
        encoded.trim_start_matches('/')
    );
    HeaderValue::from_str(&value).unwrap_or(HeaderValue::from_static("attachment"))
}

/// A path as a URL has it, with a leading slash.
fn encode(path: &str) -> String {
    use std::fmt::Write as _;
    path.bytes().fold(String::from("/"), |mut url, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            url.push(byte.into());
        } else {
            // Writing to a String cannot fail.
            write!(url, "%{byte:02X}").ok();
        }
        url
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(
            header::HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        )])
    }

    #[test]
    fn only_plain_prefixes_are_taken() {
        for (prefix, taken) in [
            ("/proxy/ws-abc0123456/3/files", true),
            ("/files", true),
            ("", false),
            ("/", false),
            ("/files/", false),
            ("files", false),
            ("/a/../b", false),
            ("/a//b", false),
            ("/a%2f", false),
        ] {
            let got = Prefix::parse(&headers("x-forwarded-prefix", prefix)).is_ok();
            assert_eq!(got, taken, "{prefix:?}");
        }
    }

    #[test]
    fn a_destination_stays_within_the_seats_files() {
        let prefix = Prefix("/proxy/ws-a/3/files".into());
        for (destination, inside) in [
            ("/proxy/ws-a/3/files/b", true),
            ("https://10.0.0.1:9090/proxy/ws-a/3/files/b%20c", true),
            ("/proxy/ws-a/4/files/b", false),
            ("/proxy/ws-a/3/filesystem/b", false),
            ("/proxy/ws-a/3/files/../../4/files/b", false),
            ("/b", false),
            ("b", false),
        ] {
            let got = prefix
                .admit_destination(&headers("destination", destination))
                .is_ok();
            assert_eq!(got, inside, "{destination}");
        }
    }
}
