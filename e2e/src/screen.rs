//! A person's terminal, with the command line in it: a real pty.

use pty_process::{Command, OwnedReadPty, OwnedWritePty, Size};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Child,
    time::timeout,
};

use crate::{house::patience, person::Person};

/// What runs in it, and what it showed.
pub struct Screen {
    child: Child,
    keys: OwnedWritePty,
    output: OwnedReadPty,
    seen: Vec<u8>,
}

impl Screen {
    /// Runs the program there.
    pub fn start(person: &Person, arguments: &[&str]) -> Self {
        let (pty, pts) = pty_process::open().unwrap();
        pty.resize(Size::new(40, 100)).unwrap();
        let (program, before) = person.program();
        let child = Command::new(program)
            .args(before)
            .args(arguments)
            .env_clear()
            .env("HOME", person.path(""))
            .env("TERM", "xterm-256color")
            .current_dir(person.path(""))
            .kill_on_drop(true)
            .spawn(pts)
            .unwrap();
        let (output, keys) = pty.into_split();
        Self {
            child,
            keys,
            output,
            seen: Vec::new(),
        }
    }

    /// Types.
    pub async fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
    }

    /// Reads until it has shown `text` since the last time.
    pub async fn until(&mut self, text: &str) {
        let reading = async {
            let mut buffer = [0; 4096];
            loop {
                let at = self
                    .seen
                    .windows(text.len())
                    .position(|part| part == text.as_bytes());
                if let Some(at) = at {
                    self.seen.drain(..at + text.len());
                    return;
                }
                let length = self.output.read(&mut buffer).await.unwrap();
                self.seen.extend_from_slice(&buffer[..length]);
            }
        };
        let shown = timeout(patience(), reading).await.is_ok();
        let screen = String::from_utf8_lossy(&self.seen);
        assert!(shown, "{text:?} was not shown, but {screen:?}");
    }

    /// The exit code, once it has ended by itself.
    pub async fn ended(&mut self) -> i32 {
        let mut buffer = [0; 4096];
        let ending = async {
            loop {
                tokio::select! {
                    // At its end a pty has nobody at the other side.
                    read = self.output.read(&mut buffer) => match read {
                        Ok(1..) => {}
                        Ok(0) | Err(_) => return self.child.wait().await.unwrap(),
                    },
                    status = self.child.wait() => return status.unwrap(),
                }
            }
        };
        let status = timeout(patience(), ending).await.expect("an end in time");
        status.code().expect("an exit, not a signal")
    }
}
