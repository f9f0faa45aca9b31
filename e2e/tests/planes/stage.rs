//! Two control planes, each with a door of its own to one PostgreSQL, and workers on this
//! box that both may settle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clarateach_e2e::{
    House,
    door::Door,
    house::{patience, runtime_name},
    plane::Plane,
    postgres::{self, Postgres},
    wait::{tick, until},
};
use http::Method;
use rustix::{
    fs::{FlockOperation, flock},
    process::Signal,
};
use serde_json::Value;

/// A database a stage.
pub(crate) struct Stage {
    pub(crate) planes: [Plane; 2],
    pub(crate) doors: [Door; 2],
    pub(crate) token: String,
    pub(crate) database: String,
    pub(crate) postgres: &'static Postgres,
    house: House,
}

/// Which processes were seen, by the file that names them: of each worker its agents, of
/// each seat its machines.
pub(crate) type Seen = BTreeMap<PathBuf, BTreeSet<i32>>;

impl Stage {
    pub(crate) async fn new() -> Self {
        let postgres = postgres::shared();
        let database = format!("planes{:08x}", rand::random::<u32>());
        let url = postgres.database(&database);
        let mut house = House::start_with(&["--database", &url]).await;
        // From here on both are alike.
        house.stop_server().await;
        let doors = [
            Door::to(&postgres.socket()).await,
            Door::to(&postgres.socket()).await,
        ];
        let plane = |n: usize| {
            let url = postgres.by(&database, doors[n].port);
            house.plane(&format!("plane-{n}"), &["--database", &url])
        };
        let mut planes = [plane(0), plane(1)];
        for plane in &mut planes {
            plane.until_serving().await;
        }
        Self {
            planes,
            doors,
            token: house.admin_token(),
            database,
            postgres,
            house,
        }
    }

    /// Asks one of them, until it answers as it should.
    pub(crate) async fn ask(&self, whom: usize, method: Method, path: &str, body: &str) -> Value {
        let what = format!("{method} {path} of plane {whom}");
        until(&what, patience(), async || {
            let ask = self.planes[whom].ask(&self.token, method.clone(), path, body);
            match ask.await {
                Ok((200..=299, answer)) => Ok(answer),
                other => Err(other),
            }
        })
        .await
    }

    /// Asks one of them for a workshop: its id. However often it has to be asked, it is one.
    pub(crate) async fn create(&self, whom: usize, seats: u32) -> String {
        let request = rand::random::<u64>();
        let body = format!(
            r#"{{"name":"planes","seats":{seats},"runtime":"{}","request_id":"r{request}"}}"#,
            runtime_name()
        );
        let made = self.ask(whom, Method::POST, "/api/workshops", &body).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// Waits until this plane says that the workshop is so; how long that took.
    pub(crate) async fn until_status(&self, whom: usize, id: &str, status: &str) -> Duration {
        let began = Instant::now();
        let path = format!("/api/workshops/{id}");
        let what = format!("plane {whom} to say that {id} is {status}");
        until(&what, patience(), async || {
            let ask = self.planes[whom].ask(&self.token, Method::GET, &path, "");
            match ask.await {
                Ok((200, seen)) if seen["status"] == status => Ok(()),
                other => Err(other),
            }
        })
        .await;
        began.elapsed()
    }

    /// Waits until so many events were written of the workshop.
    pub(crate) async fn until_events(&self, id: &str, count: usize) {
        let sql = format!("SELECT count(*) FROM events WHERE workshop_id = '{id}'");
        let began = Instant::now();
        loop {
            let seen: usize = self.postgres.ask(&self.database, &sql).parse().unwrap();
            if seen >= count {
                return;
            }
            assert!(began.elapsed() < patience(), "{seen} events, not {count}");
            tick().await;
        }
    }

    /// Adds which agents and machines run now.
    pub(crate) fn look(&self, seen: &mut Seen) {
        for worker in folders(&self.house.data().join("workers")) {
            let run = worker.join("run");
            let seats = folders(&run.join("seats")).into_iter();
            let machines = seats.map(|seat| seat.join("pid"));
            for file in machines.chain([run.join("agent.pid")]) {
                let text = fs::read_to_string(&file).unwrap_or_default();
                let first = text.split_whitespace().next();
                if let Some(pid) = first.and_then(|pid| pid.parse().ok()) {
                    seen.entry(file).or_default().insert(pid);
                }
            }
        }
    }

    /// Stops a plane that does not hold the lock of this host's workers just now: nobody
    /// could make one until it goes on, which is so only where planes share a host.
    pub(crate) async fn pause(&self, whom: usize) {
        let plane = &self.planes[whom];
        until("the host's lock to be free", patience(), async || {
            plane.signal(Signal::STOP);
            plane.until_stopped().await;
            let lock = fs::File::open("/run/clarateach/alloc/lock");
            let free = lock.map_or(Ok(()), |lock| {
                flock(&lock, FlockOperation::NonBlockingLockShared)
            });
            if free.is_err() {
                plane.signal(Signal::CONT);
            }
            free
        })
        .await;
    }

    /// What is left of the workers that were there.
    pub(crate) fn left(&self) -> Vec<String> {
        let mut left = self.house.traces();
        left.retain(|trace| !trace.contains("clarateach-server"));
        left
    }

    pub(crate) fn close(self) {
        let Self { planes, house, .. } = self;
        drop(planes);
        house.close();
    }
}

fn folders(of: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(of).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
