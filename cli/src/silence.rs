//! Keys that are not shown while a secret is typed. Ctrl-C, as any end, gives the
//! terminal back as it was.

use std::io::{self, stdin};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

/// Shows keys again when dropped.
pub(crate) struct Silence(Termios);

/// Shows no keys from now on.
pub(crate) fn begin() -> io::Result<Silence> {
    let before = tcgetattr(stdin())?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    quiet.local_modes.insert(LocalModes::ECHONL);
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tcsetattr(stdin(), OptionalActions::Flush, &quiet)?;
    let restore = before.clone();
    // The reader sits in a read that no signal ends.
    tokio::spawn(async move {
        let code = tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        };
        let _ = tcsetattr(stdin(), OptionalActions::Now, &restore);
        std::process::exit(code);
    });
    Ok(Silence(before))
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}
