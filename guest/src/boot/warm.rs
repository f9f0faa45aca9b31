//! What a template does before it is written to files, so that no seat restored
//! from it is the first to do it.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tracing::warn;

use super::network;

/// Much more than an emulated machine takes.
const WITHIN: Duration = Duration::from_secs(30);

/// Asks both ports how they are, over the loopback: 503, since this machine is
/// nobody's, by the same code that will say 200. A failure costs time later, and
/// nothing else.
pub(super) async fn up(ports: [SocketAddr; 2]) {
    if let Err(cause) = network::loopback_up() {
        warn!(cause = format!("{cause:#}"), "template stays cold");
        return;
    }
    for port in ports {
        match timeout(WITHIN, ask(port.port())).await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => warn!(%cause, %port, "port stays cold"),
            Err(_late) => warn!(%port, "port did not answer"),
        }
    }
}

async fn ask(port: u16) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream
        .write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await?;
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}
