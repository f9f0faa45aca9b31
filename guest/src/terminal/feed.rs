//! One viewer's way through a terminal: what it is sent next.
//!
//! Pure. `attach` decides where it begins; `next` gives one frame at a time,
//! from the state as it is then. Who is so far behind that output is gone is
//! given a painting of the present screen and continues there.

use std::collections::VecDeque;

use bytes::Bytes;

use super::{
    crew::Key,
    state::State,
    wire::{self, Attach, Size},
};

/// Output in one frame: large enough for throughput, small enough that a
/// socket's buffers stay small.
const CHUNK: usize = 32 * 1024;

/// What goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// Control.
    Text(String),
    /// Terminal data.
    Data(Bytes),
    /// The shell ended and everything was sent.
    Over,
}

/// Where one viewer stands.
pub(crate) struct Feed {
    key: Key,
    /// Whether it understands text frames.
    control: bool,
    cursor: u64,
    queue: VecDeque<Out>,
    /// A replay ends here.
    live_at: Option<u64>,
    size: Size,
    crew_revision: u64,
    noticed: u64,
    told_end: bool,
}

impl Feed {
    /// Begins, for a viewer who has joined.
    pub(crate) fn attach(
        state: &mut State,
        key: Key,
        control: bool,
        attach: &Attach,
        instance: &str,
    ) -> Self {
        let head = state.history.head();
        let restarted = attach
            .instance
            .as_deref()
            .is_some_and(|asked| asked != instance);
        let wanted = if restarted { Some(0) } else { attach.offset };
        let kept = wanted.filter(|offset| state.history.has(*offset));
        let cursor = kept.unwrap_or(head);
        let mut feed = Self {
            key,
            control,
            cursor,
            queue: VecDeque::new(),
            live_at: Some(head),
            size: state.crew.size(),
            crew_revision: state.crew.revision(),
            noticed: state.noticed,
            told_end: false,
        };
        feed.say(wire::attached(
            &attach.terminal,
            instance,
            cursor,
            state.history.oldest(),
            state.crew.size(),
            state.crew.count(),
        ));
        if restarted {
            feed.say(wire::restarted());
        }
        if state.crew.watching().next().is_some() {
            // The count alone would not say that one of them is a helper.
            feed.say(wire::viewers(&state.crew));
        }
        if kept.is_none() {
            feed.repaint(state, head.saturating_sub(wanted.unwrap_or(head)));
        }
        feed.record(state);
        feed
    }

    /// The next frame; none means wait for a change.
    pub(crate) fn next(&mut self, state: &mut State) -> Option<Out> {
        if self.queue.is_empty() {
            self.look(state);
        }
        if let Some(out) = self.queue.pop_front() {
            return Some(out);
        }
        let head = state.history.head();
        // A replay stops exactly where it was to end, so that `live` is true.
        let until = self.live_at.map_or(head, |at| at.max(self.cursor));
        let most = usize::try_from(until - self.cursor)
            .unwrap_or(CHUNK)
            .min(CHUNK);
        if most > 0
            && let Some(data) = state.history.read(self.cursor, most)
        {
            self.cursor += data.len() as u64;
            self.record(state);
            return Some(Out::Data(data));
        }
        if state.ended.is_some() && self.told_end {
            return Some(Out::Over);
        }
        None
    }

    /// Puts what is due besides output into the queue.
    fn look(&mut self, state: &mut State) {
        if self.size != state.crew.size() {
            self.size = state.crew.size();
            self.say(wire::resized(self.size));
        }
        if self.crew_revision != state.crew.revision() {
            self.crew_revision = state.crew.revision();
            self.say(wire::viewers(&state.crew));
        }
        if let Some(record) = state.records.get_mut(&self.key) {
            for reply in std::mem::take(&mut record.replies) {
                self.say(reply);
            }
        }
        let unseen = self.noticed;
        for (number, notice) in &state.notices {
            if *number > unseen {
                self.say(notice.frame());
            }
        }
        self.noticed = state.noticed;
        if !state.history.has(self.cursor) {
            let lost = state.history.head() - self.cursor;
            self.repaint(state, lost);
        }
        if self.live_at.is_some_and(|at| self.cursor >= at) {
            self.live_at = None;
            self.say(wire::live());
        }
        if let Some(code) = state.ended
            && self.cursor == state.history.head()
            && !self.told_end
        {
            self.told_end = true;
            self.say(wire::exit(code));
        }
    }

    /// Draws the present screen and continues from here.
    fn repaint(&mut self, state: &mut State, lost: u64) {
        let paint = Bytes::from(state.screen.paint());
        self.cursor = state.history.head();
        self.say(wire::repaint(self.cursor, paint.len(), lost));
        let mut rest = paint;
        // Ends: each round takes at least one byte.
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(CHUNK));
            self.queue.push_back(Out::Data(piece));
        }
        self.record(state);
        if let Some(record) = state.records.get_mut(&self.key) {
            record.acks.skip_to(self.cursor);
        }
    }

    fn say(&mut self, frame: String) {
        if self.control {
            self.queue.push_back(Out::Text(frame));
        }
    }

    fn record(&self, state: &mut State) {
        if let Some(record) = state.records.get_mut(&self.key) {
            record.sent = self.cursor;
        }
    }
}

#[cfg(test)]
mod tests;
