//! Looking after a machine that runs: is its VMM there, and does its guest answer?
//!
//! Way: two looks that know nothing of each other -> [`Beat`]s to the seat's
//! task. They run in a task of their own, so that a seat that is asked a lot is
//! looked after all the same; it ends with its [`Pulse`].

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use clarateach_domain::ids::Slot;
use clarateach_proto::guest::Health;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use crate::{control::Control, runtime::Runtime};

/// How something is looked at, and when it counts as hung.
#[derive(Debug, Clone, Copy)]
struct Rhythm {
    /// From one look to the next; a look that took longer is followed at once.
    every: Duration,
    /// The same after one in vain.
    anew: Duration,
    /// How long an answer may take.
    within: Duration,
    /// Misses in a row that are a hang.
    misses: u32,
}

/// A VMM answers from a thread that only carries bytes, within milliseconds also
/// where ring 0 is emulated and the guest spins: six seconds of silence are a
/// hang and no load.
const MACHINE: Rhythm = Rhythm {
    every: Duration::from_secs(2),
    anew: Duration::from_secs(2),
    within: Duration::from_secs(2),
    misses: 3,
};
/// A guest answers when its learner's processes let it: a fork bomb, or a build
/// on a host that is full, is no hang. It costs a shell to be wrong here, so it
/// has half the time that it may take to start: [`Rhythm::of_guest`].
const GUEST: Rhythm = Rhythm {
    every: Duration::from_secs(2),
    anew: Duration::from_secs(2),
    within: Duration::from_secs(5),
    misses: 6,
};

/// How many times a guest is looked at in the time that one may take to start.
const LOOKS_IN_A_START: u32 = 30;
/// The longest pause between two looks: what an instructor sees of a seat is as old.
const SELDOM: Duration = Duration::from_secs(10);

/// What a look found.
#[derive(Debug)]
pub(super) enum Beat {
    /// The guest is well.
    Healthy(Health),
    /// Silent for too long: what is, and for how many looks.
    Hung(String),
}

/// The looks at one machine, until dropped.
#[derive(Debug)]
pub(super) struct Pulse {
    beats: mpsc::Receiver<Beat>,
    _looks: AbortOnDropHandle<()>,
}

impl Pulse {
    /// Begins to look. Must be called inside a tokio runtime.
    pub(super) fn of(runtime: Arc<dyn Runtime>, slot: Slot, control: Control) -> Self {
        let (tell, beats) = mpsc::channel(4);
        let looks = async move {
            let machine = watch(
                MACHINE,
                || runtime.probe(slot, MACHINE.within),
                |()| std::future::ready(()),
            );
            let guest = watch(
                Rhythm::of_guest(runtime.patience()),
                || control.health(GUEST.within),
                async |health| drop(tell.send(Beat::Healthy(health)).await),
            );
            let hung = tokio::select! {
                why = machine => format!("its machine hung: {why}"),
                why = guest => format!("its guest stopped answering: {why}"),
            };
            let _ended = tell.send(Beat::Hung(hung)).await;
        };
        Self {
            beats,
            _looks: AbortOnDropHandle::new(tokio::spawn(looks)),
        }
    }

    /// The next beat; waits for ever after a hang was told. May be dropped and
    /// called again without losing one.
    pub(super) async fn next(&mut self) -> Beat {
        match self.beats.recv().await {
            Some(beat) => beat,
            None => std::future::pending().await,
        }
    }
}

