//! What `join` remembers, and how a script learns what went wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod far;

use std::os::unix::fs::PermissionsExt;

use far::{Far, run};
use tonic::Code;

#[tokio::test]
async fn a_seat_is_remembered_for_its_owner_only() {
    let far = Far::start().await;
    let server = far.control_plane(&far.ca).await;
    let home = tempfile::tempdir().unwrap();
    let (code, out, errors) = run(
        home.path(),
        &server,
        &["join", "7K3M9QX2VB", "--name", "Ada"],
    )
    .await;
    assert_eq!(code, 0, "{errors}");
    assert_eq!(
        out,
        "Seat 1 of \"Git[2J basics\" (ws-0123456789) is yours.\n"
    );
    let file = home.path().join("clarateach/seats/default.json");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);

    let (code, out, _) = run(home.path(), &server, &["join", "7k3m9 qx2vb"]).await;
    assert_eq!((code, out.contains("is yours again")), (0, true), "{out}");

    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let (code, _, errors) = run(home.path(), &server, &["join", "7K3M9QX2VB"]).await;
    assert_eq!(
        (code, errors.contains("can be read by others")),
        (4, true),
        "{errors}"
    );
}

#[tokio::test]
async fn a_lost_answer_costs_no_second_seat() {
    let far = Far::start().await;
    let faults = [Code::Unavailable, Code::Internal];
    let (server, ids) = far.faulty_control_plane(&far.ca, faults).await;
    let home = tempfile::tempdir().unwrap();
    let asking = home.path().join("clarateach/seats/default.asking");
    let join = ["join", "7K3M9QX2VB", "--name", "Ada"];
    let (code, _, errors) = run(home.path(), &server, &join).await;
    assert_eq!(
        (code, errors.contains("trying again")),
        (1, true),
        "{errors}"
    );
    assert_eq!(
        asking.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    // Another run asks the same under the same id.
    let (code, _, errors) = run(home.path(), &server, &join).await;
    assert_eq!(code, 0, "{errors}");
    assert!(!asking.exists(), "answered");
    // Another question has another.
    let (code, _, errors) = run(home.path(), &server, &[&join[..], &["--new"]].concat()).await;
    assert_eq!(code, 0, "{errors}");
    let ids = ids.lock().await;
    assert!(
        ids.len() == 4 && ids[..3].iter().all(|id| *id == ids[0]),
        "{ids:?}"
    );
    assert_ne!(ids[3], ids[0]);
}

#[tokio::test]
async fn exit_codes_tell_failures_apart() {
    let far = Far::start().await;
    let server = far.control_plane(&far.ca).await;
    let home = tempfile::tempdir().unwrap();
    // Bound and never accepted from: a port that nobody else can answer on.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    for (server, arguments, code) in [
        (server.as_str(), &["join", "AAAAAAAAAA"][..], 3),
        (&server, &["join"], 2),
        (&server, &["workshop", "list"], 4),
        (&server, &["attach"], 255),
        (&server, &["files", "serve", "--listen", "127.0.0.1:0"], 4),
        (&server, &["files", "serve", "--listen", "0.0.0.0:0"], 2),
        (&gone, &["join", "7K3M9QX2VB"], 6),
        ("http://192.0.2.1:8080", &["join", "7K3M9QX2VB"], 2),
    ] {
        let (ended, out, errors) = run(home.path(), server, arguments).await;
        assert_eq!(ended, code, "{server} {arguments:?}: {errors}");
        assert_eq!(out, "", "data where there is none: {arguments:?}");
        assert!(!errors.is_empty());
    }
}
