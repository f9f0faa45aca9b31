//! `SeatService`: learners join with a code and hold a seat with a token.
//!
//! Way: code -> workshop -> seat claimed -> token signed with the workshop's
//! key. Later calls carry that token: its claims choose the workshop, that
//! workshop's key checks them, and the rows say whether they still count.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use clarateach_domain::{
    ids::{JoinCode, ReconnectCode, StayId, WorkshopId},
    seat_token::{self, BadToken, Claims, Mode, Signer, Verifier},
    text,
};
use clarateach_proto::workshop::{self as pb, seat_service_server::SeatService};
use ed25519_dalek::{
    SigningKey,
    pkcs8::{EncodePrivateKey, EncodePublicKey, KeypairBytes, spki::der::pem::LineEnding},
};
use http::HeaderMap;
use std::{net::IpAddr, time::Instant};
use tonic::{Code, Request, Response, Status};
use tracing::info;

use super::{
    Api, Visit, auth,
    error::{ApiError, Violation},
    headers, now, visit, watch, wire, wish,
    workshops::Messages,
};
use crate::store::{
    limits::Refused,
    requests::RequestKey,
    sealing::{hex, random},
    seats::{FreshStay, Join, Stay},
    view::WorkshopView,
};

const MAX_DISPLAY_NAME: usize = 64;

/// A fresh key for a workshop's seat tokens, PEM.
pub(super) struct SeatKey {
    pub(super) private: String,
    pub(super) public: String,
}

impl SeatKey {
    pub(super) fn generate() -> anyhow::Result<Self> {
        let key = SigningKey::from_bytes(&random()?);
        // The short form (without the public half), which every reader knows.
        let private = KeypairBytes {
            secret_key: key.to_bytes(),
            public_key: None,
        };
        Ok(Self {
            private: private.to_pkcs8_pem(LineEnding::LF)?.to_string(),
            public: key.verifying_key().to_public_key_pem(LineEnding::LF)?,
        })
    }
}

/// A learner whose token counts.
#[derive(Debug, Clone)]
pub(super) struct Learner {
    pub(super) claims: Claims,
    pub(super) stay: Stay,
    /// The workshop's revision when the token was looked at.
    pub(super) revision: u64,
}

impl Api {
    /// Takes a free seat, or finds the learner's own again.
    pub(super) async fn join(
        &self,
        ask: pb::JoinWorkshopRequest,
        visit: &Visit,
    ) -> Result<pb::JoinWorkshopResponse, ApiError> {
        let display_name = text::optional_line(&ask.display_name, MAX_DISPLAY_NAME);
        let request_id = wish::join_request_id(&ask.request_id);
        let (display_name, request_id) = match (display_name, request_id) {
            (Ok(name), Ok(id)) => (name, id),
            (name, id) => {
                let bad = |field: &str, fault: String| Violation::new(field, fault);
                let name = name.err().map(|f| bad("display_name", f.to_string()));
                let id = id.err().map(|f| bad("request_id", f.to_owned()));
                return Err(ApiError::fields(name.into_iter().chain(id).collect()));
            }
        };
        let workshop = match ask.code.parse::<JoinCode>() {
            Ok(code) => self.store.workshop_by_code(&code).await?,
            Err(_) => None,
        };
        let Some(workshop) = workshop else {
            return Err(self.wrong_code(visit.address, ApiError::no_code()));
        };
        let reconnect =
            match ask.reconnect_code.as_str() {
                "" => None,
                // What is no code is as unknown as a foreign one: never a new seat.
                text => Some(text.parse().map_err(|_| {
                    self.wrong_code(visit.address, Refused::ReconnectUnknown.into())
                })?),
            };
        let body = [display_name.as_str(), ask.reconnect_code.as_str()].join("\0");
        let scope = format!("join/{workshop}");
        let join = Join {
            workshop: workshop.clone(),
            display_name,
            reconnect,
            key: RequestKey::new(scope, "join", &request_id, body.as_bytes()),
            fresh: FreshStay {
                stay: StayId::from_random(random()?),
                learner: format!("ln-{}", StayId::from_random(random()?)),
                reconnect: ReconnectCode::from_random(random()?),
            },
        };
        let joined = self.store.join(join, now()).await?.map_err(|refused| {
            let foreign = refused == Refused::ReconnectUnknown;
            let error = match refused {
                // Deleted between the two looks.
                Refused::Unknown => ApiError::no_code(),
                refused => refused.into(),
            };
            if foreign {
                self.wrong_code(visit.address, error)
            } else {
                error
            }
        })?;
        let seat = joined.stay.seat;
        info!(%workshop, %seat, "seat taken");
        let (token, expires_at) = self.sign(&joined.stay, Mode::Drive, now()).await?;
        let view = self.view_of(&workshop).await?;
        let seat = view.seat(seat).ok_or_else(ApiError::no_seat)?;
        let ways = wire::ways(&view, seat, visit);
        Ok(pb::JoinWorkshopResponse {
            token,
            expires_at: Some(wire::time(expires_at)),
            seat: seat.seat.get(),
            seat_state: wire::seat_state(seat.state).into(),
            workshop_id: workshop.to_string(),
            reconnect_code: joined.reconnect.as_str().to_owned(),
            ca_certificate: view.workshop.ca_certificate.clone(),
            endpoints: ways.direct,
            gateway: Some(ways.gateway),
            public_endpoints: ways.public,
            workshop_name: view.workshop.name.clone(),
            instructions: view.workshop.instructions.clone(),
        })
    }

