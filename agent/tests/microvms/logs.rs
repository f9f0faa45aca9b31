//! What a guest says on its serial console: bounded, and its end readable.

use std::fs;

use crate::{BOOT, worker::Worker};

/// Kept of a seat's log on disk, in bytes: two files, of which the older goes.
const KEPT: u64 = 256 * 1024;
/// Shown of it.
const SHOWN: usize = 64 * 1024;

#[test]
fn a_guest_that_floods_its_console_fills_a_ring_and_no_disk() {
    let Some(worker) = Worker::of_micro_vms() else {
        return;
    };
    let mut fleet = worker.start();
    fleet.ask("ensure 1 1 1");
    fleet.wait_for("1 Ready", BOOT);
    let kept = |name: &str| {
        let file = worker.run_dir().join("seats/1").join(name);
        fs::metadata(file).map_or(0, |seen| seen.len())
    };
    // In pieces that are followed by a mark each, until the ring has gone round:
    // every letter is an exit, which costs a millisecond where it is emulated.
    let flood = "exec 1 sudo -n sh -c 'head -c 20000 /dev/zero | tr \\\\0 x > /dev/console; \
                 echo > /dev/console; echo MARK > /dev/console' && echo done";
    for _ in 0..20 {
        assert_eq!(fleet.ask(flood), "done|[0]");
        if kept("guest.log.1") > 0 {
            break;
        }
    }
    let (present, before) = (kept("guest.log"), kept("guest.log.1"));
    assert!(before > 0, "not so much was said: {present} bytes");
    assert!(present + before <= KEPT, "{present} and {before} bytes");
    let said = fleet.ask("log-has 1 MARK");
    let (marks, length) = said.split_once(" of ").unwrap();
    assert_ne!(marks, "0", "the end is not there");
    assert!(length.parse::<usize>().unwrap() <= SHOWN, "{said}");
    // It lives on, and its log with it.
    assert_eq!(
        fleet.ask("exec 1 sudo -n sh -c 'echo LATER > /dev/console'"),
        "[0]"
    );
    let until = std::time::Instant::now() + BOOT;
    while fleet.ask("log-has 1 LATER").starts_with("0 ") {
        assert!(std::time::Instant::now() < until, "the log ended");
    }
    assert_eq!(fleet.ask("remove 1"), "ok");
    worker.assert_empty();
}
