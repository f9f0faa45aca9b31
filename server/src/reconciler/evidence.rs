//! Why a worker never came to be: kept before it is removed, or nobody could find out.

use std::time::Duration;

use chrono::Utc;
use clarateach_domain::{
    ids::WorkerName,
    plan::{AgentSeen, Ground},
};
use tokio::time::timeout;
use tracing::warn;

use super::{Reconciler, observe::Looked};
use crate::store::{StoreError, settle::Settling};

/// What is kept of it: the end says why.
const MOST: usize = 16 << 10;
/// A cloud may be slow, and the workshop waits.
const PATIENCE: Duration = Duration::from_secs(10);

impl Reconciler {
    /// Keeps the last words of every worker that is there and does not answer.
    pub(super) async fn keep_evidence(
        &self,
        of: &Settling,
        looked: &Looked,
    ) -> Result<(), StoreError> {
        let mute = looked.seen.workers.iter().filter(|(_, worker)| {
            worker.ground != Ground::Missing && !matches!(worker.agent, AgentSeen::Answers { .. })
        });
        for (&at, _) in mute {
            let name = WorkerName::of(&of.id, at);
            match timeout(PATIENCE, self.provisioner.evidence(&name)).await {
                Ok(Ok(text)) if !text.trim().is_empty() => {
                    let end = tail(&text);
                    warn!(worker = %name, end, "worker never answered; the end of what it wrote");
                    self.store.evidence(&of.id, at, end, Utc::now()).await?;
                }
                Ok(Ok(_)) => {}
                Ok(Err(cause)) => warn!(worker = %name, error = ?cause, "no evidence to be had"),
                Err(_) => warn!(worker = %name, "evidence took too long"),
            }
        }
        Ok(())
    }
}

/// The last whole letters of it.
fn tail(text: &str) -> &str {
    let mut from = text.len().saturating_sub(MOST);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_kept_whole_letters_only() {
        assert_eq!(tail("short"), "short");
        let long = format!("x{}", "ä".repeat(MOST));
        let end = tail(&long);
        assert!(end.len() <= MOST && end.chars().all(|c| c == 'ä'));
    }
}
