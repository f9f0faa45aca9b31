//! What a program holds in registers is its own, whatever the host's KVM is.
//!
//! Where KVM emulates ring 0, programs see the processor as it is, and no kernel there
//! saves all that they could use: `memcpy` of any libc is among those who would.

use base64::Engine as _;

use super::{BOOT, Worker};

/// Threads that copy, join and compare: a program that shares registers with another
/// computes something else, or dies.
const WORK: &str = "
import threading
def work(i):
    for _ in range(10):
        data = bytes([i]) * 5000
        assert (data + data[::-1]).decode('latin1') == chr(i) * 10000
        text = ','.join(str(x) for x in range(i, i + 150))
        assert [int(x) for x in text.split(',')] == list(range(i, i + 150))
threads = [threading.Thread(target=work, args=(i,)) for i in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print('right')
";

#[test]
fn programs_of_a_micro_vm_share_no_registers() {
    let Some(worker) = Worker::of_micro_vms() else {
        return;
    };
    let work = base64::engine::general_purpose::STANDARD.encode(WORK);
    let mut fleet = worker.start();
    fleet.ask("ensure 3 2 1");
    fleet.wait_for("3 Ready", BOOT);
    let said = fleet.ask(&format!(
        "exec 3 echo {work} | base64 -d > work.py; \
         for n in 1 2; do python3 work.py & done 2>&1; wait"
    ));
    assert_eq!(said, "right|right|[0]");
    assert_eq!(fleet.ask("remove 3"), "ok");
    drop(fleet);
    worker.assert_empty();
}
