//! One shell on a PTY, which outlives every socket.
//!
//! The pump task owns the shell: it drains the PTY into the shared state,
//! hands over what was typed and notices the end. Viewers hold an `Arc`, read
//! the state and are woken by `changed`.
//! Way: keys -> `types` -> PTY (at once, unless it is full) -> shell -> pump
//! -> state -> every viewer's `Feed`.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Instant, SystemTime},
};

use rustix::termios::Winsize;
use tokio::{
    io::unix::AsyncFd,
    sync::{Notify, watch},
};
use tracing::{info, warn};

use super::{
    crew::Key,
    flow::Gate,
    state::{Effect, MAX_INPUT, State, Typed},
    wire::{Size, Viewer},
};
use crate::{
    learner,
    reaper::{Reaper, Started},
    seat::{Identity, Seat, random_id, unix_millis},
    sys,
};

/// One read of the PTY; Linux gives 4 KiB at most.
const READ: usize = 8 * 1024;
/// Read in a row before viewers are woken and others get their turn.
pub(crate) const BURST: usize = 64 * 1024;
/// Output left in a PTY whose shell has ended; a child of it may write for ever.
const LAST_WORDS: usize = 1024 * 1024;

/// A living terminal.
pub(crate) struct Session {
    /// Its name among the seat's.
    pub(crate) name: String,
    /// New for every shell.
    pub(crate) instance: String,
    seat: Seat,
    pty: AsyncFd<OwnedFd>,
    state: Mutex<State>,
    /// Level-triggered: something in the state is new.
    changed: watch::Sender<()>,
    /// For the pump: there is input to write, or an ack came.
    poke: Notify,
    /// For viewers who wait until their input fits.
    room: Notify,
    /// When the shell last wrote, milliseconds since 1970; 0 for never.
    wrote: AtomicI64,
}

impl Session {
    /// Starts the learner's login shell. `ended` runs after the last output.
    pub(crate) fn start(
        name: &str,
        seat: &Seat,
        identity: &Identity,
        reaper: &Reaper,
        size: Size,
        ended: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) -> io::Result<Arc<Self>> {
        let (pty, shell) = spawn(seat, identity, reaper, size)?;
        let session = Arc::new(Self {
            name: name.to_owned(),
            instance: random_id()?,
            seat: seat.clone(),
            pty: sys::watched(pty)?,
            state: Mutex::new(State::new(size)),
            changed: watch::Sender::new(()),
            poke: Notify::new(),
            room: Notify::new(),
            wrote: AtomicI64::new(0),
        });
        info!(
            terminal = name,
            instance = session.instance,
            "shell started"
        );
        let pumped = session.clone();
        tokio::spawn(async move {
            pumped.pump(shell).await;
            ended(&pumped);
            pumped.changed.send_replace(());
        });
        Ok(session)
    }

    /// The shared state. Never held across an await.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes when something in the state is new.
    pub(crate) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Somebody comes.
    pub(crate) fn join(&self, key: Key, viewer: &Viewer, wished: Option<Size>) {
        let size = self.state().join(key, viewer, wished);
        self.follow(size);
    }

    /// Somebody goes. If it was the driver, nobody may be left to wait for.
    pub(crate) fn leave(&self, key: Key) {
        let size = self.state().leave(key);
        self.follow(size);
        self.poke.notify_one();
    }

    /// Somebody typed.
    pub(crate) fn types(&self, key: Key, viewer: &Viewer, input: &[u8]) {
        let consented = self.seat.viewers().consented(&viewer.id);
        let (typed, size) = self.state().types(key, input, consented, Instant::now());
        self.follow(size);
        match typed {
            Typed::Nothing => {
                self.changed.send_replace(()); // an error frame may wait
                return;
            }
            Typed::Keys if viewer.mode == super::wire::Mode::Drive => self.seat.note_input(),
            Typed::Keys | Typed::Answer => {}
        }
        let mut state = self.state();
        let mut rest = input;
        if state.input.is_empty() {
            // The short way, for the echo's sake.
            if let Ok(written) = rustix::io::write(self.pty.get_ref(), rest) {
                rest = &rest[written..];
            } // full, or the shell is gone: the pump will know
        }
        if !rest.is_empty() {
            state.input.extend(rest);
            self.poke.notify_one();
        }
    }

    /// Waits until more input fits.
    pub(crate) async fn room(&self) {
        loop {
            let room = self.room.notified();
            if self.state().input.len() < MAX_INPUT {
                return;
            }
            room.await;
        }
    }

    /// Somebody said something in a text frame.
    pub(crate) fn said(&self, key: Key, viewer: &Viewer, text: &str) -> Option<(String, bool)> {
        let effect = self.state().said(key, viewer, text, Instant::now());
        // An ack may open the gate; an answer may wait.
        self.poke.notify_one();
        match effect {
            Effect::None => {}
            Effect::Resize(size) => self.follow(Some(size)),
            Effect::Consent { viewer, allow } => return Some((viewer, allow)),
        }
        self.changed.send_replace(());
        None
    }

    /// A helper's consent ended.
    pub(crate) fn dismiss(&self, viewer: &str) {
        let size = self.state().dismiss(viewer);
        self.follow(size);
    }

