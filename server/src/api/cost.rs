//! What a workshop would cost, before it is made.

use clarateach_domain::cost;
use clarateach_proto::workshop as pb;
use tonic::Code;

use super::{Api, error::ApiError, wish};

impl Api {
    /// Reckons what workers of this shape would cost.
    pub(super) fn estimate(
        &self,
        ask: &pb::EstimateCostRequest,
    ) -> Result<pb::EstimateCostResponse, ApiError> {
        let settings = &self.settings;
        let ttl = wish::estimate(ask, settings)?;
        let price = settings.worker_price.ok_or_else(|| {
            ApiError::new(
                Code::FailedPrecondition,
                "PRICE_UNKNOWN",
                "this server was not told what a worker costs: whoever runs it can say so by \
                 --worker-hourly-usd",
            )
        })?;
        let workers = cost::workers(ask.seats, settings.limits.seats_per_worker);
        let total = price.of(workers, ttl);
        let minutes = ttl.as_secs().div_ceil(60);
        let explanation = if total == 0 {
            format!("{workers} workers on machines that are there anyway cost nothing more")
        } else {
            format!(
                "{workers} workers for {minutes} minutes, at the hourly price that this server \
                 was told; traffic and stopped time are not in it"
            )
        };
        Ok(pb::EstimateCostResponse {
            total_microusd: total,
            workers,
            explanation,
        })
    }
}
