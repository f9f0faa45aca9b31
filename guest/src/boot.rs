//! The first moments of PID 1, and the moment it learns whose machine it is.
//!
//! A container's agent has made mounts and network already; under Firecracker
//! there is only a kernel and no seat yet: what belongs to one comes with
//! [`take_seat`]. Afterwards both are the same machine.

mod firecracker;
pub(crate) mod identity;
mod network;
mod warm;

use std::{fs, net::SocketAddr, time::Instant};

use anyhow::Context as _;
use clarateach_proto::guest::Interface;
use rustix::{fs::Mode, process::umask};
use tracing::{debug, warn};

use crate::{
    config::{Config, Runtime, Template},
    learner, sys,
};

/// Makes the machine one that can wait for its seat, before there is a second
/// thread.
pub(crate) fn boot(config: &Config) -> anyhow::Result<()> {
    // What the guest makes is readable, and writable by its owner alone.
    umask(Mode::from_raw_mode(0o022));
    match config.runtime {
        Runtime::Firecracker => {
            firecracker::mount_base(config.template.is_some())?;
            network::set_switches()?;
            match config.template {
                Some(Template::AnyDisk) => Ok(()),
                Some(Template::OwnDisk) => {
                    firecracker::enter_seat_disk()?;
                    make_folders(config)?;
                    identity::make_room().context("could not make the files of an identity")
                }
                None => {
                    // Its own disk is there already. What fails here fails again when
                    // the agent asks, which hears why.
                    let entered = firecracker::enter_seat_disk();
                    if let Err(cause) = entered.and_then(|_| make_folders(config)) {
                        warn!(cause = format!("{cause:#}"), "seat's disk was not entered");
                    }
                    Ok(())
                }
            }
        }
        Runtime::Container | Runtime::Process => make_folders(config),
    }
}

/// Gives a MicroVM, booted or restored, what is its own: randomness first,
/// then disk and network. Called at every `Configure`; a repeat changes nothing
/// but the randomness.
pub(crate) fn take_seat(
    config: &Config,
    interface: Option<&Interface>,
    entropy: &[u8],
) -> anyhow::Result<()> {
    if config.runtime != Runtime::Firecracker {
        return Ok(());
    }
    let began = Instant::now();
    if !entropy.is_empty() {
        sys::add_entropy(entropy).context("could not take the host's randomness")?;
    }
    let random = began.elapsed();
    if firecracker::enter_seat_disk()? {
        make_folders(config)?;
    }
    identity::renew_machine_id().context("could not write /etc/machine-id")?;
    let entered = began.elapsed();
    if let Some(interface) = interface {
        network::bring_up(interface)?;
    }
    debug!(?random, ?entered, took = ?began.elapsed(), "seat taken");
    Ok(())
}

/// A machine that others are restored from does once what each of them does first:
/// its code is then in the memory that they share.
pub(crate) async fn warm_up(config: &Config, ports: [SocketAddr; 2]) {
    if config.template.is_some() {
        warm::up(ports).await;
    }
}

fn make_folders(config: &Config) -> anyhow::Result<()> {
    fs::create_dir_all(&config.home)
        .with_context(|| format!("could not make {}", config.home.display()))?;
    learner::make_folder(config, &config.workspace())
        .with_context(|| format!("could not make {}", config.workspace().display()))
}
