//! A join that has no answer yet: its request id, kept until there is one.
//!
//! The server gives the same id the same answer, so that an answer that was lost
//! costs no second seat, whichever run of the program asks again. Way: `join` ->
//! [`Asking::begin`] -> the server's answer -> [`Asking::end`].

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::{api::ControlPlane, failure::Failure, places};

/// What is asked, and under which id. Whoever knows the id gets the seat, so it
/// lies beside the seat itself, for its owner only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asking {
    server: ControlPlane,
    code: String,
    name: String,
    reconnect_code: String,
    pub(crate) request_id: String,
}

impl Asking {
    /// The id of the same question without an answer, or else a fresh one, on
    /// disk before it is used.
    pub(crate) fn begin(
        seat: &str,
        server: &ControlPlane,
        code: &str,
        name: &str,
        reconnect_code: &str,
    ) -> Result<Self, Failure> {
        let file = file(seat)?;
        let fresh = Self {
            server: server.clone(),
            code: code.to_owned(),
            name: name.to_owned(),
            reconnect_code: reconnect_code.to_owned(),
            request_id: fresh_id(),
        };
        if let Some(before) = load(&file) {
            let same = Self {
                request_id: before.request_id.clone(),
                ..fresh.clone()
            };
            if before == same {
                return Ok(before);
            }
        }
        let failed =
            |error: io::Error| Failure::fault(format!("could not write {}", file.display()), error);
        let text = serde_json::to_vec_pretty(&fresh).map_err(|error| failed(error.into()))?;
        places::keep(&file, &text).map_err(failed)?;
        Ok(fresh)
    }

    /// It was answered.
    pub(crate) fn end(seat: &str) -> Result<(), Failure> {
        let file = file(seat)?;
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::fault(
                format!("could not remove {}", file.display()),
                error,
            )),
            _ => Ok(()),
        }
    }
}

/// An id that nobody guesses.
pub(crate) fn fresh_id() -> String {
    let mut random = [0_u8; 16];
    rand::rng().fill(&mut random);
    format!("{:032x}", u128::from_be_bytes(random))
}

/// What cannot be read, or was read by others, is of no use: a fresh id is.
fn load(file: &Path) -> Option<Asking> {
    let mode = fs::metadata(file).ok()?.mode();
    if mode & 0o077 != 0 {
        return None;
    }
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

fn file(seat: &str) -> Result<PathBuf, Failure> {
    Ok(places::seats()?.join(format!("{seat}.asking")))
}
