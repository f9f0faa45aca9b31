//! Everything about one terminal that its shell's pump and its viewers share.
//!
//! Pure: no sockets, no PTY. The pump writes output in, each viewer's `Feed`
//! reads from its own place; nobody holds a queue for anybody, so a viewer who
//! does not read costs nothing and delays nobody.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use super::{
    crew::{Crew, Denied, Key},
    flow::{Acks, Gate},
    history::History,
    keys,
    screen::Screen,
    wire::{self, Notice, Said, Size, Viewer},
};

/// Input that the shell has not taken yet; beyond it a viewer waits.
pub(crate) const MAX_INPUT: usize = 256 * 1024;
/// Answers waiting for a viewer who does not read; more are dropped.
const MAX_REPLIES: usize = 32;
/// Notices kept for viewers who are behind.
const MAX_NOTICES: usize = 16;

/// What a viewer's frame leads to outside this state.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    None,
    /// The PTY takes this size.
    Resize(Size),
    /// The learner lets a helper type, or no longer.
    Consent {
        /// Whom.
        viewer: String,
        /// Or no longer.
        allow: bool,
    },
}

/// One viewer's record here.
#[derive(Default)]
pub(crate) struct Record {
    pub(super) acks: Acks,
    pub(super) sent: u64,
    pub(super) replies: VecDeque<String>,
}

/// One terminal.
pub(crate) struct State {
    pub(super) history: History,
    pub(super) screen: Screen,
    pub(super) crew: Crew,
    pub(super) records: BTreeMap<Key, Record>,
    pub(super) notices: VecDeque<(u64, Notice)>,
    pub(super) noticed: u64,
    /// None while the shell lives, then its code.
    pub(super) ended: Option<i32>,
    /// Typed and not yet taken by the PTY.
    pub(super) input: VecDeque<u8>,
}

impl State {
    /// Of a new shell.
    pub(crate) fn new(size: Size) -> Self {
        Self {
            history: History::default(),
            screen: Screen::new(size),
            crew: Crew::new(size),
            records: BTreeMap::new(),
            notices: VecDeque::new(),
            noticed: 0,
            ended: None,
            input: VecDeque::new(),
        }
    }

    /// The shell wrote.
    pub(crate) fn took(&mut self, output: &[u8]) {
        self.history.push(output);
        self.screen.feed(output);
    }

    /// Whether the shell's output may be read now: the driver's pace.
    pub(crate) fn gate(&mut self, now: Instant) -> Gate {
        let head = self.history.head();
        self.crew
            .driver()
            .and_then(|driver| self.records.get_mut(&driver))
            .map_or(Gate::Open, |record| record.acks.gate(head, now))
    }

    /// Somebody comes; answers the size that the PTY should have.
    pub(crate) fn join(&mut self, key: Key, viewer: &Viewer, wished: Option<Size>) -> Option<Size> {
        self.records.insert(key, Record::default());
        self.with_size(|crew| crew.join(key, &viewer.id, viewer.mode, wished))
    }

    /// Somebody goes; answers the size that the PTY should have.
    pub(crate) fn leave(&mut self, key: Key) -> Option<Size> {
        self.records.remove(&key);
        self.with_size(|crew| crew.leave(key))
    }

    /// Somebody types: whether these bytes go to the shell, whether a person
    /// typed them, and the size that the PTY should have.
    pub(crate) fn types(
        &mut self,
        key: Key,
        input: &[u8],
        consented: bool,
        now: Instant,
    ) -> (Typed, Option<Size>) {
        let by_person = keys::is_typed(input);
        if !by_person {
            // A terminal's own answer: the driver's alone counts.
            let answers = if self.crew.driver() == Some(key) {
                Typed::Answer
            } else {
                Typed::Nothing
            };
            return (answers, None);
        }
        let mut outcome = Ok(());
        let size = self.with_size(|crew| outcome = crew.types(key, consented, now));
        match outcome {
            Ok(()) => (Typed::Keys, size),
            Err(denied) => {
                self.refuse(key, denied);
                (Typed::Nothing, size)
            }
        }
    }

    /// Somebody said something in a text frame.
    pub(crate) fn said(&mut self, key: Key, viewer: &Viewer, text: &str, now: Instant) -> Effect {
        let said = match Said::parse(text) {
            Ok(said) => said,
            Err(reason) => {
                self.reply(key, wire::error(reason));
                return Effect::None;
            }
        };
        match said {
            Said::Resize(size) => {
                let mut outcome = Ok(());
                let resized = self.with_size(|crew| outcome = crew.wishes(key, size));
                if let Err(denied) = outcome {
                    self.refuse(key, denied);
                }
                resized.map_or(Effect::None, Effect::Resize)
            }
            Said::Ack(offset) => {
                if let Some(record) = self.records.get_mut(&key) {
                    record.acks.ack(offset, record.sent, now);
                }
                Effect::None
            }
            Said::Ping => {
                self.reply(key, wire::pong());
                Effect::None
            }
            Said::Consent {
                viewer: whom,
                allow,
            } => {
                if viewer.mode == wire::Mode::Drive {
                    return Effect::Consent {
                        viewer: whom,
                        allow,
                    };
                }
                self.reply(key, wire::error("not_yours_to_allow"));
                Effect::None
            }
            Said::Unknown => Effect::None,
        }
    }

    /// A helper's consent ended; answers the size that the PTY should have.
    pub(crate) fn dismiss(&mut self, viewer: &str) -> Option<Size> {
        self.with_size(|crew| crew.dismiss(viewer))
    }

    /// Something that all viewers are shown.
    pub(crate) fn notify(&mut self, notice: &Notice) {
        self.noticed += 1;
        self.notices.push_back((self.noticed, notice.clone()));
        if self.notices.len() > MAX_NOTICES {
            self.notices.pop_front();
        }
    }

    fn refuse(&mut self, key: Key, denied: Denied) {
        self.reply(key, wire::error(denied.reason()));
    }

    fn reply(&mut self, key: Key, frame: String) {
        if let Some(record) = self.records.get_mut(&key)
            && record.replies.len() < MAX_REPLIES
        {
            record.replies.push_back(frame);
        }
    }

    /// Runs a change of the crew; answers the size if it became another.
    fn with_size(&mut self, change: impl FnOnce(&mut Crew)) -> Option<Size> {
        let before = self.crew.size();
        change(&mut self.crew);
        let after = self.crew.size();
        (after != before).then(|| {
            self.screen.resize(after);
            after
        })
    }
}

/// What became of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// It goes to the shell; a person typed it.
    Keys,
    /// It goes to the shell; a terminal answered by itself.
    Answer,
    /// It goes nowhere.
    Nothing,
}