    /// Something that all viewers are shown.
    pub(crate) fn notify(&self, notice: &super::wire::Notice) {
        self.state().notify(notice);
        self.changed.send_replace(());
    }

    /// When the shell last wrote, milliseconds since 1970; 0 for never.
    pub(crate) fn wrote_millis(&self) -> i64 {
        self.wrote.load(Ordering::Relaxed)
    }

    /// The PTY and everybody learn of a change, perhaps of the size.
    fn follow(&self, size: Option<Size>) {
        if let Some(size) = size
            && let Err(cause) = set_size(self.pty.get_ref(), size)
        {
            warn!(%cause, terminal = self.name, "could not resize");
        }
        self.changed.send_replace(());
    }

    /// Runs until the shell has ended and its output is taken.
    async fn pump(&self, shell: Started) {
        let mut ended = shell.ended;
        let mut buffer = vec![0; READ];
        let mut open = true;
        let code = loop {
            let (gate, typed) = {
                let mut state = self.state();
                (state.gate(Instant::now()), !state.input.is_empty())
            };
            let until = match gate {
                Gate::Open => None,
                Gate::ClosedUntil(until) => Some(until.into()),
            };
            tokio::select! {
                ended = &mut ended => break ended.map_or(-1, crate::reaper::Ended::shell_code),
                ready = self.pty.readable(), if open && until.is_none() => {
                    let Ok(mut ready) = ready else { break -1 };
                    match self.drain(&mut buffer, BURST) {
                        Drained::All => ready.clear_ready(),
                        Drained::Some => {}
                        // Nobody holds the other end now: its end is near.
                        Drained::Closed => open = false,
                    }
                    drop(ready);
                    // One busy shell must not starve the others.
                    tokio::task::yield_now().await;
                }
                ready = self.pty.writable(), if typed && open => {
                    let Ok(mut ready) = ready else { break -1 };
                    if !self.write_input() {
                        ready.clear_ready();
                    }
                }
                () = self.poke.notified() => {}
                () = sleep_until(until), if until.is_some() => {}
            }
        };
        let mut taken = 0;
        while taken < LAST_WORDS && matches!(self.drain(&mut buffer, BURST), Drained::Some) {
            taken += BURST;
        }
        self.state().ended = Some(code);
        self.room.notify_waiters();
        info!(terminal = self.name, code, "shell ended");
    }

    /// Reads up to `most` into the state and wakes the viewers.
    fn drain(&self, buffer: &mut [u8], most: usize) -> Drained {
        let mut taken = 0;
        let drained = loop {
            match rustix::io::read(self.pty.get_ref(), &mut *buffer) {
                Ok(0) => break Drained::Closed,
                Ok(length) => {
                    self.state().took(&buffer[..length]);
                    taken += length;
                    if taken >= most {
                        break Drained::Some;
                    }
                }
                Err(rustix::io::Errno::AGAIN) => break Drained::All,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break Drained::Closed, // EIO: no process has the other end
            }
        };
        if taken > 0 {
            self.wrote
                .store(unix_millis(SystemTime::now()), Ordering::Relaxed);
            self.changed.send_replace(());
        }
        drained
    }

    /// Hands typed bytes over; false when the PTY takes no more now.
    fn write_input(&self) -> bool {
        let mut state = self.state();
        let (front, _) = state.input.as_slices();
        match rustix::io::write(self.pty.get_ref(), front) {
            Ok(written) => {
                state.input.drain(..written);
                if state.input.is_empty() {
                    state.input.shrink_to(0);
                }
                self.room.notify_waiters();
                true
            }
            Err(rustix::io::Errno::INTR) => true,
            Err(_) => false,
        }
    }
}

enum Drained {
    /// Nothing is left now.
    All,
    /// More may be there.
    Some,
    /// The other end is closed.
    Closed,
}

async fn sleep_until(until: Option<tokio::time::Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// A PTY and the learner's login shell on it.
fn spawn(
    seat: &Seat,
    identity: &Identity,
    reaper: &Reaper,
    size: Size,
) -> io::Result<(OwnedFd, Started)> {
    let config = seat.config();
    let (pty, pts) = pty_process::blocking::open().map_err(io::Error::other)?;
    let pty = OwnedFd::from(pty);
    set_size(&pty, size)?;
    let flags = rustix::fs::fcntl_getfl(&pty)?;
    rustix::fs::fcntl_setfl(&pty, flags | rustix::fs::OFlags::NONBLOCK)?;
    let mut command = pty_process::blocking::Command::new(&config.shell)
        .arg0(config.login_name())
        .env_clear()
        .envs(learner::environment(config, identity))
        .current_dir(learner::start_folder(config));
    if config.switches_user() {
        // As `login` does: tmux, ssh and sudo open the terminal by its path.
        let uid = rustix::fs::Uid::from_raw(config.uid);
        rustix::fs::fchown(&pts, Some(uid), None)?;
        command = command.uid(config.uid).gid(config.gid);
    }
    let shell = reaper.spawn(|| command.spawn(pts).map_err(io::Error::other))?;
    Ok((pty, shell))
}

fn set_size(pty: &OwnedFd, size: Size) -> io::Result<()> {
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(rustix::termios::tcsetwinsize(pty, size)?)
}
