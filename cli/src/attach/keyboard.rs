//! The keys, read by a thread of their own: a read of a terminal cannot be
//! called off.

use std::{io::Read, thread};

use tokio::sync::mpsc;

use crate::failure::Failure;

/// What is typed, in the order it is. Ends when the terminal is gone.
pub(super) fn keys() -> Result<mpsc::Receiver<Vec<u8>>, Failure> {
    // A few: typing faster than the connection takes waits in the terminal.
    let (typed, keys) = mpsc::channel(8);
    thread::Builder::new()
        .name("keyboard".into())
        .spawn(move || {
            let mut keyboard = std::io::stdin().lock();
            let mut buffer = [0_u8; 16 * 1024];
            loop {
                match keyboard.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(count) => {
                        if typed.blocking_send(buffer[..count].to_vec()).is_err() {
                            return;
                        }
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(_) => return,
                }
            }
        })
        .map_err(|error| Failure::fault("could not read the keyboard", error))?;
    Ok(keys)
}
