//! How long a line that broke is tried again: a worker that its cloud took away is back
//! within minutes, with the files that it had.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::remote::Remote;
use crate::{
    failure::{Exit, Failure},
    output::{plain, tell},
};

/// Without a byte for so long, it is over.
const GIVE_UP: Duration = Duration::from_mins(5);
/// Failures in a row that nobody needs to hear of.
const UNTOLD: u32 = 3;

/// Of one transfer, or of one question.
#[derive(Default)]
pub(super) struct Patience {
    since: Option<Instant>,
    failures: u32,
}

impl Patience {
    /// Bytes came: the next break is another one.
    pub(super) fn moved(&mut self) {
        *self = Self::default();
    }

    /// Waits a little, and has the seat found anew. Gives `why` when that helps no more.
    pub(super) async fn again(&mut self, remote: &Remote, why: Failure) -> Result<(), Failure> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if !passes(&why) || since.elapsed() > GIVE_UP {
            return Err(why);
        }
        self.failures += 1;
        if self.failures == UNTOLD {
            let why = plain(&why.line());
            tell(&format!(
                "{why}: trying again for five minutes (Ctrl-C ends it)"
            ));
        }
        let most = Duration::from_millis(200 << self.failures.min(5));
        sleep(
            most.min(Duration::from_secs(5))
                .mul_f64(0.5 + rand::random::<f64>() / 2.0),
        )
        .await;
        match remote.renew().await {
            Err(why) if why.is_final() => Err(why),
            _ => Ok(()),
        }
    }
}

/// Whether it may be otherwise in a moment.
pub(super) fn passes(why: &Failure) -> bool {
    [Exit::Unreachable, Exit::TimedOut]
        .iter()
        .any(|exit| why.exit() == *exit as u8)
}
