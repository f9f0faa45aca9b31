//! The guest in Linux namespaces by an OCI runtime (`runc`): for laptops and CI
//! without KVM, with the same guest and root filesystem.
//!
//! Way of a boot: port -> disk -> scene -> `config.json` -> `runc run` -> the
//! scene and the port are let go, the container holds them. The guest's
//! processes are nobody's children: an agent that dies takes nobody with it.

mod config;
mod program;
mod seccomp;
mod stage;

use std::{
    ffi::{CStr, CString},
    fs::{self, File, OpenOptions},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _, net::UnixListener},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use async_trait::async_trait;
use clarateach_domain::{
    ids::Slot,
    limits::Limits,
    microvm::{MicroVmSpec, Resources},
};
use rustix::fs::FlockOperation;
use serde::Deserialize;
use tokio::task::spawn_blocking;
use tracing::{debug, warn};

use super::{
    Disk, Machine, ProcessName, Runtime,
    cgroups::{self, Cgroups},
    disk, images, limits, log,
    machine::kill,
    throttle,
};
use crate::{
    control::{Control, short_path},
    network::Network,
    rundir::{RunDir, SeatDir, gone, replace},
    sys::{self, Ending},
};

/// Longest wait for processes, cgroups and disks to be gone after a kill.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// Longest `runc run`: hundreds of times what it takes. One that hangs would
/// hold its seat and a turn in the queue for ever.
const RUNC_WITHIN: Duration = Duration::from_secs(30);

/// `runc` lives for a twentieth of a second: collecting garbage and spreading
/// over processors would cost it more than they bring.
const RUNC_ENVIRONMENT: [&CStr; 3] = [
    c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    c"GOGC=off",
    c"GOMAXPROCS=1",
];

/// The container runtime of one worker.
#[derive(Debug, Clone)]
pub struct ContainerRuntime {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    run: RunDir,
    images: PathBuf,
    uid_base: u32,
    cgroup: String,
    network: Network,
    stage: stage::Stage,
    counts_swap: bool,
    cgroups: Option<Cgroups>,
    open_files: u64,
    runc: program::Runc,
    /// One maker of template disks at a time.
    templates: Mutex<()>,
}

impl ContainerRuntime {
    /// Checks what it needs and prepares what all seats share. Blocks.
    pub fn prepare(
        run: RunDir,
        images: &Path,
        uid_base: u32,
        cgroup: &str,
        network: Network,
    ) -> anyhow::Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "the container runtime needs root"
        );
        let images = images
            .canonicalize()
            .with_context(|| format!("could not find the images in {}", images.display()))?;
        let cgroup = cgroup.trim_matches('/').to_owned();
        ensure!(
            !cgroup.is_empty()
                && cgroup
                    .split('/')
                    .all(|part| !matches!(part, "" | "." | "..")),
            "the seats' cgroup must have a plain name"
        );
        let stage = stage::Stage::prepare(&[run.path(), &images])?;
        let inner = Inner {
            run,
            images,
            uid_base,
            cgroup,
            network,
            stage,
            counts_swap: cgroups::counts_swap(),
            cgroups: Cgroups::of_this_host().ok(),
            open_files: open_files(),
            runc: program::Runc::find()?,
            templates: Mutex::new(()),
        };
        inner.template(Resources::DEFAULT.disk_mib)?;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}

#[async_trait]
impl Runtime for ContainerRuntime {
    async fn boot(&self, spec: &MicroVmSpec, disk: Disk) -> anyhow::Result<Machine> {
        let inner = Arc::clone(&self.inner);
        let spec = spec.clone();
        let slot = spec.slot;
        let process = spawn_blocking(move || {
            inner.boot(&spec, disk).inspect_err(|_| {
                if let Err(error) = inner.halt(slot, Disk::Keep) {
                    warn!(%slot, error = format!("{error:#}"), "half-made container was not removed");
                }
            })
        })
        .await
        .context("the boot was aborted")??;
        self.machine(slot, process)
    }

    async fn connect(&self, _slot: Slot) -> anyhow::Result<()> {
        // The port is up before the container is: its network is not the guest's.
        Ok(())
    }

    async fn adopt(&self, slot: Slot) -> anyhow::Result<Option<Machine>> {
        let inner = Arc::clone(&self.inner);
        let process = spawn_blocking(move || {
            let seat = inner.run.seat(slot);
            let _no_boot = wait_for_boot(&seat)?;
            let running = inner.running(slot)?;
            if running.is_some() {
                limits::take_over(&inner.network, slot, seat.spec());
            }
            anyhow::Ok(running)
        })
        .await??;
        process
            .map(|process| self.machine(slot, process))
            .transpose()
    }

