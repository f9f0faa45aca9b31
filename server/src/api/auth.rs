//! Who calls, and whether they may.
//!
//! Way: headers -> one bearer text -> a [`Principal`] -> [`may`] for every deed.
//! The policy is that one function; nothing else compares owners or roles.

use clarateach_domain::workshop::Role;
use http::HeaderMap;

use super::error::ApiError;
use crate::store::{
    Store, StoreError,
    principals::{Principal, hash},
};

/// Something a principal wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed<'a> {
    /// Make a workshop of their own.
    CreateWorkshop,
    /// See or change the workshop of this owner (a principal's id).
    Workshop(&'a str),
    /// See, make or end API tokens of this principal (its id).
    Tokens(&'a str),
    /// Make principals, see everybody's workshops and tokens, read metrics.
    Everything,
}

/// The policy.
pub fn may(who: &Principal, deed: Deed<'_>) -> bool {
    match (who.role, deed) {
        (Role::Admin, _) | (Role::Instructor, Deed::CreateWorkshop) => true,
        (Role::Instructor, Deed::Workshop(owner) | Deed::Tokens(owner)) => owner == who.id,
        (Role::Instructor, Deed::Everything) => false,
    }
}

/// The one bearer token of a request. Two are none: which of them another
/// program would believe is anybody's guess.
pub fn bearer(headers: &HeaderMap) -> Result<&str, ApiError> {
    let mut all = headers.get_all(http::header::AUTHORIZATION).iter();
    let missing = || ApiError::unauthenticated("send `authorization: Bearer <token>`");
    let first = all.next().ok_or_else(missing)?;
    if all.next().is_some() {
        return Err(ApiError::unauthenticated(
            "send one authorization header, not several",
        ));
    }
    let text = first.to_str().map_err(|_| missing())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(missing)?;
    let token = token.trim();
    let plain = !token.is_empty()
        && token.len() <= clarateach_domain::seat_token::MAX_LENGTH
        && token.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    if plain && scheme.eq_ignore_ascii_case("bearer") {
        Ok(token)
    } else {
        Err(missing())
    }
}

/// The API token of a request whose answer goes on, to be looked at again: its
/// hash, so that the text is not kept.
#[derive(Debug, Clone)]
pub struct Pass(String);

impl Pass {
    /// Of the request's token.
    pub fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        Ok(Self(hash(bearer(headers)?)))
    }
}

/// Whose API token the request carries.
pub async fn principal(store: &Store, headers: &HeaderMap) -> Result<Principal, ApiError> {
    still(store, &Pass::of(headers)?)
        .await?
        .ok_or_else(ApiError::unknown_token)
}

/// Whom the token speaks for now; `None` once it is revoked or its principal gone.
pub async fn still(store: &Store, pass: &Pass) -> Result<Option<Principal>, StoreError> {
    store.principal_of(&pass.0).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("authorization", value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_one_plain_bearer_token_counts() {
        let long = format!("Bearer {}", "x".repeat(4097));
        for (values, want) in [
            (&["Bearer abc"][..], Some("abc")),
            (&["bearer abc"], Some("abc")),
            (&["Bearer  abc "], Some("abc")),
            (&[], None),
            (&["Bearer"], None),
            (&["Bearer "], None),
            (&["Basic abc"], None),
            (&["abc"], None),
            (&["Bearer a b"], None),
            (&["Bearer a,b"], None),
            (&["Bearer a", "Bearer b"], None),
            (&["Bearer a", "Bearer a"], None),
            (&[long.as_str()], None),
        ] {
            assert_eq!(bearer(&headers(values)).ok(), want, "{values:?}");
        }
    }

    #[test]
    fn instructors_have_their_own_and_admins_have_all() {
        let who = |id: &str, role| Principal {
            id: id.into(),
            name: id.into(),
            role,
        };
        let (ada, root) = (who("ada", Role::Instructor), who("root", Role::Admin));
        for (deed, instructor) in [
            (Deed::CreateWorkshop, true),
            (Deed::Workshop("ada"), true),
            (Deed::Workshop("bob"), false),
            (Deed::Workshop(""), false),
            (Deed::Tokens("ada"), true),
            (Deed::Tokens("bob"), false),
            (Deed::Everything, false),
        ] {
            assert_eq!(may(&ada, deed), instructor, "{deed:?}");
            assert!(may(&root, deed), "{deed:?}");
        }
    }
}
