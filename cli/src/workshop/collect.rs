//! Every learner's files as one tar archive: a folder a seat, and what came of it.
//!
//! Way: seats -> a reading token each -> their archives, some at once, each to a
//! file without a name -> [`archive`], in order, under the seat's folder -> the
//! archive, under its name when all of it is there. A seat that cannot be read
//! leaves the others as they are, and is told.

mod archive;
mod way;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use clarateach_proto::workshop::Seat;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tar::Builder;
use tokio::task::spawn_blocking;

use self::way::Way;
use super::{find, get};
use crate::{
    api::{ControlPlane, Workshops},
    config::CollectArgs,
    failure::{Exit, Failure},
    files::local,
    output::{count, plain, pretty, tell},
    progress::Meter,
};

/// Seats read at once.
const AT_ONCE: usize = 4;

/// What came of one seat.
struct Outcome {
    seat: u32,
    learner: String,
    folder: String,
    files: Result<u64, String>,
}

pub(super) async fn run(
    server: &ControlPlane,
    workshops: &mut Workshops,
    args: CollectArgs,
) -> Result<(), Failure> {
    let id = find::id(workshops, &args.workshop).await?;
    let workshop = get(workshops, &id).await?;
    let seats = wanted(&workshop.seat_list, &args.seat, &id)?;
    let out = args
        .out
        .unwrap_or_else(|| PathBuf::from(format!("{id}.tar")));
    let stdout = out == Path::new("-");
    let half = if stdout {
        None
    } else {
        Some(local::Half::begin(&out)?)
    };
    let failed = |error| local::writing(&out, error);
    let output: archive::Output = match &half {
        Some(half) => Box::new(half.handle()?.into_std().await),
        None => Box::new(io::stdout()),
    };
    let builder = Arc::new(Mutex::new(Builder::new(output)));
    let meter = Meter::begin(&count(seats.len(), "seat"), None);
    let gateway = args.gateway;
    // Beside the archive there is room for it, as /tmp may have none.
    let spool = match out.parent() {
        _ if stdout => std::env::temp_dir(),
        Some(dir) if dir != Path::new("") => dir.to_owned(),
        _ => PathBuf::from("."),
    };
    let disk = workshop.resources.as_ref().map_or(0, |has| has.disk_mib);
    // Headers take room, too; and a disk that nobody names is taken for a large one.
    let most = (u64::from(if disk == 0 { 65_536 } else { disk }) * 3 / 2 + 64) << 20;
    let mut outcomes = Vec::new();
    {
        let read = stream::iter(seats).map(|seat| {
            let mut way = Way {
                server: server.clone(),
                workshops: workshops.clone(),
                id: id.clone(),
                gateway,
                spool: spool.clone(),
                meter: meter.clone(),
                most,
            };
            async move {
                let archive = way.fetch(seat.seat).await;
                (seat, archive)
            }
        });
        let mut read = std::pin::pin!(read.buffered(AT_ONCE));
        while let Some((seat, archive)) = read.next().await {
            let folder = archive::folder(&seat);
            meter.now(&folder);
            let files = match archive {
                Err(why) => Err(why.line()),
                Ok(archive) => {
                    let (builder, folder) = (Arc::clone(&builder), folder.clone());
                    let appended = spawn_blocking(move || {
                        let mut builder = builder.lock().unwrap_or_else(PoisonError::into_inner);
                        archive::append(&mut builder, archive, &folder)
                    });
                    let appended = appended
                        .await
                        .map_err(|error| Failure::fault("could not write the archive", error))?;
                    Ok(appended.map_err(failed)?)
                }
            };
            outcomes.push(Outcome {
                seat: seat.seat,
                learner: seat.learner.clone(),
                folder,
                files,
            });
        }
    }
    drop(meter);
    let text = pretty(&as_json(&id, &workshop.name, &outcomes));
    spawn_blocking(move || {
        let mut builder = builder.lock().unwrap_or_else(PoisonError::into_inner);
        archive::end(&mut builder, &text)
    })
    .await
    .map_err(|error| Failure::fault("could not write the archive", error))?
    .map_err(failed)?;
    if let Some(half) = half {
        half.finish(None)?;
    }
    report(&outcomes, &out)
}

/// The seats that may hold work, by number.
fn wanted(all: &[Seat], numbers: &[u32], id: &str) -> Result<Vec<Seat>, Failure> {
    let numbers: BTreeSet<u32> = numbers.iter().copied().collect();
    for number in &numbers {
        let seat = all.iter().find(|seat| seat.seat == *number);
        let why = match seat {
            None => "there is no such seat",
            Some(seat) if !seat.taken => "nobody holds it",
            Some(_) => continue,
        };
        return Err(
            Failure::new(Exit::NotFound, format!("seat {number} of {id}: {why}"))
                .hint(format!("See clarateach seats list {id}.")),
        );
    }
    let chosen = |seat: &&Seat| seat.taken && (numbers.is_empty() || numbers.contains(&seat.seat));
    let found: Vec<Seat> = all.iter().filter(chosen).cloned().collect();
    if found.is_empty() {
        return Err(
            Failure::new(Exit::NotFound, format!("nobody holds a seat of {id}"))
                .hint("There is no work to collect."),
        );
    }
    Ok(found)
}

fn as_json(id: &str, name: &str, outcomes: &[Outcome]) -> Value {
    let seats: Vec<Value> = outcomes
        .iter()
        .map(|outcome| {
            json!({
                "seat": outcome.seat,
                "learner": outcome.learner,
                "folder": outcome.folder,
                "files": outcome.files.as_ref().ok(),
                "missing_because": outcome.files.as_ref().err(),
            })
        })
        .collect();
    json!({ "workshop": id, "name": name, "seats": seats })
}

/// Says what is there; a seat that is not is a failure, after all others are safe.
fn report(outcomes: &[Outcome], out: &Path) -> Result<(), Failure> {
    let mut missing = Vec::new();
    for outcome in outcomes {
        match &outcome.files {
            Ok(files) => {
                let files = count(usize::try_from(*files).unwrap_or(usize::MAX), "file");
                tell(&format!("{}: {files}", plain(&outcome.folder)));
            }
            Err(why) => {
                tell(&format!(
                    "{}: MISSING: {}",
                    plain(&outcome.folder),
                    plain(why)
                ));
                missing.push(outcome.seat.to_string());
            }
        }
    }
    if missing.is_empty() {
        tell(&format!(
            "{} seats are in {}",
            outcomes.len(),
            out.display()
        ));
        return Ok(());
    }
    Err(Failure::new(
        Exit::Fault,
        format!("seats {} are not in the archive; the others are", missing.join(", ")),
    )
    .hint("Their machines may be restarting: see clarateach seats list, and collect them again with --seat."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_seats_with_somebody_in_them_are_read() {
        let seat = |seat, taken| Seat {
            seat,
            taken,
            ..Default::default()
        };
        let all = [seat(1, true), seat(2, false), seat(3, true)];
        let numbers = |asked: &[u32]| {
            let found = wanted(&all, asked, "ws").ok()?;
            Some(found.iter().map(|seat| seat.seat).collect::<Vec<_>>())
        };
        assert_eq!(numbers(&[]), Some(vec![1, 3]));
        assert_eq!(numbers(&[3, 3]), Some(vec![3]));
        assert_eq!(numbers(&[2]), None);
        assert_eq!(numbers(&[4]), None);
        assert!(wanted(&[seat(1, false)], &[], "ws").is_err());
    }
}
