//! What workshops have cost so far, and what one would cost.

use clarateach_proto::workshop::{
    EstimateCostRequest, GetCostsRequest, GetCostsResponse, Workshop, WorkshopCost,
};
use serde_json::{Value, json};

use super::{find, list as all_workshops, runtime, span};
use crate::{
    api::Workshops,
    config::{CostArgs, EstimateArgs, Format, Show},
    failure::Failure,
    output::{list, plain, tell},
};

const COLUMNS: [&str; 4] = ["ID", "NAME", "RAN", "COST"];
/// Workshops of one question.
const MOST: usize = 100;

/// Of the workshops that are named, or of all.
pub(super) async fn run(workshops: &mut Workshops, args: CostArgs) -> Result<(), Failure> {
    let all = all_workshops(workshops, true).await?;
    let mut meant: Vec<&Workshop> = all.iter().collect();
    if !args.workshops.is_empty() {
        meant.clear();
        for name in &args.workshops {
            let id = find::id(workshops, name).await?;
            meant.push(find::one(&all, &id)?);
        }
    }
    let mut said = GetCostsResponse::default();
    for some in meant.chunks(MOST) {
        let more = of(workshops, some.iter().map(|one| one.id.clone()).collect()).await?;
        said.price_known = more.price_known;
        said.explanation = more.explanation;
        said.costs.extend(more.costs);
    }
    let rows: Vec<Vec<String>> = meant
        .iter()
        .zip(&said.costs)
        .map(|(workshop, cost)| {
            vec![
                workshop.id.clone(),
                plain(&workshop.name),
                ran(cost),
                price(cost, said.price_known),
            ]
        })
        .collect();
    list(args.show, &COLUMNS, &[], &rows, || as_json(&said))?;
    explain(args.show, &said.explanation);
    Ok(())
}

async fn of(workshops: &mut Workshops, ids: Vec<String>) -> Result<GetCostsResponse, Failure> {
    let ask = GetCostsRequest { workshop_ids: ids };
    let said = workshops.get_costs(ask).await;
    let failed = |status| Failure::status("could not ask for the costs", &status);
    Ok(said.map_err(failed)?.into_inner())
}

/// `$1.25 so far, workers ran 3h20m`; nothing if the server cannot tell.
pub(super) async fn so_far(workshops: &mut Workshops, id: &str) -> Option<String> {
    let said = of(workshops, vec![id.to_owned()]).await.ok()?;
    let cost = said.costs.first()?;
    Some(format!(
        "{} so far, workers ran {}",
        price(cost, said.price_known),
        ran(cost)
    ))
}

/// Of one that is not there yet.
pub(super) async fn estimate(workshops: &mut Workshops, args: EstimateArgs) -> Result<(), Failure> {
    let ask = EstimateCostRequest {
        seats: args.seats,
        runtime: runtime(args.runtime).into(),
        ttl: args.ttl.map(span).transpose()?,
        resources: None,
    };
    let said = workshops.estimate_cost(ask).await;
    let failed = |status| Failure::status("could not ask for the price", &status);
    let said = said.map_err(failed)?.into_inner();
    let row = vec![dollars(said.total_microusd), said.workers.to_string()];
    list(args.show, &["COST", "WORKERS"], &[], &[row], || {
        json!({
            "total_microusd": said.total_microusd,
            "workers": said.workers,
            "explanation": said.explanation,
        })
    })?;
    explain(args.show, &said.explanation);
    Ok(())
}

fn explain(show: Show, why: &str) {
    if matches!(show.output, Format::Table | Format::Wide) && !why.is_empty() {
        tell(&plain(why));
    }
}

fn seconds(cost: &WorkshopCost) -> i64 {
    cost.worker_time.as_ref().map_or(0, |time| time.seconds)
}

fn ran(cost: &WorkshopCost) -> String {
    let minutes = seconds(cost) / 60;
    match minutes {
        0 => format!("{}s", seconds(cost)),
        1..60 => format!("{minutes}m"),
        _ => format!("{}h{:02}m", minutes / 60, minutes % 60),
    }
}

fn price(cost: &WorkshopCost, known: bool) -> String {
    if known {
        dollars(cost.total_microusd)
    } else {
        "-".into()
    }
}

/// Whole cents, rounded up: nothing that costs is said to be free.
fn dollars(micro: u64) -> String {
    let cents = micro.div_ceil(10_000);
    format!("${}.{:02}", cents / 100, cents % 100)
}

/// As `GET /api/costs` has it.
fn as_json(said: &GetCostsResponse) -> Value {
    let cost = |cost: &WorkshopCost| {
        json!({
            "workshop_id": cost.workshop_id,
            "worker_time": seconds(cost),
            "total_microusd": cost.total_microusd,
        })
    };
    json!({
        "costs": said.costs.iter().map(cost).collect::<Vec<_>>(),
        "price_known": said.price_known,
        "explanation": said.explanation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_and_time_are_said_as_people_do() {
        for (micro, said) in [
            (0, "$0.00"),
            (1, "$0.01"),
            (10_000, "$0.01"),
            (1_234_567, "$1.24"),
            (120_000_000, "$120.00"),
        ] {
            assert_eq!(dollars(micro), said);
        }
        for (seconds, said) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (12_060, "3h21m"),
            (360_000, "100h00m"),
        ] {
            let worker_time = Some(prost_types::Duration { seconds, nanos: 0 });
            let cost = WorkshopCost {
                worker_time,
                ..Default::default()
            };
            assert_eq!(ran(&cost), said);
            assert_eq!(price(&cost, false), "-");
        }
    }
}
