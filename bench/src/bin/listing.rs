//! What do a page of a list and one change cost, with few workshops in the database and
//! with ten thousand?
//!
//! The peer is the same server with two hundred, as many of them not deleted. A real class of one is copied as rows, most of
//! them of deleted workshops, as a busy installation has them; then pages are asked for
//! (the newest, and one from the middle, deleted ones among them), and the class's name is
//! changed while somebody watches it. Printed is the server's own processor time.

#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "figures for people"
)]

use std::{fs, time::Duration};

use anyhow::{Context, ensure};
use clap::{Parser, ValueEnum};
use clarateach_bench::{Report, Row, process, report};
use clarateach_e2e::{House, house, postgres};
use clarateach_proto::workshop::{
    ListWorkshopsRequest, UpdateWorkshopRequest, WatchWorkshopRequest, Workshop,
};
use sea_orm::{ConnectionTrait, Database};

/// Pages and changes beside many workshops.
#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    report: Report,
    /// Workshops in the database.
    #[arg(long, default_value_t = 10_000)]
    workshops: u32,
    /// How many of them are not deleted, but stopped.
    #[arg(long, default_value_t = 100)]
    living: u32,
    /// Pages of each kind, and changes.
    #[arg(long, default_value_t = 200)]
    calls: u32,
    /// Which database; both when absent.
    #[arg(long)]
    database: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Sqlite,
    Postgres,
}

/// Workshops on a page, as pages have them by default.
const PAGE: u32 = 50;
/// Enough for two whole pages of what is not deleted.
const FEW: u32 = 200;

/// The server's processor time for one of each.
struct Costs {
    newest: Duration,
    middle: Duration,
    change: Duration,
}

fn main() -> anyhow::Result<()> {
    report::run(measure(Settings::parse()))
}

async fn measure(settings: Settings) -> anyhow::Result<()> {
    settings.report.title("pages and changes");
    if let Some(why) = house::missing() {
        println!("SKIPPED: listing: {why}");
        return Ok(());
    }
    for kind in [Kind::Sqlite, Kind::Postgres] {
        if settings.database.is_some_and(|only| only != kind) {
            continue;
        }
        if let (Kind::Postgres, Some(why)) = (kind, postgres::missing()) {
            println!("SKIPPED: listing on PostgreSQL: {why}");
            continue;
        }
        let few = costs(kind, FEW, &settings).await?;
        let many = costs(kind, settings.workshops, &settings).await?;
        for (what, few, many, goal) in [
            ("the newest page", few.newest, many.newest, "10 ms"),
            ("a page in the middle", few.middle, many.middle, "10 ms"),
            ("a change that is watched", few.change, many.change, "flat"),
        ] {
            let milliseconds = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
            settings.report.row(&Row {
                what: &format!("{what}, {} workshops, {kind:?}", settings.workshops),
                peer: milliseconds(few),
                project: milliseconds(many),
                ratio: format!("{:.2}", many.as_secs_f64() / few.as_secs_f64()),
                goal,
            })?;
        }
    }
    Ok(())
}

async fn costs(kind: Kind, workshops: u32, settings: &Settings) -> anyhow::Result<Costs> {
    let name = format!("listing{workshops}");
    let url = (kind == Kind::Postgres).then(|| postgres::shared().database(&name));
    let flags: Vec<&str> = url.iter().flat_map(|url| ["--database", url]).collect();
    // What is copied counts, too.
    let wide = ["--max-workers", "100000", "--max-seats-per-owner", "100000"];
    let mut house = House::start_with(&[&flags[..], &wide].concat()).await;
    let class = house.class("Listing", 1).await;
    house.stop_server().await;
    let file = house.data().join("clarateach.db");
    let at = url.unwrap_or_else(|| format!("sqlite://{}", file.display()));
    copy(&at, workshops, settings.living.min(workshops / 2)).await?;
    house.start_server().await;
    let server = house.server().context("the server runs")?;
    let costs = Costs {
        newest: pages(&house, server, settings.calls, "").await?,
        middle: {
            let token = middle(&house, workshops).await?;
            pages(&house, server, settings.calls, &token).await?
        },
        change: changes(&house, server, settings.calls, &class).await?,
    };
    house.delete(&class.id).await;
    house.close();
    Ok(costs)
}

