//! From a process that runs to a guest that answers: identity first, then both
//! ports.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clarateach_domain::{ids::Slot, microvm::MicroVmSpec, seat_net};
use clarateach_proto::guest::{Configure, Interface};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::{control::Control, network::bridge, runtime::Runtime};

/// How long one look at a port may take.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

/// Tells the guest who it is and waits until its terminal and files answer.
pub(super) async fn make_ready(
    control: &Control,
    configure: Configure,
    (runtime, slot): (&dyn Runtime, Slot),
    within: Duration,
) -> anyhow::Result<()> {
    let secret = configure.secret.clone();
    let ready = async {
        control
            .configure(configure, within)
            .await
            .context("the guest did not take its identity")?;
        runtime
            .connect(slot)
            .await
            .context("the port could not be brought up")?;
        let address = seat_net::address(slot);
        let (terminal, files) = tokio::join!(
            answers(address, seat_net::TERMINAL_PORT, &secret),
            answers(address, seat_net::FILES_PORT, &secret)
        );
        terminal.and(files)
    };
    timeout(within, ready)
        .await
        .with_context(|| format!("the guest was not ready within {within:?}"))?
}

/// The guest's identity, as the control channel takes it.
pub(super) fn identity(spec: &MicroVmSpec, secret: &str) -> Configure {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Configure {
        hostname: format!("seat-{}", spec.seat),
        seat: spec.seat.get(),
        secret: secret.to_owned(),
        env: spec.env.clone().into_iter().collect(),
        workshop_name: spec.workshop_name.clone(),
        nameservers: vec![seat_net::GATEWAY.to_string()],
        unix_nanos: i64::try_from(now.as_nanos()).unwrap_or_default(),
        interface: Some(Interface {
            address: seat_net::address(spec.slot).to_string(),
            prefix: seat_net::PREFIX.into(),
            gateway: seat_net::GATEWAY.to_string(),
            mac: seat_net::mac_text(spec.slot),
            gateway_mac: bridge::mac_text(),
        }),
        entropy: rand::random::<[u8; 64]>().to_vec(),
    }
}

/// Returns when the port says that it is well. Ends by the caller's deadline.
async fn answers(address: Ipv4Addr, port: u16, secret: &str) -> anyhow::Result<()> {
    let mut pause = Duration::from_millis(2);
    loop {
        match timeout(LOOK_WITHIN, look(address, port, secret)).await {
            Ok(Ok(http::StatusCode::OK)) => return Ok(()),
            // Another secret than the one just taken will not become right.
            Ok(Ok(http::StatusCode::UNAUTHORIZED)) => {
                bail!("the guest's port {port} refuses its own secret")
            }
            Ok(Ok(_) | Err(_)) | Err(_) => {}
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

async fn look(address: Ipv4Addr, port: u16, secret: &str) -> anyhow::Result<http::StatusCode> {
    let stream = TcpStream::connect((address, port)).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await?;
    let request = http::Request::get("/health")
        .header(http::header::HOST, address.to_string())
        .header("clarateach-secret", secret)
        .header(http::header::CONNECTION, "close")
        .body(Empty::new())?;
    let (answer, _ended) = tokio::join!(sender.send_request(request), connection);
    Ok(answer?.status())
}
