//! A way to a server on this machine that cuts what is idle, as many a proxy does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::sleep,
};

/// One such way; shut when it is dropped.
pub struct Cable {
    /// Where to connect instead of to the server.
    pub url: String,
    cuts: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Cable {
    /// To the server at `url`; what is idle for so long is cut.
    pub async fn to(url: &str, idle: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let cuts = Arc::<AtomicUsize>::default();
        let server = url.trim_start_matches("http://").to_owned();
        let task = tokio::spawn(keep(listener, server, idle, Arc::clone(&cuts)));
        Self {
            url: own,
            cuts,
            task,
        }
    }

    /// Connections cut so far.
    pub fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(listener: TcpListener, server: String, idle: Duration, cuts: Arc<AtomicUsize>) {
    loop {
        let Ok((near, _)) = listener.accept().await else {
            return;
        };
        let Ok(far) = TcpStream::connect(&server).await else {
            continue;
        };
        let cuts = Arc::clone(&cuts);
        tokio::spawn(async move {
            if carry(near, far, idle).await {
                cuts.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

/// Both ways, until an end closes; whether nothing had come for too long.
async fn carry(mut near: TcpStream, mut far: TcpStream, idle: Duration) -> bool {
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    loop {
        let sent = tokio::select! {
            read = near.read(&mut up) => match read {
                Ok(length @ 1..) => far.write_all(&up[..length]).await,
                Ok(0) | Err(_) => return false,
            },
            read = far.read(&mut down) => match read {
                Ok(length @ 1..) => near.write_all(&down[..length]).await,
                Ok(0) | Err(_) => return false,
            },
            () = sleep(idle) => return true,
        };
        if sent.is_err() {
            return false;
        }
    }
}
