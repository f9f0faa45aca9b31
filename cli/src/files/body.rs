//! Replaces one text by another in a body that streams past, wherever its chunks
//! are cut.

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;

use super::Body;

/// `body` with every `from` turned into `to`. Holds back fewer bytes than `from` has.
pub(super) fn replace(body: Incoming, from: Vec<u8>, to: Vec<u8>) -> Body {
    let start = Some((body, Replacer::new(from, to)));
    let frames = stream::unfold(start, |state| async {
        let (mut body, mut replacer) = state?;
        loop {
            match body.frame().await {
                Some(Ok(frame)) => {
                    let Ok(chunk) = frame.into_data() else {
                        continue;
                    };
                    let out = replacer.push(&chunk);
                    if !out.is_empty() {
                        return Some((Ok(Frame::data(out)), Some((body, replacer))));
                    }
                }
                Some(Err(error)) => return Some((Err(error.into()), None)),
                None => return Some((Ok(Frame::data(replacer.finish())), None)),
            }
        }
    });
    BodyExt::boxed_unsync(StreamBody::new(frames))
}

struct Replacer {
    from: Vec<u8>,
    to: Vec<u8>,
    held: BytesMut,
}

impl Replacer {
    fn new(from: Vec<u8>, to: Vec<u8>) -> Self {
        let held = BytesMut::new();
        Self { from, to, held }
    }

    /// What can be said for certain after this chunk.
    fn push(&mut self, chunk: &[u8]) -> Bytes {
        self.held.extend_from_slice(chunk);
        let mut out = BytesMut::with_capacity(self.held.len());
        while let Some(at) = find(&self.held, &self.from) {
            out.extend_from_slice(&self.held.split_to(at));
            let _ = self.held.split_to(self.from.len());
            out.extend_from_slice(&self.to);
        }
        // Its end may be the beginning of one more.
        let most = self.from.len().saturating_sub(1).min(self.held.len());
        let keep = (0..=most)
            .rev()
            .find(|keep| self.from.starts_with(&self.held[self.held.len() - keep..]))
            .unwrap_or(0);
        out.extend_from_slice(&self.held.split_to(self.held.len() - keep));
        out.freeze()
    }

    fn finish(&mut self) -> Bytes {
        self.held.split().freeze()
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_replaced_wherever_the_chunks_are_cut() {
        let text = b"<href>/proxy/x/1/files/a</href><href>/proxy/x/1/files</href>>/proxy/x/1/fil";
        let want = b"<href>/files/a</href><href>/files</href>>/proxy/x/1/fil";
        for size in 1..=text.len() {
            let mut replacer = Replacer::new(b">/proxy/x/1/files".to_vec(), b">/files".to_vec());
            let mut out = Vec::new();
            for chunk in text.chunks(size) {
                out.extend_from_slice(&replacer.push(chunk));
            }
            out.extend_from_slice(&replacer.finish());
            assert_eq!(out, want, "in chunks of {size}");
        }
    }
}
