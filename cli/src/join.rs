//! Takes a seat with a code and remembers it; the same code again is the same
//! seat again, and so is the same question again after an answer that was lost.

use std::{error::Error, time::Duration};

use clarateach_proto::workshop::{JoinWorkshopRequest, JoinWorkshopResponse, SeatState};
use tokio::time::sleep;
use tonic::{Code, Status};

use crate::{
    api::ControlPlane,
    asking::{Asking, fresh_id},
    config::{Format, JoinArgs, Server},
    failure::{Exit, Failure},
    login,
    output::{plain, pretty, print, tell},
    seat_session::{SeatSession, bare_code},
};

/// Waits between tries while the server cannot be reached, each up to twice as
/// long: a class that lost its server must not come back in one moment.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(150),
    Duration::from_millis(300),
    Duration::from_millis(600),
    Duration::from_millis(1200),
    Duration::from_millis(2400),
];

pub(crate) async fn run(at: &Server, args: JoinArgs) -> Result<(), Failure> {
    let server = login::server(at)?;
    let code = bare_code(&args.code);
    let before = SeatSession::load(&args.seat.seat)?
        .filter(|before| !args.new && before.code == code && before.server.url == server.url);
    let session = take(&server, &code, &args, before.as_ref()).await?;
    match args.show.output {
        Format::Json => return print(&pretty(&as_json(&session, before.is_some()))),
        Format::Name => return print(&session.workshop),
        Format::Table | Format::Wide => {}
    }
    let class = plain(&session.workshop_name);
    print(&format!(
        "Seat {} of \"{class}\" ({}) is yours{}.",
        session.seat,
        session.workshop,
        if before.is_some() { " again" } else { "" }
    ))?;
    if session.direct.terminal.is_empty() && session.gateway.terminal.is_empty() {
        tell("Its machine is starting; attach waits for it.");
    }
    if before.is_none() {
        tell(&format!(
            "On another machine this code brings you back to it: {}",
            plain(&session.reconnect_code)
        ));
    }
    tell("Next: clarateach attach");
    Ok(())
}

/// For scripts. The seat token stays in the seat's own file.
fn as_json(session: &SeatSession, again: bool) -> serde_json::Value {
    serde_json::json!({
        "workshop_id": session.workshop,
        "workshop_name": session.workshop_name,
        "seat": session.seat,
        "again": again,
        "reconnect_code": session.reconnect_code,
        "ready": !(session.direct.terminal.is_empty() && session.gateway.terminal.is_empty()),
    })
}

/// Asks until there is an answer, always under the same id, and remembers the seat.
async fn take(
    server: &ControlPlane,
    code: &str,
    args: &JoinArgs,
    before: Option<&SeatSession>,
) -> Result<SeatSession, Failure> {
    let (seat, name) = (&args.seat.seat, &args.name);
    let reconnect_code = before.map(|b| b.reconnect_code.as_str());
    let reconnect_code = reconnect_code.unwrap_or_default();
    let asking = Asking::begin(seat, server, code, name, reconnect_code)?;
    let request = request(code, name, before, asking.request_id);
    let mut pauses = PAUSES.into_iter();
    let answer = loop {
        match (ask(server, request.clone()).await?, pauses.next()) {
            (Err(status), Some(pause)) if passes(&status) => {
                if pause == PAUSES[0] {
                    tell("The server does not answer; trying again.");
                }
                sleep(pause.mul_f64(1.0 + rand::random::<f64>())).await;
            }
            (answer, _) => break answer,
        }
    };
    let over = answer.as_ref().err().is_none_or(is_answer);
    let session = answer
        .map_err(|status| refused(server, before, &status))
        .and_then(|answer| session(server, code, name, answer, before));
    if let Ok(session) = &session {
        session.save(seat)?;
    }
    // Not before the seat is on disk: until then the id is the way back to it.
    if over {
        Asking::end(seat)?;
    }
    session
}

