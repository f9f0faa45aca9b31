//! The keys that are for us and not for the shell: `~` after a newline. Pure.

/// What a stretch of typing asks for, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// For the shell.
    Send(Vec<u8>),
    /// `~.`
    Leave,
    /// `~^Z`
    Suspend,
    /// `~?`
    Help,
}

/// Where in a line the typing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    Tilde,
    Elsewhere,
}

/// Reads typing, chunk by chunk.
pub(super) struct Escape(At);

impl Escape {
    pub(super) fn new() -> Self {
        Self(At::LineStart)
    }

    pub(super) fn read(&mut self, typed: &[u8]) -> Vec<Asked> {
        let mut asked = Vec::new();
        let mut send = Vec::with_capacity(typed.len());
        for &key in typed {
            let ours = match (self.0, key) {
                (At::LineStart, b'~') => {
                    self.0 = At::Tilde;
                    continue;
                }
                (At::Tilde, b'.') => Some(Asked::Leave),
                (At::Tilde, 0x1a) => Some(Asked::Suspend),
                (At::Tilde, b'?') => Some(Asked::Help),
                // Typed twice it is one tilde.
                (At::Tilde, b'~') | (At::LineStart | At::Elsewhere, _) => None,
                (At::Tilde, _) => {
                    send.push(b'~');
                    None
                }
            };
            if let Some(ours) = ours {
                if !send.is_empty() {
                    asked.push(Asked::Send(std::mem::take(&mut send)));
                }
                asked.push(ours);
                self.0 = At::LineStart;
                continue;
            }
            send.push(key);
            self.0 = match key {
                b'\r' | b'\n' => At::LineStart,
                _ => At::Elsewhere,
            };
        }
        if !send.is_empty() {
            asked.push(Asked::Send(send));
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(text: &str) -> Asked {
        Asked::Send(text.as_bytes().to_vec())
    }

    #[test]
    fn a_tilde_counts_only_at_the_beginning_of_a_line() {
        let table: [(&[&str], Vec<Asked>); 9] = [
            (&["ls\r"], vec![send("ls\r")]),
            (&["~."], vec![Asked::Leave]),
            (&["ls\r~."], vec![send("ls\r"), Asked::Leave]),
            (&["ls ~.\r"], vec![send("ls ~.\r")]),
            (&["~", "."], vec![Asked::Leave]),
            (&["~~."], vec![send("~.")]),
            (&["~/bin\r"], vec![send("~/bin\r")]),
            (&["~?~\x1ax"], vec![Asked::Help, Asked::Suspend, send("x")]),
            (&["~\r~."], vec![send("~\r"), Asked::Leave]),
        ];
        for (typed, want) in table {
            let mut escape = Escape::new();
            let asked: Vec<Asked> = typed
                .iter()
                .flat_map(|chunk| escape.read(chunk.as_bytes()))
                .collect();
            assert_eq!(asked, want, "{typed:?}");
        }
    }

    #[test]
    fn every_byte_reaches_the_shell() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(Escape::new().read(&all), vec![Asked::Send(all.clone())]);
    }
}
