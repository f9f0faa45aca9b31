//! Firecracker's HTTP API over its Unix socket: one short connection a call,
//! each with its own deadline.
//!
//! Way: a resource of [`resources`] as JSON -> the VMM -> nothing, an answer,
//! or [`ApiError::Refused`] with the VMM's own words.

pub mod resources;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, time::timeout};

use self::resources::{
    Action, Balloon, BootSource, Drive, Entropy, InstanceInfo, Logger, MachineConfig, Metrics,
    NetworkInterface, PatchDrive, PatchNetworkInterface, SnapshotCreate, SnapshotLoad, Version,
    VmConfig, VmState, Vsock,
};
use crate::control::short_path;

/// How long a call that only sets something may take.
const SET_WITHIN: Duration = Duration::from_secs(10);
/// How long starting, writing or loading a whole machine may take.
const MACHINE_WITHIN: Duration = Duration::from_mins(1);
/// The longest answer that is read.
const ANSWER_LIMIT: usize = 256 * 1024;

/// What Firecracker did not do.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It could not be reached or went away.
    #[error("could not talk to firecracker about {resource}")]
    Channel {
        /// Which path.
        resource: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It took too long.
    #[error("firecracker did not answer about {resource} within {within:?}")]
    TimedOut {
        /// Which path.
        resource: String,
        /// How long it had.
        within: Duration,
    },
    /// It refused.
    #[error("firecracker refused {resource} ({status}): {fault}")]
    Refused {
        /// Which path.
        resource: String,
        /// With which status.
        status: StatusCode,
        /// In its own words.
        fault: String,
    },
    /// It answered something that is no such resource.
    #[error("firecracker's answer about {resource} could not be read")]
    Unreadable {
        /// Which path.
        resource: String,
        /// Why.
        #[source]
        cause: serde_json::Error,
    },
}

/// One VMM's API.
#[derive(Debug, Clone)]
pub struct Api {
    socket: PathBuf,
}

