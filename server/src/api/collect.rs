//! The way to a seat's files for whoever keeps a class's work.
//!
//! Way: the owner asks -> an event says so, and the learner is told -> a token of the seat that reads
//! files and nothing else; the agent holds it to that.

use clarateach_domain::seat_token::Mode;
use clarateach_proto::workshop as pb;
use tracing::info;

use super::{Api, Visit, error::ApiError, now, observing::visitor, wire, wish};
use crate::store::{limits::Refused, principals::Principal, seats::Stay};

impl Api {
    /// A token to read one taken seat's files with. Asked again, it is the same reader: what
    /// is under way goes on by the fresh token.
    pub(super) async fn collect(
        &self,
        who: &Principal,
        ask: &pb::CollectSeatRequest,
        visit: &Visit,
    ) -> Result<pb::CollectSeatResponse, ApiError> {
        let workshop = self.own(who, &ask.workshop_id).await?.id;
        let number = wish::seat_no(ask.seat)?;
        let view = self.view_of(&workshop).await?;
        let seat = view.seat(number).ok_or_else(ApiError::no_seat)?;
        if seat.holder.is_none() {
            return Err(Refused::SeatFree.into());
        }
        let now = now();
        self.store
            .collected(&who.id, &workshop, number, now)
            .await?;
        info!(%workshop, seat = %number, by = %who.name, "seat to be collected");
        // A stay of its own: the learner's sockets and this one do not renew each other.
        let stay = Stay {
            id: visitor(&who.id, Mode::Collect),
            learner: who.id.clone(),
            workshop,
            seat: number,
            epoch: seat.epoch,
        };
        let (token, expires_at) = self.sign(&stay, Mode::Collect, now).await?;
        let ways = wire::ways(&view, seat, visit);
        Ok(pb::CollectSeatResponse {
            token,
            expires_at: Some(wire::time(expires_at)),
            endpoints: ways.direct,
            gateway: Some(ways.gateway),
            ca_certificate: view.workshop.ca_certificate.clone(),
        })
    }
}
