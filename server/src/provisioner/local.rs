//! A worker on this box: a network namespace with an uplink, an address of its
//! own and an agent in it. To the control plane it looks like a VM.
//!
//! Way: [`WorkerSpec`] -> allocation row -> namespace, veth, NAT -> agent. The
//! host reaches a worker at its address directly; machines of the local network
//! do not (nothing routes to it), they pass the control plane's gateway.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use async_trait::async_trait;
use clarateach_domain::{ids::WorkerName, microvm::Runtime, plan::Ground};
use tokio::{sync::OwnedMutexGuard, task::spawn_blocking};
use tracing::{info, warn};

use super::{Described, Listed, ProvisionError, Provisioner, WorkerSpec};
use crate::config::FirecrackerArgs;

mod agent;
mod alloc;
mod endings;
mod ground;
mod routes;

use alloc::{Allocation, Allocations, Had};

pub use super::AGENT_PORT;

/// Where allocations of all installations on this host lie.
pub const DEFAULT_ALLOC_DIR: &str = "/run/clarateach/alloc";
/// The network of all local workers; each takes a /30 of it.
pub const DEFAULT_SUBNET: &str = "10.213.0.0";

/// How long a fresh agent may take to hold its lock.
const AGENT_START: Duration = Duration::from_secs(10);
const ZONE: &str = "local";

/// What local workers are made with.
#[derive(Debug, Clone)]
pub struct LocalSettings {
    /// The server's data directory; workers live in `workers/` below it.
    pub data_dir: PathBuf,
    /// The agent's binary.
    pub agent: PathBuf,
    /// Root filesystems and guests, given to the agent.
    pub images: PathBuf,
    /// What agents of the firecracker runtime start MicroVMs with.
    pub firecracker: FirecrackerArgs,
    /// Host-wide allocations; [`DEFAULT_ALLOC_DIR`] except in tests.
    pub alloc_dir: PathBuf,
    /// First address of a /16 for all workers of the host.
    pub subnet: std::net::Ipv4Addr,
    /// The runtimes that agents here can give.
    pub runtimes: Vec<Runtime>,
    /// Origins whose pages may talk to agents.
    pub allowed_origins: Vec<String>,
    /// Resolvers for seats; those of the host when empty.
    pub nameservers: Vec<IpAddr>,
}

/// The provisioner. Cheap to clone; keeps nothing that is not on disk.
#[derive(Clone)]
pub struct Local(Arc<Inner>);

struct Inner {
    settings: LocalSettings,
    /// Names this data directory among others on the host.
    installation: String,
    allocations: Allocations,
    /// One act at a time with each worker, also when nobody waits for it any
    /// more.
    busy: Mutex<HashMap<WorkerName, Arc<tokio::sync::Mutex<()>>>>,
}

impl Local {
    /// Finds or makes the installation's own id under the data directory.
    pub fn open(settings: LocalSettings) -> anyhow::Result<Self> {
        let installation = installation(&settings.data_dir)?;
        let allocations = Allocations::open(&settings.alloc_dir)?;
        Ok(Self(Arc::new(Inner {
            settings,
            installation,
            allocations,
            busy: Mutex::default(),
        })))
    }

    /// Refuses a network that is somebody else's on this host. An installation
    /// whose workers stand in it is told and goes on: a VPN that comes up must
    /// not end a class.
    pub fn check_routes(&self) -> anyhow::Result<()> {
        let subnet = self.0.settings.subnet;
        let foreign = routes::foreign(subnet)?;
        if foreign.is_empty() {
            return Ok(());
        }
        let foreign = foreign.join(", ");
        let mine = self.0.allocations.of(&self.0.installation)?;
        if mine.iter().any(|place| place.subnet == subnet) {
            warn!(%subnet, foreign, "the network of the local workers is in other use here, too");
            return Ok(());
        }
        bail!(
            "the network of local workers, {subnet}/16, is in use on this host ({foreign}): \
             name the first address of a free /16 with --local-subnet"
        )
    }

    /// Removes every worker of this data directory, server or no server.
    pub fn down(&self) -> Result<Vec<WorkerName>, ProvisionError> {
        let names = self.0.list()?;
        for name in &names {
            self.0.delete(name)?;
        }
        Ok(names)
    }
}

/// Ends and removes everything of a data directory; the files of the control
/// plane itself (database, keys) stay for the caller to keep or remove.
pub fn down(data_dir: &Path) -> anyhow::Result<Vec<WorkerName>> {
    down_in(data_dir, Path::new(DEFAULT_ALLOC_DIR))
}

