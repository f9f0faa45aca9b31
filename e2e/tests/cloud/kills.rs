//! The server is killed between any two steps of making a class in the cloud, of bringing it
//! back and of deleting it: what was asked for comes true all the same, there never are two
//! VMs for one, and nothing is left. `scripts/soak.sh kills` tells it in other orders.

use std::{collections::VecDeque, sync::Mutex};

use clarateach_e2e::{House, house::missing, postgres, soak::soak};
use clarateach_server::crash::{CLOUD_POINTS, CRASH_POINTS, RETURN_POINTS};
use futures_util::future::join_all;
use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use crate::{
    lane::Lane,
    life::{Life, Took},
};

/// Which steps a class passes when it is made, when it comes back, and when it is deleted.
const CREATE: [&str; 7] = [
    "settle",
    "create",
    "vm.insert",
    "enrol",
    "epochs",
    "egress",
    "seats.create",
];
/// Its agent starts its seats again by itself.
const BACK: [&str; 7] = [
    "settle", "stop", "vm.stop", "start", "vm.start", "enrol", "epochs",
];
const DELETE: [&str; 4] = ["seats.delete", "delete", "vm.delete", "forget-worker"];

/// How often a life is lived whose last point may be missed.
const TRIES: u32 = 3;

/// Classes at once: more on PostgreSQL, where most of a life is waiting for the lease of a
/// server that died.
fn at_once() -> u8 {
    if postgres::chosen() { 10 } else { 4 }
}

fn verb(point: &str) -> &str {
    point.split_once(':').unwrap().0
}

fn points() -> impl Iterator<Item = &'static str> {
    let all = [CRASH_POINTS, RETURN_POINTS, CLOUD_POINTS];
    all.into_iter().flatten().copied()
}

fn points_of(verbs: &[&str]) -> Vec<&'static str> {
    points()
        .filter(|point| verbs.contains(&verb(point)))
        .collect()
}

/// Lives that pass every point: in order for the first seed, shuffled for the others.
fn lives(seed: u64) -> Vec<Life> {
    let mut all = [points_of(&CREATE), points_of(&BACK), points_of(&DELETE)];
    if seed > 0 {
        let mut chance = StdRng::seed_from_u64(seed);
        for points in &mut all {
            points.shuffle(&mut chance);
        }
    }
    let [create, back, delete] = all;
    let most = create.len().max(back.len()).max(delete.len());
    let life = |n: usize| Life {
        create: create[n % create.len()],
        back: back[n % back.len()],
        delete: delete[n % delete.len()],
        seats: if (n as u64 + seed).is_multiple_of(2) {
            1
        } else {
            2
        },
    };
    (0..most).map(life).collect()
}

#[test]
fn every_point_is_passed_by_some_life() {
    for point in points() {
        let told = [&CREATE[..], &BACK, &DELETE].concat();
        assert!(told.contains(&verb(point)), "{point}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_server_may_die_at_any_step_of_a_class_in_the_cloud() {
    if let Some(why) = missing() {
        println!("SKIPPED: {}: {why}", module_path!());
        return;
    }
    let (rounds, first) = soak(1);
    let seeds = first..first.saturating_add(rounds);
    let left: VecDeque<_> = seeds
        .flat_map(|seed| lives(seed).into_iter().map(move |life| (seed, life)))
        .collect();
    let left = Mutex::new(left);
    let next = || left.lock().unwrap().pop_front();
    let house = House::empty();
    // Number 0 is a `fake-google`'s, which may stand beside this.
    let lanes = (1..=at_once()).map(async |number| {
        let mut lane = Lane::open(&house, number).await;
        let mut longest = Took::default();
        while let Some((seed, life)) = next() {
            let mut took = None;
            for _ in 0..TRIES {
                took = life.live(&mut lane).await;
                if took.is_some() {
                    break;
                }
                println!("seed {seed}: {life:?}: once more, as its end was not passed");
            }
            let took = took.unwrap_or_else(|| panic!("{life:?}: its end was never passed"));
            println!("seed {seed}: {life:?}: {took:.1?} after each death");
            for (longest, took) in longest.iter_mut().zip(took) {
                *longest = took.max(*longest);
            }
        }
        longest
    });
    let longest = join_all(lanes)
        .await
        .into_iter()
        .reduce(|one, other| [0, 1, 2].map(|n| one[n].max(other[n])));
    println!(
        "longest until made, back and gone: {:.1?}",
        longest.unwrap()
    );
    house.close();
}
