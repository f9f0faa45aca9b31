//! A learner who types: a terminal in which everything comes back, and how long
//! that takes.

use std::time::Instant;

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::{Route, way::Socket};

/// A terminal of its own in which everything typed comes back as it is.
pub async fn cat(route: &Route) -> anyhow::Result<Socket> {
    let mut socket = route.terminal(route.way.name()).await?;
    // The quotes keep the mark out of the shell's own echo of this line.
    let line = "stty raw -echo; echo rea\"\"dy-mark; exec cat\r";
    socket.send(Message::binary(line)).await?;
    let mut seen = Vec::new();
    while !seen.windows(10).any(|part| part == b"ready-mark") {
        let frame = socket.next().await.context("the terminal ended")??;
        seen.extend_from_slice(&frame.into_data());
    }
    // What is left of that line, and nothing else, comes before the first echo.
    socket.send(Message::binary("#")).await?;
    while !seen.ends_with(b"#") {
        let frame = socket.next().await.context("the terminal ended")??;
        seen.extend_from_slice(&frame.into_data());
    }
    Ok(socket)
}

/// One frame of so many bytes there and back, in microseconds.
pub async fn echo(socket: &mut Socket, frame: usize) -> anyhow::Result<f64> {
    let keys = bytes::Bytes::from(vec![b'e'; frame]);
    let began = Instant::now();
    socket.send(Message::Binary(keys)).await?;
    let mut back = 0;
    while back < frame {
        let echo = socket.next().await.context("the terminal ended")??;
        back += echo.into_data().len();
    }
    Ok(began.elapsed().as_secs_f64() * 1e6)
}