/// Asks once for the seat of `before`.
pub(crate) async fn rejoin(
    server: &ControlPlane,
    code: &str,
    name: &str,
    before: &SeatSession,
) -> Result<SeatSession, Failure> {
    let before = Some(before);
    let answer = ask(server, request(code, name, before, fresh_id())).await?;
    let answer = answer.map_err(|status| refused(server, before, &status))?;
    session(server, code, name, answer, before)
}

fn request(
    code: &str,
    name: &str,
    before: Option<&SeatSession>,
    request_id: String,
) -> JoinWorkshopRequest {
    JoinWorkshopRequest {
        code: code.to_owned(),
        display_name: name.to_owned(),
        reconnect_code: before.map(|b| b.reconnect_code.clone()).unwrap_or_default(),
        request_id,
    }
}

async fn ask(
    server: &ControlPlane,
    request: JoinWorkshopRequest,
) -> Result<Result<JoinWorkshopResponse, Status>, Failure> {
    let answer = server.seats(None)?.join_workshop(request).await;
    Ok(answer.map(tonic::Response::into_inner))
}

/// Whether it may go better in a moment: the server is away, or the connection
/// broke. A certificate that is not trusted stays so.
fn passes(status: &Status) -> bool {
    let mut causes = std::iter::successors(status.source(), |&cause| cause.source());
    let distrusted = causes.any(|cause| cause.to_string().contains("invalid peer certificate"));
    (status.code() == Code::Unavailable || status.source().is_some()) && !distrusted
}

/// Whether the server said that it did nothing. After anything else it may have
/// given a seat.
fn is_answer(status: &Status) -> bool {
    status.source().is_none()
        && matches!(
            status.code(),
            Code::NotFound
                | Code::InvalidArgument
                | Code::FailedPrecondition
                | Code::AlreadyExists
                | Code::Aborted
                | Code::PermissionDenied
                | Code::Unauthenticated
                | Code::Unimplemented
        )
}

fn refused(server: &ControlPlane, before: Option<&SeatSession>, status: &Status) -> Failure {
    let failure = Failure::status("could not join", status);
    match status.code() {
        Code::Unavailable => failure.hint(format!(
            "Is {} the right server? See --server, and --ca for a certificate of your own.",
            server.url
        )),
        Code::NotFound if before.is_some() => {
            failure.hint("The remembered seat may be somebody else's now. For a new one: --new")
        }
        _ => failure,
    }
}

fn session(
    server: &ControlPlane,
    code: &str,
    name: &str,
    answer: JoinWorkshopResponse,
    before: Option<&SeatSession>,
) -> Result<SeatSession, Failure> {
    if SeatState::try_from(answer.seat_state) == Ok(SeatState::Failed) {
        return Err(Failure::new(
            Exit::WorkshopFailed,
            "the seat's machine could not be started; tell your instructor",
        ));
    }
    let server = server.clone();
    Ok(SeatSession::joined(server, code, name, answer, before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_have_given_a_seat_keeps_its_id() {
        for (code, passing, answered) in [
            (Code::Unavailable, true, false),
            (Code::Internal, false, false),
            (Code::Unknown, false, false),
            (Code::DeadlineExceeded, false, false),
            (Code::ResourceExhausted, false, false),
            (Code::NotFound, false, true),
            (Code::Aborted, false, true),
            (Code::InvalidArgument, false, true),
        ] {
            let said = Status::new(code, "why");
            assert_eq!(passes(&said), passing, "{code:?}");
            assert_eq!(is_answer(&said), answered, "{code:?}");
        }
        for (cause, passing) in [
            ("connection reset", true),
            ("invalid peer certificate: UnknownIssuer", false),
        ] {
            let broke = Status::from_error(cause.into());
            assert_eq!(passes(&broke), passing, "{cause}");
            assert!(!is_answer(&broke), "{cause}");
        }
    }
}
