//! Why a VM is down: preempted, stopped by somebody, deleted by somebody, or as asked.

use std::time::Duration;

use clarateach_domain::{ending::Ending, plan::Ground};
use clarateach_e2e::fake_gce::{Fault, Kind};
use clarateach_server::provisioner::Provisioner as _;

use crate::{Stage, worker};

#[tokio::test]
async fn who_ended_a_vm_is_told_apart_by_what_google_remembers() {
    type Act = fn(&Stage, &str, &str);
    let acts: [(&str, Act, Ground); 4] = [
        (
            "preempted",
            |stage, zone, name| stage.fake.preempt(zone, name, Duration::ZERO),
            Ground::Stopped,
        ),
        (
            "stopped by hand",
            |stage, zone, name| stage.fake.stop_by_hand(zone, name),
            Ground::Stopped,
        ),
        (
            "stopped by hand",
            |stage, zone, name| stage.fake.suspend_by_hand(zone, name),
            Ground::Stopped,
        ),
        (
            "deleted by hand",
            |stage, zone, name| stage.fake.delete_by_hand(zone, name),
            Ground::Missing,
        ),
    ];
    for (what, act, ground) in acts {
        let mut stage = Stage::new().await;
        let worker = worker(1);
        stage.gcp.ensure(&worker).await.unwrap();
        let up = stage.until(&worker, Ground::Up).await;
        assert_eq!(up.ending, None);
        act(&stage, &up.zone, worker.name.as_str());
        stage.until(&worker, ground).await;
        // Nothing of it is in memory only.
        stage.restart().await;
        let said = match stage.look(&worker).await.ending {
            Some(Ending::Preempted) => "preempted",
            Some(Ending::StoppedByHand(_)) => "stopped by hand",
            Some(Ending::DeletedByHand) => "deleted by hand",
            None => "nothing",
        };
        assert_eq!(said, what);

        // It is brought back, and is not said to be down for that any more.
        if ground == Ground::Missing {
            stage.gcp.ensure(&worker).await.unwrap();
        } else {
            stage.gcp.start(&worker).await.unwrap();
        }
        assert_eq!(stage.until(&worker, Ground::Up).await.ending, None);
        stage.assert_left(&[&worker]).await;
    }
}

#[tokio::test]
async fn what_the_control_plane_asked_for_is_nobodys_hand() {
    let mut stage = Stage::new().await;
    let worker = worker(1);
    stage.gcp.ensure(&worker).await.unwrap();
    stage.until(&worker, Ground::Up).await;
    // Asked for twice, since the first answer was lost: both are its own.
    stage.fake.fault_next(Kind::StopInstance, Fault::Lost);
    let _lost = stage.gcp.stop(&worker.name).await;
    stage.fake.advance(Duration::from_secs(1));
    let _busy = stage.gcp.stop(&worker.name).await;
    stage.until(&worker, Ground::Stopped).await;
    stage.restart().await;
    assert_eq!(stage.look(&worker).await.ending, None);

    // There is no room to start it again: its own stop is still nobody's hand.
    stage
        .fake
        .fault_next(Kind::StartInstance, Fault::Stockout(None));
    stage.gcp.start(&worker).await.unwrap();
    stage.fake.quiet().await;
    let seen = stage.look(&worker).await;
    assert_eq!((seen.ground, seen.ending), (Ground::Stopped, None));

    stage.gcp.delete(&worker.name).await.unwrap();
    assert_eq!(stage.until(&worker, Ground::Missing).await.ending, None);
    stage.assert_nothing_left().await;
}
