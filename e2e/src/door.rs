//! A door on this machine to a unix socket, which a story can shut: the way of one control
//! plane to its database.

use std::path::{Path, PathBuf};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};

/// How a door stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What comes goes through.
    Open,
    /// Connections end, and no other is made.
    Shut,
    /// Connections stay, and nothing comes through them any more.
    Mute,
}

/// One door; shut when it is dropped.
pub struct Door {
    /// Where it is.
    pub port: u16,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
}

impl Door {
    /// Opens one to `socket`.
    pub async fn to(socket: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (way, watched) = watch::channel(Way::Open);
        let task = tokio::spawn(keep(listener, socket.to_owned(), watched));
        Self { port, way, task }
    }

    /// Has it stand so from now on.
    pub fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep(listener: TcpListener, socket: PathBuf, way: watch::Receiver<Way>) {
    loop {
        let Ok((comer, _)) = listener.accept().await else {
            return;
        };
        tokio::spawn(carry(comer, socket.clone(), way.clone()));
    }
}

async fn carry(mut comer: TcpStream, socket: PathBuf, mut way: watch::Receiver<Way>) {
    let through = async {
        if let Ok(mut inside) = UnixStream::connect(socket).await {
            let _ended = copy_bidirectional(&mut comer, &mut inside).await;
        }
    };
    let mut shut = way.clone();
    tokio::pin!(through);
    tokio::select! {
        biased;
        _ = shut.wait_for(|way| *way != Way::Open) => {}
        () = &mut through => return,
    }
    // Both ends stay as they are until the door is another.
    let _changed = way.wait_for(|way| *way != Way::Mute).await;
}
