//! Seat tokens: what lets a learner reach one seat, and nobody else.
//!
//! An Ed25519 JWT (`EdDSA` only), signed by the control plane with the
//! workshop's key and checked by the agent with the public key alone. Way:
//! `Claims` -> [`Signer::sign`] -> browser or SDK -> [`Verifier::verify`] -> `Claims`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::ids::{SeatNo, StayId, WorkshopId};

/// The longest life of a token.
pub const MAX_LIFE: Duration = Duration::from_mins(15);
/// How far two clocks may differ.
pub const LEEWAY: Duration = Duration::from_mins(1);
/// Longer text is refused unread.
pub const MAX_LENGTH: usize = 4096;

/// How the holder takes part in a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The learner: types, resizes, has files and commands.
    Drive,
    /// A helper: types once the learner has consented; terminal only.
    Assist,
    /// Looks only; terminal only.
    Observe,
    /// Reads files only, for the archive of a class's work.
    Collect,
}

impl Mode {
    /// As it is spelled in tokens and in `clarateach-viewer`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drive => "drive",
            Self::Assist => "assist",
            Self::Observe => "observe",
            Self::Collect => "collect",
        }
    }
}

/// Who may do what, where, until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The workshop (`aud`).
    pub workshop: WorkshopId,
    /// The learner (`sub`): their display name's row, opaque to agents.
    pub learner: String,
    /// The seat.
    pub seat: SeatNo,
    /// Refused once the seat's epoch is higher.
    pub epoch: u64,
    /// The learner's stay: renewing any token of it renews its sockets.
    pub sid: StayId,
    /// How the holder takes part.
    pub mode: Mode,
    /// When it was issued, whole seconds.
    pub issued_at: DateTime<Utc>,
    /// When it ends, whole seconds.
    pub expires_at: DateTime<Utc>,
    /// Its own id.
    pub jti: String,
}

/// Why a token is refused. Never says more than its holder may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Not a token of this workshop, however it fails.
    #[error("the seat token is not valid here")]
    Invalid,
    /// Right, but over.
    #[error("the seat token has expired")]
    Expired,
}

/// A key that could not be used.
#[derive(Debug, thiserror::Error)]
#[error("could not read the seat-token key")]
pub struct BadKey(#[from] jsonwebtoken::errors::Error);

/// Exactly the members of the token's body; more or fewer are refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    iss: String,
    aud: String,
    sub: String,
    seat: u32,
    epoch: u64,
    sid: String,
    mode: Mode,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: String,
}

const ISSUER: &str = "clarateach";

/// The control plane's half.
pub struct Signer {
    key: EncodingKey,
    kid: String,
}

impl Signer {
    /// From a PKCS#8 PEM private key; `kid` names the workshop's key.
    pub fn from_pem(private_key: &[u8], kid: impl Into<String>) -> Result<Self, BadKey> {
        Ok(Self {
            key: EncodingKey::from_ed_pem(private_key)?,
            kid: kid.into(),
        })
    }

    /// The token's text.
    pub fn sign(&self, claims: &Claims) -> Result<String, BadKey> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.kid.clone());
        let wire = Wire {
            iss: ISSUER.to_owned(),
            aud: claims.workshop.to_string(),
            sub: claims.learner.clone(),
            seat: claims.seat.get(),
            epoch: claims.epoch,
            sid: claims.sid.to_string(),
            mode: claims.mode,
            iat: claims.issued_at.timestamp(),
            nbf: claims.issued_at.timestamp(),
            exp: claims.expires_at.timestamp(),
            jti: claims.jti.clone(),
        };
        Ok(jsonwebtoken::encode(&header, &wire, &self.key)?)
    }
}

/// The half that everybody may have.
pub struct Verifier {
    key: DecodingKey,
    workshop: WorkshopId,
}

impl Verifier {
    /// From a PEM public key.
    pub fn from_pem(public_key: &[u8], workshop: WorkshopId) -> Result<Self, BadKey> {
        Ok(Self {
            key: DecodingKey::from_ed_pem(public_key)?,
            workshop,
        })
    }

