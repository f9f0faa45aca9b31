//! The acts of the kit: calls by tonic; those at seats are in `seats`.

use std::collections::HashMap;

use clarateach_e2e::{House, house::patience, learner::Learner, wait::until};
use clarateach_proto::workshop::{
    self as pb, token_service_client::TokenServiceClient,
    workshop_service_client::WorkshopServiceClient,
};
use serde_json::{Value, json};
use tonic::transport::Channel;

use crate::{kit::Refused, plain, watches::Watches};

/// One client, with the seats that it took.
pub(crate) struct Acts<'a> {
    pub(crate) house: &'a House,
    admin: String,
    pub(crate) channel: Channel,
    pub(crate) seats: HashMap<String, Learner>,
    pub(crate) watches: Watches,
}

pub(crate) type Outcome = Result<Value, Refused>;

pub(crate) fn text(from: &Value, name: &str) -> String {
    from[name].as_str().unwrap_or_default().to_owned()
}

pub(crate) fn number(from: &Value, name: &str) -> u32 {
    u32::try_from(from[name].as_u64().unwrap_or_default()).unwrap()
}

pub(crate) fn strings(from: &Value) -> Vec<String> {
    serde_json::from_value(from.clone()).unwrap_or_default()
}

fn egress(with: &Value) -> Option<pb::EgressPolicy> {
    let asked = with.get("egress")?;
    let mode = format!("MODE_{}", text(asked, "mode").to_ascii_uppercase());
    Some(pb::EgressPolicy {
        mode: pb::egress_policy::Mode::from_str_name(&mode)
            .unwrap()
            .into(),
        allow: strings(&asked["allow"]),
    })
}

impl<'a> Acts<'a> {
    pub(crate) async fn new(house: &'a House) -> Self {
        Self {
            house,
            admin: house.admin_token(),
            channel: house.channel().await,
            seats: HashMap::new(),
            watches: Watches::new(),
        }
    }

    /// Does what a step says.
    pub(crate) async fn act(
        &mut self,
        act: &str,
        with: &Value,
        token: Option<&str>,
        keep: Option<&str>,
    ) -> Outcome {
        match act {
            "join" => self.join(with, keep).await,
            "create_token" | "revoke_token" => self.tokens(act, with, token).await,
            "watch" | "watch_seat" | "heard" | "ended" => {
                self.watches(act, with, token, keep).await
            }
            "estimate" | "costs" => self.costs(act, with, token).await,
            "observe" | "collect" => self.visit(act, with, token).await,
            "refresh" | "run" | "write" | "read" | "unlink" | "names" | "terminal" => {
                self.seat(act, with).await
            }
            _ => self.workshops(act, with, token).await,
        }
    }

    pub(crate) fn asked<T>(&self, token: Option<&str>, message: T) -> tonic::Request<T> {
        let bearer = format!("Bearer {}", token.unwrap_or(&self.admin));
        let mut request = tonic::Request::new(message);
        request
            .metadata_mut()
            .insert("authorization", bearer.parse().unwrap());
        request
    }

