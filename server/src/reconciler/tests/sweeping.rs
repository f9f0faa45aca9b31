//! Workers that no row knows: what is left over goes, what may be a class stays.

use clarateach_domain::sweep::Mode;

use super::*;
use crate::provisioner::Remainder;

const STRAY: &str = "ws-0123456789-w1";

impl Stage {
    /// As another process would begin, which is not waited ten minutes for.
    async fn sweeper(&self, mode: Mode) -> Reconciler {
        let wake = Wake::default();
        let reconciler = Reconciler::new(
            self.store.clone(),
            self.provisioner(),
            Agents::new(wake.clone()),
            wake,
            CrashAt::default(),
        )
        .with_sweep(mode);
        reconciler.sweeping.lock().await.grace = Duration::ZERO;
        reconciler.note_newest_row().await;
        reconciler
    }

    async fn stray(&self, made_at: DateTime<Utc>) {
        *self.fakes().made_at.lock().unwrap() = Some(made_at);
        let spec = WorkerSpec {
            name: STRAY.parse().unwrap(),
            workshop: "ws-0123456789".parse().unwrap(),
            runtime: Runtime::Container,
            ca_certificate: String::new(),
            seat_key: String::new(),
        };
        self.fakes().ensure(&spec).await.unwrap();
    }

    async fn there(&self) -> Vec<String> {
        let all = self.fakes().list().await.unwrap();
        all.into_iter().map(|it| it.name.to_string()).collect()
    }
}

#[tokio::test]
async fn what_is_left_over_goes_when_it_is_seen_twice_and_rows_keep_theirs() {
    let mut stage = Stage::faked(false).await;
    let id = stage.create(1).await;
    stage.until_phase(&id, Phase::Running).await;
    let own = WorkerName::of(&id, 1.try_into().unwrap()).to_string();
    stage.kill().await;
    stage.stray(Utc::now() - TimeDelta::hours(1)).await;
    let both = stage.there().await.len();
    assert_eq!(both, 2);

    let report = stage.sweeper(Mode::Report).await;
    for _ in 0..3 {
        report.sweep().await;
    }
    assert_eq!(stage.there().await.len(), 2, "a report removes nothing");

    let sweeper = stage.sweeper(Mode::Remove).await;
    sweeper.sweep().await;
    assert_eq!(stage.there().await.len(), 2, "seen once");
    sweeper.sweep().await;
    assert_eq!(stage.there().await, [own]);
}

#[tokio::test]
async fn who_only_reports_first_does_not_lose_the_moment() {
    let mut stage = Stage::faked(false).await;
    let id = stage.create(1).await;
    stage.until_phase(&id, Phase::Running).await;
    stage.kill().await;
    stage.store.swept(Utc::now()).await.unwrap();
    stage.stray(Utc::now()).await;
    // A careful start, or one that cannot list; meanwhile things happen.
    let careful = stage.sweeper(Mode::Report).await;
    for _ in 0..2 {
        careful.sweep().await;
    }
    stage.change(&id, seats(1)).await;
    let sweeper = stage.sweeper(Mode::Remove).await;
    for _ in 0..3 {
        sweeper.sweep().await;
    }
    assert_eq!(
        stage.there().await.len(),
        2,
        "it is newer than what was put back"
    );
}

#[tokio::test]
async fn what_is_lost_with_a_worker_is_told_once() {
    let stage = Stage::faked(false).await;
    let id = stage.create(1).await;
    stage.until_phase(&id, Phase::Running).await;
    assert!(stage.store.notices_since(&id, 0).await.unwrap().is_empty());
    let own = WorkerName::of(&id, 1.try_into().unwrap());
    stage.fakes().delete(&own).await.unwrap();
    stage.wake.workshop(&id);
    let began = Instant::now();
    let told = loop {
        let told = stage.store.notices_since(&id, 0).await.unwrap();
        if !told.is_empty() && stage.there().await.len() == 1 {
            break told;
        }
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(told[0].1.message.contains("(1)"), "{told:?}");
    stage.until_phase(&id, Phase::Running).await;
    assert_eq!(stage.store.notices_since(&id, 0).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_newer_than_the_database_is_left_alone_also_by_later_starts() {
    let mut stage = Stage::faked(false).await;
    let id = stage.create(1).await;
    stage.until_phase(&id, Phase::Running).await;
    stage.kill().await;
    // Made after the newest row of a database that was put back.
    let made_at = Utc::now();
    stage.stray(made_at).await;
    let sweeper = stage.sweeper(Mode::Remove).await;
    for _ in 0..3 {
        sweeper.sweep().await;
    }
    assert_eq!(stage.there().await.len(), 2);

    // Life goes on, and by the next start there are newer rows.
    stage.change(&id, seats(1)).await;
    let gap = stage.store.sweep_gap(Utc::now()).await.unwrap();
    assert!(gap.newest.unwrap() > made_at);
    let sweeper = stage.sweeper(Mode::Remove).await;
    for _ in 0..3 {
        sweeper.sweep().await;
    }
    assert_eq!(stage.there().await.len(), 2, "it was put in quarantine");

    let sweeper = stage.sweeper(Mode::All).await;
    for _ in 0..2 {
        sweeper.sweep().await;
    }
    assert_eq!(stage.there().await.len(), 1, "until somebody says so");
}

#[tokio::test]
async fn disks_and_addresses_of_nobody_go_and_those_of_a_row_stay() {
    let mut stage = Stage::faked(false).await;
    let id = stage.create(1).await;
    stage.until_phase(&id, Phase::Running).await;
    let own = WorkerName::of(&id, 1.try_into().unwrap());
    stage.kill().await;
    let remainder = |what, worker: Option<WorkerName>, id| Remainder {
        what,
        place: "us-central1-a".into(),
        name: format!("left-{id}"),
        id,
        worker,
        made_at: Some(Utc::now() - TimeDelta::hours(1)),
    };
    let kept = remainder("disk", Some(own), 1);
    let all = vec![
        kept.clone(),
        remainder("disk", Some(STRAY.parse().unwrap()), 2),
        remainder("address", None, 3),
    ];
    let left = || stage.fakes().beside.lock().unwrap().clone();
    *stage.fakes().beside.lock().unwrap() = Some(all.clone());
    let report = stage.sweeper(Mode::Report).await;
    for _ in 0..2 {
        report.sweep().await;
    }
    let sweeper = stage.sweeper(Mode::Remove).await;
    sweeper.sweep().await;
    assert_eq!(left(), Some(all.clone()), "seen once");

    // A list that cannot be had is no list: what was seen before it must be seen twice.
    *stage.fakes().beside.lock().unwrap() = None;
    sweeper.sweep().await;
    *stage.fakes().beside.lock().unwrap() = Some(all.clone());
    sweeper.sweep().await;
    assert_eq!(left(), Some(all));
    sweeper.sweep().await;
    assert_eq!(left(), Some(vec![kept]));
    assert_eq!(stage.there().await.len(), 1, "the worker is a class");
}
