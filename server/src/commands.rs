//! What the program does when it is told to: serve, take down, let an operator
//! in.
//!
//! Way of `serve`: settings -> data directory (locked, shared where control planes share a
//! database) -> store -> loop and doors
//! -> a signal -> doors drain, then the loop, then the store closes. Workers
//! and learners' shells outlive all of it.

use std::{
    fs::{self, File, TryLockError},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use async_trait::async_trait;
use clarateach_certs::{ca::Dialler, key::Key};
use clarateach_domain::{cost::HourlyPrice, ids::WorkerName};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    agents::Agents,
    api::{self, Api, Hub, Settings},
    browsers,
    config::{
        BrowserArgs, CheckArgs, DataArgs, DownArgs, FirecrackerArgs, OperatorCertArgs,
        ProvisionerKind, ServeArgs,
    },
    crash::CrashAt,
    gateway::{self, Gateway},
    provisioner::{
        Notes, Provisioner,
        gcp::{Gcp, GcpSettings},
        local::{self, Local, LocalSettings},
    },
    reconciler::{Reconciler, Wake},
    serve::{self as port, Doors, Reach},
    store::{
        Event, Store, StoreError, limits::Limits, sealing::MasterKey, sealing::write_secret_file,
    },
};

/// How often old request ids and deleted workshops are forgotten.
const HOUSEKEEPING: Duration = Duration::from_hours(1);
/// The life of an operator's certificate.
const OPERATOR: Duration = Duration::from_hours(1);
/// Files of the data directory that `down` removes; whatever else is there is
/// not ours.
const OURS: [&str; 8] = [
    "clarateach.db",
    "clarateach.db-wal",
    "clarateach.db-shm",
    "master.key",
    "admin.token",
    "installation",
    "server.pid",
    "server.lock",
];

/// Runs the control plane until SIGTERM or Ctrl-C.
pub async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    args.check()?;
    let crash = CrashAt::parse(args.crash_at.as_deref()).map_err(anyhow::Error::msg)?;
    let _lock = prepare(&args.data)?;
    // Told before anything starts, so that none is missed.
    let stop = told_to_stop()?;
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(port::acceptor(certificate, key)?),
        _ => None,
    };
    let store = open(&args.data).await?;
    store
        .ensure_admin(&args.data.admin_token(), api::now())
        .await?;

    let wake = Wake::default();
    let provisioner = provisioner(&args, &store, crash.clone()).await?;
    let settings = settings(&args, provisioner.as_ref());
    let mut origins = args.allowed_origins.clone();
    origins.extend(args.public_url.clone());
    let agents = Agents::new(wake.clone()).telling(browsers_told(&args.browsers, &origins)?);
    let reconciler = Reconciler::new(
        store.clone(),
        provisioner,
        agents.clone(),
        wake.clone(),
        crash,
    )
    .with_sweep(args.sweep.into());
    let rest = CancellationToken::new();
    let looping = tokio::spawn(reconciler.run(rest.clone()));
    let keeping = tokio::spawn(keep_house(store.clone(), rest.clone()));
    let listening = tokio::spawn(store.clone().listen(rest.clone()));

    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("could not listen on {}", args.listen))?;
    let address = listener
        .local_addr()
        .context("could not read the address")?;
    let gateway = Gateway::new(store.clone(), origins.clone(), stop.clone());
    let hub = Hub::new(store.clone(), stop.clone());
    let doors = Doors {
        api: Api::new(store.clone(), agents, settings, wake, hub),
        store: store.clone(),
        gateway: gateway::router(gateway.clone()),
        reach: Reach {
            public_url: args.public_url.clone(),
            trusted_proxy: args.trusted_proxy,
            fallback_host: address.to_string(),
            allowed_origins: origins,
            workers: args.browsers.worker_domain.clone().map(Arc::new),
        },
    };
    let (router, health) = port::router(doors).await?;
    info!(%address, tls = tls.is_some(), data = %args.data.data_dir.display(), "serving");

    let drained = {
        let (gateway, stop) = (gateway.clone(), stop.clone());
        async move {
            stop.cancelled().await;
            health
                .set_service_status("", tonic_health::ServingStatus::NotServing)
                .await;
            gateway.drained().await;
        }
    };
    tokio::join!(
        port::serve(listener, tls, router, args.trusted_proxy, stop),
        drained
    );
    rest.cancel();
    let _ = looping.await;
    let _ = keeping.await;
    let _ = listening.await;
    say_what_runs(&store).await;
    store.close().await?;
    Ok(())
}

/// What agents are told of browsers.
fn browsers_told(args: &BrowserArgs, origins: &[String]) -> anyhow::Result<browsers::Told> {
    match (
        &args.worker_domain,
        &args.worker_tls_cert,
        &args.worker_tls_key,
    ) {
        (Some(domain), Some(certificate), Some(key)) => {
            browsers::access(domain, certificate, key, origins)
        }
        _ => Ok(browsers::nobody()),
    }
}

