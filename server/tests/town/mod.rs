//! A control plane on a port of its own: real store, doors and listener, and no
//! loop, so that a workshop stays as its rows say.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

use bytes::Bytes;
use clarateach_domain::{ids::WorkshopId, microvm::Runtime};
use clarateach_proto::workshop::{
    self as pb, seat_service_client::SeatServiceClient, token_service_client::TokenServiceClient,
    workshop_service_client::WorkshopServiceClient,
};
use clarateach_server::{
    agents::Agents,
    api::{self, Api, Hub, Settings},
    reconciler::Wake,
    serve::{self, Doors, Reach},
    store::{Store, StoreError, entity, limits::Limits, sealing::MasterKey},
};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use sea_orm::{ActiveValue::Set, Database, DatabaseConnection, EntityTrait};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Request, transport::Channel};

#[path = "../../../e2e/src/postgres.rs"]
mod postgres;

pub(crate) struct Town {
    pub(crate) store: Store,
    pub(crate) address: SocketAddr,
    pub(crate) admin: String,
    pub(crate) stop: CancellationToken,
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) fn settings() -> Settings {
    Settings {
        limits: Limits {
            seats_per_worker: NonZeroU32::new(50).unwrap(),
            max_workers: 20,
            max_seats_per_owner: 1000,
        },
        max_seats_per_workshop: 500,
        max_ttl: Duration::from_hours(24),
        default_ttl: Duration::from_hours(4),
        seat_token_life: Duration::from_mins(15),
        runtimes: vec![Runtime::Container],
        worker_price: clarateach_domain::cost::HourlyPrice::parse("0.24").ok(),
    }
}

pub(crate) async fn store(dir: &tempfile::TempDir) -> Store {
    let key = MasterKey::load_or_make(&dir.path().join("master.key")).unwrap();
    open(dir, key).await.unwrap()
}

/// On SQLite in the folder, or on PostgreSQL if the run is.
pub(crate) async fn open(dir: &tempfile::TempDir, key: MasterKey) -> Result<Store, StoreError> {
    match postgres::beside(dir.path()) {
        Some(url) => Store::open_postgres(&url, key).await,
        None => Store::open(&dir.path().join("clarateach.db"), key).await,
    }
}

impl Town {
    pub(crate) async fn start() -> Self {
        Self::start_with(settings()).await
    }

    pub(crate) async fn start_with(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir).await;
        let token = dir.path().join("admin.token");
        store.ensure_admin(&token, api::now()).await.unwrap();
        let admin = std::fs::read_to_string(token).unwrap().trim().to_owned();
        let stop = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hub = Hub::new(store.clone(), stop.clone());
        let doors = Doors {
            api: Api::new(
                store.clone(),
                Agents::new(Wake::default()),
                settings,
                Wake::default(),
                hub,
            ),
            store: store.clone(),
            gateway: axum::Router::new(),
            reach: Reach {
                public_url: None,
                trusted_proxy: false,
                fallback_host: address.to_string(),
                allowed_origins: vec!["https://console.example".to_owned()],
                workers: None,
            },
        };
        let (router, _) = serve::router(doors).await.unwrap();
        tokio::spawn(serve::serve(listener, None, router, false, stop.clone()));
        Self {
            store,
            address,
            admin,
            stop,
            dir,
        }
    }

    async fn channel(&self) -> Channel {
        let url = format!("http://{}", self.address);
        Channel::from_shared(url).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn workshops(&self) -> WorkshopServiceClient<Channel> {
        WorkshopServiceClient::new(self.channel().await)
    }

    pub(crate) async fn tokens(&self) -> TokenServiceClient<Channel> {
        TokenServiceClient::new(self.channel().await)
    }

    pub(crate) async fn seats(&self) -> SeatServiceClient<Channel> {
        SeatServiceClient::new(self.channel().await)
    }

    /// A workshop of the admin's.
    pub(crate) async fn workshop(&self, seats: u32) -> pb::Workshop {
        let ask = with(&self.admin, wish(seats));
        let made = self.workshops().await.create_workshop(ask).await;
        made.unwrap().into_inner()
    }

    /// An instructor's token.
    pub(crate) async fn instructor(&self, name: &str) -> String {
        let ask = pb::CreateTokenRequest {
            principal: name.to_owned(),
            role: pb::Role::Instructor.into(),
            label: String::new(),
            request_id: String::new(),
        };
        let made = self
            .tokens()
            .await
            .create_token(with(&self.admin, ask))
            .await;
        made.unwrap().into_inner().token
    }

    /// What the loop would write.
    pub(crate) async fn edit(&self, id: &str, change: entity::workshop::ActiveModel) {
        let db = self.rows().await;
        let row = entity::workshop::Entity::find_by_id(id)
            .one(&db)
            .await
            .unwrap();
        let change = entity::workshop::ActiveModel {
            id: Set(id.to_owned()),
            revision: Set(row.unwrap().revision + 1),
            ..change
        };
        entity::workshop::Entity::update(change)
            .exec(&db)
            .await
            .unwrap();
        let id: WorkshopId = id.parse().unwrap();
        self.store.changed(&id);
    }

    /// A look behind the store's back.
    pub(crate) async fn rows(&self) -> DatabaseConnection {
        let path = self.dir.path().join("clarateach.db");
        let sqlite = || format!("sqlite://{}", path.display());
        let url = postgres::beside(self.dir.path()).unwrap_or_else(sqlite);
        Database::connect(url).await.unwrap()
    }

    /// One HTTP request: status, headers, body.
    pub(crate) async fn http(
        &self,
        request: http::request::Builder,
        body: impl Into<Bytes>,
    ) -> (u16, http::HeaderMap, Bytes) {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let request = request.body(Full::new(body.into())).unwrap();
        let (head, body) = client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), head.headers, body)
    }

    /// One call of the JSON face with the admin's token.
    pub(crate) async fn json(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        self.json_as(&self.admin, method, path, body).await
    }

    pub(crate) async fn json_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> (u16, Value) {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("authorization", format!("Bearer {token}"));
        let (status, _, body) = self.http(request, body.to_owned()).await;
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }
}

/// A request with a bearer token.
pub(crate) fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

pub(crate) fn wish(seats: u32) -> pb::CreateWorkshopRequest {
    pb::CreateWorkshopRequest {
        name: "Python 101".to_owned(),
        seats,
        runtime: pb::Runtime::Container.into(),
        ..Default::default()
    }
}

pub(crate) fn code(workshop: &pb::Workshop) -> pb::JoinWorkshopRequest {
    pb::JoinWorkshopRequest {
        code: workshop.code.clone(),
        ..Default::default()
    }
}

/// The stable reason of a refusal.
pub(crate) fn reason(status: &tonic::Status) -> String {
    use tonic_types::StatusExt;
    let details = status.get_error_details();
    details
        .error_info()
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}

/// The fields that a refusal names.
pub(crate) fn fields(status: &tonic::Status) -> Vec<String> {
    use tonic_types::StatusExt;
    let details = status.get_error_details();
    let bad = details
        .bad_request()
        .map(|bad| bad.field_violations.clone());
    bad.unwrap_or_default()
        .into_iter()
        .map(|bad| bad.field)
        .collect()
}
