//! The learner's own terminal in raw mode, and back on every way out: a drop, a
//! panic, a signal.

use std::{
    io::{self, Write},
    sync::{Mutex, Once, PoisonError},
};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::failure::Failure;

/// How the terminal was. A panic needs it without anybody handing it over.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw while it lives.
pub(super) struct Raw(());

impl Raw {
    pub(super) fn enter() -> Result<Self, Failure> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                hook(panic);
            }));
        });
        let failed =
            |error| Failure::fault("could not make the terminal raw", io::Error::from(error));
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let entered = Self(());
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw).map_err(failed)?;
        Ok(entered)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = before {
        let _ = io::stdout().flush();
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &before);
    }
}

/// Columns and rows, if the terminal says and they make sense: no more than the
/// guest keeps a screen for (2 to 500, 1 to 300).
pub(super) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col >= 2 && size.ws_row >= 1).then(|| (size.ws_col.min(500), size.ws_row.min(300)))
}