    fn patience(&self) -> Duration {
        Duration::from_mins(1)
    }

    async fn probe(&self, _slot: Slot, _within: Duration) -> anyhow::Result<()> {
        // Nothing carries a container but the kernel.
        Ok(())
    }

    async fn list(&self) -> anyhow::Result<Vec<Slot>> {
        let inner = Arc::clone(&self.inner);
        spawn_blocking(move || inner.list()).await?
    }

    async fn halt(&self, slot: Slot, disk: Disk) -> anyhow::Result<()> {
        let inner = Arc::clone(&self.inner);
        spawn_blocking(move || inner.halt(slot, disk)).await?
    }

    async fn log(&self, slot: Slot) -> anyhow::Result<String> {
        let seat = self.inner.run.seat(slot);
        let tail = spawn_blocking(move || log::tail(seat.path())).await?;
        tail.context("could not read the guest's log")
    }
}

impl ContainerRuntime {
    fn machine(&self, slot: Slot, process: OwnedFd) -> anyhow::Result<Machine> {
        let seat = self.inner.run.seat(slot);
        log::follow(seat.path()).context("could not follow the guest's log")?;
        let control = Control::at(&seat.file("control.sock"));
        Machine::new(process, control).context("could not watch the guest's process")
    }
}

/// What a container is made on.
struct Ground<'a> {
    image: &'a images::Image,
    scene: &'a stage::Scene,
    /// The seat's network namespace.
    network: &'a str,
    first_id: u32,
    allowed: Limits,
}

/// `runc` ended by itself without a container.
#[derive(Debug, thiserror::Error)]
#[error("runc failed: {0}")]
struct RuncFailed(String);

/// What of the OCI runtime's own record matters here.
#[derive(Debug, Deserialize)]
struct State {
    init_process_pid: i32,
    init_process_start: u64,
}

impl Inner {
    fn name(slot: Slot) -> String {
        format!("s{slot}")
    }

    fn cgroup(&self, slot: Slot) -> String {
        format!("{}/{}", self.cgroup, Self::name(slot))
    }

    fn first_id(&self, slot: Slot) -> anyhow::Result<u32> {
        u32::from(slot)
            .checked_mul(stage::IDS)
            .and_then(|offset| offset.checked_add(self.uid_base))
            .filter(|first| first.checked_add(stage::IDS).is_some())
            .context("the slot's ids would not fit into 32 bits")
    }

    fn template(&self, mib: u32) -> anyhow::Result<PathBuf> {
        let _one = self
            .templates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        disk::template(self.run.path(), mib)
    }

    /// The whole recipe. What it holds is let go in any case; what it leaves in
    /// the kernel after an error is `halt`'s to remove.
    fn boot(&self, spec: &MicroVmSpec, disk: Disk) -> anyhow::Result<OwnedFd> {
        let began = Instant::now();
        let seat = self.run.seat(spec.slot);
        let first_id = self.first_id(spec.slot)?;
        let allowed = limits::of(spec);
        let port = self.network.open_port(spec.slot, allowed.network_mbits)?;
        let ported = began.elapsed();
        let image = self.disk(&seat, spec, disk)?;
        let copied = began.elapsed();
        let scene = self
            .stage
            .set(spec.slot, &image.rootfs, &seat.file("disk.img"), first_id)?;
        let staged = began.elapsed();
        let ground = Ground {
            image: &image,
            scene: &scene,
            network: &port.path(),
            first_id,
            allowed,
        };
        let bundle = self.bundle(&seat, spec, &ground)?;
        let pid = self.start_container(&seat, spec.slot, &bundle)?;
        let process = ProcessName::of(pid)
            .context("the guest ended at once")?
            .open()
            .context("could not hold the guest's process")?
            .context("the guest ended at once")?;
        port.keep();
        debug!(
            slot = %spec.slot, ?ported, ?copied, ?staged, took = ?began.elapsed(),
            "container started"
        );
        Ok(process)
    }