/// Copies the one workshop: the first `living` as stopped ones, the others as deleted ones.
async fn copy(url: &str, workshops: u32, living: u32) -> anyhow::Result<()> {
    let db = Database::connect(url).await?;
    let backend = db.get_database_backend();
    let query = match backend {
        sea_orm::DbBackend::Postgres => {
            "SELECT column_name AS name FROM information_schema.columns WHERE table_name = 'workshops'"
        }
        _ => "SELECT name FROM pragma_table_info('workshops')",
    };
    let rows = db
        .query_all_raw(sea_orm::Statement::from_string(backend, query))
        .await?;
    let columns: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get("", "name")).collect();
    let columns = columns?;
    ensure!(
        columns.len() > 20,
        "the table has other columns: {columns:?}"
    );
    let values = columns.iter().map(|column| match column.as_str() {
        "id" => "'ws-' || CAST(1000000000 + i AS TEXT)".to_owned(),
        "code" => "CAST(1000000000 + i AS TEXT)".to_owned(),
        "desired" => format!("CASE WHEN i <= {living} THEN 'stopped' ELSE 'absent' END"),
        "phase" => format!("CASE WHEN i <= {living} THEN 'stopped' ELSE 'deleted' END"),
        "deleted_at" => format!("CASE WHEN i <= {living} THEN NULL ELSE created_at END"),
        other => other.to_owned(),
    });
    let values: Vec<_> = values.collect();
    let copies = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {workshops})
         INSERT INTO workshops ({}) SELECT {} FROM workshops, n",
        columns.join(", "),
        values.join(", ")
    );
    let done = db.execute_unprepared(&copies).await?;
    ensure!(done.rows_affected() == u64::from(workshops));
    db.execute_unprepared("ANALYZE").await?;
    db.close().await?;
    Ok(())
}

/// The token of a page half way down.
async fn middle(house: &House, workshops: u32) -> anyhow::Result<String> {
    let mut workshops_client = house.workshops().await;
    let (mut token, mut seen) = (String::new(), 0);
    while seen < workshops / 2 {
        let ask = ListWorkshopsRequest {
            page_size: 500.min(workshops / 2),
            page_token: token,
            show_deleted: true,
        };
        let page = workshops_client.list_workshops(ask).await?.into_inner();
        seen += u32::try_from(page.workshops.len())?;
        token = page.next_page_token;
    }
    Ok(token)
}

async fn pages(house: &House, server: i32, calls: u32, token: &str) -> anyhow::Result<Duration> {
    let mut workshops = house.workshops().await;
    let before = used(server)?;
    for _ in 0..calls {
        let ask = ListWorkshopsRequest {
            page_size: PAGE,
            page_token: token.to_owned(),
            show_deleted: !token.is_empty(),
        };
        let page = workshops.list_workshops(ask).await?.into_inner();
        ensure!(!page.workshops.is_empty(), "an empty page");
    }
    Ok((used(server)?.saturating_sub(before)) / calls)
}

async fn changes(
    house: &House,
    server: i32,
    calls: u32,
    class: &Workshop,
) -> anyhow::Result<Duration> {
    let mut workshops = house.workshops().await;
    let watch = WatchWorkshopRequest {
        id: class.id.clone(),
        since_revision: 0,
    };
    let mut news = workshops.clone().watch_workshop(watch).await?.into_inner();
    news.message().await?.context("the watch ended")?;
    let before = used(server)?;
    for n in 0..calls {
        let name = format!("Listing {n}");
        let ask = UpdateWorkshopRequest {
            id: class.id.clone(),
            name: Some(name.clone()),
            ..Default::default()
        };
        workshops.update_workshop(ask).await?;
        while let Some(told) = news.message().await? {
            if told.workshop.is_some_and(|workshop| workshop.name == name) {
                break;
            }
        }
    }
    Ok((used(server)?.saturating_sub(before)) / calls)
}

/// Finer than [`process::cpu`]: a page takes less than one of its ticks.
fn used(pid: i32) -> anyhow::Result<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        let first = text.split_ascii_whitespace().next();
        nanoseconds += first.and_then(|text| text.parse().ok()).unwrap_or(0_u64);
    }
    if nanoseconds == 0 {
        return process::cpu(&[pid]); // a kernel that does not say
    }
    Ok(Duration::from_nanos(nanoseconds))
}
