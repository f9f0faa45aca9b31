//! The last output of a shell, addressed by its offset since the shell began.
//!
//! Pure. Grows with what is written, up to its bound; an idle terminal holds
//! next to nothing.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Bytes kept: all that a fast reader may have ahead of it (`flow.rs`), a quarter of a second
/// at 13 MB/s, can be told again when its line is cut.
pub(crate) const LIMIT: usize = 4 * 1024 * 1024;

/// A window of at most `LIMIT` bytes that ends at `head`.
#[derive(Default)]
pub(crate) struct History {
    kept: VecDeque<u8>,
    head: u64,
}

impl History {
    /// Bytes written since the shell began.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// The first offset still kept.
    pub(crate) fn oldest(&self) -> u64 {
        self.head - self.kept.len() as u64
    }

    /// Whether output can be continued from here.
    pub(crate) fn has(&self, offset: u64) -> bool {
        (self.oldest()..=self.head).contains(&offset)
    }

    /// Appends, forgetting the oldest beyond the bound.
    pub(crate) fn push(&mut self, output: &[u8]) {
        self.head += output.len() as u64;
        let output = &output[output.len().saturating_sub(LIMIT)..];
        let too_many = (self.kept.len() + output.len()).saturating_sub(LIMIT);
        self.kept.drain(..too_many);
        self.kept.extend(output);
    }

    /// Up to `most` bytes from `offset` on; empty at the head, none when they
    /// are gone or were never written.
    pub(crate) fn read(&self, offset: u64, most: usize) -> Option<Bytes> {
        if !self.has(offset) {
            return None;
        }
        let from = usize::try_from(offset - self.oldest()).ok()?;
        let length = most.min(self.kept.len() - from);
        let mut out = BytesMut::with_capacity(length);
        let (front, back) = self.kept.as_slices();
        let in_front = front.get(from..).unwrap_or_default();
        let first = &in_front[..in_front.len().min(length)];
        out.extend_from_slice(first);
        let from_back = from.saturating_sub(front.len());
        out.extend_from_slice(&back[from_back..from_back + (length - first.len())]);
        Some(out.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte n of a stream that never repeats within a test's reach.
    fn byte(offset: u64) -> u8 {
        u8::try_from(offset * 31 % 251).unwrap()
    }

    fn stream(from: u64, length: u64) -> Vec<u8> {
        (from..from + length).map(byte).collect()
    }

    #[test]
    fn every_kept_offset_reads_what_was_written_there() {
        // writes of these sizes, one after the other
        for sizes in [
            vec![],
            vec![1],
            vec![LIMIT as u64],
            vec![LIMIT as u64 + 1],
            vec![1000; 2000],
            vec![3 * LIMIT as u64, 5],
            vec![700_000, 700_000, 1, 700_000],
        ] {
            let mut history = History::default();
            for size in &sizes {
                let from = history.head();
                history.push(&stream(from, *size));
            }
            let head: u64 = sizes.iter().sum();
            assert_eq!(history.head(), head);
            let oldest = head.saturating_sub(LIMIT as u64);
            assert_eq!(history.oldest(), oldest);
            for (offset, kept) in [
                (oldest, true),
                (head, true),
                (head + 1, false),
                (oldest + (head - oldest) / 3, true),
                (u64::MAX, false),
            ] {
                let got = history.read(offset, 4096);
                assert_eq!(got.is_some(), kept, "{sizes:?} at {offset}");
                if let Some(got) = got {
                    let length = (head - offset).min(4096);
                    assert!(got == stream(offset, length), "{sizes:?} at {offset}");
                }
            }
            if oldest > 0 {
                assert!(history.read(oldest - 1, 1).is_none());
            }
        }
    }

    #[test]
    fn an_idle_history_holds_little() {
        let mut history = History::default();
        history.push(b"learner@seat-1:~/workspace$ ");
        assert!(history.kept.capacity() < 256);
    }
}