    /// The seat's disk, new or kept, and the image it goes with.
    fn disk(
        &self,
        seat: &SeatDir,
        spec: &MicroVmSpec,
        disk: Disk,
    ) -> anyhow::Result<images::Image> {
        let file = seat.file("disk.img");
        let named = seat.file("rootfs");
        let kept = match fs::read_to_string(&named) {
            Ok(name) if disk == Disk::Keep && file.exists() => Some(name),
            // Without a name the disk was never used: the name is written last.
            Ok(_) => None,
            Err(none) if none.kind() == std::io::ErrorKind::NotFound => None,
            Err(_) if disk == Disk::Discard => None,
            Err(cause) => bail!("could not read the image's name of a disk, kept: {cause}"),
        };
        let image = images::choose(&self.images, kept.as_deref().map(str::trim))
            .context("could not choose an image")?;
        if kept.is_some() {
            disk::wait_until_free(&file, GONE_WITHIN)?;
            return Ok(image);
        }
        gone(fs::remove_file(&named)).context("could not forget the old disk")?;
        gone(fs::remove_file(&file)).context("could not remove the old disk")?;
        disk::copy(&self.template(spec.resources.disk_mib)?, &file)?;
        replace(&named, image.rootfs_name.as_bytes(), true)
            .context("could not write the image's name")?;
        Ok(image)
    }

    fn bundle(
        &self,
        seat: &SeatDir,
        spec: &MicroVmSpec,
        ground: &Ground<'_>,
    ) -> anyhow::Result<PathBuf> {
        let bundle = seat.file("bundle");
        fs::create_dir_all(&bundle).context("could not make the bundle")?;
        let block_io = match self.cgroups {
            Some(version) => throttle::block_io(version, seat.path(), ground.allowed)
                .context("could not find the disk's device")?,
            None => None,
        };
        let config = config::render(&config::Parts {
            spec,
            allowed: ground.allowed,
            block_io,
            root: text(&ground.scene.root())?,
            guest: text(&ground.image.guest)?,
            network: ground.network,
            cgroup: &self.cgroup(spec.slot),
            first_id: ground.first_id,
            counts_swap: self.counts_swap,
            open_files: self.open_files,
        });
        fs::write(bundle.join("config.json"), config.to_string())
            .context("could not write the bundle")?;
        Ok(bundle)
    }

    /// Has the container started and says the number of its first process. Once
    /// more at once if `runc` fails: under load it does about once in 600 starts,
    /// for no reason that lasts.
    fn start_container(&self, seat: &SeatDir, slot: Slot, bundle: &Path) -> anyhow::Result<i32> {
        match self.run_container(seat, slot, bundle) {
            Err(error) if error.is::<RuncFailed>() => {
                warn!(%slot, %error, "container is started once more");
                self.run_container(seat, slot, bundle)
            }
            done => done,
        }
    }

    /// One `runc run`. After one that gave no container nothing of it is left.
    fn run_container(&self, seat: &SeatDir, slot: Slot, bundle: &Path) -> anyhow::Result<i32> {
        let listener = listen(&seat.file("control.sock"))?;
        let print = log::open(seat.path()).context("could not make the guest's log pipe")?;
        let (pid_file, complaints) = (seat.file("pid"), seat.file("runc.log"));
        for stale in [&pid_file, &complaints] {
            gone(fs::remove_file(stale)).context("could not clear the seat's folder")?;
        }
        let arguments = [
            c"runc".to_owned(),
            c"--root".to_owned(),
            c_text(&self.run.runc())?,
            c"--log-format".to_owned(),
            c"json".to_owned(),
            c"--log".to_owned(),
            c_text(&complaints)?,
            c"run".to_owned(),
            c"--detach".to_owned(),
            c"--preserve-fds".to_owned(),
            c"1".to_owned(),
            c"--pid-file".to_owned(),
            c_text(&pid_file)?,
            c"--bundle".to_owned(),
            c_text(bundle)?,
            CString::new(Self::name(slot)).context("a slot's name holds no zero")?,
        ];
        let arguments: Vec<&CStr> = arguments.iter().map(CString::as_c_str).collect();
        let null = File::open("/dev/null").context("could not open /dev/null")?;
        let lock = lock(seat)?;
        let files = [
            null.as_fd(),
            print.as_fd(),
            print.as_fd(),
            listener.as_fd(),
            lock.as_fd(), // 4: with runc until the guest runs, and no further
        ];
        let ended = sys::run(
            self.runc.path(),
            &arguments,
            &RUNC_ENVIRONMENT,
            &files,
            RUNC_WITHIN,
        )
        .context("could not run runc")?;
        if ended != Ending::Well {
            // What it started may hold the seat's lock and the container's name.
            self.end_container(slot)
                .context("could not clear up after a runc that failed")?;
        }
        match ended {
            Ending::Well => {}
            Ending::Badly => return Err(RuncFailed(last_complaint(&complaints)).into()),
            Ending::Late => bail!(
                "could not run runc: it did not end within {RUNC_WITHIN:?} and was killed: {}",
                last_complaint(&complaints)
            ),
        }
        let pid = fs::read_to_string(&pid_file).context("could not read the guest's pid")?;
        pid.trim().parse().context("runc wrote no pid")
    }

