//! Where the policy in force outlives the agent that was told it.

use std::{fs, io, path::Path};

use clarateach_domain::egress::Egress;
use tracing::warn;

use super::super::NetworkError;
use crate::rundir::{gone, replace};

/// What the next agent begins with.
pub(super) fn write(note: &Path, egress: Option<&Egress>) -> Result<(), NetworkError> {
    let written = match egress {
        Some(egress) => serde_json::to_vec(egress)
            .map_err(io::Error::from)
            .and_then(|text| replace(note, &text, true)),
        None => gone(fs::remove_file(note)),
    };
    written.map_err(|cause| NetworkError::Note {
        path: note.to_owned(),
        cause,
    })
}

/// The policy an earlier agent was told. One that cannot be read counts as none:
/// nothing is let out until the control plane says it again.
pub(in super::super) fn read(note: &Path) -> Option<Egress> {
    let text = match fs::read(note) {
        Err(none) if none.kind() == io::ErrorKind::NotFound => return None,
        text => text,
    };
    let read = text.and_then(|text| Ok(serde_json::from_slice(&text)?));
    read.inspect_err(
        |cause| warn!(%cause, note = %note.display(), "the noted egress policy cannot be read"),
    )
    .ok()
}
