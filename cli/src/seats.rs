//! The seats of one workshop: look, give fresh machines, take back, read logs.

mod log;

use std::time::SystemTime;

use clarateach_proto::{
    json::{self, word},
    workshop::{ListSeatsRequest, ResetSeatRequest, RevokeSeatRequest, Seat},
};
use serde_json::json;

use crate::{
    api::Workshops,
    asking::fresh_id,
    config::{SeatNumbers, SeatsVerb, Server, Show},
    failure::{Exit, Failure},
    login,
    output::{ago, list, plain},
    workshop::{confirm, find},
};

const NARROW: [&str; 5] = ["SEAT", "STATE", "LEARNER", "TYPED", "TERMINALS"];
const WIDE: [&str; 4] = ["JOINED", "RESTARTS", "WORKER", "REASON"];

pub(crate) async fn run(at: &Server, verb: SeatsVerb) -> Result<(), Failure> {
    let server = login::server(at)?;
    let mut workshops = server.workshops(&login::token(at, &server)?)?;
    match verb {
        SeatsVerb::List { workshop, show } => {
            let id = find::id(&mut workshops, &workshop).await?;
            print_all(&of(&mut workshops, &id).await?, show)
        }
        SeatsVerb::Reset(args) => change(&mut workshops, args, Change::Reset).await,
        SeatsVerb::Revoke(args) => change(&mut workshops, args, Change::Revoke).await,
        SeatsVerb::Log(args) => {
            let id = find::id(&mut workshops, &args.workshop).await?;
            log::run(workshops, id, args.seat, args.follow).await
        }
    }
}

/// Every seat of a workshop.
pub(crate) async fn of(workshops: &mut Workshops, id: &str) -> Result<Vec<Seat>, Failure> {
    let request = ListSeatsRequest {
        workshop_id: id.to_owned(),
    };
    let seats = workshops
        .list_seats(request)
        .await
        .map_err(|status| Failure::status(format!("could not list the seats of {id}"), &status))?;
    Ok(seats.into_inner().seats)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Reset,
    Revoke,
}

async fn change(workshops: &mut Workshops, args: SeatNumbers, how: Change) -> Result<(), Failure> {
    let id = find::id(workshops, &args.workshop).await?;
    let all = of(workshops, &id).await?;
    let mut found = Vec::new();
    for number in &args.seats {
        let seat = all
            .iter()
            .find(|seat| seat.seat == *number)
            .ok_or_else(|| {
                Failure::new(Exit::NotFound, format!("{id} has no seat {number}"))
                    .hint(format!("See clarateach seats list {id}."))
            })?;
        found.push(seat);
    }
    let loss = match how {
        Change::Reset => "files and shells go, the learner stays",
        Change::Revoke => "files and shells go, and so does the learner",
    };
    let lines = found.iter().map(|seat| {
        let learner = if seat.taken {
            plain(&seat.learner)
        } else {
            "nobody".into()
        };
        format!("seat {} of {id}, {learner}: {loss}", seat.seat)
    });
    if !args.yes && !confirm(lines, "Go on?")? {
        return Err(Failure::new(Exit::Fault, "nothing was changed"));
    }
    let mut changed = Vec::new();
    for number in args.seats {
        let (workshop_id, seat, request_id) = (id.clone(), number, fresh_id());
        let answer = match how {
            Change::Reset => {
                let request = ResetSeatRequest {
                    workshop_id,
                    seat,
                    request_id,
                };
                workshops.reset_seat(request).await
            }
            Change::Revoke => {
                let request = RevokeSeatRequest {
                    workshop_id,
                    seat,
                    request_id,
                };
                workshops.revoke_seat(request).await
            }
        };
        let answer = answer.map_err(|status| {
            Failure::status(format!("could not change seat {number} of {id}"), &status)
        })?;
        changed.push(answer.into_inner());
    }
    print_all(&changed, args.show)
}

/// In the format that was asked for.
pub(crate) fn print_all(seats: &[Seat], how: Show) -> Result<(), Failure> {
    let now = SystemTime::now();
    let rows: Vec<Vec<String>> = seats
        .iter()
        .map(|seat| {
            let learner = match (seat.taken, seat.learner.as_str()) {
                (false, _) => "-".to_owned(),
                (true, "") => "(no name)".to_owned(),
                (true, name) => plain(name),
            };
            vec![
                seat.seat.to_string(),
                word(seat.state().as_str_name(), "SEAT_STATE_"),
                learner,
                ago(seat.last_input_at.as_ref(), now),
                seat.terminals.to_string(),
                ago(seat.joined_at.as_ref(), now),
                seat.restarts.to_string(),
                seat.worker.clone(),
                plain(&seat.reason),
            ]
        })
        .collect();
    list(
        how,
        &NARROW,
        &WIDE,
        &rows,
        || json!({ "seats": seats.iter().map(json::seat).collect::<Vec<_>>() }),
    )
}