/// Looks again and again; returns with the last silence when it hangs.
async fn watch<T, E, L, W>(
    rhythm: Rhythm,
    mut look: impl FnMut() -> L,
    mut well: impl FnMut(T) -> W,
) -> String
where
    E: std::fmt::Display,
    L: Future<Output = Result<T, E>>,
    W: Future<Output = ()>,
{
    let mut tick = interval(rhythm.every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut misses = 0;
    loop {
        tick.tick().await;
        let began = Instant::now();
        match look().await {
            Ok(seen) => {
                misses = 0;
                well(seen).await;
            }
            Err(error) => {
                let took = began.elapsed();
                misses = rhythm.after_miss(misses, took);
                debug!(
                    error = format!("{error:#}"),
                    ?took,
                    misses,
                    "a look found nobody"
                );
                if misses >= rhythm.misses {
                    return format!("{misses} looks in a row, the last one: {error:#}");
                }
                // A look that waited in vain was long enough a pause.
                tick.reset_after(rhythm.anew.saturating_sub(took));
            }
        }
    }
}

impl Rhythm {
    /// Six misses, and a look every other second, where a guest starts within a
    /// minute. Where ring 0 is emulated and the host is busy, four misses in a row
    /// were seen of guests that were well; and an answer costs a guest up to a quarter
    /// of a second of a processor there: eight idle seats took 61 % of one.
    fn of_guest(patience: Duration) -> Self {
        let within = GUEST.within.as_secs().max(1);
        let misses = u32::try_from(patience.as_secs() / 2 / within).unwrap_or(u32::MAX);
        Self {
            every: (patience / LOOKS_IN_A_START).clamp(GUEST.every, SELDOM),
            misses: misses.max(GUEST.misses),
            ..GUEST
        }
    }

    /// Misses in a row after one that took so long. One far past its deadline
    /// tells of this agent, which was stopped or starved itself, and of nobody else.
    fn after_miss(self, misses: u32, took: Duration) -> u32 {
        if took > self.within * 2 {
            return 0;
        }
        misses + 1
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, io};

    use super::*;

    const RHYTHM: Rhythm = Rhythm {
        every: Duration::from_millis(4),
        anew: Duration::from_millis(4),
        within: Duration::from_millis(40),
        misses: 3,
    };

    #[tokio::test]
    async fn only_misses_in_a_row_are_a_hang() {
        let answers = [true, false, false, true, false, false, false];
        let asked = RefCell::new(answers.iter());
        let seen = RefCell::new(0);
        let why = watch(
            RHYTHM,
            || {
                let well = *asked.borrow_mut().next().unwrap();
                let answer = if well { Ok(()) } else { Err("nobody") };
                std::future::ready(answer)
            },
            |()| {
                *seen.borrow_mut() += 1;
                std::future::ready(())
            },
        )
        .await;
        assert_eq!(why, "3 looks in a row, the last one: nobody");
        assert_eq!((*seen.borrow(), asked.borrow().len()), (2, 0));
    }

    #[test]
    fn a_slow_guest_has_more_chances_and_is_asked_less_often() {
        for (patience, misses, every) in [
            (1, 6, 2),
            (60, 6, 2),
            (90, 9, 3),
            (300, 30, 10),
            (900, 90, 10),
        ] {
            let rhythm = Rhythm::of_guest(Duration::from_secs(patience));
            assert_eq!(rhythm.misses, misses, "{patience} s");
            assert_eq!(rhythm.every.as_secs(), every, "{patience} s");
        }
    }

    #[test]
    fn an_agent_that_was_stopped_blames_nobody() {
        let mut misses = 0;
        for (took, want) in [(40, 1), (40, 2), (600, 0), (1, 1), (79, 2), (40, 3)] {
            misses = RHYTHM.after_miss(misses, Duration::from_millis(took));
            assert_eq!(misses, want, "{took} ms");
        }
    }

    #[tokio::test]
    async fn who_was_silent_once_is_asked_again_soon() {
        let seldom = Rhythm {
            every: Duration::from_hours(1),
            ..RHYTHM
        };
        let silent = watch(
            seldom,
            || std::future::ready(Err::<(), _>("nobody")),
            |()| std::future::ready(()),
        );
        let why = tokio::time::timeout(Duration::from_secs(30), silent).await;
        assert!(why.is_ok_and(|why| why.starts_with("3 looks")));
    }

    #[tokio::test]
    async fn a_look_ends_by_its_own_deadline() {
        let why = watch(
            RHYTHM,
            || async {
                let never = tokio::time::timeout(RHYTHM.within, std::future::pending::<()>());
                never.await.map_err(io::Error::from)
            },
            |()| std::future::ready(()),
        );
        assert!(why.await.starts_with("3 looks"));
    }
}