    /// Counts a wrong code; too many are told to slow down instead.
    fn wrong_code(&self, from: IpAddr, error: ApiError) -> ApiError {
        match self.wrong_codes.count(from, Instant::now()) {
            None => error,
            Some(wait) => ApiError::new(
                Code::ResourceExhausted,
                "TOO_MANY_WRONG_CODES",
                "too many wrong codes came from your network: check the code and try again later",
            )
            .retry_after(wait),
        }
    }

    pub(super) async fn view_of(&self, workshop: &WorkshopId) -> Result<WorkshopView, ApiError> {
        let view = self.store.workshop_view(workshop).await?;
        view.ok_or_else(ApiError::no_workshop)
    }

    /// A token for a stay, from `now`; answers when it ends, too.
    pub(super) async fn sign(
        &self,
        stay: &Stay,
        mode: Mode,
        now: DateTime<Utc>,
    ) -> Result<(String, DateTime<Utc>), ApiError> {
        let workshop = &stay.workshop;
        let failed = |cause: &dyn std::fmt::Display| {
            tracing::error!(error = %cause, %workshop, "could not sign a seat token");
            ApiError::new(Code::Internal, "INTERNAL", "could not sign the seat token")
        };
        let key = self
            .store
            .seat_key(workshop)
            .await?
            .ok_or_else(ApiError::no_workshop)?;
        let expires_at = wire::token_end(now, self.settings.seat_token_life);
        let claims = Claims {
            workshop: workshop.clone(),
            learner: stay.learner.clone(),
            seat: stay.seat,
            epoch: stay.epoch,
            sid: stay.id.clone(),
            mode,
            issued_at: now,
            expires_at,
            jti: hex(&random::<16>()?),
        };
        let signer =
            Signer::from_pem(key.as_bytes(), workshop.as_str()).map_err(|cause| failed(&cause))?;
        let token = signer.sign(&claims).map_err(|cause| failed(&cause))?;
        Ok((token, expires_at))
    }

    /// Whose seat token the request carries, if it still counts.
    pub(super) async fn learner(&self, headers: &HeaderMap) -> Result<Learner, ApiError> {
        let token = auth::bearer(headers)?;
        // Chooses the key only; what it says counts once that key agrees.
        let workshop = audience(token).ok_or(BadToken::Invalid)?;
        let workshop = self.store.workshop(&workshop).await?;
        let workshop = workshop.ok_or(BadToken::Invalid)?;
        let verifier = Verifier::from_pem(workshop.seat_key_public.as_bytes(), workshop.id.clone())
            .map_err(|_| BadToken::Invalid)?;
        let claims = verifier.verify(token, now())?;
        if claims.mode != Mode::Drive {
            return Err(ApiError::new(
                Code::PermissionDenied,
                "NOT_ALLOWED",
                "only the learner's own token can do this",
            ));
        }
        let stay = self.store.stay(&claims.workshop, &claims.sid).await?;
        let Some(stay) = stay.filter(|stay| stay.seat == claims.seat) else {
            return Err(ApiError::new(
                Code::Unauthenticated,
                "SEAT_REVOKED",
                "this seat was taken back: join again for another",
            ));
        };
        if claims.epoch != stay.epoch {
            return Err(outdated());
        }
        Ok(Learner {
            claims,
            stay,
            revision: workshop.revision,
        })
    }