/// [`down`] with another place for allocations.
pub fn down_in(data_dir: &Path, alloc_dir: &Path) -> anyhow::Result<Vec<WorkerName>> {
    let nothing = LocalSettings {
        data_dir: data_dir.to_owned(),
        agent: PathBuf::new(),
        images: PathBuf::new(),
        firecracker: FirecrackerArgs::default(),
        alloc_dir: alloc_dir.to_owned(),
        subnet: std::net::Ipv4Addr::UNSPECIFIED,
        runtimes: vec![],
        allowed_origins: vec![],
        nameservers: vec![],
    };
    if !data_dir.join("installation").exists() {
        return Ok(vec![]);
    }
    Ok(Local::open(nothing)?.down()?)
}

#[async_trait]
impl Provisioner for Local {
    fn runtimes(&self) -> Vec<Runtime> {
        self.0.settings.runtimes.clone()
    }

    async fn ensure(&self, worker: &WorkerSpec) -> Result<(), ProvisionError> {
        let turn = self.0.turn(&worker.name).await;
        let (inner, spec) = (self.0.clone(), worker.clone());
        let prepared = blocking(move || Ok((inner.prepare(&spec)?, turn))).await?;
        let (Some(command), _turn) = prepared else {
            return Ok(()); // its agent runs
        };
        let act = || format!("start the agent of {}", worker.name);
        let pid = agent::start(command, AGENT_START)
            .await
            .map_err(|cause| ProvisionError::new(act(), cause))?;
        info!(worker = %worker.name, pid, "agent started");
        Ok(())
    }

    async fn describe(&self, name: &WorkerName) -> Result<Described, ProvisionError> {
        let (inner, name) = (self.0.clone(), name.clone());
        blocking(move || inner.describe(&name)).await
    }

    async fn evidence(&self, name: &WorkerName) -> Result<String, ProvisionError> {
        let log = self.0.dir(name).join("agent.log");
        // One that was never started wrote none.
        blocking(move || Ok(fs::read_to_string(log).unwrap_or_default())).await
    }

    async fn list(&self) -> Result<Vec<Listed>, ProvisionError> {
        let inner = self.0.clone();
        blocking(move || {
            let made_at = |name: &WorkerName| {
                let dir = inner.dir(name);
                // Half removed it has no index any more.
                let noted = fs::metadata(dir.join(INDEX)).or_else(|_| fs::metadata(&dir));
                Some(noted.and_then(|file| file.modified()).ok()?.into())
            };
            let names = inner.list()?.into_iter();
            Ok(names
                .map(|name| Listed {
                    made_at: made_at(&name),
                    name,
                })
                .collect())
        })
        .await
    }

    async fn stop(&self, name: &WorkerName) -> Result<(), ProvisionError> {
        let turn = self.0.turn(name).await;
        let (inner, name) = (self.0.clone(), name.clone());
        blocking(move || inner.stop(&name).map(|()| drop(turn))).await
    }

    async fn start(&self, worker: &WorkerSpec) -> Result<(), ProvisionError> {
        let marker = self.0.dir(&worker.name).join(STOPPED);
        let act = || format!("start {}", worker.name);
        match fs::remove_file(marker) {
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => {}
            done => done.map_err(|cause| ProvisionError::new(act(), cause))?,
        }
        self.ensure(worker).await
    }

    async fn delete(&self, name: &WorkerName) -> Result<(), ProvisionError> {
        let turn = self.0.turn(name).await;
        let (inner, name) = (self.0.clone(), name.clone());
        blocking(move || inner.delete(&name).map(|()| drop(turn))).await
    }
}

/// A worker that was stopped on purpose has this file.
const STOPPED: &str = "stopped";
/// Which of the host's places it has.
const INDEX: &str = "index";