/// SIGTERM and SIGINT as one token.
fn told_to_stop() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut term = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("could not listen for SIGINT")?;
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        info!("told to stop; draining");
        told.cancel();
    });
    Ok(stop)
}

/// The data directory, made if it is missing, and its lock: one server's, unless the
/// database is made for several.
fn prepare(data: &DataArgs) -> anyhow::Result<File> {
    let dir = &data.data_dir;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("could not make {}", dir.display()))?;
    lock(&data.lock(), data.database.is_some())
}

fn lock(path: &Path, shared: bool) -> anyhow::Result<File> {
    let file = File::create(path).with_context(|| format!("could not open {}", path.display()))?;
    let locked = if shared {
        file.try_lock_shared()
    } else {
        file.try_lock()
    };
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another clarateach-server runs on this data directory ({} is locked)",
            path.display()
        ),
        Err(TryLockError::Error(cause)) => {
            Err(cause).with_context(|| format!("could not lock {}", path.display()))
        }
    }
}

async fn open(data: &DataArgs) -> anyhow::Result<Store> {
    let (path, sqlite) = (data.master_key(), data.sqlite());
    let fresh = !path.exists();
    if let Some(url) = &data.database {
        let opened = Store::open_postgres(url, MasterKey::load_or_make(&path)?).await;
        if fresh && matches!(opened, Err(StoreError::Seal(_))) {
            // Nothing was sealed under it, and it would be taken for the right one.
            remove(fs::remove_file(&path), &path)?;
            bail!(
                "{} is missing: copy it from another control plane of this database, or from \
                 the backup",
                path.display()
            );
        }
        return Ok(opened?);
    }
    if sqlite.exists() && fresh {
        bail!(
            "{} is gone, and with it every workshop's CA: restore it from the backup of {}",
            path.display(),
            sqlite.display()
        );
    }
    let key = MasterKey::load_or_make(&path)?;
    Ok(Store::open(&sqlite, key).await?)
}

/// Names this installation to provisioners: the data directory's own id, or, where control
/// planes share a database, the first one's.
async fn installation(data: &DataArgs, store: &Store) -> anyhow::Result<String> {
    let mine = local::installation(&data.data_dir)?;
    if data.database.is_none() {
        return Ok(mine);
    }
    Ok(store.agreed("installation", &mine).await?)
}

/// Says what the project has of what workers need; false if something is missing.
#[allow(clippy::print_stdout, reason = "its answer is for whoever asked")]
pub async fn check(args: CheckArgs) -> anyhow::Result<bool> {
    let settings = GcpSettings::checked(&args.gcp, args.max_ttl, "check".to_owned())?;
    let gcp = Gcp::open(settings, Arc::new(Unnoted)).await?;
    let lines = gcp.survey().await;
    for line in &lines {
        println!("{line}");
    }
    Ok(lines.iter().all(|line| line.good))
}

/// A look makes no workers and notes nothing.
struct Unnoted;

#[async_trait]
impl Notes for Unnoted {
    async fn read(&self, _: &WorkerName) -> anyhow::Result<Option<String>> {
        Ok(None)
    }
    async fn write(&self, _: &WorkerName, _: &str) -> anyhow::Result<()> {
        bail!("nothing is noted by a look")
    }
}

async fn provisioner(
    args: &ServeArgs,
    store: &Store,
    crash: CrashAt,
) -> anyhow::Result<Arc<dyn Provisioner>> {
    match args.provisioner {
        ProvisionerKind::Gcp => {
            let installation = installation(&args.data, store).await?;
            let settings = GcpSettings::checked(&args.gcp, args.limits.max_ttl, installation)?;
            let gcp = Gcp::open(settings, Arc::new(store.clone())).await?;
            let gcp = gcp.with_crash(crash);
            gcp.open_the_way().await;
            Ok(Arc::new(gcp))
        }
        ProvisionerKind::Local => {
            let mine = local::installation(&args.data.data_dir)?;
            if installation(&args.data, store).await? != mine {
                bail!(
                    "the local workers of this database are in another data directory: start \
                     all its control planes on that machine, with that --data-dir"
                );
            }
            let agent = args.agent_bin.clone().context(
                "--agent-bin is missing: local workers need the path of clarateach-agent",
            )?;
            let local = Local::open(LocalSettings {
                data_dir: absolute(&args.data.data_dir)?,
                agent: absolute(&agent)?,
                images: absolute(&args.images)?,
                firecracker: FirecrackerArgs {
                    firecracker_bin: absolute(&args.firecracker.firecracker_bin)?,
                    jailer_bin: absolute(&args.firecracker.jailer_bin)?,
                    firecracker_accept: args.firecracker.firecracker_accept.clone(),
                },
                alloc_dir: args.alloc_dir.clone(),
                subnet: args.local_subnet,
                runtimes: args.runtimes.clone(),
                allowed_origins: args.allowed_origins.clone(),
                nameservers: args.nameservers.clone(),
            })?;
            local.check_routes()?;
            Ok(Arc::new(local))
        }
    }
}

