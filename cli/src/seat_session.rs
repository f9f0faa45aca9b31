//! What this machine remembers of a seat, in a file that only its owner reads.
//!
//! Way: `join` writes it, every verb on a seat reads it, a renewed token is
//! written back.

use std::{fs, io, os::unix::fs::MetadataExt, path::PathBuf};

use clarateach_proto::workshop::{Endpoints, JoinWorkshopResponse, RefreshTokenResponse};
use serde::{Deserialize, Serialize};

use crate::{
    api::ControlPlane,
    failure::{Exit, Failure},
    places,
};

/// One remembered seat. It holds secrets, so it never prints itself.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SeatSession {
    pub(crate) server: ControlPlane,
    /// The join code, without spaces and hyphens, in capitals.
    pub(crate) code: String,
    pub(crate) name: String,
    pub(crate) workshop: String,
    pub(crate) workshop_name: String,
    pub(crate) seat: u32,
    pub(crate) token: String,
    pub(crate) reconnect_code: String,
    /// PEM of the workshop's own CA.
    pub(crate) ca_certificate: String,
    pub(crate) direct: Ways,
    pub(crate) gateway: Ways,
}

/// Where the seat's services are; empty until its machine is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ways {
    pub(crate) terminal: String,
    pub(crate) files: String,
}

impl From<Option<Endpoints>> for Ways {
    fn from(endpoints: Option<Endpoints>) -> Self {
        let endpoints = endpoints.unwrap_or_default();
        Self {
            terminal: endpoints.terminal,
            files: endpoints.files,
        }
    }
}

impl SeatSession {
    /// A seat just taken, or taken again.
    pub(crate) fn joined(
        server: ControlPlane,
        code: &str,
        name: &str,
        answer: JoinWorkshopResponse,
        before: Option<&Self>,
    ) -> Self {
        // It is shown once: taking the same seat again need not repeat it.
        let reconnect_code = match before {
            Some(before) if answer.reconnect_code.is_empty() => before.reconnect_code.clone(),
            _ => answer.reconnect_code,
        };
        Self {
            server,
            code: bare_code(code),
            name: name.to_owned(),
            workshop: answer.workshop_id,
            workshop_name: answer.workshop_name,
            seat: answer.seat,
            token: answer.token,
            reconnect_code,
            ca_certificate: answer.ca_certificate,
            direct: answer.endpoints.into(),
            gateway: answer.gateway.into(),
        }
    }

    /// Takes in a renewed token and where things are now.
    pub(crate) fn renewed(&mut self, answer: RefreshTokenResponse) {
        self.token = answer.token;
        self.direct = answer.endpoints.into();
        self.gateway = answer.gateway.into();
        if !answer.ca_certificate.is_empty() {
            self.ca_certificate = answer.ca_certificate;
        }
    }

    /// The remembered seat of this name, if there is one.
    pub(crate) fn load(seat: &str) -> Result<Option<Self>, Failure> {
        let file = file(seat)?;
        let failed =
            |error: io::Error| Failure::fault(format!("could not read {}", file.display()), error);
        let metadata = match fs::metadata(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(failed)?,
        };
        if metadata.mode() & 0o077 != 0 {
            return Err(Failure::new(
                Exit::Refused,
                format!("{} can be read by others", file.display()),
            )
            .hint("Anybody may hold your seat now: remove the file and join again."));
        }
        let text = fs::read(&file).map_err(failed)?;
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Failure::fault(format!("could not read {}", file.display()), error))
    }

    /// The remembered seat, or how to get one.
    pub(crate) fn need(seat: &str) -> Result<Self, Failure> {
        Self::load(seat)?.ok_or_else(|| {
            Failure::new(Exit::Refused, "this machine holds no seat")
                .hint("Take one first: clarateach join CODE")
        })
    }

    /// Remembers it: whole or not at all, and for its owner only.
    pub(crate) fn save(&self, seat: &str) -> Result<(), Failure> {
        let file = file(seat)?;
        let failed =
            |error: io::Error| Failure::fault(format!("could not write {}", file.display()), error);
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        places::keep(&file, &text).map_err(failed)
    }
}

fn file(seat: &str) -> Result<PathBuf, Failure> {
    Ok(places::seats()?.join(format!("{seat}.json")))
}

/// A code as it is compared here; the server has the last word.
pub(crate) fn bare_code(code: &str) -> String {
    code.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_uppercase())
        .map(|c| match c {
            'O' => '0',
            'I' | 'L' => '1',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_code_are_one_code() {
        for text in ["7KO1M-9QXLB", "7k01m9qx1b", " 7ko1m 9qxib "] {
            assert_eq!(bare_code(text), "7K01M9QX1B", "{text}");
        }
    }

    #[test]
    fn taking_a_seat_again_keeps_the_reconnect_code() {
        let server = ControlPlane::parse("http://127.0.0.1:1", None).unwrap();
        let answer = |code: &str| JoinWorkshopResponse {
            reconnect_code: code.into(),
            ..Default::default()
        };
        let first = SeatSession::joined(server.clone(), "c", "", answer("R1"), None);
        let again = SeatSession::joined(server.clone(), "c", "", answer(""), Some(&first));
        assert_eq!(again.reconnect_code, "R1");
        let other = SeatSession::joined(server, "c", "", answer("R2"), Some(&first));
        assert_eq!(other.reconnect_code, "R2");
    }
}
