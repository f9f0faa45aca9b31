//! The walls around the seats: the rule set in force, the policy it was made of,
//! and whether both still stand.
//!
//! Way: [`Walls::raise`] before any seat, [`Walls::set_egress`] when the control
//! plane says so, [`Walls::learn`] when the resolver answers for an allowed name,
//! [`Walls::guard`] for as long as the agent lives.

pub(super) mod note;
mod watch;

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use chrono::{DateTime, Utc};
use clarateach_domain::egress::Egress;
use tokio::sync::watch::{Receiver, Sender};
use tracing::{error, info, warn};

use super::{
    Network, NetworkError, bridge, drift, learnt::Learnt, nft, rules, rules::RuleSettings,
    shape::Shapes,
};

/// How the walls are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The policy in force; `None` if nobody said one yet: then nothing is let out.
    pub egress: Option<Egress>,
    /// How often something was found changed and was put right.
    pub repairs: u64,
    /// What was last found changed, and when.
    pub last_drift: Option<(String, DateTime<Utc>)>,
    /// Why it could not be put right; empty if all stands.
    pub fault: String,
}

/// What is compared with what should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Bridge, ports, neighbours and kernel switches.
    Links,
    /// The rules too: listing them takes programs of their own.
    Everything,
}

/// The walls of this worker. Clones are the same walls.
#[derive(Debug, Clone)]
pub struct Walls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: RuleSettings,
    /// Where the policy outlives this process.
    note: PathBuf,
    /// What passes the ports, for whoever makes them and for the watch.
    shapes: Shapes,
    built: Mutex<Built>,
    standing: Sender<Standing>,
}

/// What was last applied. Whoever applies holds it.
#[derive(Debug, Default)]
struct Built {
    /// Addresses the resolver gave out for allowed names.
    learnt: Learnt,
    /// What the kernel said stood, right after it was applied.
    rules: String,
}

impl Walls {
    /// Applies the rules, then makes the bridge; repeats are harmless. Blocks.
    ///
    /// # Errors
    ///
    /// When the kernel or `nft` refuses, or the bridge is somebody else's.
    pub fn raise(settings: RuleSettings, note: PathBuf) -> Result<Self, NetworkError> {
        let egress = note::read(&note);
        let learnt = Learnt::noted(note.with_file_name("names"), Instant::now());
        let walls = Self(Arc::new(Inner {
            settings,
            note,
            shapes: Shapes::prepare(),
            built: Mutex::new(Built {
                learnt,
                ..Built::default()
            }),
            standing: Sender::new(Standing {
                egress,
                ..Standing::default()
            }),
        }));
        walls.0.apply(&mut walls.0.built())?;
        bridge::ensure()?;
        Ok(walls)
    }

    /// Walls that stand nowhere, for tests of what does not meet them.
    #[cfg(test)]
    pub(crate) fn of_paper() -> Self {
        Self(Arc::new(Inner {
            settings: RuleSettings {
                uplink: String::new(),
                closed: Vec::new(),
            },
            note: PathBuf::new(),
            shapes: Shapes::default(),
            built: Mutex::default(),
            standing: Sender::default(),
        }))
    }

    /// What machines need of the network that these walls surround.
    pub fn network(&self) -> Network {
        Network {
            shapes: self.0.shapes.clone(),
        }
    }

    /// How they are, now and after every change.
    pub fn standing(&self) -> Receiver<Standing> {
        self.0.standing.subscribe()
    }

    /// What seats may reach, right now.
    pub fn egress(&self) -> Egress {
        self.0.egress()
    }

    /// Puts another policy in force, on disk first. What it closes ends with the
    /// next packet. Blocks.
    ///
    /// # Errors
    ///
    /// When it cannot be noted, or `nft` refuses: then the old one stands.
    pub fn set_egress(&self, egress: &Egress) -> Result<(), NetworkError> {
        let mut built = self.0.built();
        if self.0.standing.borrow().egress.as_ref() == Some(egress) {
            return Ok(());
        }
        let before = self.0.standing.borrow().egress.clone();
        note::write(&self.0.note, Some(egress))?;
        self.put(|standing| standing.egress = Some(egress.clone()));
        if let Err(refused) = self.0.apply(&mut built) {
            // The next agent must not hold to what this one could not.
            note::write(&self.0.note, before.as_ref())?;
            self.put(|standing| standing.egress = before);
            return Err(refused);
        }
        info!(?egress, "egress policy is in force");
        Ok(())
    }

    /// Opens the addresses of an allowed name before a guest hears of them. Where
    /// the policy is no list there is nothing to open. Blocks.
    ///
    /// # Errors
    ///
    /// When `nft` refuses.
    pub fn learn(&self, name: &str, addresses: &[Ipv4Addr]) -> Result<(), NetworkError> {
        // Before it waits for whoever applies: most answers have nothing to open.
        if !matches!(self.egress(), Egress::AllowList(_)) {
            return Ok(());
        }
        let mut built = self.0.built();
        if !matches!(self.egress(), Egress::AllowList(_)) || !self.egress().answers(name) {
            return Ok(()); // changed meanwhile
        }
        let now = Instant::now();
        if built.learnt.is_crowded() {
            built.learnt.keep(&nft::open()?, &self.egress(), now);
            built.learnt.write();
        }
        let stale = built.learnt.learn(name, addresses, now);
        if !stale.is_empty() {
            nft::open_addresses(&stale)?;
            built.learnt.opened(&stale, now);
        }
        Ok(())
    }

    /// Compares all of it with what should be and puts right what is not. True if
    /// all stands. Blocks.
    pub fn look(&self, at: Look) -> bool {
        let mut found = Vec::new();
        let mended = self.0.mend(at, &mut found);
        if !found.is_empty() {
            let drift = found.join("; ");
            warn!(drift, "the seats' network was changed by somebody else");
            if mended.is_ok() {
                self.put(|standing| {
                    standing.repairs += 1;
                    standing.last_drift = Some((drift.clone(), Utc::now()));
                });
                info!("the seats' network is as it must be again");
            }
        }
        let stands = mended.is_ok();
        let fault = mended
            .err()
            .map(|error| format!("{:#}", anyhow::Error::from(error)));
        if let Some(fault) = &fault {
            error!(fault, "the seats' network could not be put right");
        }
        self.put(|standing| standing.fault = fault.unwrap_or_default());
        stands
    }

    fn put(&self, change: impl FnOnce(&mut Standing)) {
        self.0.standing.send_if_modified(|standing| {
            let before = standing.clone();
            change(standing);
            *standing != before
        });
    }
}

impl Inner {
    fn built(&self) -> MutexGuard<'_, Built> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn egress(&self) -> Egress {
        let told = self.standing.borrow().egress.clone();
        told.unwrap_or(Egress::None)
    }

    fn apply(&self, built: &mut Built) -> Result<(), NetworkError> {
        let (now, egress) = (Instant::now(), self.egress());
        let mut learnt = built.learnt.clone();
        // What is rendered anew loses no address that is in use.
        learnt.keep(&nft::open()?, &egress, now);
        nft::apply(&rules::render(&self.settings, &egress, &learnt.open(now)))?;
        learnt.write();
        built.learnt = learnt;
        built.rules = nft::standing()?;
        Ok(())
    }

    fn mend(&self, at: Look, found: &mut Vec<String>) -> Result<(), NetworkError> {
        let mut built = self.built();
        if at == Look::Everything {
            let standing = nft::standing()?;
            if standing != built.rules {
                found.push(nft::difference(&built.rules, &standing));
                self.apply(&mut built)?;
            }
        }
        drift::mend(&self.shapes, found)
    }
}
