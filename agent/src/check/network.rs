//! Whether the walls around a worker's seats stand: compared with what they must
//! be, and tried from inside.
//!
//! Way: the run directory -> the worker's network namespace ([`place`]) -> what
//! stands in it ([`walls`]) -> every flow of the matrix at once from the network
//! of live seats ([`targets`], [`probe`]), while every packet that leaves is seen
//! ([`escapes`]) -> a line a row ([`verdict`]).
//!
//! No program of a learner's takes part. A container's network namespace is the
//! worker's own, so it is entered; a MicroVM's network is its guest's, whose word
//! proves nothing: its rows are judged by what stands around it.

mod escapes;
mod place;
mod probe;
mod targets;
mod verdict;
mod walls;

use std::{
    collections::BTreeMap,
    net::SocketAddrV4,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, ensure};
use clarateach_domain::{ids::SeatNo, seat_net};

use self::{
    escapes::{Escape, Watch},
    place::{Seat, Worker, within},
    probe::Tried,
    targets::{Ground, Row},
};
use super::line::Line;
use crate::network::survey::{Surveyed, survey};

/// All flows are tried at once, and this long.
const WITHIN: Duration = Duration::from_secs(3);
/// A packet may leave a moment after its sender gave up.
const AFTER: Duration = Duration::from_millis(200);
/// From so many seats the flows are tried, and towards so many others.
const SEATS: usize = 4;

/// One flow from one seat: how it ended, and where it came out if it did.
pub(super) struct Flow {
    seat: SeatNo,
    tried: Tried,
    escape: Option<Escape>,
}

/// All lines of this worker's network. Blocks.
pub(super) fn lines(
    run_dir: &Path,
    only: Option<SeatNo>,
    server: Option<SocketAddrV4>,
) -> anyhow::Result<Vec<Line>> {
    let worker = Worker::find(run_dir)?;
    if let Some(seat) = only {
        ensure!(
            worker.seats.iter().any(|live| live.number == seat),
            "there is no seat {seat} that lives on this worker"
        );
    }
    within(&worker.namespace, || {
        let stands = survey(&worker.raised, &worker.egress).context("could not look")?;
        let mut lines = walls::lines(&worker, &stands);
        let all_stand = super::line::all_well(&lines);
        lines.extend(reach(&worker, &stands, only, server, all_stand)?);
        lines.push(verdict::inward(&inward(&worker)?));
        Ok(lines)
    })?
}

/// The matrix, in the worker's namespace.
fn reach(
    worker: &Worker,
    stands: &Surveyed,
    only: Option<SeatNo>,
    server: Option<SocketAddrV4>,
    all_stand: bool,
) -> anyhow::Result<Vec<Line>> {
    let from = |seat: &&Seat| only.is_none_or(|only| only == seat.number);
    let inside = worker.seats.iter().filter(|seat| seat.inside.is_some());
    let seats: Vec<_> = inside.filter(from).take(SEATS).collect();
    let ground = Ground::of(worker, stands, server);
    if seats.is_empty() {
        let rows = targets::rows(&ground, None);
        let judged = |row| verdict::by_walls(row, !worker.seats.is_empty(), all_stand);
        return Ok(rows.iter().map(judged).collect());
    }
    let watch = Watch::begin()?;
    let tried = thread::scope(|scope| {
        let threads: Vec<_> = seats
            .iter()
            .map(|seat| scope.spawn(|| try_from(seat, &ground)))
            .collect();
        let panicked = |_| Err(anyhow!("a thread that tried panicked"));
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(panicked))
            .collect::<anyhow::Result<Vec<_>>>()
    });
    let seen = watch.end()?;
    let mut by_row: BTreeMap<&str, (Row, Vec<Flow>)> = BTreeMap::new();
    let mut order = Vec::new();
    for (seat, rows) in seats.iter().zip(tried?) {
        for (row, tried) in rows {
            let flows = tried.into_iter().map(|tried| Flow {
                seat: seat.number,
                escape: seen.of(&tried),
                tried,
            });
            let flows: Vec<_> = flows.collect();
            let name = row.name;
            match by_row.entry(name) {
                std::collections::btree_map::Entry::Occupied(mut there) => {
                    there.get_mut().1.extend(flows);
                }
                std::collections::btree_map::Entry::Vacant(free) => {
                    order.push(name);
                    free.insert((row, flows));
                }
            }
        }
    }
    let lines = order.iter().filter_map(|name| by_row.get(name));
    Ok(lines
        .map(|(row, flows)| verdict::tried(row, flows, seen.missed))
        .collect())
}

/// Every flow from this seat, in its namespace.
fn try_from(seat: &Seat, ground: &Ground) -> anyhow::Result<Vec<(Row, Vec<Tried>)>> {
    let inside = seat.inside.as_ref().context("it is no container")?;
    within(inside, || {
        let rows = targets::rows(ground, Some((seat.slot, probe::index_of("eth0")?)));
        let all: Vec<_> = rows.iter().flat_map(|row| row.targets.clone()).collect();
        let own = seat_net::address(seat.slot);
        let mut tried = probe::try_all(Some(own), all, Instant::now() + WITHIN)
            .with_context(|| format!("could not try from seat {}", seat.number))?
            .into_iter();
        let mut sorted = Vec::new();
        for row in rows {
            let of_row = tried.by_ref().take(row.targets.len()).collect();
            sorted.push((row, of_row));
        }
        Ok(sorted)
    })?
}

/// The way that is wanted: from the agent's place to each seat.
fn inward(worker: &Worker) -> anyhow::Result<Vec<Flow>> {
    let mut whose = Vec::new();
    let mut all = Vec::new();
    for seat in &worker.seats {
        for target in targets::inward(seat.slot) {
            whose.push(seat.number);
            all.push(target);
        }
    }
    let tried = probe::try_all(None, all, Instant::now() + WITHIN)?;
    let flows = whose.into_iter().zip(tried).map(|(seat, tried)| Flow {
        seat,
        tried,
        escape: None,
    });
    Ok(flows.collect())
}
