//! Takes a seat with a code and remembers it; the same code again is the same
//! seat again.

use clarateach_proto::workshop::{JoinWorkshopRequest, SeatState};
use rand::Rng;
use tonic::Code;

use crate::{
    api::ControlPlane,
    config::{JoinArgs, Server},
    failure::{Exit, Failure},
    output::{plain, print, tell},
    seat_session::{SeatSession, bare_code},
};

pub(crate) async fn run(at: &Server, args: JoinArgs) -> Result<(), Failure> {
    let server = ControlPlane::parse(&at.url, at.ca.clone())?;
    let code = bare_code(&args.code);
    let before = SeatSession::load(&args.seat.seat)?
        .filter(|before| !args.new && before.code == code && before.server.url == server.url);
    let session = join(&server, &code, &args.name, before.as_ref()).await?;
    session.save(&args.seat.seat)?;
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

/// Asks for a seat: the one of `before`, if given, else a free one.
pub(crate) async fn join(
    server: &ControlPlane,
    code: &str,
    name: &str,
    before: Option<&SeatSession>,
) -> Result<SeatSession, Failure> {
    let mut random = [0_u8; 16];
    rand::rng().fill(&mut random);
    let request = JoinWorkshopRequest {
        code: code.to_owned(),
        display_name: name.to_owned(),
        reconnect_code: before.map(|b| b.reconnect_code.clone()).unwrap_or_default(),
        request_id: format!("{:032x}", u128::from_be_bytes(random)),
    };
    let answer = server.seats(None)?.join_workshop(request).await;
    let answer = answer.map_err(|status| {
        let failure = Failure::status("could not join", &status);
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
    })?;
    let answer = answer.into_inner();
    if SeatState::try_from(answer.seat_state) == Ok(SeatState::Failed) {
        return Err(Failure::new(
            Exit::WorkshopFailed,
            "the seat's machine could not be started; tell your instructor",
        ));
    }
    Ok(SeatSession::joined(
        server.clone(),
        code,
        name,
        answer,
        before,
    ))
}
