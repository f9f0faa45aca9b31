//! The strict fake of Google with real workers behind its VMs, by itself: for
//! `scripts/test-e2e-firecracker.sh --fake`, and for trying the cloud out on a desk.
//!
//! Usage: fake-google DIR [SECONDS]. It prints its URL, which `clarateach-server
//! --gcp-endpoint` takes, and then, whenever a line comes in, what there is: VMs and
//! disks as JSON. The line `preempt` takes all running VMs away, SECONDS after they were
//! told (Google's own half minute if it is not said). It ends, with every VM, when its
//! input does.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test code: what cannot go on should stop and say where"
)]

use std::{io::BufRead as _, path::Path, time::Duration};

use clarateach_e2e::{
    fake_gce::{Clock, Config, FakeGce, Pace},
    fake_metadata::Keys,
    vms::{Vms, addresses},
};

#[tokio::main]
async fn main() {
    let usage = "usage: fake-google DIR [SECONDS]";
    let dir = std::env::args_os().nth(1).expect(usage);
    let told_before = std::env::args()
        .nth(2)
        .map_or(Pace::default().preemption, |it| {
            Duration::from_secs(it.parse().expect(usage))
        });
    let vms = Vms::new(Path::new(&dir), Keys::google());
    let google = FakeGce::start(Config {
        addresses: addresses(),
        clock: Clock::Scaled(1.0),
        machines: vms,
        pace: Pace {
            pending: Duration::from_millis(200),
            boot: Duration::from_secs(1),
            shutdown: Duration::from_secs(1),
            other: Duration::from_millis(500),
            preemption: told_before,
            ..Pace::default()
        },
        ..Config::default()
    })
    .await;
    println!("{}", google.url());
    let said = tokio::task::spawn_blocking(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if line == "preempt" {
                preempt(&google);
            }
            let there = serde_json::json!({
                "vms": google.instances(), "disks": google.disks(),
            });
            println!("{there}");
        }
    });
    said.await.unwrap();
}

/// Takes away whatever runs.
fn preempt(google: &FakeGce) {
    for (zone, name, status) in google.instances() {
        if status == "RUNNING" {
            google.preempt(&zone, &name, Duration::ZERO);
        }
    }
}