    /// The first process of the slot's container, if it lives.
    fn running(&self, slot: Slot) -> anyhow::Result<Option<OwnedFd>> {
        let state = self.run.runc().join(Self::name(slot)).join("state.json");
        let Ok(state) = File::open(state) else {
            return Ok(None);
        };
        let Ok(state) = serde_json::from_reader::<_, State>(std::io::BufReader::new(state)) else {
            return Ok(None); // half written: the boot was cut off
        };
        let process = ProcessName {
            pid: state.init_process_pid,
            started: state.init_process_start,
        };
        process.open().context("could not hold the guest's process")
    }

    /// Ends and removes in the order that lets each be removed: processes hold
    /// cgroups, mounts, the port's namespace and through those the disk.
    fn halt(&self, slot: Slot, disk: Disk) -> anyhow::Result<()> {
        let seat = self.run.seat(slot);
        let _no_boot = wait_for_boot(&seat)?;
        self.end_container(slot)?;
        self.network.close_port(slot)?;
        let file = seat.file("disk.img");
        disk::wait_until_free(&file, GONE_WITHIN)?;
        if disk == Disk::Discard {
            gone(fs::remove_file(&file)).context("could not remove the seat's disk")?;
            gone(fs::remove_file(seat.file("rootfs"))).context("could not remove its name")?;
        }
        gone(fs::remove_dir_all(seat.file("bundle"))).context("could not remove the bundle")?;
        gone(fs::remove_file(seat.file("control.sock"))).context("could not remove the socket")?;
        Ok(())
    }

    /// Ends all that runs of the slot's container and forgets it.
    fn end_container(&self, slot: Slot) -> anyhow::Result<()> {
        if let Some(process) = self.running(slot)? {
            kill(&process, GONE_WITHIN).context("could not kill the guest")?;
        }
        cgroups::remove(&self.cgroup(slot), GONE_WITHIN)?;
        gone(fs::remove_dir_all(self.run.runc().join(Self::name(slot))))
            .context("could not remove runc's record")
    }

    fn list(&self) -> anyhow::Result<Vec<Slot>> {
        let mut slots = Network::ports()?;
        slots.extend(
            self.run
                .slots()
                .context("could not list the seats' folders")?,
        );
        let mut names = cgroups::below(&self.cgroup).context("could not list the cgroups")?;
        for entry in fs::read_dir(self.run.runc()).context("could not list runc's records")? {
            names.extend(entry?.file_name().into_string());
        }
        let numbers = names
            .iter()
            .filter_map(|name| name.strip_prefix('s')?.parse::<u32>().ok());
        slots.extend(numbers.filter_map(|number| Slot::try_from(number).ok()));
        Ok(slots.into_iter().collect())
    }
}

/// A listening socket whose path stays on the host: the guest gets the socket
/// itself, so that its root cannot put another in its place.
fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    gone(fs::remove_file(path)).context("could not remove the old control socket")?;
    let (_directory, short) = short_path(path).context("could not open the seat's folder")?;
    UnixListener::bind(short).context("could not make the control socket")
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str()
        .with_context(|| format!("{} is not UTF-8", path.display()))
}

/// Marks a boot under way, for as long as `runc` runs: it inherits the lock, so
/// that an agent that comes after one that died does not meet a container half
/// made by an orphan.
fn lock(seat: &SeatDir) -> anyhow::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(seat.file("boot.lock"))
        .context("could not open the seat's lock")?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
        .context("the seat is being booted already")?;
    Ok(file)
}

/// Waits until no `runc` of an earlier agent is at work on the seat.
fn wait_for_boot(seat: &SeatDir) -> anyhow::Result<Option<File>> {
    if !seat.file("boot.lock").exists() {
        return Ok(None);
    }
    let until = Instant::now() + GONE_WITHIN;
    loop {
        match lock(seat) {
            Ok(lock) => return Ok(Some(lock)),
            Err(error) if Instant::now() >= until => return Err(error),
            Err(_busy) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn c_text(path: &Path) -> anyhow::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).context("a path holds no zero")
}

/// How many files this process may have open at most, and so a seat's.
fn open_files() -> u64 {
    let own = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    own.map_or(config::OPEN_FILES, |own| own.min(config::OPEN_FILES))
}

/// The last message in runc's own log.
fn last_complaint(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let message = text.lines().rev().find_map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(line.get("msg")?.as_str()?.to_owned())
    });
    message.unwrap_or_else(|| "it said nothing".to_owned())
}
