//! The kit's acts at seats, by WebSocket and plain HTTP.

use bytes::Bytes;
use clarateach_e2e::{
    house::patience,
    http::send,
    terminal::{self, Terminal},
    wait::until,
};
use clarateach_proto::workshop::{
    self as pb, seat_service_client::SeatServiceClient,
    workshop_service_client::WorkshopServiceClient,
};
use http::{Method, Request, Response};
use serde_json::{Value, json};

use crate::{
    acts::{Acts, Outcome, number, text},
    plain,
};

/// A path as URLs have it.
fn encoded(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    let each = path.bytes();
    each.map(|byte| {
        if plain(byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    })
    .collect()
}

/// One request to a seat's files.
async fn files(base: &str, token: &str, ca: &str, ask: (Method, &str, &str)) -> Response<Bytes> {
    let (method, path, body) = ask;
    let request = Request::builder()
        .method(method)
        .uri(format!("{base}/{}", encoded(path)))
        .header("authorization", format!("Bearer {token}"))
        .header("accept", "application/json")
        .body(Bytes::from(body.to_owned()))
        .unwrap();
    send(request, ca).await.unwrap()
}

/// Types and reads; a shell that was told to end is read to its end.
async fn play(terminal: Result<Terminal, terminal::Refused>, script: &Value) -> Outcome {
    let refused =
        |refused: terminal::Refused| plain::refused(refused.status, refused.body.as_bytes());
    let mut terminal = terminal.map_err(refused)?;
    let lines = script.as_array().unwrap();
    for line in lines {
        play_line(&mut terminal, line).await;
    }
    if lines.last().is_none_or(|line| line["until"].is_string()) {
        return Ok(Value::Null);
    }
    Ok(json!({ "exit_code": terminal.control("exit").await["code"] }))
}

async fn play_line(terminal: &mut Terminal, line: &Value) {
    if line["type"].is_string() {
        terminal.type_in(text(line, "type")).await;
    }
    if line["until"].is_string() {
        terminal.until(&text(line, "until")).await;
    }
    if let Some(event) = line["event"].as_str() {
        terminal.control(event).await;
    }
}

impl Acts<'_> {
    pub(crate) async fn join(&mut self, with: &Value, keep: Option<&str>) -> Outcome {
        let ask = pb::JoinWorkshopRequest {
            code: text(with, "code"),
            display_name: text(with, "name"),
            reconnect_code: text(with, "reconnect_code"),
            request_id: String::new(),
        };
        let learner = self.house.join_with(ask).await?;
        let told = plain::joined(&learner.joined);
        if let Some(name) = keep {
            self.seats.insert(name.to_owned(), learner);
        }
        Ok(told)
    }

    pub(crate) async fn seat(&mut self, act: &str, with: &Value) -> Outcome {
        let learner = self.seats.get_mut(with["seat"].as_str().unwrap()).unwrap();
        let path = text(with, "path");
        let (method, body) = match act {
            "refresh" => {
                let mut request = tonic::Request::new(pb::RefreshTokenRequest {});
                let bearer = format!("Bearer {}", learner.joined.token);
                request
                    .metadata_mut()
                    .insert("authorization", bearer.parse().unwrap());
                let mut client = SeatServiceClient::new(self.channel.clone());
                learner.joined.token = client.refresh_token(request).await?.into_inner().token;
                return Ok(Value::Null);
            }
            "run" => {
                let name = if with["command"].is_array() {
                    "argv"
                } else {
                    "command"
                };
                let ran = learner.exec(&json!({ name: with["command"] })).await;
                let ran = ran.map_err(|no| plain::refused(no.status().as_u16(), no.body()))?;
                let (stdout, stderr) = (ran.stdout, ran.stderr);
                return Ok(
                    json!({ "exit_code": ran.exit_code, "stdout": stdout, "stderr": stderr }),
                );
            }
            "terminal" => {
                let (seat, name) = (text(with, "seat"), text(with, "name"));
                return self.type_in(&seat, &name, &with["script"]).await;
            }
            "write" => (Method::PUT, text(with, "text")),
            "unlink" => (Method::DELETE, String::new()),
            _ => (Method::GET, String::new()),
        };
        let joined = &learner.joined;
        let ask = (method, path.as_str(), body.as_str());
        let answer = files(
            &learner.files_url,
            &joined.token,
            &joined.ca_certificate,
            ask,
        )
        .await;
        let body = plain::answered(answer)?;
        if act != "names" {
            return Ok(json!({ "text": String::from_utf8_lossy(&body) }));
        }
        let listed: Value = serde_json::from_slice(&body).unwrap();
        let names = listed["entries"].as_array().unwrap().iter();
        Ok(json!({ "names": names.map(|entry| &entry["name"]).collect::<Vec<_>>() }))
    }

    /// As [`play`]; a line that was lost with its machine is opened again at the same byte.
    async fn type_in(&self, seat: &str, name: &str, script: &Value) -> Outcome {
        let learner = &self.seats[seat];
        let query = format!("?terminal={name}");
        let lines = script.as_array().unwrap();
        let Some(lost) = lines.iter().position(|line| line["lose"].is_string()) else {
            return play(learner.terminal(&query).await, script).await;
        };
        let mut terminal = learner.terminal(&query).await.unwrap();
        for line in &lines[..lost] {
            play_line(&mut terminal, line).await;
        }
        self.house.lose_worker(&text(&lines[lost], "lose")).await;
        terminal.until_closed().await;
        let (instance, offset) = (&terminal.instance, terminal.offset);
        let place = format!("{query}&instance={instance}&offset={offset}");
        let again = until("the machine to come back", patience(), async || {
            let opened = learner.terminal(&place).await;
            opened.map_err(|refused| format!("{refused:?}"))
        });
        play(Ok(again.await), &lines[lost + 1..].into()).await
    }

    pub(crate) async fn visit(&self, act: &str, with: &Value, token: Option<&str>) -> Outcome {
        let mut client = WorkshopServiceClient::new(self.channel.clone());
        let (workshop_id, seat) = (text(with, "id"), number(with, "seat"));
        if act == "collect" {
            let ask = pb::CollectSeatRequest { workshop_id, seat };
            let way = client
                .collect_seat(self.asked(token, ask))
                .await?
                .into_inner();
            let base = way.endpoints.unwrap().files;
            let ask = (Method::GET, &*text(with, "path"), "");
            let body = plain::answered(files(&base, &way.token, &way.ca_certificate, ask).await)?;
            return Ok(json!({ "text": String::from_utf8_lossy(&body) }));
        }
        let mode = format!("ATTACH_MODE_{}", text(with, "mode").to_ascii_uppercase());
        let mode = pb::AttachMode::from_str_name(&mode).unwrap().into();
        let ask = pb::ObserveSeatRequest {
            workshop_id,
            seat,
            mode,
        };
        let way = client
            .observe_seat(self.asked(token, ask))
            .await?
            .into_inner();
        let url = format!(
            "{}?terminal={}",
            way.endpoints.unwrap().terminal,
            text(with, "name")
        );
        play(
            Terminal::open(&url, &way.token, &way.ca_certificate).await,
            &with["script"],
        )
        .await
    }
}
