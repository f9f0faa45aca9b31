//! Does a whole school get in at once?
//!
//! 500 learners join a running class of 50 seats at the same moment, each on a
//! connection of their own, over the JSON face that browsers use. 50 must get
//! 50 distinct seats, 450 must be told cleanly that the class is full. There is
//! no peer: the time is printed, from the first byte of a learner's connection
//! to the last of the answer, all 500 sharing this machine with the server.

#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "figures for people"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use clap::Parser;
use clarateach_bench::{Report, Row, Spread, figures, process, report, stand};
use clarateach_e2e::{House, house};
use clarateach_proto::workshop::{Resources, WorkshopStatus};
use futures_util::future;
use http::Method;

/// 500 joins on 50 seats.
#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    report: Report,
    /// Learners.
    #[arg(long, default_value_t = 500)]
    learners: usize,
    /// Seats.
    #[arg(long, default_value_t = 50)]
    seats: u32,
    /// Classes, one after the other.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    report::run(measure(settings))
}

async fn measure(settings: Settings) -> anyhow::Result<()> {
    let Settings {
        report,
        learners,
        seats,
        rounds,
    } = settings;
    report.title(&format!(
        "{learners} learners join {seats} seats at once, milliseconds"
    ));
    if let Some(why) = house::missing() {
        println!("SKIPPED: crowd: {why}");
        return Ok(());
    }
    let mut house = House::start_with(&[]).await;
    let (mut p50, mut p99, mut all) = (Vec::new(), Vec::new(), Vec::new());
    let mut outcomes = BTreeSet::new();
    for round in 1..=rounds {
        let name = format!("crowd {round}");
        let mut workshops = house.workshops().await;
        let class = stand::create(&mut workshops, &name, seats, Resources::default()).await?;
        let class = house.until_status(&class.id, WorkshopStatus::Running).await;
        let body = serde_json::json!({ "code": class.code }).to_string();
        let began = Instant::now();
        let joins = (0..learners).map(|_| async {
            let began = Instant::now();
            let answer = house.json(Method::POST, "/api/join", None, &body).await?;
            anyhow::Ok((began.elapsed(), answer))
        });
        let answers = future::try_join_all(joins).await?;
        all.push(began.elapsed().as_secs_f64() * 1e3);
        let (mut taken, mut refused) = (Vec::new(), BTreeMap::new());
        for (_, answer) in &answers {
            let said: serde_json::Value = serde_json::from_slice(answer.body())?;
            if let Some(seat) = said["seat"].as_u64() {
                taken.push(seat);
            } else {
                let reason = format!("{} {}", answer.status().as_u16(), said["error"]["reason"]);
                *refused.entry(reason).or_insert(0) += 1;
            }
        }
        let distinct = taken.iter().collect::<BTreeSet<_>>().len();
        let outcome = format!(
            "{} seats, {distinct} distinct, refused {refused:?}",
            taken.len()
        );
        println!("round {round}: {outcome} (load {})", process::load());
        outcomes.insert(outcome);
        let times = answers.iter().map(|(took, _)| took.as_secs_f64() * 1e3);
        let times = figures::sorted(times);
        p50.push(figures::percentile(&times, 50.0));
        p99.push(figures::percentile(&times, 99.0));
        house.delete(&class.id).await;
    }
    let outcome = outcomes.into_iter().collect::<Vec<_>>().join("; ");
    report.row(&Row {
        what: "500 joins on 50 seats",
        peer: "–".into(),
        project: outcome,
        ratio: "–".into(),
        goal: "50 distinct, 450 clean refusals",
    })?;
    report.row(&Row {
        what: "a join among 500, ms",
        peer: "–".into(),
        project: format!(
            "p50 {:.0}, p99 {:.0}, all {:.0}",
            Spread::of(p50),
            Spread::of(p99),
            Spread::of(all)
        ),
        ratio: "–".into(),
        goal: "p99 printed",
    })?;
    house.down();
    Ok(())
}
