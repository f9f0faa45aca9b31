//! What operators watch: `/metrics` in Prometheus' text form.
//!
//! Way: counters as requests pass, gauges from the rows at every scrape.

use std::sync::OnceLock;

use metrics::gauge;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use crate::store::{Store, StoreError};

/// One recorder a process, whoever asks first.
fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    RECORDER
        .get_or_init(|| {
            let handle = PrometheusBuilder::new().install_recorder().ok()?;
            metrics::describe_counter!(
                "clarateach_http_requests_total",
                "Requests by door and HTTP status"
            );
            metrics::describe_gauge!("clarateach_workshops", "Workshops by status");
            metrics::describe_gauge!("clarateach_seats", "Seats of living workshops by state");
            metrics::describe_gauge!(
                "clarateach_seats_taken",
                "Seats of living workshops that learners hold"
            );
            metrics::describe_counter!(
                "clarateach_network_repairs_total",
                "Times that the walls around a worker's seats were changed and put right"
            );
            metrics::describe_gauge!(
                "clarateach_workers_network_faulty",
                "Living workers whose seats' walls are changed and not put right"
            );
            Some(handle)
        })
        .as_ref()
}

/// Starts counting.
pub(super) fn start() {
    recorder();
}

/// The text of a scrape.
pub(super) async fn scrape(store: &Store) -> Result<String, StoreError> {
    let census = store.census().await?;
    for (phase, count) in census.workshops {
        gauge!("clarateach_workshops", "status" => phase.as_str()).set(f64::from(count));
    }
    for (state, count) in census.seats {
        gauge!("clarateach_seats", "state" => state.as_str()).set(f64::from(count));
    }
    gauge!("clarateach_seats_taken").set(f64::from(census.taken));
    gauge!("clarateach_workers_network_faulty").set(f64::from(census.faulty));
    Ok(recorder().map(PrometheusHandle::render).unwrap_or_default())
}
