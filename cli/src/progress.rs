//! What takes longer than two seconds says how far it is: a bar on a terminal,
//! a line every ten seconds elsewhere, always on stderr.

use std::{
    io::{IsTerminal, stderr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{task::JoinHandle, time::sleep};

use crate::output::{size, tell};

/// Nothing is said of what is over sooner.
const QUIET: Duration = Duration::from_secs(2);
/// Between lines where there is no terminal.
const LINES: Duration = Duration::from_secs(10);

/// Counts bytes. Cheap to clone; gone with its last handle.
#[derive(Clone)]
pub(crate) struct Meter {
    inner: Arc<Inner>,
}

struct Inner {
    bar: ProgressBar,
    bytes: Arc<AtomicU64>,
    teller: JoinHandle<()>,
}

impl Meter {
    /// For bytes, so many in all if that is known.
    pub(crate) fn begin(what: &str, total: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
        bar.set_message(what.to_owned());
        let bytes = Arc::new(AtomicU64::new(0));
        let teller = tokio::spawn(tell_now_and_then(bar.clone(), Arc::clone(&bytes)));
        Self {
            inner: Arc::new(Inner { bar, bytes, teller }),
        }
    }

    /// What is under way now.
    pub(crate) fn now(&self, what: &str) {
        self.inner.bar.set_message(what.to_owned());
    }

    /// There is more to do than was known.
    pub(crate) fn expect(&self, bytes: u64) {
        let before = self.inner.bar.length().unwrap_or(0);
        self.inner.bar.set_length(before + bytes);
    }

    /// So much more is done.
    pub(crate) fn add(&self, bytes: usize) {
        let bytes = bytes as u64;
        self.inner.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.inner.bar.inc(bytes);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.teller.abort();
        self.bar.finish_and_clear();
    }
}

async fn tell_now_and_then(bar: ProgressBar, bytes: Arc<AtomicU64>) {
    sleep(QUIET).await;
    if stderr().is_terminal() {
        let template = match bar.length() {
            Some(_) => {
                "{msg}  {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}"
            }
            None => "{msg}  {spinner} {binary_bytes} {binary_bytes_per_sec}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.enable_steady_tick(Duration::from_millis(200));
        return;
    }
    loop {
        let done = size(bytes.load(Ordering::Relaxed));
        let of = bar
            .length()
            .map_or(String::new(), |all| format!(" of {}", size(all)));
        tell(&format!("{}: {done}{of}", bar.message()));
        sleep(LINES).await;
    }
}
