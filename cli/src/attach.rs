//! A learner's own terminal, joined to a terminal of their seat.
//!
//! Way: keys -> `escape` -> the socket; the socket -> `wire` -> the screen, with
//! `modes` watching so that the screen can be put back. A lost connection is
//! dialled again, where the seat is by then, and goes on at the byte where it was.

mod dial;
mod ended;
mod escape;
mod keyboard;
mod modes;
mod pump;
mod raw;
mod wire;

use std::{
    io::{IsTerminal, stdin, stdout},
    time::{Duration, Instant},
};

use rand::Rng;
use tokio::time::sleep;

use crate::{
    config::AttachArgs,
    failure::{Exit, Failure},
    keeper::Keeper,
};
use dial::{Dialled, Target};
use ended::Ended;
use pump::Local;
use wire::Place;

/// A connection that stays away so long is given up.
const GIVE_UP: Duration = Duration::from_mins(15);

/// A connection that lasted so long was one: longer than a greeting is waited for.
const SETTLED: Duration = Duration::from_secs(15);

/// Until the learner leaves or the shell ends. Gives the exit code.
pub(crate) async fn run(args: AttachArgs) -> Result<u8, Failure> {
    if !stdin().is_terminal() || !stdout().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "attach joins two terminals, and this is none",
        ));
    }
    let keeper = Keeper::start(args.way).await?;
    let mut place = Place::new(&args.terminal);
    // Refusals of the first connection are read on an ordinary screen.
    let mut socket = Some(connect(&keeper, &place).await?);
    let mut local = Local::open()?;
    let mut lost_since: Option<Instant> = None;
    let mut failures = 0;
    loop {
        let ended = match socket.take() {
            Some(socket) => {
                let began = Instant::now();
                let ended = pump::run(socket, &mut place, &mut local).await?;
                // One that is cut at once is no connection: the pauses must grow.
                if began.elapsed() > SETTLED {
                    lost_since = None;
                    failures = 0;
                }
                ended
            }
            None => Ended::Lost("no connection".into()),
        };
        let why = match ended {
            Ended::Left => return Ok(0),
            Ended::Told(signal) => return Ok(128_u8.saturating_add(signal)),
            Ended::Exited(code) => return Ok(code),
            Ended::Refused(failure) => return Err(failure),
            Ended::Lost(why) => why,
        };
        let since = *lost_since.get_or_insert_with(Instant::now);
        if since.elapsed() > GIVE_UP {
            return Err(Failure::new(Exit::Unreachable, "the connection stayed away").because(why));
        }
        if failures == 2 {
            local.say("connection lost; trying again (~. leaves)");
        }
        let pause = sleep(back_off(failures));
        failures += 1;
        // In a full-screen program a fresh picture is worth more than the bytes missed.
        place.want_repaint |= local.modes.full_screen();
        let trying = Box::pin(async {
            pause.await;
            again(&keeper, &place).await
        });
        socket = match local.meanwhile(trying).await {
            None => return Ok(0),
            Some(Ok(socket)) => Some(socket),
            Some(Err(failure)) if failure.is_final() => return Err(failure),
            Some(Err(_)) => None,
        };
    }
}

/// Another try, at where the seat is now: its worker may have a new address, or the token
/// be over. While the control plane is away itself, what it said last will do.
async fn again(keeper: &Keeper, place: &Place) -> Result<Dialled, Failure> {
    match keeper.renew().await {
        Err(failure) if failure.is_final() => Err(failure),
        _ => connect(keeper, place).await,
    }
}

async fn connect(keeper: &Keeper, place: &Place) -> Result<Dialled, Failure> {
    let target = Target::of(keeper)?;
    let size = raw::size();
    match dial::dial(&target, place, size).await {
        Err(failure) if failure.is_refusal() => {
            // Once with a fresh token; then it is meant.
            keeper.renew().await?;
            dial::dial(&Target::of(keeper)?, place, size).await
        }
        result => result,
    }
}

/// 0.2 s, doubling to 5 s, with the upper half left to chance, so that a class
/// does not come back in one moment.
fn back_off(failures: u32) -> Duration {
    let most = Duration::from_millis(200 << failures.min(5)).min(Duration::from_secs(5));
    most.mul_f64(rand::rng().random_range(0.5..=1.0))
}
