//! `doctor`: looks at everything between here and a terminal, in the order in
//! which things hang on each other, and says what to do. Changes nothing.
//!
//! Way: [`verdict`] judges, pure; [`line`] dials; here they are asked in order.

mod line;
mod verdict;

use std::time::SystemTime;

use clarateach_proto::{
    json::word,
    workshop::{ListWorkshopsRequest, RefreshTokenRequest, WorkerState, Workshop},
};
use serde_json::json;

use crate::{
    api::ControlPlane,
    config::{DoctorArgs, Format, Server},
    failure::{Exit, Failure},
    keeper::is_near,
    login,
    output::{plain, pretty, print},
    seat_session::SeatSession,
    workshop,
};
use line::Line;
use verdict::{Check, clock, proxies, version};

/// Workers are dialled for so many workshops at most.
const WORKSHOPS: usize = 10;

/// Gives the exit code: 1 if anything fails.
pub(crate) async fn run(at: &Server, args: DoctorArgs) -> Result<u8, Failure> {
    let mut checks = Vec::new();
    let seat = seat(&mut checks, &args.seat.seat);
    // A seat says where its control plane is, unless somebody does.
    let server = match (&at.url, &seat) {
        (None, Some(seat)) if login::Login::load().is_ok_and(|login| login.is_none()) => {
            Ok(seat.server.clone())
        }
        _ => login::server(at),
    };
    match server {
        Err(failure) => checks.push(Check::fails(
            "server",
            failure.line(),
            failure.what_to_try(),
        )),
        Ok(server) => {
            checks.push(Check::ok("server", &server.url));
            checks.extend(proxies(std::env::vars_os().map(|(name, _)| name)));
            if line(&mut checks, &server).await {
                token(&mut checks, at, &server).await;
                if let Some(seat) = seat {
                    learner(&mut checks, &seat).await;
                }
            }
        }
    }
    say(&checks, args.show.output)?;
    Ok(u8::from(checks.iter().any(Check::is_failure)))
}

/// What `join` remembers, if anything.
fn seat(checks: &mut Vec<Check>, name: &str) -> Option<SeatSession> {
    match SeatSession::load(name) {
        Ok(seat) => seat,
        Err(failure) => {
            checks.push(Check::fails(
                "remembered seat",
                failure.line(),
                failure.what_to_try(),
            ));
            None
        }
    }
}

/// Name, TCP, TLS, answer, clock, version. Gives whether the server answers.
async fn line(checks: &mut Vec<Check>, server: &ControlPlane) -> bool {
    let Some(line) = Line::open(server, checks).await else {
        return false;
    };
    match line.health().await {
        Err(failure) => {
            checks.push(Check::fails(
                "answer",
                failure.line(),
                Some("Something else answers there: check the address and port, and whether it begins with https://."),
            ));
            false
        }
        Ok(health) => {
            checks.push(Check::ok("answer", "the server is well"));
            checks.push(version(&health.version, env!("CARGO_PKG_VERSION")));
            checks.push(clock(health.date, SystemTime::now()));
            true
        }
    }
}

async fn token(checks: &mut Vec<Check>, at: &Server, server: &ControlPlane) {
    let token = match login::token(at, server) {
        Ok(token) => token,
        Err(failure) => {
            let why = format!("{} (learners need none)", failure.line());
            checks.push(Check::skipped("API token", why, failure.what_to_try()));
            return;
        }
    };
    let request = ListWorkshopsRequest {
        page_size: u32::try_from(WORKSHOPS).unwrap_or(1),
        ..Default::default()
    };
    let mut workshops = match server.workshops(&token) {
        Ok(workshops) => workshops,
        Err(failure) => {
            checks.push(Check::fails(
                "API token",
                failure.line(),
                failure.what_to_try(),
            ));
            return;
        }
    };
    let listed = match workshops.list_workshops(request).await {
        Ok(listed) => listed.into_inner().workshops,
        Err(status) => {
            let failure = Failure::status("the server refuses it", &status);
            checks.push(Check::fails(
                "API token",
                failure.line(),
                failure.what_to_try(),
            ));
            return;
        }
    };
    checks.push(Check::ok(
        "API token",
        "good, and calls over gRPC are answered",
    ));
    for one in listed.iter().take(WORKSHOPS) {
        match workshop::get(&mut workshops, &one.id).await {
            Ok(whole) => workers(checks, &whole).await,
            Err(failure) => checks.push(Check::warns(&one.id, failure.line(), None)),
        }
    }
}

async fn workers(checks: &mut Vec<Check>, workshop: &Workshop) {
    for worker in &workshop.workers {
        let name = format!("worker {}", worker.name);
        if worker.state() != WorkerState::Ready {
            let word = word(worker.state().as_str_name(), "WORKER_STATE_");
            checks.push(Check::warns(
                &name,
                format!("{word}: {}", plain(&worker.reason)),
                Some("The server mends this by itself; clarateach workshop watch says when."),
            ));
        } else if is_near(&format!("https://{}", worker.address)).await {
            checks.push(Check::ok(&name, &format!("{} answers", worker.address)));
        } else {
            checks.push(Check::warns(
                &name,
                format!("{} does not answer from here", worker.address),
                Some("Terminals and files go through the control plane instead, by themselves; for the short way open that port."),
            ));
        }
    }
}

async fn learner(checks: &mut Vec<Check>, seat: &SeatSession) {
    let name = format!("seat {} of {}", seat.seat, seat.workshop);
    let asked = match seat.server.seats(Some(&seat.token)) {
        Ok(mut seats) => seats.refresh_token(RefreshTokenRequest {}).await,
        Err(failure) => {
            checks.push(Check::fails(&name, failure.line(), failure.what_to_try()));
            return;
        }
    };
    match asked {
        Err(status) => {
            let failure = Failure::status("its token is not renewed", &status);
            let over =
                failure.exit() == Exit::Refused as u8 || failure.exit() == Exit::NotFound as u8;
            if over {
                checks.push(Check::warns(
                    &name,
                    failure.line(),
                    Some("clarateach attach takes the seat again by itself; if it is not yours any more, join again."),
                ));
            } else {
                checks.push(Check::fails(&name, failure.line(), failure.what_to_try()));
            }
        }
        Ok(fresh) => {
            let direct = fresh.into_inner().endpoints.unwrap_or_default().terminal;
            if direct.is_empty() {
                checks.push(Check::warns(
                    &name,
                    "its machine is not there yet",
                    Some("attach waits for it."),
                ));
            } else if is_near(&direct).await {
                checks.push(Check::ok(&name, "yours, and its worker answers"));
            } else {
                checks.push(Check::warns(
                    &name,
                    "yours; its worker does not answer from here",
                    Some("attach and files go through the control plane instead, by themselves."),
                ));
            }
        }
    }
}

fn say(checks: &[Check], format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return print(&pretty(&json!({
            "checks": checks.iter().map(Check::as_json).collect::<Vec<_>>()
        })));
    }
    for check in checks {
        print(&check.text())?;
    }
    Ok(())
}
