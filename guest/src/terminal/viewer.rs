//! One socket at one terminal, from the 101 to the close frame.
//!
//! Reading and writing run side by side: one who does not read can still type
//! Ctrl-C, and what it does not read waits nowhere but in the history.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _, stream::SplitSink, stream::SplitStream};
use hyper_tungstenite::{
    HyperWebsocketStream,
    tungstenite::{
        Error, Message, Utf8Bytes,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::debug;

use super::{
    Terminals,
    crew::Key,
    feed::{Feed, Out},
    session::Session,
    viewers::Closing,
    wire::{Attach, MAX_CONTROL, Viewer},
};
use crate::seat::Seat;

/// How often the far end is asked for a sign of life.
const PING: Duration = Duration::from_secs(20);
/// A far end without any sign of life for so long is gone.
const DEAD: Duration = Duration::from_mins(2);
/// The agent cuts 500 ms after it asked for a close.
const CLOSE: Duration = Duration::from_millis(400);

type Sink = SplitSink<HyperWebsocketStream, Message>;
type Stream = SplitStream<HyperWebsocketStream>;

/// Serves until either end is done.
pub(crate) async fn serve(
    socket: HyperWebsocketStream,
    seat: &Seat,
    terminals: &Terminals,
    session: &Arc<Session>,
    viewer: Viewer,
    control: bool,
    attach: &Attach,
) {
    let mut place = seat.viewers().enter(&viewer.id);
    let key = place.key;
    // Watched before anything is read from the state: no change is missed.
    let changed = session.watch();
    session.join(key, &viewer, attach.size);
    let feed = Feed::attach(
        &mut session.state(),
        key,
        control,
        attach,
        &session.instance,
    );
    let heard = Heard::now();
    let (mut sink, mut stream) = socket.split();
    let closing = tokio::select! {
        closing = read(&mut stream, terminals, session, key, &viewer, control, &heard) => closing,
        closing = write(&mut sink, session, feed, changed, &heard) => closing,
        closing = asked_to_close(&mut place.closing) => Some(closing),
        () = heard.nothing_for(DEAD) => None,
    };
    session.leave(key);
    debug!(
        viewer = viewer.id,
        terminal = session.name,
        ?closing,
        "viewer left"
    );
    if let Some(closing) = closing {
        close(sink, stream, closing).await;
    }
}

/// Frames in. Some: how to close; none: the far end is gone.
async fn read(
    stream: &mut Stream,
    terminals: &Terminals,
    session: &Session,
    key: Key,
    viewer: &Viewer,
    control: bool,
    heard: &Heard,
) -> Option<Closing> {
    loop {
        let message = match stream.next().await? {
            Ok(message) => message,
            Err(cause) => return refuse(&cause),
        };
        heard.note();
        match message {
            Message::Binary(data) => {
                session.types(key, viewer, &data);
                session.room().await;
            }
            Message::Text(text) if !control => {
                session.types(key, viewer, text.as_bytes());
                session.room().await;
            }
            Message::Text(text) if text.len() > MAX_CONTROL => {
                return closing(CloseCode::Size, "a control frame has at most 4 KiB");
            }
            Message::Text(text) => {
                if let Some((whom, allow)) = session.said(key, viewer, &text) {
                    terminals.consent(&whom, allow);
                }
            }
            Message::Close(_) => return None, // answered by the library
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

/// Frames out. Some: how to close; none: the far end is gone.
async fn write(
    sink: &mut Sink,
    session: &Session,
    mut feed: Feed,
    mut changed: tokio::sync::watch::Receiver<()>,
    heard: &Heard,
) -> Option<Closing> {
    let mut ping = interval(PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ping.reset(); // the first is due after a while, not now
    loop {
        changed.mark_unchanged();
        let out = feed.next(&mut session.state());
        let message = match out {
            Some(Out::Text(text)) => Message::Text(Utf8Bytes::from(text)),
            Some(Out::Data(data)) => Message::Binary(data),
            Some(Out::Over) => return closing(CloseCode::Normal, "the shell ended"),
            None => tokio::select! {
                alive = changed.changed() => {
                    alive.ok()?;
                    continue;
                }
                _ = ping.tick() => Message::Ping(bytes::Bytes::new()),
            },
        };
        let data = matches!(message, Message::Binary(_));
        sink.send(message).await.ok()?;
        if data {
            // Buffers are finite: output that keeps going out is being read.
            heard.note();
        }
    }
}

async fn asked_to_close(asked: &mut tokio::sync::watch::Receiver<Option<Closing>>) -> Closing {
    match asked.wait_for(Option::is_some).await {
        Ok(closing) => closing.clone(),
        Err(_) => None,
    }
    // The sender lives as long as our own place in the table.
    .unwrap_or(Closing {
        code: u16::from(CloseCode::Restart),
        reason: String::new(),
    })
}

fn refuse(cause: &Error) -> Option<Closing> {
    match cause {
        Error::Capacity(_) => closing(CloseCode::Size, "a frame has at most 64 KiB"),
        Error::Utf8(_) => closing(CloseCode::Invalid, "a text frame must be UTF-8"),
        Error::Protocol(_) => closing(CloseCode::Protocol, "that is no WebSocket frame"),
        _ => None,
    }
}

#[allow(clippy::unnecessary_wraps)] // what its callers answer
fn closing(code: CloseCode, reason: &str) -> Option<Closing> {
    Some(Closing {
        code: code.into(),
        reason: reason.to_owned(),
    })
}

/// Says why, waits a moment to be heard, and lets go.
async fn close(mut sink: Sink, mut stream: Stream, closing: Closing) {
    let frame = CloseFrame {
        code: closing.code.into(),
        reason: closing.reason.into(),
    };
    let said = timeout(CLOSE, async {
        sink.send(Message::Close(Some(frame))).await?;
        // Until the far end's own close: dropping a socket with unread input
        // would reset it, and the code would be lost on the way.
        while let Some(message) = stream.next().await {
            message?;
        }
        // After a frame that was refused, what comes is no longer read as frames:
        // the rest of it, and what the far end says before it has heard.
        if let Ok(socket) = sink.reunite(stream) {
            tokio::io::copy(&mut socket.into_inner(), &mut tokio::io::sink()).await?;
        }
        Ok::<_, Error>(())
    });
    if !matches!(said.await, Ok(Ok(()))) {
        debug!("a viewer did not hear its close");
    }
}

/// When the far end last gave a sign of life.
struct Heard {
    start: Instant,
    millis: AtomicU64,
}

impl Heard {
    fn now() -> Self {
        Self {
            start: Instant::now(),
            millis: AtomicU64::new(0),
        }
    }

    fn note(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    /// Ends when there was no sign for so long.
    async fn nothing_for(&self, limit: Duration) {
        loop {
            let last = Duration::from_millis(self.millis.load(Ordering::Relaxed));
            let until = self.start + last + limit;
            if Instant::now() >= until {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}
