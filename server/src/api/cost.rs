//! What a workshop would cost, before it is made, and what it has cost so far.

use clarateach_domain::cost::{self, HourlyPrice};
use clarateach_proto::workshop as pb;
use tonic::Code;

use super::{Api, error::ApiError, now, wire, wish};
use crate::store::principals::Principal;

/// Workshops of one question.
const MOST: usize = 100;

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

    /// What the caller's workshops have cost so far, by the time that their workers ran.
    pub(super) async fn costs(
        &self,
        who: &Principal,
        ask: &pb::GetCostsRequest,
    ) -> Result<pb::GetCostsResponse, ApiError> {
        if !(1..=MOST).contains(&ask.workshop_ids.len()) {
            return Err(ApiError::field(
                "workshop_ids",
                "must name 1 to 100 workshops",
            ));
        }
        let price = self.settings.worker_price;
        let mut costs = Vec::with_capacity(ask.workshop_ids.len());
        for id in &ask.workshop_ids {
            let workshop = self.own(who, id).await?;
            let ran = self.store.worker_time(&workshop.id, now()).await?;
            costs.push(pb::WorkshopCost {
                workshop_id: workshop.id.to_string(),
                worker_time: Some(wire::span(ran)),
                total_microusd: price.map_or(0, |price| price.of_time(ran)),
            });
        }
        let explanation = match price {
            None => {
                "this server was not told what a worker costs (--worker-hourly-usd): only the \
                 time that workers ran is known"
            }
            Some(HourlyPrice::NOTHING) => "machines that are there anyway cost nothing more",
            Some(_) => {
                "the time that workers ran, at the hourly price that this server was told; \
                 traffic and disks of stopped workers are not in it"
            }
        };
        Ok(pb::GetCostsResponse {
            costs,
            price_known: price.is_some(),
            explanation: explanation.to_owned(),
        })
    }
}
