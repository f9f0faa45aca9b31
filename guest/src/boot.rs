//! The first moments of PID 1, before there is a second thread.
//!
//! A container's agent has made mounts and network already; under Firecracker
//! there is only a kernel. Afterwards both are the same machine.

mod firecracker;
pub(crate) mod identity;

use std::fs;

use anyhow::Context as _;
use rustix::{fs::Mode, process::umask};

use crate::{
    config::{Config, Runtime},
    learner,
};

/// Makes the machine one in which a learner can work.
pub(crate) fn boot(config: &Config) -> anyhow::Result<()> {
    // What the guest makes is readable, and writable by its owner alone.
    umask(Mode::from_raw_mode(0o022));
    match config.runtime {
        Runtime::Firecracker => firecracker::mount_everything()?,
        Runtime::Container | Runtime::Process => {}
    }
    fs::create_dir_all(&config.home)
        .with_context(|| format!("could not make {}", config.home.display()))?;
    learner::make_folder(config, &config.workspace())
        .with_context(|| format!("could not make {}", config.workspace().display()))
}
