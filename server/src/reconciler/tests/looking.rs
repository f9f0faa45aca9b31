//! What is looked at, how often, and what is kept of it.

use clarateach_domain::ending::Ending;

use super::*;
use crate::store::pausing::Pause;

impl Stage {
    /// Another control plane over the same database, which does only what it is told to.
    fn other(&self) -> Reconciler {
        let wake = Wake::default();
        Reconciler::new(
            self.store.clone(),
            self.provisioner(),
            Agents::new(wake.clone()),
            wake,
            CrashAt::default(),
        )
    }

    async fn pause(&self, id: &WorkshopId, pause: Pause) {
        let (key, now) = (no_key(), Utc::now());
        let done = self
            .store
            .pause_workshop("test", id, pause, &key, now)
            .await;
        done.unwrap().unwrap();
        self.wake.workshop(id);
    }
}

#[tokio::test]
async fn agents_of_what_another_control_plane_ended_are_let_go_of() {
    let stage = Stage::faked(false).await;
    let id = stage.create(1).await;
    stage.until_phase(&id, Phase::Running).await;
    let other = stage.other();
    let began = Instant::now();
    while !other.agents.workshops().contains(&id) {
        assert!(began.elapsed() < PATIENCE, "it is not dialled");
        other.settle(&id).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.delete(&id).await;
    stage.until_phase(&id, Phase::Deleted).await;
    assert_eq!(other.unsettled(true).await.unwrap(), []);
    assert!(other.agents.workshops().is_empty());
}

#[tokio::test]
async fn what_rests_is_left_alone_until_something_else_is_wanted() {
    let stage = Stage::faked(false).await;
    let id = stage.create(1).await;
    stage.until_phase(&id, Phase::Running).await;
    let listed = async |resting| stage.store.unsettled(resting).await.unwrap();
    let all = [id.clone()];
    assert_eq!(listed(false).await, all);
    stage.pause(&id, Pause::Stop).await;
    stage.until_phase(&id, Phase::Stopped).await;
    assert_eq!(listed(false).await, []);
    assert_eq!(listed(true).await, all);
    stage.pause(&id, Pause::Start).await;
    assert_eq!(listed(false).await, all);
}

#[tokio::test]
async fn a_vm_that_somebody_stopped_is_told_of_once_whatever_is_seen_in_between() {
    let mut stage = Stage::empty(LEAF_LIFE).await;
    stage.fakes = Some(Arc::new(Fakes::new(stage.dir.path(), false)));
    let (id, alone) = (stage.create(1).await, stage.other());
    let phase = async || {
        alone.settle(&id).await;
        let view = stage.store.workshop_view(&id).await.unwrap();
        view.unwrap().workshop.phase
    };
    let began = Instant::now();
    while phase().await != Phase::Running {
        assert!(began.elapsed() < PATIENCE, "it never ran");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.fakes().silence();
    let by_hand = Ok(Ending::StoppedByHand(Utc::now()));
    for seen in [by_hand, Err(()), by_hand, by_hand] {
        *stage.fakes().down.lock().unwrap() = Some(seen);
        phase().await;
    }
    let told = stage.store.notices_since(&id, 0).await.unwrap();
    let told = told
        .iter()
        .filter(|(_, notice)| notice.message.contains("by hand"));
    assert_eq!(told.count(), 1);
}