    /// The claims of a token that is right now. Time comes from the caller and
    /// is checked here, so that no library's clock or leniency decides.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, BadToken> {
        if token.len() > MAX_LENGTH {
            return Err(BadToken::Invalid);
        }
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_issuer(&[ISSUER]);
        rules.set_audience(&[self.workshop.as_str()]);
        rules.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        rules.validate_exp = false;
        rules.validate_nbf = false;
        let wire = jsonwebtoken::decode::<Wire>(token, &self.key, &rules)
            .map_err(|_| BadToken::Invalid)?
            .claims;
        let time = |seconds| DateTime::from_timestamp(seconds, 0).ok_or(BadToken::Invalid);
        let (issued_at, expires_at) = (time(wire.iat)?, time(wire.exp)?);
        let started = time(wire.nbf)? <= now + LEEWAY && issued_at <= now + LEEWAY;
        if !started || expires_at <= issued_at || expires_at - MAX_LIFE > issued_at {
            return Err(BadToken::Invalid);
        }
        if expires_at <= now {
            return Err(BadToken::Expired);
        }
        Ok(Claims {
            workshop: self.workshop.clone(),
            learner: wire.sub,
            seat: wire.seat.try_into().map_err(|_| BadToken::Invalid)?,
            epoch: wire.epoch,
            sid: wire.sid.parse().map_err(|_| BadToken::Invalid)?,
            mode: wire.mode,
            issued_at,
            expires_at,
            jti: wire.jti,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made for this test with `openssl genpkey -algorithm ed25519`.
    const PRIVATE: &[u8] = b"-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIL6wD9PCUN06aYJOiwoaK2iagyhiOcbsHYHN4/Vm2xmT
-----END PRIVATE KEY-----
";
    const PUBLIC: &[u8] = b"-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA+dtBS1Vqx1kSjOdcD5BcHgjU7R+AP6/498W11Jg5V/c=
-----END PUBLIC KEY-----
";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn claims() -> Claims {
        Claims {
            workshop: "ws-abcdefghij".parse().unwrap(),
            learner: "ln-1".into(),
            seat: SeatNo::try_from(3).unwrap(),
            epoch: 2,
            sid: "stay1".parse().unwrap(),
            mode: Mode::Drive,
            issued_at: at(0),
            expires_at: at(900),
            jti: "j1".into(),
        }
    }

    fn sign(claims: &Claims) -> String {
        Signer::from_pem(PRIVATE, "k1")
            .unwrap()
            .sign(claims)
            .unwrap()
    }

    fn verify(token: &str, now: i64) -> Result<Claims, BadToken> {
        Verifier::from_pem(PUBLIC, "ws-abcdefghij".parse().unwrap())
            .unwrap()
            .verify(token, at(now))
    }

    #[test]
    fn a_token_says_what_was_signed_until_it_ends() {
        let token = sign(&claims());
        assert_eq!(verify(&token, 0), Ok(claims()));
        assert_eq!(verify(&token, 899), Ok(claims()));
        assert_eq!(verify(&token, -60), Ok(claims()), "clocks differ");
        assert_eq!(verify(&token, -61), Err(BadToken::Invalid));
        assert_eq!(verify(&token, 900), Err(BadToken::Expired));
    }

    #[test]
    fn a_token_of_elsewhere_or_for_too_long_is_refused() {
        let mut foreign = claims();
        foreign.workshop = "ws-zzzzzzzzzz".parse().unwrap();
        let mut long = claims();
        long.expires_at = at(901);
        let mut backwards = claims();
        backwards.expires_at = at(0);
        for (bad, why) in [
            (foreign, "foreign"),
            (long, "long"),
            (backwards, "backwards"),
        ] {
            assert_eq!(verify(&sign(&bad), 0), Err(BadToken::Invalid), "{why}");
        }
    }

    #[test]
    fn forgeries_are_refused() {
        let token = sign(&claims());
        let mut parts = token.split('.');
        let (_, body, tail) = (parts.next(), parts.next().unwrap(), parts.next().unwrap());
        let head = |json: &str| jsonwebtoken_base64(json);
        let hs256 = jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            &serde_json::json!({"iss":"clarateach","aud":"ws-abcdefghij","sub":"x","seat":3,
                "epoch":2,"sid":"s","mode":"drive","iat":at(0).timestamp(),
                "nbf":at(0).timestamp(),"exp":at(900).timestamp(),"jti":"j"}),
            &EncodingKey::from_secret(PUBLIC),
        )
        .unwrap();
        for (bad, why) in [
            (String::new(), "empty"),
            (format!("{}.{body}.", head(r#"{"alg":"none"}"#)), "alg none"),
            (
                format!("{}.{body}.{tail}", head(r#"{"alg":"none","typ":"JWT"}"#)),
                "none, signed",
            ),
            (hs256, "HS256 with the public key"),
            (format!("{token}x"), "trailing byte"),
            (format!("{token}.{tail}"), "four parts"),
            (format!("{token}, {token}"), "two tokens"),
            (token.replace(body, &head(r#"{"seat":4}"#)), "other body"),
            ("x".repeat(MAX_LENGTH + 1), "long"),
        ] {
            assert_eq!(verify(&bad, 0), Err(BadToken::Invalid), "{why}");
        }
    }

    #[test]
    fn claims_of_the_wrong_kind_are_refused() {
        let good = serde_json::json!({"iss":"clarateach","aud":"ws-abcdefghij","sub":"x","seat":3,
            "epoch":2,"sid":"s","mode":"drive","iat":at(0).timestamp(),
            "nbf":at(0).timestamp(),"exp":at(900).timestamp(),"jti":"j"});
        let signed = |body: &serde_json::Value| {
            let key = EncodingKey::from_ed_pem(PRIVATE).unwrap();
            jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), body, &key).unwrap()
        };
        assert!(verify(&signed(&good), 0).is_ok());
        for (member, value) in [
            ("exp", serde_json::json!("1900000000")),
            ("exp", serde_json::Value::Null),
            ("seat", serde_json::json!(0)),
            ("seat", serde_json::json!(4_294_967_299_u64)),
            ("seat", serde_json::json!(-9)),
            ("mode", serde_json::json!("root")),
            ("iss", serde_json::json!("someone")),
            ("aud", serde_json::json!(["ws-abcdefghij", "ws-zzzzzzzzzz"])),
            ("nbf", serde_json::json!(at(120).timestamp())),
            ("extra", serde_json::json!(1)),
        ] {
            let mut body = good.clone();
            body[member] = value.clone();
            assert_eq!(
                verify(&signed(&body), 0),
                Err(BadToken::Invalid),
                "{member} {value}"
            );
            if member != "extra" {
                body.as_object_mut().unwrap().remove(member);
                assert_eq!(
                    verify(&signed(&body), 0),
                    Err(BadToken::Invalid),
                    "no {member}"
                );
            }
        }
    }

    /// base64url without padding, for forging headers.
    fn jsonwebtoken_base64(text: &str) -> String {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        text.as_bytes()
            .chunks(3)
            .flat_map(|chunk| {
                let mut three = [0_u8; 3];
                three[..chunk.len()].copy_from_slice(chunk);
                let n = u32::from_be_bytes([0, three[0], three[1], three[2]]);
                (0..=chunk.len())
                    .map(move |i| char::from(DIGITS[(n >> (18 - 6 * i)) as usize & 63]))
            })
            .collect()
    }
}