    async fn refresh(
        &self,
        headers: &HeaderMap,
        visit: &Visit,
    ) -> Result<pb::RefreshTokenResponse, ApiError> {
        let learner = self.learner(headers).await?;
        let view = self.view_of(&learner.stay.workshop).await?;
        let seat = view.seat(learner.stay.seat).ok_or_else(ApiError::no_seat)?;
        let (token, expires_at) = self.sign(&learner.stay, Mode::Drive, now()).await?;
        let ways = wire::ways(&view, seat, visit);
        Ok(pb::RefreshTokenResponse {
            token,
            expires_at: Some(wire::time(expires_at)),
            endpoints: ways.direct,
            gateway: Some(ways.gateway),
            public_endpoints: ways.public,
            ca_certificate: view.workshop.ca_certificate.clone(),
        })
    }
}

/// The seat was reset since the token was made.
pub(super) fn outdated() -> ApiError {
    ApiError::new(
        Code::Unauthenticated,
        "TOKEN_OUTDATED",
        "this seat was reset: join again with the reconnect code",
    )
}

/// The workshop that an unchecked token names.
fn audience(token: &str) -> Option<WorkshopId> {
    #[derive(serde::Deserialize)]
    struct Audience {
        aud: WorkshopId,
    }
    if token.len() > seat_token::MAX_LENGTH {
        return None;
    }
    let body = token.split('.').nth(1)?;
    let body = URL_SAFE_NO_PAD.decode(body).ok()?;
    let body: Audience = serde_json::from_slice(&body).ok()?;
    Some(body.aud)
}

#[tonic::async_trait]
impl SeatService for Api {
    async fn join_workshop(
        &self,
        request: Request<pb::JoinWorkshopRequest>,
    ) -> Result<Response<pb::JoinWorkshopResponse>, Status> {
        let visit = visit(request.extensions());
        let joined = self.join(request.into_inner(), &visit).await?;
        Ok(Response::new(joined))
    }

    async fn refresh_token(
        &self,
        request: Request<pb::RefreshTokenRequest>,
    ) -> Result<Response<pb::RefreshTokenResponse>, Status> {
        let visit = visit(request.extensions());
        let fresh = self.refresh(headers(&request), &visit).await?;
        Ok(Response::new(fresh))
    }

    type WatchSeatStream = Messages<pb::WatchSeatResponse>;

    async fn watch_seat(
        &self,
        request: Request<pb::WatchSeatRequest>,
    ) -> Result<Response<Self::WatchSeatStream>, Status> {
        let visit = visit(request.extensions());
        let learner = self.learner(headers(&request)).await?;
        let since = request.get_ref().since_revision;
        let stream = watch::seat(self, learner, visit, since);
        Ok(Response::new(Box::pin(stream)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_key_signs_what_its_public_half_verifies() {
        let key = SeatKey::generate().unwrap();
        let workshop: WorkshopId = "ws-abcdefghij".parse().unwrap();
        let issued_at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let claims = Claims {
            workshop: workshop.clone(),
            learner: "ln-1".into(),
            seat: 3.try_into().unwrap(),
            epoch: 1,
            sid: "s1".parse().unwrap(),
            mode: Mode::Drive,
            issued_at,
            expires_at: issued_at + seat_token::MAX_LIFE,
            jti: "j".into(),
        };
        let signer = Signer::from_pem(key.private.as_bytes(), "k").unwrap();
        let token = signer.sign(&claims).unwrap();
        assert_eq!(audience(&token), Some(workshop.clone()));
        let verifier = Verifier::from_pem(key.public.as_bytes(), workshop).unwrap();
        assert_eq!(verifier.verify(&token, issued_at), Ok(claims));
    }

    #[test]
    fn what_is_no_token_names_no_workshop() {
        for text in ["", "a", "a.b.c", "..", &"x".repeat(5000)] {
            assert_eq!(audience(text), None);
        }
    }
}