    async fn workshops(&self, act: &str, with: &Value, token: Option<&str>) -> Outcome {
        let mut client = WorkshopServiceClient::new(self.channel.clone());
        let (id, workshop_id, request_id) = (text(with, "id"), text(with, "id"), String::new());
        let seat = number(with, "seat");
        let made = match act {
            "create" => {
                client
                    .create_workshop(self.asked(token, create(with)))
                    .await?
            }
            "get" => {
                client
                    .get_workshop(self.asked(token, pb::GetWorkshopRequest { id }))
                    .await?
            }
            "update" => {
                let egress = egress(with);
                let name = with["name"].as_str().map(str::to_owned);
                let ask = pb::UpdateWorkshopRequest {
                    id,
                    name,
                    egress,
                    ..Default::default()
                };
                client.update_workshop(self.asked(token, ask)).await?
            }
            "delete" => {
                let ask = pb::DeleteWorkshopRequest { id, request_id };
                client.delete_workshop(self.asked(token, ask)).await?
            }
            "stop" => {
                let ask = pb::StopWorkshopRequest { id, request_id };
                client.stop_workshop(self.asked(token, ask)).await?
            }
            "start" => {
                let ask = pb::StartWorkshopRequest { id, request_id };
                client.start_workshop(self.asked(token, ask)).await?
            }
            "list" => {
                let ask = self.asked(token, pb::ListWorkshopsRequest::default());
                let page = client.list_workshops(ask).await?.into_inner();
                let workshops: Vec<_> = page.workshops.iter().map(plain::workshop).collect();
                return Ok(json!({ "workshops": workshops }));
            }
            "reset_seat" => {
                let ask = pb::ResetSeatRequest {
                    workshop_id,
                    seat,
                    request_id,
                };
                return Ok(plain::seat(
                    client.reset_seat(self.asked(token, ask)).await?.get_ref(),
                ));
            }
            "revoke_seat" => {
                let ask = pb::RevokeSeatRequest {
                    workshop_id,
                    seat,
                    request_id,
                };
                return Ok(plain::seat(
                    client.revoke_seat(self.asked(token, ask)).await?.get_ref(),
                ));
            }
            "wait" | "wait_seat" => return Ok(self.wait(act, with).await),
            _ => panic!("no such act: {act}"),
        };
        Ok(plain::workshop(made.get_ref()))
    }

    async fn wait(&self, act: &str, with: &Value) -> Value {
        until(&format!("{act} {with}"), patience(), async || {
            let workshop = plain::workshop(&self.house.workshop(&text(with, "id")).await);
            if act == "wait" {
                let there = workshop["status"] == with["status"];
                return if there { Ok(workshop) } else { Err(workshop) };
            }
            let seats = workshop["seat_list"].as_array().unwrap();
            let seat = seats
                .iter()
                .find(|seat| seat["seat"] == with["seat"])
                .unwrap();
            let there = seat["state"] == with["state"] && seat["taken"] == with["taken"];
            if there {
                Ok(seat.clone())
            } else {
                Err(seat.clone())
            }
        })
        .await
    }

    async fn tokens(&self, act: &str, with: &Value, token: Option<&str>) -> Outcome {
        let mut client = TokenServiceClient::new(self.channel.clone());
        if act == "revoke_token" {
            let ask = self.asked(
                token,
                pb::RevokeTokenRequest {
                    id: text(with, "id"),
                },
            );
            return Ok(plain::token(client.revoke_token(ask).await?.get_ref()));
        }
        let role = format!("ROLE_{}", text(with, "role").to_ascii_uppercase());
        let ask = pb::CreateTokenRequest {
            principal: text(with, "principal"),
            role: pb::Role::from_str_name(&role).unwrap().into(),
            label: text(with, "label"),
            request_id: text(with, "request_id"),
        };
        let made = client
            .create_token(self.asked(token, ask))
            .await?
            .into_inner();
        let mut told = plain::token(&made.api_token.unwrap());
        told["token"] = made.token.into();
        Ok(told)
    }
}

pub(crate) fn create(with: &Value) -> pb::CreateWorkshopRequest {
    let runtime = format!("RUNTIME_{}", text(with, "runtime").to_ascii_uppercase());
    let ttl = with["ttl"]
        .as_i64()
        .map(|seconds| prost_types::Duration { seconds, nanos: 0 });
    pb::CreateWorkshopRequest {
        name: text(with, "name"),
        seats: number(with, "seats"),
        runtime: pb::Runtime::from_str_name(&runtime).unwrap().into(),
        ttl,
        env: serde_json::from_value(with["env"].clone()).unwrap_or_default(),
        egress: egress(with),
        instructions: text(with, "instructions"),
        request_id: text(with, "request_id"),
        ..Default::default()
    }
}
