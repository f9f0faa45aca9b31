//! Looking at the walls for as long as the agent lives.

use std::time::Duration;

use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{
    super::{NetworkError, news},
    Look, Walls,
};

/// Everything is looked at again this often, news or not.
const LOOK: Duration = Duration::from_mins(1);
/// After news the kernel may have more: one look for all of it.
const SETTLE: Duration = Duration::from_millis(300);
/// The wait before another try at what could not be mended.
const AGAIN: Duration = Duration::from_secs(2);

impl Walls {
    /// Looks whenever the kernel tells of a change, and each minute, for ever.
    /// Must be called in the worker's network namespace.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be listened to.
    pub fn guard(&self) -> Result<(), NetworkError> {
        let (tell, mut told) = watch::channel(news::News::default());
        news::listen(&tell)?;
        let this = self.clone();
        tokio::spawn(async move {
            // Listeners that ended leave the clock: told stays open.
            let _open = tell;
            let (mut wait, mut seen) = (LOOK, news::News::default());
            loop {
                let by_clock = timeout(wait, told.changed()).await.is_err();
                sleep(SETTLE).await;
                let now = *told.borrow_and_update();
                let what = if by_clock || wait == AGAIN || now.rules != seen.rules {
                    Look::Everything
                } else {
                    Look::Links
                };
                seen = now;
                let walls = this.clone();
                let stands = spawn_blocking(move || walls.look(what)).await;
                wait = if matches!(stands, Ok(true)) {
                    LOOK
                } else {
                    AGAIN
                };
            }
        });
        Ok(())
    }
}
