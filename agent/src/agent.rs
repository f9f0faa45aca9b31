//! The agent's life: take the run directory, adopt what runs, get a
//! certificate, serve, and on SIGTERM drain and leave the seats as they are.

use std::{
    convert::Infallible,
    fs::{self, DirBuilder, File},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use chrono::Utc;
use clap::Parser as _;
use clarateach_proto::{DESCRIPTOR_SET, agent::agent_service_server::AgentServiceServer};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use tracing::{error, info, warn};

use crate::{
    api::Worker,
    check,
    config::{Checked, Cli, Command, Config, LogArgs, VmArgs},
    enrol::{self, network::Vouched},
    files,
    fleet::{Fleet, FleetSettings, Notice},
    metadata::Metadata,
    proxy::Proxy,
    serve::Door,
    tls::{Front, Identity},
    vm,
};

/// Between SIGTERM and the end, for requests to finish. Terminals come back by
/// themselves; a long upload is cut and told so by its connection.
const DRAIN: Duration = Duration::from_secs(3);
/// A machine's boot is bound by processors; some more hide its waiting.
const BOOTS_PER_CPU: usize = 2;

/// Runs the agent until it is told to stop, or answers what was asked of it.
pub fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    match Cli::parse().command {
        Command::Serve(config) => {
            log_to_stderr(&config.log);
            end_of(run(*config))
        }
        Command::ServeVm(args) => {
            log_to_stderr(&args.log);
            end_of(run_vm(args))
        }
        Command::Check(asked) => check::run(&asked),
    }
}

fn end_of(ran: anyhow::Result<()>) -> ExitCode {
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = format!("{error:#}"), "agent failed");
            ExitCode::FAILURE
        }
    }
}

fn log_to_stderr(wanted: &LogArgs) {
    // What learners ask of the resolver is nobody's business, at any level.
    let quiet = "hickory_server=off,hickory_resolver=off,hickory_net=off,hickory_proto=off";
    let filter =
        tracing_subscriber::EnvFilter::builder().parse_lossy(format!("{},{quiet}", wanted.log));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    if wanted.log_json {
        log.json().init();
    } else {
        log.init();
    }
    // A panic ends one task, never the agent; it must not pass unseen.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string);
        let what = panic.payload_as_str().unwrap_or("a panic without text");
        error!(at, what, "a task panicked");
    }));
}

fn run(config: Config) -> anyhow::Result<()> {
    on_a_runtime(config.checked()?, None)
}

/// As [`run`], with what this VM's metadata says.
fn run_vm(args: VmArgs) -> anyhow::Result<()> {
    // Its own, small: the agent's comes after the group and the limits are set.
    let asking = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let config = asking.block_on(vm::settings(args, &Metadata::new()))?;
    on_a_runtime(config.checked()?, Some(Metadata::new()))
}

fn on_a_runtime(checked: Checked, google: Option<Metadata>) -> anyhow::Result<()> {
    // A Ctrl-C meant for whoever started the agent must not reach it. Refused
    // to a session leader, which has a group of its own already.
    let _already_leads = rustix::process::setpgid(None, None);
    raise_file_limit();
    let _held = take_run_dir(&checked.config.run_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    runtime.block_on(serve(checked, google))
}

/// Makes the run directory and holds its lock for the agent's life.
fn take_run_dir(run_dir: &Path) -> anyhow::Result<File> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(run_dir)
        .with_context(|| format!("could not make --run-dir {}", run_dir.display()))?;
    fs::set_permissions(run_dir, fs::Permissions::from_mode(0o700))
        .context("could not close --run-dir to others")?;
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(run_dir.join("agent.lock"))
        .context("could not open agent.lock")?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .with_context(|| format!("another agent holds {}", run_dir.display()))?;
    let pid = format!("{}\n", std::process::id());
    files::write_public(&run_dir.join("agent.pid"), pid.as_bytes())
        .context("could not write agent.pid")?;
    Ok(lock)
}

/// Two sockets a terminal: the usual 1,024 files would end at five hundred.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let mut limit: Rlimit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "limit of open files could not be raised");
    }
}

