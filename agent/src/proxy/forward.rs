//! Plain HTTP to a guest and back: files and commands.
//!
//! Way: request -> cleaned, with the seat's secret -> guest; its answer ->
//! cleaned -> caller, as it streams. Both ways end with the session.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header::HOST, request};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::{
    deadline::{Ending, Session},
    destination,
    headers::{self, PREFIX, SECRET, VIEWER},
    refuse::{Body, BoxError, Refusal},
    upstream::{Line, SharedUpstreams, Target, UpstreamError},
};

const AWAY: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "DESTINATION_AWAY",
    "the Destination is not within this seat's files",
);
const UNREACHED: Refusal = Refusal {
    status: StatusCode::BAD_GATEWAY,
    reason: "SEAT_UNREACHABLE",
    message: "the seat's machine did not answer",
    retry_after_seconds: 1,
};
const ENDED: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "SESSION_ENDED",
    "the right to use this seat ended before it answered",
);

/// Where one request goes.
pub(crate) struct Hop {
    /// The guest and its port.
    pub(crate) target: Target,
    /// The path and query it sees.
    pub(crate) path: String,
    /// Its secret.
    pub(crate) secret: HeaderValue,
    /// `id;mode`.
    pub(crate) viewer: HeaderValue,
    /// The part of the origin that is the seat's own: `/proxy/{workshop}/{seat}/files`.
    pub(crate) prefix: String,
    /// Whether `Destination` must name the authority the request came to.
    pub(crate) direct: bool,
}

/// Carries one request; the answer's body goes on until `session` ends.
pub(crate) async fn forward(
    upstreams: &SharedUpstreams,
    hop: Hop,
    request: Request<Body>,
    mut session: Session,
) -> Result<Response<Body>, Refusal> {
    let (head, body) = request.into_parts();
    let head = guest_head(&hop, head)?;
    let request = Request::from_parts(head, body);
    let sent = tokio::select! {
        sent = upstreams.send(&hop.target, request) => sent,
        // Dropped with the request still on its way: the guest sees it break off.
        ending = session.ended() => {
            tracing::debug!(?ending, "request cut");
            return Err(ENDED);
        }
    };
    let (answer, line) = sent.map_err(|error| unreached(&error))?;
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(UNREACHED);
    }
    let (mut head, body) = answer.into_parts();
    head.version = http::Version::HTTP_11;
    headers::clean_answer(&mut head.headers, &hop.prefix);
    let body = Carried {
        body,
        until: Some(Box::pin(async move { session.ended().await })),
        line: Some((line, hop.target, upstreams.clone())),
    };
    Ok(Response::from_parts(head, body.boxed_unsync()))
}

fn unreached(error: &UpstreamError) -> Refusal {
    tracing::warn!(error = error as &dyn std::error::Error, "guest not reached");
    UNREACHED
}

/// The head as the guest sees it.
fn guest_head(hop: &Hop, head: request::Parts) -> Result<request::Parts, Refusal> {
    let authority = head.uri.authority().map(ToString::to_string).or_else(|| {
        let host = head.headers.get(HOST)?;
        host.to_str().ok().map(str::to_owned)
    });
    let (mut out, ()) = Request::new(()).into_parts();
    out.method = head.method;
    out.uri = hop.path.parse::<Uri>().map_err(|_| Refusal::NOT_FOUND)?;
    out.headers = head.headers;
    let mut destinations = out.headers.get_all("destination").iter();
    if let Some(first) = destinations.next() {
        let own = authority.as_deref().filter(|_| hop.direct);
        let within = destination::within(first, &hop.prefix, own).ok_or(AWAY)?;
        if destinations.next().is_some() {
            return Err(AWAY);
        }
        out.headers.insert("destination", within);
    }
    headers::clean_request(&mut out.headers);
    let host = format!("{}:{}", hop.target.address, hop.target.port);
    if let Ok(host) = HeaderValue::try_from(host) {
        out.headers.insert(HOST, host);
    }
    out.headers.insert(SECRET, hop.secret.clone());
    out.headers.insert(VIEWER, hop.viewer.clone());
    if let Ok(prefix) = HeaderValue::from_str(&hop.prefix) {
        out.headers.insert(PREFIX, prefix);
    }
    Ok(out)
}

/// An answer's body on its way to the caller.
struct Carried {
    body: Incoming,
    until: Option<Pin<Box<dyn Future<Output = Ending> + Send>>>,
    line: Option<(Line, Target, SharedUpstreams)>,
}

impl Carried {
    /// The answer was read whole: its line may serve the next request.
    fn done(&mut self) {
        if let Some((line, target, upstreams)) = self.line.take() {
            upstreams.keep(target, line);
        }
    }
}

impl http_body::Body for Carried {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(until) = &mut self.until
            && let Poll::Ready(ending) = until.as_mut().poll(cx)
        {
            self.until = None;
            self.line = None;
            return Poll::Ready(Some(Err(ending.reason().into())));
        }
        match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            None => {
                self.done();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.done();
        }
    }
}
