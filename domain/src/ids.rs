//! Names of things, parsed once at the door and never mixed afterwards.
//!
//! Way: text or number from outside -> `parse`/`TryFrom` -> a type that can only
//! hold a right value.

use std::{fmt, num::NonZeroU32, str::FromStr};

use serde::{Deserialize, Serialize};

/// The alphabet of Crockford's base 32 (<https://www.crockford.com/base32.html>).
const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const ID_ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {what}")]
pub struct BadId {
    what: &'static str,
    text: String,
}

impl BadId {
    fn new(what: &'static str, text: &str) -> Self {
        // A hostile caller must not fill the log with its own text.
        let text = text.chars().take(64).collect();
        Self { what, text }
    }
}

/// A workshop: `ws-` and ten of `[a-z0-9]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkshopId(String);

impl WorkshopId {
    /// An id from sixteen random bytes of a secure source (52 bits are used).
    pub fn from_random(random: [u8; 16]) -> Self {
        let mut value = u128::from_be_bytes(random);
        let mut text = String::from("ws-");
        for _ in 0..10 {
            text.push(char::from(ID_ALPHABET[(value % 36) as usize]));
            value /= 36;
        }
        Self(text)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkshopId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let tail = text.strip_prefix("ws-").unwrap_or_default();
        let fits = tail.len() == 10 && tail.bytes().all(|b| ID_ALPHABET.contains(&b));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadId::new("a workshop id (ws- and ten of a-z, 0-9)", text))
        }
    }
}

/// A worker: a DNS label, `[a-z]([a-z0-9-]{0,61}[a-z0-9])?`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkerName(String);

impl WorkerName {
    /// The name of a workshop's `ordinal`-th worker, from 1: always the same,
    /// so that asking for it twice makes one.
    pub fn of(workshop: &WorkshopId, ordinal: NonZeroU32) -> Self {
        Self(format!("{workshop}-w{ordinal}"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The DNS name the control plane dials and checks; see `decisions.md` §3.
    pub fn control_name(&self, workshop: &WorkshopId) -> String {
        format!("{self}.{workshop}.{AGENT_DOMAIN}")
    }
}

/// Names below it are only ever dialled with a client certificate.
pub const AGENT_DOMAIN: &str = "agent.clarateach.internal";

impl FromStr for WorkerName {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let fits = (1..=63).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && !text.ends_with('-')
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadId::new("a worker name (a DNS label)", text))
        }
    }
}

/// A seat's number, workshop-wide, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SeatNo(NonZeroU32);

impl SeatNo {
    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl TryFrom<u32> for SeatNo {
    type Error = BadId;
    fn try_from(raw: u32) -> Result<Self, BadId> {
        NonZeroU32::new(raw)
            .map(Self)
            .ok_or_else(|| BadId::new("a seat number (from 1)", &raw.to_string()))
    }
}

impl FromStr for SeatNo {
    type Err = BadId;
    /// Decimal digits without sign or leading zero: `3`, never `03` or `+3`,
    /// so that one seat has one spelling.
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId::new("a seat number (from 1)", text);
        if text.starts_with('0') || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad());
        }
        text.parse::<u32>().map_err(|_| bad())?.try_into()
    }
}

impl From<SeatNo> for u32 {
    fn from(seat: SeatNo) -> u32 {
        seat.get()
    }
}

impl fmt::Display for SeatNo {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A place on one worker, 1 to [`Slot::MAX`]; only `seat_net` turns it into an
/// address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Slot(u8);

impl Slot {
    /// As many as a /24 holds beside the bridge and some room.
    pub const MAX: u8 = 200;

    /// The number.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u32> for Slot {
    type Error = BadId;
    fn try_from(raw: u32) -> Result<Self, BadId> {
        u8::try_from(raw)
            .ok()
            .filter(|slot| (1..=Self::MAX).contains(slot))
            .map(Self)
            .ok_or_else(|| BadId::new("a slot (1 to 200)", &raw.to_string()))
    }
}

impl From<Slot> for u32 {
    fn from(slot: Slot) -> u32 {
        slot.0.into()
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// What a class types to get in: ten Crockford base-32 characters, 50 bits.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JoinCode(String);

impl JoinCode {
    /// Characters of a code.
    pub const LENGTH: usize = 10;

    /// A code from sixteen random bytes of a secure source.
    pub fn from_random(random: [u8; 16]) -> Self {
        Self(crockford(random, Self::LENGTH))
    }

    /// The code without its hyphen, as it is stored and compared.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JoinCode {
    type Err = BadId;
    /// Forgives what people type: lower case, spaces, hyphens, O for 0, I and L
    /// for 1.
    fn from_str(text: &str) -> Result<Self, BadId> {
        match uncrockford(text) {
            Some(code) if code.len() == Self::LENGTH => Ok(Self(code)),
            // The text itself may be a code of another workshop: keep it out of logs.
            _ => Err(BadId::new("a join code (ten letters and digits)", "…")),
        }
    }
}

/// Two groups of five, as it is shown.
impl fmt::Display for JoinCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}-{}", &self.0[..5], &self.0[5..])
    }
}

impl fmt::Debug for JoinCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JoinCode(…)")
    }
}