impl Inner {
    /// Waits until no other act with this worker is under way. The turn goes
    /// along with the work, into its thread.
    async fn turn(&self, name: &WorkerName) -> OwnedMutexGuard<()> {
        let of = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            busy.retain(|_, turn| Arc::strong_count(turn) > 1);
            busy.entry(name.clone()).or_default().clone()
        };
        of.lock_owned().await
    }

    fn dir(&self, name: &WorkerName) -> PathBuf {
        self.settings.data_dir.join("workers").join(name.as_str())
    }

    /// Everything but the agent; its command line if it must be started.
    fn prepare(&self, worker: &WorkerSpec) -> Result<Option<agent::Start>, ProvisionError> {
        self.try_prepare(worker)
            .map_err(|cause| ProvisionError::new(format!("make {}", worker.name), cause))
    }

    fn try_prepare(&self, worker: &WorkerSpec) -> anyhow::Result<Option<agent::Start>> {
        let dir = self.dir(&worker.name);
        if self.find(&worker.name)?.is_some_and(|found| found.ending) {
            self.try_delete(&worker.name)?; // a removal that was cut short
        }
        self.note_images()?;
        // The row first: whatever happens next can be found and removed.
        let place = self
            .allocations
            .claim(&self.had(&worker.name)?, |index| Allocation {
                index,
                installation: self.installation.clone(),
                data_dir: self.settings.data_dir.clone(),
                worker: worker.name.clone(),
                subnet: self.settings.subnet,
                ending: false,
            })?;
        agent::write_files(&dir, worker)?;
        self.note(&place)?;
        {
            let _lock = self.allocations.lock()?;
            // Removed meanwhile, by another process: names without a row would
            // stay for ever.
            let now = self.find(&worker.name)?;
            if now.is_none() {
                // What was written since is nobody's.
                remove_files(&dir).context("could not remove the worker's files")?;
            }
            if now.as_ref() != Some(&place) {
                bail!("the worker is being removed");
            }
            ground::build(&place, &self.settings.alloc_dir)?;
        }
        if agent::lives(&dir)? {
            return Ok(None);
        }
        Ok(Some(agent::Start::new(
            &self.settings,
            &place,
            worker,
            &dir,
        )?))
    }

    /// Which places of the host are whose, by what the workers' folders say: after
    /// a restart of the host nothing else does.
    fn had(&self, name: &WorkerName) -> anyhow::Result<Had> {
        let mut had = Had::default();
        let workers = self.settings.data_dir.join("workers");
        for entry in fs::read_dir(workers).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_name() != *name.as_str() {
                // What cannot be read reserves nothing.
                had.others.extend(noted(&path).ok().flatten());
            } else if let Some(index) = noted(&path)? {
                // Disks hold the uids of their place.
                let seats = fs::read_dir(path.join("run/seats"));
                let disks = seats.is_ok_and(|mut seats| seats.next().is_some());
                had.own = Some((index, disks));
            }
        }
        Ok(had)
    }

    /// Notes beside the images that seats of this data directory start from them,
    /// for whoever removes old ones: `scripts/prune-images.sh`.
    fn note_images(&self) -> anyhow::Result<()> {
        let notes = self.settings.images.join(".installations");
        let file = notes.join(&self.installation);
        let text = format!("{}\n", self.settings.data_dir.display());
        if fs::read_to_string(&file).is_ok_and(|noted| noted == text) {
            return Ok(());
        }
        let noted = fs::create_dir_all(&notes)
            .with_context(|| format!("could not make {}", notes.display()))
            .and_then(|()| alloc::write_whole(&file, text.as_bytes()));
        noted.context("could not note who uses the images")
    }

    /// Keeps the worker's place beside its disks.
    fn note(&self, place: &Allocation) -> anyhow::Result<()> {
        let file = self.dir(&place.worker).join(INDEX);
        let index = place.index.to_string();
        if fs::read_to_string(&file).is_ok_and(|noted| noted == index) {
            return Ok(());
        }
        alloc::write_whole(&file, index.as_bytes())
    }

    fn find(&self, name: &WorkerName) -> anyhow::Result<Option<Allocation>> {
        self.allocations.find(&self.installation, name)
    }

    fn describe(&self, name: &WorkerName) -> Result<Described, ProvisionError> {
        self.try_describe(name)
            .map_err(|cause| ProvisionError::new(format!("look at {name}"), cause))
    }

    fn try_describe(&self, name: &WorkerName) -> anyhow::Result<Described> {
        let dir = self.dir(name);
        let Some(place) = self.find(name)? else {
            let mut left = Described::missing(ZONE);
            if dir.exists() {
                left.ground = Ground::Broken; // the host restarted: its disk is there
            }
            return Ok(left);
        };
        let stopped = dir.join(STOPPED).exists();
        let alive = agent::lives(&dir)?;
        let whole = alive && !place.ending && ground::stands(&place);
        if alive {
            agent::bound_log(&dir)?;
        }
        Ok(Described {
            ground: match (stopped, alive, whole) {
                (true, false, _) => Ground::Stopped,
                (true, true, _) => Ground::Stopping,
                (false, _, true) => Ground::Up,
                (false, _, false) => Ground::Broken,
            },
            address: Some(SocketAddr::new(place.address().into(), AGENT_PORT)),
            also: vec![],
            zone: ZONE.to_owned(),
            enrol_dir: Some(dir.join("enrol")),
            vm: None,
            ending: None,
        })
    }

    fn list(&self) -> Result<Vec<WorkerName>, ProvisionError> {
        let act = || "list the workers of this box";
        let mut names: Vec<_> = self
            .allocations
            .of(&self.installation)
            .map_err(|cause| ProvisionError::new(act(), cause))?
            .into_iter()
            .map(|place| place.worker)
            .collect();
        // Those whose allocation a restart of the host took.
        let dirs = fs::read_dir(self.settings.data_dir.join("workers"));
        for entry in dirs.into_iter().flatten().flatten() {
            if let Ok(name) = entry.file_name().to_string_lossy().parse() {
                names.push(name);
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn stop(&self, name: &WorkerName) -> Result<(), ProvisionError> {
        let stop = || -> anyhow::Result<()> {
            let Some(place) = self.find(name)? else {
                return Ok(());
            };
            fs::write(self.dir(name).join(STOPPED), "").context("could not note the stop")?;
            endings::end_processes(&place, &self.dir(name))
        };
        stop().map_err(|cause| ProvisionError::new(format!("stop {name}"), cause))
    }

    fn delete(&self, name: &WorkerName) -> Result<(), ProvisionError> {
        self.try_delete(name)
            .map_err(|cause| ProvisionError::new(format!("remove {name}"), cause))
    }

    fn try_delete(&self, name: &WorkerName) -> anyhow::Result<()> {
        let dir = self.dir(name);
        let place = self.find(name)?;
        if let Some(place) = &place {
            self.allocations.save(&Allocation {
                ending: true,
                ..place.clone()
            })?;
            endings::end_processes(place, &dir)?;
            endings::remove_cgroups(place)?;
        }
        endings::release_loops(&dir)?;
        remove_files(&dir).context("could not remove the worker's files")?;
        if let Some(place) = place {
            let _lock = self.allocations.lock()?;
            ground::clear(&place)?;
            // The row last: until here a repeat finds everything.
            if self.allocations.remove(&place)? {
                ground::clear_host(&self.settings.alloc_dir)?;
            }
            info!(worker = %name, index = place.index, "worker removed");
        }
        Ok(())
    }
}

/// The index that a worker's folder notes.
fn noted(dir: &Path) -> anyhow::Result<Option<u32>> {
    let file = dir.join(INDEX);
    let text = match fs::read_to_string(&file) {
        Err(none) if none.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("could not read {}", file.display()))?,
    };
    let index = text.trim().parse();
    Ok(Some(index.with_context(|| {
        format!("{} is damaged", file.display())
    })?))
}

/// Removes a folder and all in it. Somebody who is just being ended may still
/// have written a last file into it: then once more, for at most a second.
fn remove_files(dir: &Path) -> std::io::Result<()> {
    use std::io::ErrorKind::{DirectoryNotEmpty, NotFound};
    for _ in 0..20 {
        match fs::remove_dir_all(dir) {
            Err(cause) if cause.kind() == NotFound => return Ok(()),
            Err(cause) if cause.kind() == DirectoryNotEmpty => {
                std::thread::sleep(Duration::from_millis(50));
            }
            done => return done,
        }
    }
    fs::remove_dir_all(dir)
}

/// Runs file and kernel work where it may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProvisionError> + Send + 'static,
) -> Result<T, ProvisionError> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|cause| Err(ProvisionError::new("finish the work on a worker", cause)))
}

/// The id of a data directory: made once, random.
pub(crate) fn installation(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join("installation");
    match fs::read_to_string(&path) {
        Ok(id) if id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()) => Ok(id),
        Ok(_) => anyhow::bail!("{} is damaged", path.display()),
        Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
            let id = format!("{:016x}", rand::random::<u64>());
            let mine = path.with_extension(format!("of-{}", std::process::id()));
            alloc::write_whole(&mine, id.as_bytes())?;
            // Another control plane may begin in the same folder: the first one's counts.
            let linked = fs::hard_link(&mine, &path);
            let _ = fs::remove_file(&mine);
            match linked {
                Err(cause) if cause.kind() == std::io::ErrorKind::AlreadyExists => {
                    installation(data_dir)
                }
                done => done
                    .map(|()| id)
                    .with_context(|| format!("could not write {}", path.display())),
            }
        }
        Err(cause) => Err(cause).with_context(|| format!("could not read {}", path.display())),
    }
}

#[cfg(test)]
mod tests;
