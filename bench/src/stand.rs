//! A class to measure: a House of release binaries with one workshop in it,
//! every seat taken, and what the peer needs to know of its worker.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use anyhow::Context;
use clarateach_domain::{ids::Slot, seat_net};
use clarateach_e2e::{House, house, house::Workshops, learner::Learner};
use clarateach_proto::workshop::{
    CreateWorkshopRequest, Resources, Runtime, Workshop, WorkshopStatus,
};

/// What a worker of this box looks like from outside.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Its folder in the server's data.
    pub dir: PathBuf,
    /// Its agent.
    pub agent: i32,
    /// Where its agent listens.
    pub address: SocketAddr,
}

impl Worker {
    /// Where a guest is on the bridge. On a first worker seat and slot are equal.
    pub fn guest(seat: u32) -> anyhow::Result<Ipv4Addr> {
        Ok(seat_net::address(Slot::try_from(seat)?))
    }

    /// What a guest wants to be told.
    pub fn secret(&self, seat: u32) -> anyhow::Result<String> {
        let path = self.dir.join(format!("run/seats/{seat}/secret"));
        let text = fs::read_to_string(&path)
            .with_context(|| format!("could not read {}", path.display()))?;
        Ok(text.trim().to_owned())
    }
}

/// A running class.
pub struct Stand {
    /// The control plane.
    pub house: House,
    /// The class.
    pub workshop: Workshop,
    /// One learner a seat, by number.
    pub learners: Vec<Learner>,
    /// The class's only worker.
    pub worker: Worker,
}

impl Stand {
    /// Starts everything and takes every seat. `None`, and a line that says
    /// why, where this machine cannot.
    pub async fn open(
        name: &str,
        seats: u32,
        resources: Resources,
    ) -> anyhow::Result<Option<Self>> {
        if let Some(why) = house::missing() {
            println!("SKIPPED: {name}: {why}");
            return Ok(None);
        }
        let house = House::start_with(&[]).await;
        let id = create(&mut house.workshops().await, name, seats, resources)
            .await?
            .id;
        let workshop = house.until_status(&id, WorkshopStatus::Running).await;
        let mut learners = Vec::new();
        for number in 0..seats {
            let learner = house
                .join(&workshop.code, &format!("learner {number}"))
                .await;
            learners.push(learner.context("a learner could not join")?);
        }
        learners.sort_by_key(Learner::seat);
        let worker = worker(&house, &workshop)?;
        Ok(Some(Self {
            house,
            workshop,
            learners,
            worker,
        }))
    }

    /// Deletes the class and takes the house down.
    pub async fn close(mut self) {
        self.house.delete(&self.workshop.id).await;
        self.house.down();
    }
}

/// Asks for a class with these resources.
pub async fn create(
    workshops: &mut Workshops,
    name: &str,
    seats: u32,
    resources: Resources,
) -> anyhow::Result<Workshop> {
    let request = CreateWorkshopRequest {
        name: name.to_owned(),
        seats,
        runtime: Runtime::Container.into(),
        resources: Some(resources),
        ..Default::default()
    };
    let answer = workshops.create_workshop(request).await;
    Ok(answer.context("could not create the class")?.into_inner())
}

/// The only worker of a class.
pub fn worker(house: &House, workshop: &Workshop) -> anyhow::Result<Worker> {
    let [worker] = workshop.workers.as_slice() else {
        anyhow::bail!("the class has {} workers, not one", workshop.workers.len());
    };
    let dir = house.data().join("workers").join(&worker.name);
    let pid = dir.join("run/agent.pid");
    let agent = fs::read_to_string(&pid)
        .with_context(|| format!("could not read {}", pid.display()))?
        .trim()
        .parse()
        .context("the agent's pid is no number")?;
    let address = worker
        .address
        .parse()
        .context("the worker has no address")?;
    Ok(Worker {
        dir,
        agent,
        address,
    })
}