/// Brings a learner back to their seat: 26 Crockford characters, 130 bits.
/// Stored only hashed.
#[derive(Clone, PartialEq, Eq)]
pub struct ReconnectCode(String);

impl ReconnectCode {
    /// Characters of a code.
    pub const LENGTH: usize = 26;

    /// A code from 32 random bytes of a secure source.
    pub fn from_random(random: [u8; 32]) -> Self {
        let (high, low) = random.split_at(16);
        let half = |bytes: &[u8]| crockford(bytes.try_into().unwrap_or([0; 16]), 13);
        Self(half(high) + &half(low))
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ReconnectCode {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        match uncrockford(text) {
            Some(code) if code.len() == Self::LENGTH => Ok(Self(code)),
            _ => Err(BadId::new("a reconnect code", "…")),
        }
    }
}

impl fmt::Debug for ReconnectCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("ReconnectCode(…)")
    }
}

/// A learner's stay in a seat: what `sid` in a seat token names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StayId(String);

impl StayId {
    /// An id from sixteen random bytes.
    pub fn from_random(random: [u8; 16]) -> Self {
        Self(crockford(random, 20).to_ascii_lowercase())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StayId {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let fits = (1..=40).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadId::new("a stay id", text))
        }
    }
}

fn crockford(random: [u8; 16], length: usize) -> String {
    let mut value = u128::from_be_bytes(random);
    (0..length)
        .map(|_| {
            let digit = char::from(CROCKFORD[(value & 31) as usize]);
            value >>= 5;
            digit
        })
        .collect()
}

fn uncrockford(text: &str) -> Option<String> {
    if text.len() > 128 {
        return None;
    }
    text.chars()
        .filter(|c| !matches!(c, ' ' | '-'))
        .map(|c| match c.to_ascii_uppercase() {
            'O' => Some('0'),
            'I' | 'L' => Some('1'),
            c if c.is_ascii() && CROCKFORD.contains(&(c as u8)) => Some(c),
            _ => None,
        })
        .collect()
}

macro_rules! text_id {
    ($($id:ident),*) => {$(
        impl TryFrom<String> for $id {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }
        impl From<$id> for String {
            fn from(id: $id) -> String {
                id.0
            }
        }
    )*};
}
text_id!(WorkshopId, WorkerName, JoinCode, StayId);

macro_rules! shown_id {
    ($($id:ident),*) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        }
    )*};
}
shown_id!(WorkshopId, WorkerName, StayId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workshop_id_has_one_form() {
        for good in ["ws-abcdefghij", "ws-0123456789"] {
            assert_eq!(good.parse::<WorkshopId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "ws-",
            "ws-abc",
            "WS-abcdefghij",
            "ws-ABCDEFGHIJ",
            "ws-abcdefghijk",
            "ws-abcdefghi/",
            "ws-abcdefgh..",
            "xx-abcdefghij",
        ] {
            assert!(bad.parse::<WorkshopId>().is_err(), "{bad}");
        }
        let made = WorkshopId::from_random([7; 16]);
        assert_eq!(made.as_str().parse::<WorkshopId>().unwrap(), made);
    }

    #[test]
    fn a_seat_number_has_one_spelling() {
        for (text, want) in [("1", 1), ("500", 500), ("4294967295", u32::MAX)] {
            assert_eq!(text.parse::<SeatNo>().unwrap().get(), want);
        }
        for bad in [
            "",
            "0",
            "03",
            "+3",
            "-9",
            "3 ",
            "3;x",
            "4294967299",
            "٣",
            "3/",
        ] {
            assert!(bad.parse::<SeatNo>().is_err(), "{bad}");
        }
    }

    #[test]
    fn slots_end_at_two_hundred() {
        assert!(Slot::try_from(0).is_err());
        assert_eq!(Slot::try_from(200).unwrap().get(), 200);
        assert!(Slot::try_from(201).is_err());
        assert!(Slot::try_from(257).is_err());
    }

    #[test]
    fn a_join_code_forgives_typing_and_nothing_else() {
        let code: JoinCode = "0A1B2-C3D4E".parse().unwrap();
        for typed in ["0a1b2c3d4e", "OAIB2 C3D4E", "oalb2-c3d4e", " 0A1B2-C3D4E "] {
            assert_eq!(typed.parse::<JoinCode>().unwrap(), code, "{typed}");
        }
        for bad in [
            "",
            "0A1B2-C3D4",
            "0A1B2-C3D4EF",
            "0A1B2-C3D4U",
            "0A1B2_C3D4E",
        ] {
            assert!(bad.parse::<JoinCode>().is_err(), "{bad}");
        }
        assert_eq!(code.to_string(), "0A1B2-C3D4E");
        assert!(!format!("{code:?}").contains("0A1B2"));
    }

    #[test]
    fn random_bytes_become_codes_of_the_right_length() {
        assert_eq!(JoinCode::from_random([255; 16]).as_str(), "ZZZZZZZZZZ");
        let code = ReconnectCode::from_random([1; 32]);
        assert_eq!(code.as_str().len(), ReconnectCode::LENGTH);
        assert_eq!(code.as_str().parse::<ReconnectCode>().unwrap(), code);
    }
}
