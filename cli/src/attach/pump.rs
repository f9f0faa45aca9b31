//! One connection: keys out, output in, and the news between them.
//!
//! Way: keyboard -> `Escape` -> socket; socket -> screen -> an ack of what was
//! shown, so that the shell is held back before the screen drowns.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use rustix::process::{Signal, getpid, kill_process};
use tokio::{
    io::{AsyncWriteExt, Stdout},
    signal::unix::{self, SignalKind},
    sync::mpsc,
    time::{interval, sleep, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use super::{
    dial::Dialled,
    ended::{Ended, closed},
    escape::{Asked, Escape},
    keyboard,
    modes::Modes,
    raw::{self, Raw},
    wire::{self, News, Place},
};
use crate::{failure::Failure, output::plain};

/// Shown bytes after which an ack is due at once.
const ACK_BYTES: u64 = 64 * 1024;
/// Silence after which a connection is dead: three pings of twenty seconds.
const SILENCE: Duration = Duration::from_mins(1);
/// The guest greets whoever comes: without that nobody is behind the socket.
const GREETING: Duration = Duration::from_secs(10);
/// A replay's questions are answered by the terminal a little after they are shown.
const LATE_REPLIES: Duration = Duration::from_millis(150);
/// Frames of at most so many bytes are taken (`decisions` §4).
const FRAME: usize = 32 * 1024;

const HELP: &str = "~. leave   ~^Z suspend   ~~ a tilde   ~? this";

/// The signals that mean to go, with their numbers.
struct Told([(unix::Signal, u8); 3]);

impl Told {
    async fn recv(&mut self) -> u8 {
        let [term, hup, int] = &mut self.0;
        tokio::select! {
            _ = term.0.recv() => term.1,
            _ = hup.0.recv() => hup.1,
            _ = int.0.recv() => int.1,
        }
    }
}

/// The learner's side of the terminal.
pub(super) struct Local {
    raw: Option<Raw>,
    keys: mpsc::Receiver<Vec<u8>>,
    escape: Escape,
    pub(super) modes: Modes,
    screen: Stdout,
    resized: unix::Signal,
    stopped: unix::Signal,
    told: Told,
}

impl Local {
    pub(super) fn open() -> Result<Self, Failure> {
        let listen = |signal: Signal| {
            unix::signal(SignalKind::from_raw(signal.as_raw()))
                .map_err(|error| Failure::fault("could not listen for signals", error))
        };
        Ok(Self {
            resized: listen(Signal::WINCH)?,
            stopped: listen(Signal::TSTP)?,
            told: Told([
                (listen(Signal::TERM)?, 15),
                (listen(Signal::HUP)?, 1),
                (listen(Signal::INT)?, 2),
            ]),
            raw: Some(Raw::enter()?),
            keys: keyboard::keys()?,
            escape: Escape::new(),
            modes: Modes::new(),
            screen: tokio::io::stdout(),
        })
    }

    /// A line of ours, on a line of its own.
    #[allow(
        clippy::unused_self,
        reason = "only while the terminal is raw does it need \\r"
    )]
    pub(super) fn say(&self, text: &str) {
        let mut screen = io::stderr();
        let _ = write!(screen, "\r\n[clarateach: {}]\r\n", plain(text));
        let _ = screen.flush();
    }

    /// Does `work` between two connections, and nothing comes of it if the learner
    /// leaves. Keys typed meanwhile are lost, as the shell could not have shown them.
    pub(super) async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                _ = self.told.recv() => return None,
                keys = self.keys.recv() => {
                    if self.escape.read(&keys?).contains(&Asked::Leave) {
                        return None;
                    }
                }
            }
        }
    }

    async fn show(&mut self, output: &[u8]) -> io::Result<()> {
        self.modes.see(output);
        self.screen.write_all(output).await?;
        self.screen.flush().await
    }

    /// Gives the terminal back to whoever had it, until they bring us back.
    fn suspend(&mut self) -> Result<(), Failure> {
        self.give_back();
        // The one stop that nothing can catch: it returns when we are continued.
        let _ = kill_process(getpid(), Signal::STOP);
        self.raw = Some(Raw::enter()?);
        Ok(())
    }

    fn give_back(&mut self) {
        if self.raw.is_some() {
            let mut screen = io::stdout();
            let _ = screen.write_all(self.modes.restore().as_bytes());
            let _ = screen.write_all(b"\r\n");
            let _ = screen.flush();
        }
        self.raw = None;
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Until the connection is over, one way or another.
pub(super) async fn run(
    socket: Dialled,
    place: &mut Place,
    local: &mut Local,
) -> Result<Ended, Failure> {
    let (mut sink, mut stream) = socket.split();
    let mut acked = place.offset;
    let mut acks = interval(Duration::from_millis(50));
    let mut pings = interval(SILENCE / 3);
    let mut heard = Instant::now();
    let greeting = sleep(GREETING);
    tokio::pin!(greeting);
    let mut greeted = false;
    let mut live_since: Option<Instant> = None;
    let screen_gone = |error| Failure::fault("could not write to the terminal", error);
    loop {
        let mut frames = Vec::new();
        // What was typed before `~.` still goes to the shell.
        let mut then = None;
        tokio::select! {
            message = stream.next() => {
                heard = Instant::now();
                greeted = true;
                match message {
                    Some(Ok(Message::Binary(output))) => {
                        local.show(&output).await.map_err(screen_gone)?;
                        place.shown(output.len());
                        if place.offset.abs_diff(acked) >= ACK_BYTES {
                            acked = place.offset;
                            frames.push(Message::text(wire::ack(acked)));
                        }
                    }
                    Some(Ok(Message::Text(control))) => match place.control(&control) {
                        Some(News::Exited(code)) => return Ok(Ended::Exited(code)),
                        Some(News::Say(text)) => local.say(&text),
                        None => if place.live {
                            live_since.get_or_insert_with(Instant::now);
                        } else {
                            live_since = None;
                        },
                    },
                    Some(Ok(Message::Close(frame))) => return Ok(closed(frame)),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Ok(Ended::Lost(error.to_string())),
                    None => return Ok(Ended::Lost("it was cut".into())),
                }
            }
            () = &mut greeting, if !greeted => return Ok(Ended::Lost("nobody greeted".into())),
            keys = local.keys.recv() => {
                let Some(keys) = keys else { return Ok(Ended::Left) };
                let replaying = live_since.is_none_or(|since| since.elapsed() < LATE_REPLIES);
                if replaying && wire::is_reply(&keys) {
                    continue;
                }
                for asked in local.escape.read(&keys) {
                    match asked {
                        Asked::Send(keys) => frames.extend(
                            keys.chunks(FRAME).map(|chunk| Message::binary(chunk.to_vec())),
                        ),
                        Asked::Leave | Asked::Suspend => {
                            then = Some(asked);
                            break;
                        }
                        Asked::Help => local.say(HELP),
                    }
                }
            }
            _ = local.resized.recv() => {
                frames.extend(raw::size().map(|size| Message::text(wire::resize(size))));
            }
            _ = local.stopped.recv() => return suspended(place, local),
            signal = local.told.recv() => return Ok(Ended::Told(signal)),
            _ = acks.tick() => {
                if place.offset != acked {
                    acked = place.offset;
                    frames.push(Message::text(wire::ack(acked)));
                }
            }
            _ = pings.tick() => {
                if heard.elapsed() > SILENCE {
                    return Ok(Ended::Lost("it fell silent".into()));
                }
                frames.push(Message::text(wire::ping()));
            }
        }
        for frame in frames {
            match timeout(SILENCE, sink.send(frame)).await {
                Ok(Ok(())) => {}
                // Its last words, why it is over, may still be unread.
                Ok(Err(_)) => {
                    if let Ok(Some(Ok(Message::Close(frame)))) =
                        timeout(Duration::from_millis(500), stream.next()).await
                    {
                        return Ok(closed(frame));
                    }
                    return Ok(Ended::Lost("it was cut".into()));
                }
                Err(_) => return Ok(Ended::Lost("it takes nothing any more".into())),
            }
        }
        match then {
            Some(Asked::Leave) => {
                let _ = timeout(Duration::from_millis(500), sink.close()).await;
                return Ok(Ended::Left);
            }
            Some(_) => return suspended(place, local),
            None => {}
        }
    }
}

/// After a stop the connection may be long dead, and the screen is not ours.
fn suspended(place: &mut Place, local: &mut Local) -> Result<Ended, Failure> {
    local.suspend()?;
    place.want_repaint = true;
    Ok(Ended::Lost("suspended".into()))
}