impl Api {
    /// The VMM that listens at this socket.
    pub fn at(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Which instance this is and whether it runs. `within` bounds it, because
    /// it is the probe for VMMs that hang.
    pub async fn instance(&self, within: Duration) -> Result<InstanceInfo, ApiError> {
        self.get("/", within).await
    }

    /// The VMM's version.
    pub async fn version(&self) -> Result<String, ApiError> {
        let version: Version = self.get("/version", SET_WITHIN).await?;
        Ok(version.firecracker_version)
    }

    /// The machine as it is now, restored or not.
    pub async fn config(&self) -> Result<VmConfig, ApiError> {
        self.get("/vm/config", SET_WITHIN).await
    }

    /// Processors and memory.
    pub async fn set_machine(&self, config: &MachineConfig) -> Result<(), ApiError> {
        self.put("/machine-config", config).await
    }

    /// Kernel and its command line.
    pub async fn set_boot_source(&self, source: &BootSource) -> Result<(), ApiError> {
        self.put("/boot-source", source).await
    }

    /// Adds a disk; the guest sees disks in the order they were added.
    pub async fn add_drive(&self, drive: &Drive) -> Result<(), ApiError> {
        self.put(&format!("/drives/{}", drive.drive_id), drive)
            .await
    }

    /// Changes a running machine's disk: another file, other limits.
    pub async fn patch_drive(&self, drive: &PatchDrive) -> Result<(), ApiError> {
        let path = format!("/drives/{}", drive.drive_id);
        self.send(Method::PATCH, &path, drive, SET_WITHIN).await
    }

    /// Adds a network interface.
    pub async fn add_network(&self, interface: &NetworkInterface) -> Result<(), ApiError> {
        let path = format!("/network-interfaces/{}", interface.iface_id);
        self.put(&path, interface).await
    }

    /// Changes a running machine's interface: other limits.
    pub async fn patch_network(&self, interface: &PatchNetworkInterface) -> Result<(), ApiError> {
        let path = format!("/network-interfaces/{}", interface.iface_id);
        self.send(Method::PATCH, &path, interface, SET_WITHIN).await
    }

    /// Adds the way between host and guest.
    pub async fn set_vsock(&self, vsock: &Vsock) -> Result<(), ApiError> {
        self.put("/vsock", vsock).await
    }

    /// Adds the guest's source of randomness.
    pub async fn set_entropy(&self, entropy: &Entropy) -> Result<(), ApiError> {
        self.put("/entropy", entropy).await
    }

    /// Adds the balloon.
    pub async fn set_balloon(&self, balloon: &Balloon) -> Result<(), ApiError> {
        self.put("/balloon", balloon).await
    }

    /// Where the VMM's own log goes.
    pub async fn set_logger(&self, logger: &Logger) -> Result<(), ApiError> {
        self.put("/logger", logger).await
    }

    /// Where the VMM's metrics go.
    pub async fn set_metrics(&self, metrics: &Metrics) -> Result<(), ApiError> {
        self.put("/metrics", metrics).await
    }

    /// Starts the machine, flushes metrics or presses Ctrl-Alt-Del.
    pub async fn act(&self, action: Action) -> Result<(), ApiError> {
        let body = resources::ActionBody {
            action_type: action,
        };
        self.send(Method::PUT, "/actions", &body, MACHINE_WITHIN)
            .await
    }

    /// Pauses or resumes the machine.
    pub async fn set_state(&self, state: VmState) -> Result<(), ApiError> {
        let body = resources::VmBody { state };
        self.send(Method::PATCH, "/vm", &body, MACHINE_WITHIN).await
    }

    /// Writes a paused machine to files.
    pub async fn create_snapshot(&self, snapshot: &SnapshotCreate) -> Result<(), ApiError> {
        self.send(Method::PUT, "/snapshot/create", snapshot, MACHINE_WITHIN)
            .await
    }

    /// Becomes the machine of a snapshot. Only a fresh VMM may.
    pub async fn load_snapshot(&self, snapshot: &SnapshotLoad) -> Result<(), ApiError> {
        self.send(Method::PUT, "/snapshot/load", snapshot, MACHINE_WITHIN)
            .await
    }

    async fn put(&self, path: &str, body: &impl Serialize) -> Result<(), ApiError> {
        self.send(Method::PUT, path, body, SET_WITHIN).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
        within: Duration,
    ) -> Result<(), ApiError> {
        let body = serde_json::to_vec(body).map_err(|error| ApiError::Channel {
            resource: path.to_owned(),
            cause: error.into(),
        })?;
        self.ask(method, path, body.into(), within).await?;
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, within: Duration) -> Result<T, ApiError> {
        let answer = self.ask(Method::GET, path, Bytes::new(), within).await?;
        serde_json::from_slice(&answer).map_err(|cause| ApiError::Unreadable {
            resource: path.to_owned(),
            cause,
        })
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<Bytes, ApiError> {
        let (status, answer) = timeout(within, exchange(&self.socket, method, path, body))
            .await
            .map_err(|_elapsed| ApiError::TimedOut {
                resource: path.to_owned(),
                within,
            })?
            .map_err(|cause| ApiError::Channel {
                resource: path.to_owned(),
                cause,
            })?;
        if status.is_success() {
            return Ok(answer);
        }
        Err(ApiError::Refused {
            resource: path.to_owned(),
            status,
            fault: fault(&answer),
        })
    }
}

#[derive(Deserialize)]
struct Fault {
    fault_message: String,
}

/// The VMM's own words, as far as they can be read.
fn fault(answer: &[u8]) -> String {
    serde_json::from_slice(answer).map_or_else(
        |_unreadable| String::from_utf8_lossy(answer).trim().to_owned(),
        |fault: Fault| fault.fault_message,
    )
}

async fn exchange(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> io::Result<(StatusCode, Bytes)> {
    // By way of the directory's descriptor: a socket's path has 107 bytes at most.
    let (directory, short) = short_path(socket)?;
    let stream = UnixStream::connect(short).await;
    drop(directory);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream?))
        .await
        .map_err(io::Error::other)?;
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::HOST, "localhost")
        .header(http::header::ACCEPT, "application/json")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(io::Error::other)?;
    let answered = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(io::Error::other)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_LIMIT)
            .collect()
            .await
            .map_err(io::Error::other)?;
        Ok((status, body.to_bytes()))
    };
    let mut connection = std::pin::pin!(connection);
    let mut answered = std::pin::pin!(answered);
    // The connection carries the answer; it may end before the answer is read.
    tokio::select! {
        answer = &mut answered => answer,
        ended = &mut connection => match ended {
            Ok(()) => answered.await,
            Err(error) => Err(io::Error::other(error)),
        },
    }
}

#[cfg(test)]
mod tests;
