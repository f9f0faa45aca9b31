//! Who waits is told how long it usually takes.

use super::*;

#[tokio::test]
async fn a_seat_that_waits_says_how_long_the_last_ones_did() {
    let mut stage = Stage::faked(false).await;
    let reason = async |stage: &Stage, id: &WorkshopId| {
        let view = stage.store.workshop_view(id).await.unwrap().unwrap();
        view.seats[0].reason.clone()
    };
    for came in 0..3 {
        stage.kill().await;
        let waiting = stage.create(1).await;
        assert_eq!(
            reason(&stage, &waiting).await,
            "waiting for its worker",
            "{came} came"
        );
        stage.start();
        stage.until_phase(&waiting, Phase::Running).await;
    }
    stage.kill().await;
    let waiting = stage.create(1).await;
    let said = reason(&stage, &waiting).await;
    assert!(
        said.starts_with("waiting for its worker, which usually takes "),
        "{said}"
    );
    stage.start();
    let view = stage.until_phase(&waiting, Phase::Running).await;
    assert_eq!(view.seats[0].reason, "");
}
