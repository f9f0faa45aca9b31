//! Looking at a learner's terminal, and helping in it: a seat token of another mode.
//!
//! Way: owner or admin -> the seat, which somebody holds -> a token that opens its terminal
//! alone. The guest holds it to its mode, and shows the learner that somebody is there.

use clarateach_domain::{
    ids::{SeatNo, StayId},
    seat_token::Mode,
};
use clarateach_proto::workshop as pb;
use sha2::{Digest as _, Sha256};
use tracing::info;

use super::{
    Api, Visit,
    error::{ApiError, Violation},
    now, wire,
};
use crate::store::{events::Event, limits::Refused, principals::Principal, seats::Stay};

impl Api {
    /// A way in for an observer. Asked again, it is the same observer: a socket that is
    /// open lives on by the fresh token.
    pub(super) async fn observe(
        &self,
        who: &Principal,
        ask: &pb::ObserveSeatRequest,
        visit: &Visit,
    ) -> Result<pb::ObserveSeatResponse, ApiError> {
        let workshop = self.own(who, &ask.workshop_id).await?;
        let mode = mode(ask.mode())?;
        let number = SeatNo::try_from(ask.seat).map_err(|_| ApiError::no_seat())?;
        let view = self.view_of(&workshop.id).await?;
        let seat = view.seat(number).ok_or_else(ApiError::no_seat)?;
        if seat.holder.is_none() {
            return Err(Refused::SeatFree.into());
        }
        let stay = Stay {
            id: visitor(&who.id, mode),
            learner: format!("observer/{}", who.id),
            workshop: workshop.id.clone(),
            seat: number,
            epoch: seat.epoch,
        };
        let now = now();
        let object = format!("seat/{number}");
        let event = Event {
            actor: &who.id,
            verb: "seat.observed",
            object: &object,
            reason: mode.as_str(),
            data: "",
        };
        self.store.note(&workshop.id, event, now).await?;
        let (token, expires_at) = self.sign(&stay, mode, now).await?;
        info!(workshop = %workshop.id, seat = %number, by = %who.name, mode = mode.as_str(), "seat observed");
        let ways = wire::ways(&view, seat, visit);
        Ok(pb::ObserveSeatResponse {
            token,
            expires_at: Some(wire::time(expires_at)),
            endpoints: ways.direct.map(terminal_only),
            gateway: Some(terminal_only(ways.gateway)),
            public_endpoints: ways.public.map(terminal_only),
            ca_certificate: view.workshop.ca_certificate.clone(),
        })
    }
}

/// Observers are refused files and commands, so they are not told where these are.
fn terminal_only(ways: pb::Endpoints) -> pb::Endpoints {
    pb::Endpoints {
        terminal: ways.terminal,
        ..pb::Endpoints::default()
    }
}

/// Driving is the learner's.
fn mode(asked: pb::AttachMode) -> Result<Mode, ApiError> {
    match asked {
        pb::AttachMode::Assist => Ok(Mode::Assist),
        pb::AttachMode::Observe => Ok(Mode::Observe),
        pb::AttachMode::Unspecified | pb::AttachMode::Drive => {
            let fault = "must be ATTACH_MODE_OBSERVE or ATTACH_MODE_ASSIST";
            Err(ApiError::fields(vec![Violation::new(
                "mode",
                fault.to_owned(),
            )]))
        }
    }
}

/// The stay of one principal's visits in one mode: tokens of one stay carry each other's
/// connections on, and a look must not become a hand.
pub(super) fn visitor(principal: &str, mode: Mode) -> StayId {
    let digest = Sha256::digest(format!("observer\0{principal}\0{}", mode.as_str()));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    StayId::from_random(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_is_one_and_each_mode_another() {
        let ada = visitor("pr-1", Mode::Observe);
        assert_eq!(ada, visitor("pr-1", Mode::Observe));
        assert_ne!(ada, visitor("pr-1", Mode::Assist));
        assert_ne!(ada, visitor("pr-1", Mode::Collect));
        assert_ne!(ada, visitor("pr-2", Mode::Observe));
        assert!(ada.as_str().parse::<StayId>().is_ok());
    }

    #[test]
    fn nobody_drives_by_observing() {
        for asked in [pb::AttachMode::Unspecified, pb::AttachMode::Drive] {
            assert!(mode(asked).is_err());
        }
        assert_eq!(mode(pb::AttachMode::Observe).unwrap(), Mode::Observe);
        assert_eq!(mode(pb::AttachMode::Assist).unwrap(), Mode::Assist);
    }
}
