//! Tokens that were checked before, so that a thousand small files cost one
//! signature. A token's end is looked at every time.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use clarateach_domain::seat_token::{BadToken, Claims, Verifier};

/// Two tokens, one going and one coming, of every learner on a full worker.
const AT_MOST: usize = 512;

/// Checks tokens, each signature once.
pub(super) struct KnownTokens {
    verifier: Verifier,
    known: Mutex<HashMap<Box<str>, Claims>>,
}

impl KnownTokens {
    /// None known yet.
    pub(super) fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            known: Mutex::default(),
        }
    }

    /// As [`Verifier::verify`].
    pub(super) fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, BadToken> {
        let known = self.lock(|known| known.get(token).cloned());
        if let Some(claims) = known {
            return if claims.expires_at <= now {
                Err(BadToken::Expired)
            } else {
                Ok(claims)
            };
        }
        let claims = self.verifier.verify(token, now)?;
        self.lock(|known| {
            if known.len() >= AT_MOST {
                known.retain(|_, claims| claims.expires_at > now);
            }
            if known.len() < AT_MOST {
                known.insert(token.into(), claims.clone());
            }
        });
        Ok(claims)
    }

    fn lock<T>(&self, act: impl FnOnce(&mut HashMap<Box<str>, Claims>) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{claims, sign, verifier};

    #[test]
    fn a_known_token_ends_like_any_other_and_only_right_ones_are_known() {
        let known = KnownTokens::new(verifier());
        let claims = claims();
        let (token, now) = (sign(&claims), claims.issued_at);
        for _ in 0..2 {
            assert_eq!(known.verify(&token, now), Ok(claims.clone()));
            let forged = format!("{token}x");
            assert_eq!(known.verify(&forged, now), Err(BadToken::Invalid));
        }
        assert_eq!(known.lock(|known| known.len()), 1);
        let over = claims.expires_at;
        assert_eq!(known.verify(&token, over), Err(BadToken::Expired));
    }

    #[test]
    fn so_many_are_known_and_the_ended_make_room() {
        let known = KnownTokens::new(verifier());
        let mut claims = claims();
        let now = claims.issued_at;
        known.lock(|known| {
            for n in 0..AT_MOST {
                known.insert(n.to_string().into(), claims.clone());
            }
        });
        claims.expires_at += Duration::from_mins(5);
        let token = sign(&claims);
        assert!(known.verify(&token, now).is_ok());
        assert_eq!(
            known.lock(|known| known.len()),
            AT_MOST,
            "full of living ones"
        );
        let later = now + Duration::from_mins(2);
        assert!(known.verify(&token, later).is_ok());
        assert_eq!(known.lock(|known| known.len()), 1, "the ended are gone");
    }
}
