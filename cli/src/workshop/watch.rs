//! Follows one workshop: its state first, then every change, over lost
//! connections too.

use std::time::Duration;

use clarateach_proto::{
    json,
    workshop::{SeatState, WatchWorkshopRequest, WatchWorkshopResponse, Workshop, WorkshopStatus},
};
use tokio::time::sleep;
use tonic::Code;

use super::show;
use crate::{
    api::Workshops,
    config::{Format, Until, WatchArgs},
    failure::{Exit, Failure},
    output::{plain, print, tell},
};

/// A server that stays away so many tries in a row, some two minutes, is gone.
const TRIES: u32 = 10;

/// Prints changes until the workshop is as wanted, or gone.
pub(super) async fn run(
    workshops: &mut Workshops,
    id: &str,
    args: &WatchArgs,
) -> Result<(), Failure> {
    let json = args.show.output == Format::Json;
    let mut told = String::new();
    follow(workshops, id, |change| {
        for notice in &change.notices {
            tell(&format!("notice: {}", plain(&notice.message)));
        }
        let Some(workshop) = &change.workshop else {
            return Ok(None);
        };
        let line = if json {
            json::workshop(workshop).to_string()
        } else {
            line(workshop)
        };
        if line != told {
            print(&line)?;
            told = line;
        }
        ended(workshop, args.until)
    })
    .await
    .map(drop)
}

/// Says each step on stderr until the workshop is as wanted.
pub(super) async fn until(
    workshops: &mut Workshops,
    id: &str,
    wanted: Until,
) -> Result<Workshop, Failure> {
    let mut told = String::new();
    follow(workshops, id, |change| {
        let Some(workshop) = &change.workshop else {
            return Ok(None);
        };
        let line = line(workshop);
        if line != told {
            tell(&line);
            told = line;
        }
        ended(workshop, Some(wanted))
    })
    .await
}

/// Hands every message to `look`, until that gives a workshop.
async fn follow(
    workshops: &mut Workshops,
    id: &str,
    mut look: impl FnMut(&WatchWorkshopResponse) -> Result<Option<Workshop>, Failure>,
) -> Result<Workshop, Failure> {
    let mut since_revision = 0;
    let mut failures = 0;
    loop {
        let request = WatchWorkshopRequest {
            id: id.to_owned(),
            since_revision,
        };
        let why = match workshops.watch_workshop(request).await {
            Err(status) => status,
            Ok(changes) => {
                let mut changes = changes.into_inner();
                loop {
                    match changes.message().await {
                        Ok(Some(change)) => {
                            failures = 0;
                            since_revision = change.revision;
                            if let Some(ended) = look(&change)? {
                                return Ok(ended);
                            }
                        }
                        Ok(None) => break tonic::Status::unavailable("the server ended the watch"),
                        Err(status) => break status,
                    }
                }
            }
        };
        let passes = matches!(
            why.code(),
            Code::Unavailable | Code::Unknown | Code::Internal
        );
        if !passes || failures == TRIES {
            return Err(Failure::status(format!("could not watch {id}"), &why));
        }
        if failures == 2 {
            tell("connection lost; trying again (Ctrl-C stops)");
        }
        sleep(pause(failures)).await;
        failures += 1;
    }
}

/// 0.2 s, doubling to 20 s, the upper half left to chance.
fn pause(failures: u32) -> Duration {
    let most = Duration::from_millis(200 << failures.min(7)).min(Duration::from_secs(20));
    most.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

/// One line for people.
fn line(workshop: &Workshop) -> String {
    let ready = workshop
        .seat_list
        .iter()
        .filter(|seat| seat.state() == SeatState::Ready)
        .count();
    let taken = workshop.seat_list.iter().filter(|seat| seat.taken).count();
    // What the seats say already needs no second telling.
    let reason = Some(plain(&workshop.reason)).filter(|reason| !reason.ends_with("seats ready"));
    let line = format!(
        "{}  {}  {ready} of {} seats ready, {taken} taken  {}",
        workshop.id,
        show::status(workshop),
        workshop.seats,
        reason.unwrap_or_default()
    );
    line.trim_end().to_owned()
}

/// The workshop, if the watch is over with it. Pure.
fn ended(workshop: &Workshop, until: Option<Until>) -> Result<Option<Workshop>, Failure> {
    use WorkshopStatus::{Deleted, Deleting, Failed, Running, Stopped, Stopping};
    let never = || {
        let act = format!("{} is {}", workshop.id, show::status(workshop));
        Err(Failure::new(Exit::WorkshopFailed, act)
            .because(plain(&workshop.reason))
            .hint("clarateach workshop get says more."))
    };
    match (workshop.status(), until) {
        (Running, Some(Until::Running))
        | (Stopped, Some(Until::Stopped))
        | (Deleted, Some(Until::Deleted) | None) => Ok(Some(workshop.clone())),
        (Stopped | Stopping, Some(Until::Running))
        | (Failed | Deleting | Deleted, Some(Until::Running | Until::Stopped)) => never(),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_ends_where_it_was_told_to() {
        use WorkshopStatus::{
            Degraded, Deleted, Deleting, Failed, Provisioning, Running, Stopped, Stopping,
        };
        let at = |status: WorkshopStatus| Workshop {
            status: status.into(),
            ..Default::default()
        };
        for (status, until, wanted) in [
            (Provisioning, None, Some(false)),
            (Provisioning, Some(Until::Running), Some(false)),
            (Running, Some(Until::Running), Some(true)),
            (Running, None, Some(false)),
            (Degraded, Some(Until::Running), Some(false)),
            (Failed, Some(Until::Running), None),
            (Failed, None, Some(false)),
            (Deleting, Some(Until::Running), None),
            (Deleting, Some(Until::Deleted), Some(false)),
            (Deleted, Some(Until::Deleted), Some(true)),
            (Deleted, Some(Until::Running), None),
            (Deleted, None, Some(true)),
            (Stopping, Some(Until::Stopped), Some(false)),
            (Stopped, Some(Until::Stopped), Some(true)),
            (Deleted, Some(Until::Stopped), None),
            (Stopped, Some(Until::Running), None),
            (Stopped, None, Some(false)),
        ] {
            let got = ended(&at(status), until).ok().map(|ended| ended.is_some());
            assert_eq!(got, wanted, "{status:?} {until:?}");
        }
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        for failures in 0..20 {
            let pause = pause(failures);
            assert!(pause <= Duration::from_secs(20) && pause >= Duration::from_millis(100));
        }
    }
}
