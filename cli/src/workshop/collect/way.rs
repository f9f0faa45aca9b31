//! One seat's archive, read with a right that is renewed for as long as that takes.

use std::{
    convert::Infallible,
    fs::File,
    io::{self, Read as _, Seek},
    path::PathBuf,
    time::Duration,
};

use clarateach_proto::workshop::CollectSeatRequest;
use tokio::{task::spawn_blocking, time::sleep};

use super::archive;
use crate::{
    api::{ControlPlane, Workshops},
    failure::Failure,
    files::{Upstream, download, path::RemotePath, pipe, remote::Remote},
    keeper,
    progress::Meter,
};

/// A seat is tried so often.
const TRIES: u32 = 3;
/// Of a token that does not say how long it lives.
const SHORT_LIFE: Duration = Duration::from_secs(90);
/// Until a renewal that failed is tried again.
const SOON: Duration = Duration::from_secs(10);

/// How seats are read.
pub(super) struct Way {
    pub(super) server: ControlPlane,
    pub(super) workshops: Workshops,
    pub(super) id: String,
    pub(super) gateway: bool,
    pub(super) spool: PathBuf,
    pub(super) meter: Meter,
    /// Bytes that one seat may send.
    pub(super) most: u64,
}

impl Way {
    /// One seat's archive in a file without a name.
    pub(super) async fn fetch(&mut self, seat: u32) -> Result<File, Failure> {
        let mut tries = 1;
        loop {
            match self.once(seat).await {
                Err(why) if tries < TRIES && !why.is_final() => {
                    sleep(Duration::from_millis(500 << tries)).await;
                    tries += 1;
                }
                ended => return ended,
            }
        }
    }

    async fn once(&mut self, seat: u32) -> Result<File, Failure> {
        let (upstream, life) = self.let_in(seat).await?;
        let remote = Remote::at(upstream);
        let answer = download::archive(&remote, &RemotePath::default()).await?;
        let failed = |error| Failure::io("could not keep a seat's files for a moment", error);
        let (sender, mut stream) = pipe::stream();
        let spool = self.spool.clone();
        let most = self.most;
        let keeping = spawn_blocking(move || {
            let mut file = tempfile::tempfile_in(spool)?;
            let kept = io::copy(&mut (&mut stream).take(most), &mut file)?;
            if kept == most {
                return Err(io::Error::other("it sends more than its disk can hold"));
            }
            file.rewind()?;
            archive::check(&file)?;
            file.rewind()?;
            Ok(file)
        });
        let meter = self.meter.clone();
        let fed = tokio::select! {
            fed = pipe::feed(answer.into_body(), sender, &meter) => fed,
            never = self.stay(seat, life) => match never {},
        };
        let kept = keeping
            .await
            .map_err(|error| Failure::fault("could not keep a seat's files", error))?;
        fed?;
        kept.map_err(failed)
    }

    /// The right to read a seat, and how long it lasts.
    async fn let_in(&mut self, seat: u32) -> Result<(Upstream, Duration), Failure> {
        let request = CollectSeatRequest {
            workshop_id: self.id.clone(),
            seat,
        };
        let way = self.workshops.collect_seat(request).await;
        let way = way.map_err(|status| {
            Failure::status(format!("could not be let into seat {seat}"), &status)
        })?;
        let way = way.into_inner();
        let life = keeper::life(&way.token).unwrap_or(SHORT_LIFE);
        let upstream = Upstream::collecting(&self.server, way, self.gateway).await?;
        Ok((upstream, life))
    }

    /// Shows the worker a fresh right in time, so that what is under way goes on. Where that
    /// fails, what is read breaks off by itself and says so.
    async fn stay(&mut self, seat: u32, life: Duration) -> Infallible {
        let mut pause = life * 2 / 3;
        loop {
            sleep(pause).await;
            pause = match self.let_in(seat).await {
                Ok((upstream, life)) if upstream.post_renew().await.is_ok() => life * 2 / 3,
                _ => SOON,
            };
        }
    }
}
