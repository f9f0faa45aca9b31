//! The control plane over gRPC: one channel, and the bearer for each call.
//!
//! Way: address and trust -> [`connect`] -> the generated clients.

use std::{path::PathBuf, time::Duration};

use clarateach_proto::workshop::{
    seat_service_client::SeatServiceClient, token_service_client::TokenServiceClient,
    workshop_service_client::WorkshopServiceClient,
};
use http::Uri;
use serde::{Deserialize, Serialize};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use crate::{
    failure::{Exit, Failure},
    trust,
};

/// Where the control plane is and which file vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ControlPlane {
    /// `http://` or `https://`, no path.
    pub(crate) url: String,
    /// PEM; this machine's certificates when absent.
    pub(crate) ca: Option<PathBuf>,
    /// PEM that `login` keeps; wins over `ca`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pin: Option<String>,
}

impl ControlPlane {
    /// Checks what a person typed.
    pub(crate) fn parse(url: &str, ca: Option<PathBuf>) -> Result<Self, Failure> {
        let bad = |why: &str| {
            Failure::new(
                Exit::Usage,
                format!("{url:?} is no address of a server: {why}"),
            )
            .hint("Say it as in https://class.example:8080.")
        };
        let uri: Uri = url
            .trim_end_matches('/')
            .parse()
            .map_err(|_| bad("not a URL"))?;
        let host = uri.host().ok_or_else(|| bad("no host"))?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(host) => {}
            Some("http") => return Err(bad("tokens travel in clear only within this machine")),
            _ => return Err(bad("neither http nor https")),
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err(bad("it has a path"));
        }
        let ca = match ca {
            // Remembered, so it must mean the same from every directory.
            Some(file) => Some(std::path::absolute(&file).map_err(|error| {
                Failure::fault(format!("could not find {}", file.display()), error)
            })?),
            None => None,
        };
        Ok(Self {
            url: url.trim_end_matches('/').to_owned(),
            ca,
            pin: None,
        })
    }

    /// A channel to it. Dials with the first call.
    fn channel(&self) -> Result<Channel, Failure> {
        let bad = |error| Failure::fault(format!("could not use the address {}", self.url), error);
        let mut endpoint = Endpoint::from_shared(self.url.clone())
            .map_err(bad)?
            .user_agent(concat!("clarateach-cli/", env!("CARGO_PKG_VERSION")))
            .map_err(bad)?
            .connect_timeout(Duration::from_secs(10))
            .http2_keep_alive_interval(Duration::from_secs(30));
        if self.url.starts_with("https:") {
            let roots = trust::control_plane_roots(self)?;
            endpoint = endpoint
                .tls_config(ClientTlsConfig::new().trust_anchors(roots.roots))
                .map_err(bad)?;
        }
        Ok(endpoint.connect_lazy())
    }

    /// What learners ask, with this seat token if any.
    pub(crate) fn seats(&self, token: Option<&str>) -> Result<Seats, Failure> {
        Ok(SeatServiceClient::with_interceptor(
            self.channel()?,
            Bearer::new(token)?,
        ))
    }

    /// What instructors ask, with this API token.
    pub(crate) fn workshops(&self, token: &str) -> Result<Workshops, Failure> {
        Ok(WorkshopServiceClient::with_interceptor(
            self.channel()?,
            Bearer::new(Some(token))?,
        ))
    }

    /// What admins and instructors ask about tokens, with this API token.
    pub(crate) fn tokens(&self, token: &str) -> Result<Tokens, Failure> {
        Ok(TokenServiceClient::with_interceptor(
            self.channel()?,
            Bearer::new(Some(token))?,
        ))
    }
}

pub(crate) type Tokens = TokenServiceClient<InterceptedService<Channel, Bearer>>;
pub(crate) type Seats = SeatServiceClient<InterceptedService<Channel, Bearer>>;
pub(crate) type Workshops = WorkshopServiceClient<InterceptedService<Channel, Bearer>>;

/// Adds the token to every call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    fn new(token: Option<&str>) -> Result<Self, Failure> {
        let Some(token) = token else {
            return Ok(Self(None));
        };
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| {
            Failure::new(Exit::Refused, "the token has characters that no token has")
        })?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", bearer.clone());
        }
        Ok(request)
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_never_leave_this_machine_in_clear() {
        for url in [
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://localhost",
            "https://class.example",
            "https://192.0.2.1:8080/",
        ] {
            assert!(ControlPlane::parse(url, None).is_ok(), "{url}");
        }
        for url in [
            "http://class.example",
            "http://192.0.2.1:8080",
            "http://127.0.0.1.class.example",
            "ftp://127.0.0.1",
            "127.0.0.1:8080",
            "https://class.example/api",
            "",
        ] {
            assert!(ControlPlane::parse(url, None).is_err(), "{url}");
        }
    }
}
