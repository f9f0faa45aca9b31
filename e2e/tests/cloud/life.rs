//! One class: made, taken away or stopped, back with its files, deleted; and the server dies
//! once over each of these.

use std::time::Duration;

use bytes::Bytes;
use clarateach_e2e::{House, http::send, learner::Learner};
use clarateach_proto::workshop::{
    CreateWorkshopRequest, DeleteWorkshopRequest, StartWorkshopRequest, StopWorkshopRequest,
    WorkerState, Workshop, WorkshopStatus,
};
use http::Request;
use rustix::process::Signal;

use crate::lane::Lane;

/// Where the server dies, and how many workers there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    /// While the class is made.
    pub(crate) create: &'static str,
    /// While its VMs come back.
    pub(crate) back: &'static str,
    /// While it is deleted.
    pub(crate) delete: &'static str,
    /// A seat a worker.
    pub(crate) seats: u32,
}

/// A death is made good in so long.
const SOON: Duration = Duration::from_secs(30);

/// How long it took from each death until all was as it should be.
pub(crate) type Took = [Duration; 3];

impl Life {
    /// Nothing where the last death never came: an agent that was put to sleep while a round
    /// spoke with it is given up ten seconds later, and its VM is deleted with its seats.
    pub(crate) async fn live(&self, lane: &mut Lane) -> Option<Took> {
        let (workshop, made) = self.create(lane).await;
        self.tell_if_slow(lane, "made", made);
        let learner = lane.join(&workshop.code, "").await;
        assert_eq!(learner.put("kept.txt", "before").await, 201, "{self:?}");
        let back = self.come_back(lane, &workshop).await;
        self.tell_if_slow(lane, "back", back);
        let again = lane
            .join(&workshop.code, &learner.joined.reconnect_code)
            .await;
        assert_eq!(again.seat(), learner.seat(), "{self:?}");
        // Straight to the worker: its certificate is for where it is now.
        lane.until("the learner's file", async |_| kept(&again).await)
            .await;
        let gone = self.delete(lane, &workshop).await;
        lane.assert_nothing_left(self).await;
        let gone = gone?;
        self.tell_if_slow(lane, "gone", gone);
        Some([made, back, gone])
    }

    /// What the server and its agents logged, where a death was long in being made good: seldom
    /// enough that nobody sees it by chance.
    fn tell_if_slow(&self, lane: &Lane, what: &str, took: Duration) {
        if took <= SOON {
            return;
        }
        println!(
            "slow: {self:?}: {what} after {took:.1?}\n{}",
            lane.plane.log()
        );
        for (_, name, _) in lane.google.instances() {
            println!("--- {name}'s agent ---\n{}", lane.vms.log(&name));
        }
    }

    async fn create(&self, lane: &mut Lane) -> (Workshop, Duration) {
        lane.will_die_at(self.create, None).await;
        // Asked again until it is answered: it is one class.
        let wish = CreateWorkshopRequest {
            request_id: format!("{:032x}", rand::random::<u128>()),
            ..House::wish(self.create, self.seats)
        };
        let made = lane.until("the class to be asked for", async |lane| {
            let mut workshops = lane.plane.workshops().await?;
            let answer = workshops.create_workshop(wish.clone()).await;
            answer.map_err(|refused| refused.to_string())
        });
        let id = made.await.into_inner().id;
        let workshop = lane.until_ready(&id, &[]).await;
        let workers = usize::try_from(self.seats).unwrap();
        assert_eq!(workshop.workers.len(), workers, "{self:?}: {workshop:?}");
        assert_eq!(lane.google.instances().len(), workers, "{self:?}");
        (workshop, lane.since_death(self.create))
    }

    async fn come_back(&self, lane: &mut Lane, workshop: &Workshop) -> Duration {
        let workers = workshop.workers.iter();
        let before: Vec<_> = workers.map(|worker| worker.address.clone()).collect();
        lane.will_die_at(self.back, Some(self.delete)).await;
        if self.back.contains("stop:") {
            self.rest(lane, &workshop.id).await;
        } else {
            for (zone, name, _) in lane.google.instances() {
                lane.google.preempt(&zone, &name, Duration::ZERO);
            }
        }
        let now = lane.until_ready(&workshop.id, &before).await;
        assert_eq!(now.workers.len(), workshop.workers.len(), "{self:?}");
        lane.since_death(self.back)
    }

    /// Over night.
    async fn rest(&self, lane: &mut Lane, id: &str) {
        let stop = StopWorkshopRequest {
            id: id.to_owned(),
            ..Default::default()
        };
        let told = lane.until("the class to be told to rest", async |lane| {
            let mut workshops = lane.plane.workshops().await?;
            let answer = workshops.stop_workshop(stop.clone()).await;
            answer.map_err(|refused| refused.to_string())
        });
        told.await;
        until_status(lane, id, WorkshopStatus::Stopped).await;
        let start = StartWorkshopRequest {
            id: id.to_owned(),
            ..Default::default()
        };
        let told = lane.until("the class to be started", async |lane| {
            let mut workshops = lane.plane.workshops().await?;
            let answer = workshops.start_workshop(start.clone()).await;
            answer.map_err(|refused| refused.to_string())
        });
        told.await;
    }

    async fn delete(&self, lane: &mut Lane, workshop: &Workshop) -> Option<Duration> {
        // Learners are cut off past the rounds, which may end the seats before a round finds
        // any: not while the agents sleep.
        let asleep = self.delete.starts_with("seats.delete:");
        if asleep {
            lane.vms.signal(Signal::STOP);
        }
        let id = workshop.id.as_str();
        let delete = DeleteWorkshopRequest {
            id: id.to_owned(),
            ..Default::default()
        };
        let told = lane.until("the class to be deleted", async |lane| {
            let mut workshops = lane.plane.workshops().await?;
            let answer = workshops.delete_workshop(delete.clone()).await;
            answer.map_err(|refused| refused.to_string())
        });
        told.await;
        if asleep {
            let ending = |worker: &clarateach_proto::workshop::Worker| {
                worker.state() == WorkerState::Deleting
            };
            lane.until("its seats to be ended", async |lane| {
                if lane.has_died() {
                    return Ok(());
                }
                let now = lane.workshop(id).await?;
                let all = now.workers.iter().all(ending);
                all.then_some(()).ok_or(now.reason)
            })
            .await;
            lane.vms.signal(Signal::CONT);
        }
        until_status(lane, id, WorkshopStatus::Deleted).await;
        (!asleep || lane.has_died()).then(|| lane.since_death(self.delete))
    }
}

async fn until_status(lane: &mut Lane, id: &str, status: WorkshopStatus) {
    let what = format!("the class to be {status:?}");
    lane.until(&what, async |lane| {
        let now = lane.workshop(id).await?;
        let told = format!("{:?}: {}", now.status(), now.reason);
        (now.status() == status).then_some(()).ok_or(told)
    })
    .await;
}

async fn kept(learner: &Learner) -> Result<(), String> {
    let request = Request::get(format!("{}/kept.txt", learner.files_url))
        .header("authorization", format!("Bearer {}", learner.joined.token))
        .body(Bytes::new())
        .unwrap();
    let answer = send(request, &learner.joined.ca_certificate).await;
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.status() == 200 && *answer.body() == "before" {
        Ok(())
    } else {
        Err(format!("{answer:?}"))
    }
}
