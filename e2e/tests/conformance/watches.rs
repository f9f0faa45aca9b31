//! The kit's acts that listen, and the one that takes a machine away.

use std::collections::HashMap;

use clarateach_e2e::house::patience;
use clarateach_proto::workshop::{
    self as pb, seat_service_client::SeatServiceClient,
    workshop_service_client::WorkshopServiceClient,
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tonic::Streaming;

use crate::{
    acts::{Acts, Outcome, text},
    kit::matches,
    plain,
};

/// One watch that goes on.
pub(crate) enum Watch {
    Workshop(Streaming<pb::WatchWorkshopResponse>),
    Seat(Streaming<pb::WatchSeatResponse>),
}

impl Watch {
    /// What it tells next; `None` at its end.
    async fn next(&mut self) -> Result<Option<Value>, tonic::Status> {
        let waiting = async {
            Ok(match self {
                Self::Workshop(stream) => stream.message().await?.map(|told| plain::change(&told)),
                Self::Seat(stream) => stream.message().await?.map(|told| plain::news(&told)),
            })
        };
        timeout(patience(), waiting).await.expect("news in time")
    }
}

pub(crate) type Watches = HashMap<String, Watch>;

impl Acts<'_> {
    pub(crate) async fn watches(
        &mut self,
        act: &str,
        with: &Value,
        token: Option<&str>,
        keep: Option<&str>,
    ) -> Outcome {
        if act == "heard" || act == "ended" {
            let watch = self.watches.get_mut(&text(with, "watch")).unwrap();
            while let Some(told) = watch.next().await? {
                if act == "heard" && matches(&with["until"], &told) {
                    return Ok(told);
                }
            }
            assert_eq!(act, "ended", "{with} was never heard");
            return Ok(Value::Null);
        }
        let mut watch = if act == "watch" {
            let ask = pb::WatchWorkshopRequest {
                id: text(with, "id"),
                since_revision: 0,
            };
            let mut client = WorkshopServiceClient::new(self.channel.clone());
            let asked = client.watch_workshop(self.asked(token, ask)).await?;
            Watch::Workshop(asked.into_inner())
        } else {
            let bearer = self.seats[&text(with, "seat")].joined.token.clone();
            let ask = self.asked(Some(&bearer), pb::WatchSeatRequest::default());
            let mut client = SeatServiceClient::new(self.channel.clone());
            Watch::Seat(client.watch_seat(ask).await?.into_inner())
        };
        let first = watch.next().await?.expect("a first state");
        if let Some(name) = keep {
            self.watches.insert(name.to_owned(), watch);
        }
        Ok(first)
    }

    pub(crate) async fn costs(&self, act: &str, with: &Value, token: Option<&str>) -> Outcome {
        let mut client = WorkshopServiceClient::new(self.channel.clone());
        if act == "estimate" {
            let wish = crate::acts::create(with);
            let ask = pb::EstimateCostRequest {
                seats: wish.seats,
                runtime: wish.runtime,
                ttl: wish.ttl,
                resources: None,
            };
            let said = client.estimate_cost(self.asked(token, ask)).await?;
            let said = said.into_inner();
            return Ok(json!({
                "total_microusd": said.total_microusd,
                "workers": said.workers,
                "explanation": said.explanation,
            }));
        }
        let workshop_ids = crate::acts::strings(&with["workshop_ids"]);
        let ask = pb::GetCostsRequest { workshop_ids };
        let said = client.get_costs(self.asked(token, ask)).await?.into_inner();
        let cost = |cost: &pb::WorkshopCost| json!({ "workshop_id": cost.workshop_id, "total_microusd": cost.total_microusd });
        Ok(json!({
            "costs": said.costs.iter().map(cost).collect::<Vec<_>>(),
            "price_known": said.price_known,
            "explanation": said.explanation,
        }))
    }
}
