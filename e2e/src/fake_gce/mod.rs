//! A strict fake of Google Compute Engine: the REST API of Compute v1 as far as we
//! use it, over plain HTTP, for the real client.
//!
//! It refuses what Google would refuse (bodies are checked against Google's own
//! discovery document), takes its time as Google does, in virtual time, goes wrong
//! by a script, and writes down everything in a [`Ledger`], over which the
//! [`oracle`] holds its invariants.
//!
//! Way: request -> `serve` (ledger, faults) -> `discovery`, `schema`, `rules` (may
//! it?) -> `answer` -> `world`, where operations do their `work` as time goes on.

mod answer;
mod clock;
mod config;
mod discovery;
mod disk;
mod faults;
mod filter;
mod instance;
mod kind;
mod ledger;
mod machines;
mod names;
mod operation;
pub mod oracle;
mod refusal;
mod rules;
mod schema;
mod serve;
mod storage;
mod story;
mod work;
mod world;

pub use clock::Clock;
pub use config::{Config, Image, Pace};
pub use faults::Fault;
pub use kind::Kind;
pub use ledger::{Cause, Effect, Entry, Ledger, Seen, What};
pub use machines::{Machine, Machines, NoMachines};
pub use storage::Bill;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use clock::Time;
use serve::{Shared, handle};
use world::World;

/// One fake Google, until it is dropped.
pub struct FakeGce {
    shared: Arc<Shared>,
    address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl FakeGce {
    /// Starts one at `config.listen`.
    pub async fn start(config: Config) -> Self {
        let listener = TcpListener::bind(config.listen).await.unwrap();
        Self::start_on(listener, config)
    }

    /// Starts one on a listener that the caller made, in a namespace perhaps.
    pub fn start_on(listener: TcpListener, config: Config) -> Self {
        let time = Time::begin(config.clock);
        let address = listener.local_addr().unwrap();
        let epoch = time.epoch();
        let shared = Arc::new(Shared {
            world: World::new(config, epoch).into(),
            changed: watch::Sender::new(0),
            time,
        });
        let by_requests = shared.clone();
        let serving = tokio::spawn(async move {
            let handler = move |request| handle(by_requests.clone(), request);
            match crate::listener::serve(listener, handler).await {}
        });
        let going = tokio::spawn(go_on(shared.clone()));
        Self {
            shared,
            address,
            tasks: [serving, going],
        }
    }

    /// What a client takes as its endpoint.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Virtual time since it began.
    pub fn now(&self) -> Duration {
        self.shared.time.now()
    }

    /// Moves virtual time on by hand; everything due happens in order.
    pub fn advance(&self, by: Duration) {
        let until = self.now() + by;
        self.shared.time.reach(until);
        self.shared.act(|_| ());
    }

    /// Waits until no operation is under way but the stuck ones, and everything
    /// was told to the machines. A manual clock is moved on as far as that takes.
    pub async fn quiet(&self) {
        let mut changed = self.shared.changed.subscribe();
        loop {
            let (next, open) = self.shared.act(|w| (w.next_work(), w.teller.open()));
            match (next, open) {
                (None, 0) => return,
                (Some(at), _) => match self.shared.time.real_until(at) {
                    None => self.shared.time.reach(at),
                    Some(real) => {
                        changed.mark_unchanged();
                        let _either = tokio::time::timeout(real, changed.changed()).await;
                    }
                },
                (None, _) => crate::wait::tick().await,
            }
        }
    }
}

impl Drop for FakeGce {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Lets what is due happen at its time, also when nobody asks.
async fn go_on(shared: Arc<Shared>) {
    let mut changed = shared.changed.subscribe();
    loop {
        changed.mark_unchanged();
        let next = shared.world.lock().unwrap().next_moment();
        let wait = next.and_then(|at| shared.time.real_until(at));
        let wait = wait.unwrap_or(Duration::from_hours(1));
        if tokio::time::timeout(wait, changed.changed()).await.is_err() {
            shared.act(|_| ());
        }
    }
}