async fn serve(checked: Checked, google: Option<Metadata>) -> anyhow::Result<()> {
    let Checked {
        config,
        ca_pem,
        verifier,
    } = checked;
    let mut terminate = signal(SignalKind::terminate()).context("could not await SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("could not await SIGINT")?;
    let name = config.worker.control_name(&config.workshop);
    let identity = Arc::new(Identity::open(&config.run_dir, name, &ca_pem)?);
    // Bound before anything else: a port that is taken must not cost a boot.
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("could not listen on {}", config.listen))?;
    let fleet = Fleet::start(fleet_settings(&config)).await?;
    let stopped = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let mut stopped = std::pin::pin!(stopped);
    // On a VM the certificate comes over the port itself.
    if let Some(folder) = &config.enrol_dir {
        tokio::select! {
            enrolled = enrol::through_files(&identity, folder) => enrolled?,
            () = &mut stopped => return Ok(()),
        }
    }

    let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
    let open = TaskTracker::new();
    let proxy = Proxy::new(
        verifier,
        fleet.clone(),
        &config.allowed_origins,
        cut.clone(),
        open.clone(),
    );
    let taken = watch::Sender::new(false);
    let worker = Worker {
        name: config.worker.clone(),
        workshop: config.workshop.clone(),
        runtime: config.runtime,
        guest_version: guest_version(&config.host.images),
        started_at: Utc::now(),
        fleet: fleet.clone(),
        identity: identity.clone(),
        vouched: google.clone().map(Vouched::new),
        taken: taken.subscribe(),
        proxy: proxy.clone(),
        stop: stop.clone(),
    };
    let door = Arc::new(Door {
        identity: identity.clone(),
        front: Front::new(&config.workshop, &ca_pem, identity.clone())?
            .with_control_sources(config.control_sources.clone()),
        control: control_routes(worker).await?,
        proxy: proxy.clone(),
    });
    tokio::spawn(door.serve(listener, stop.clone(), open.clone()));
    info!(listen = %config.listen, worker = %config.worker, workshop = %config.workshop, "agent serves");

    tokio::select! {
        () = &mut stopped => {}
        never = afterwards(&identity, &config, google.clone(), (&fleet, &taken)) => match never {},
    }
    if *taken.borrow() {
        // The host goes down with it: what guests wrote since the notice.
        vm::preemption::save(&fleet, "this machine goes down now").await;
    }
    info!("agent drains; seats stay");
    proxy.drain();
    let notice = Notice {
        kind: "draining".to_owned(),
        message: "the worker's agent restarts; your shell goes on".to_owned(),
        at: None,
    };
    let _told = timeout(Duration::from_millis(500), fleet.notify(Vec::new(), notice)).await;
    cut.cancel();
    stop.cancel();
    open.close();
    if timeout(DRAIN, open.wait()).await.is_err() {
        warn!(left = open.len(), "connections were cut");
    }
    info!("agent stopped");
    Ok(())
}

/// What goes on beside serving: newer certificates in files, or Google's notice.
async fn afterwards(
    identity: &Identity,
    config: &Config,
    google: Option<Metadata>,
    (fleet, taken): (&Fleet, &watch::Sender<bool>),
) -> Infallible {
    match (&config.enrol_dir, google) {
        (Some(folder), _) => enrol::afterwards(identity, folder, enrol::LOOK).await,
        (None, Some(google)) => vm::preemption::watch(google, fleet, taken).await,
        (None, None) => std::future::pending().await,
    }
}

/// `AgentService` with health and reflection, and a 404 for everything else.
pub(crate) async fn control_routes(worker: Worker) -> anyhow::Result<Routes> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_serving::<AgentServiceServer<Worker>>().await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let mut routes = Routes::builder();
    routes
        .add_service(AgentServiceServer::new(worker))
        .add_service(health_service)
        .add_service(
            reflection()
                .build_v1()
                .context("could not set up reflection")?,
        )
        .add_service(
            reflection()
                .build_v1alpha()
                .context("could not set up reflection")?,
        );
    Ok(routes.routes())
}

fn fleet_settings(config: &Config) -> FleetSettings {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    FleetSettings {
        firecracker: config.host.firecracker(),
        run_dir: config.run_dir.clone(),
        workshop: config.workshop.clone(),
        runtime: config.runtime,
        images: config.host.images.clone(),
        uid_base: config.uid_base,
        cgroup: config.host.cgroup.clone(),
        uplink: config.uplink.clone(),
        closed: config.closed.clone(),
        nameservers: config.nameservers.clone(),
        boots_at_once: cpus * BOOTS_PER_CPU,
    }
}

/// The guest binary's name holds its hash: as good a version as any.
fn guest_version(images: &Path) -> String {
    fs::read_to_string(images.join("guest-current"))
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}