/// Workers are started elsewhere: their paths must not depend on where we are.
fn absolute(path: &Path) -> anyhow::Result<std::path::PathBuf> {
    std::path::absolute(path).with_context(|| format!("could not find {}", path.display()))
}

fn settings(args: &ServeArgs, provisioner: &dyn Provisioner) -> Settings {
    let limits = &args.limits;
    Settings {
        limits: Limits {
            seats_per_worker: limits.seats_per_worker,
            max_workers: limits.max_workers.get(),
            max_seats_per_owner: limits.max_seats_per_owner.get(),
        },
        max_seats_per_workshop: limits.max_seats_per_workshop.get(),
        max_ttl: limits.max_ttl,
        default_ttl: limits.default_ttl,
        seat_token_life: limits.seat_token_ttl,
        runtimes: provisioner.runtimes(),
        worker_price: args.worker_hourly_usd.or(match args.provisioner {
            ProvisionerKind::Local => Some(HourlyPrice::NOTHING),
            ProvisionerKind::Gcp => None,
        }),
    }
}

async fn keep_house(store: Store, stop: CancellationToken) {
    let mut clock = interval(HOUSEKEEPING);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = clock.tick() => {}
        }
        let now = api::now();
        if let Err(cause) = store.forget_leases().await {
            warn!(error = ?cause, "could not forget old leases");
        }
        match (store.forget_requests(now).await, store.purge(now).await) {
            (Ok(requests), Ok(workshops)) => {
                if requests + workshops > 0 {
                    info!(requests, workshops, "forgot what is old");
                }
            }
            (Err(cause), _) | (_, Err(cause)) => {
                warn!(error = ?cause, "could not forget what is old");
            }
        }
    }
}

async fn say_what_runs(store: &Store) {
    match store.census().await {
        Ok(census) if census.living() == 0 => info!("stopped; nothing is running"),
        Ok(census) => info!(
            workshops = census.living(),
            workers = census.workers,
            learners = census.taken,
            "stopped; these still run, and the next start finds them"
        ),
        Err(cause) => warn!(error = ?cause, "stopped; could not count what still runs"),
    }
}

/// Ends and removes everything of a data directory.
pub async fn down(args: DownArgs) -> anyhow::Result<()> {
    let dir = args.data.data_dir.clone();
    if !dir.exists() {
        info!(data = %dir.display(), "nothing is there");
        return Ok(());
    }
    let _lock = lock(&args.data.lock(), false)?;
    let at = absolute(&dir)?;
    let gone = tokio::task::spawn_blocking(move || local::down_in(&at, &args.alloc_dir)).await??;
    for worker in &gone {
        info!(%worker, "worker removed");
    }
    if args.keep_data {
        return Ok(());
    }
    remove(fs::remove_dir(dir.join("workers")), &dir.join("workers"))?;
    // There may be a database elsewhere: what is sealed in it needs the key, and it knows
    // this folder by its id.
    let elsewhere = args.data.database.is_some() || !args.data.sqlite().exists();
    let kept = |name: &&str| elsewhere && ["master.key", "installation"].contains(name);
    for name in OURS.into_iter().filter(|name| !kept(name)) {
        let path = dir.join(name);
        remove(fs::remove_file(&path), &path)?;
    }
    info!(workers = gone.len(), "everything is removed");
    Ok(())
}

fn remove(done: std::io::Result<()>, path: &Path) -> anyhow::Result<()> {
    match done {
        Err(cause) if cause.kind() != ErrorKind::NotFound => {
            Err(cause).with_context(|| format!("could not remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes an hour's client certificate for the agents of one workshop, and
/// notes who may have used it: an event.
pub async fn operator_cert(args: OperatorCertArgs) -> anyhow::Result<()> {
    let store = open(&args.data).await?;
    let now = api::now();
    let ca = store.workshop_ca(&args.workshop).await?;
    let ca = ca.with_context(|| format!("there is no workshop {}", args.workshop))?;
    let key = Key::generate()?;
    let workshop = args.workshop.as_str();
    let leaf = ca.sign_dialler(&key, Dialler::ControlPlane, workshop, now, OPERATOR)?;
    let event = Event {
        actor: "operator",
        verb: "operator.certified",
        object: "",
        reason: "operator-cert on the server's own machine",
        data: "",
    };
    store.note(&args.workshop, event, now).await?;
    let out = &args.out;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(out)
        .with_context(|| format!("could not make {}", out.display()))?;
    for (name, text) in [
        ("ca.pem", ca.certificate_pem()),
        ("client.pem", leaf.as_str()),
    ] {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("could not write {}", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644))
            .with_context(|| format!("could not set the mode of {}", path.display()))?;
    }
    let path = out.join("client.key");
    remove(fs::remove_file(&path), &path)?;
    write_secret_file(&path, &key.to_pem())?;
    info!(
        workshop = %args.workshop,
        out = %out.display(),
        "certificate written; it lasts an hour and sees the agents' control API"
    );
    store.close().await?;
    Ok(())
}
