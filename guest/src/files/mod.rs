//! Files on :3002: the workspace over WebDAV, JSON and tar, as the learner.
//!
//! One thread with a runtime of its own, which gives up root for itself: the
//! kernel then checks every path as for the learner, while nobody but root can
//! signal or trace the process. Reading and writing happen right here, page
//! cache to socket, without a pool in between; a slow disk delays other
//! transfers, never a keystroke.
//! Way: agent -> `handler` -> dav-server -> `fs` (beneath the folder only).

mod archive;
mod body;
mod file;
mod fs;
mod handler;
mod listing;
mod meta;
mod props;
mod workspace;

use std::{io, net::SocketAddr, sync::mpsc, thread};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::thread::{Gid, Uid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use tokio::{net::TcpListener, sync::oneshot};
use tracing::{debug, error};

use self::handler::Handler;
use crate::{config::Config, seat::Seat, serve};

/// hyper reads uploads in pieces up to this, and gathers downloads up to it.
const HTTP_BUFFER: usize = 256 * 1024;

/// The running thread.
pub(crate) struct FilesThread {
    /// Where it serves.
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
}

impl FilesThread {
    /// Cuts every transfer; half-made uploads are removed.
    pub(crate) fn stop(self) {
        self.stop.send(()).ok();
    }
}

/// Serves until told to stop.
pub(crate) fn start(seat: &Seat) -> io::Result<FilesThread> {
    let (stop, stopped) = oneshot::channel();
    let (tell, told) = mpsc::sync_channel(1);
    let seat = seat.clone();
    thread::Builder::new()
        .name("files".to_owned())
        .spawn(move || {
            let outcome = become_learner(seat.config()).and_then(|()| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .max_blocking_threads(8)
                    .build()?;
                let address = seat.config().files_listen;
                let listener = runtime.block_on(TcpListener::bind(address))?;
                Ok((listener.local_addr()?, listener, runtime))
            });
            match outcome {
                Err(cause) => drop(tell.send(Err(cause))),
                Ok((address, listener, runtime)) => {
                    tell.send(Ok(address)).ok();
                    runtime.block_on(async {
                        tokio::select! {
                            () = serve(listener, seat) => error!("files no longer served"),
                            _ = stopped => debug!("files stop"),
                        }
                    });
                    runtime.shutdown_background();
                }
            }
        })?;
    let address = told
        .recv()
        .map_err(|_| io::Error::other("the files thread ended"))??;
    Ok(FilesThread { address, stop })
}

/// For this thread and those it starts. The real user stays root, so that the
/// learner's processes may not signal this one.
fn become_learner(config: &Config) -> io::Result<()> {
    if !config.switches_user() {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(config.uid), Gid::from_raw(config.gid));
    set_thread_groups(&[gid])?;
    set_thread_res_gid(None, gid, None)?;
    set_thread_res_uid(None, uid, None)?;
    Ok(())
}

async fn serve(listener: TcpListener, seat: Seat) {
    let handler = Handler::new(seat);
    serve::accept(listener, move |stream| {
        let handler = handler.clone();
        async move {
            let http = serve::http(HTTP_BUFFER, serve::HEAD_WITHIN);
            let service = service_fn(|request| {
                let handler = handler.clone();
                async move { Ok::<_, std::convert::Infallible>(handler.answer(request).await) }
            });
            if let Err(cause) = http.serve_connection(TokioIo::new(stream), service).await {
                debug!(%cause, "files connection ended");
            }
        }
    })
    .await;
}
