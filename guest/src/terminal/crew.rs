//! Who is at a terminal, who drives it, and whose size it has.
//!
//! Pure: the whole policy of many hands on one keyboard.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::wire::{Mode, Size};

/// The wheel passes to another hand after this much quiet.
pub(crate) const QUIET: Duration = Duration::from_secs(2);

/// One socket at one terminal; grows, never reused.
pub(crate) type Key = u64;

struct Member {
    viewer: String,
    mode: Mode,
    wished: Option<Size>,
}

/// Everybody at one terminal.
pub(crate) struct Crew {
    members: BTreeMap<Key, Member>,
    driver: Option<Key>,
    typed_at: Option<Instant>,
    /// Who typed last, whoever drives.
    typist: Option<Key>,
    size: Size,
    revision: u64,
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// An observer.
    Observing,
    /// Assist without consent.
    NoConsent,
}

impl Denied {
    /// As the `error` frame says it.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Observing => "observing",
            Self::NoConsent => "consent_needed",
        }
    }
}

impl Crew {
    /// Nobody yet.
    pub(crate) fn new(size: Size) -> Self {
        Self {
            members: BTreeMap::new(),
            driver: None,
            typed_at: None,
            typist: None,
            size,
            revision: 0,
        }
    }

    /// The terminal's size now.
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// Grows whenever somebody comes or goes, or another hand types.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// How many are here.
    pub(crate) fn count(&self) -> usize {
        self.members.len()
    }

    /// Whose pace the shell keeps.
    pub(crate) fn driver(&self) -> Option<Key> {
        self.driver
    }

    /// Those who are not the learner: id and mode.
    pub(crate) fn watching(&self) -> impl Iterator<Item = (&str, Mode)> {
        self.members
            .values()
            .filter(|member| member.mode != Mode::Drive)
            .map(|member| (member.viewer.as_str(), member.mode))
    }

    /// Whose hand typed last: id and mode; nobody's until somebody did.
    pub(crate) fn typing(&self) -> Option<(&str, Mode)> {
        let member = self.members.get(&self.typist?)?;
        Some((member.viewer.as_str(), member.mode))
    }

    /// Somebody comes. The first who may drive does.
    pub(crate) fn join(&mut self, key: Key, viewer: &str, mode: Mode, wished: Option<Size>) {
        self.members.insert(
            key,
            Member {
                viewer: viewer.to_owned(),
                mode,
                wished,
            },
        );
        self.revision += 1;
        if self.driver.is_none() && mode == Mode::Drive {
            self.drive(key);
        }
    }

    /// Somebody goes. The wheel falls to the one longest here who may drive.
    pub(crate) fn leave(&mut self, key: Key) {
        if self.members.remove(&key).is_none() {
            return;
        }
        self.revision += 1;
        if self.driver == Some(key) {
            self.driver = None;
            self.typed_at = None;
            let next = self
                .members
                .iter()
                .find(|(_, member)| member.mode == Mode::Drive)
                .map(|(key, _)| *key);
            if let Some(next) = next {
                self.drive(next);
            }
        }
    }

    /// Somebody types. Denied, or in; and perhaps it takes the wheel.
    pub(crate) fn types(&mut self, key: Key, consented: bool, now: Instant) -> Result<(), Denied> {
        let Some(member) = self.members.get(&key) else {
            return Err(Denied::Observing);
        };
        match (member.mode, consented) {
            (Mode::Observe, _) => return Err(Denied::Observing),
            (Mode::Assist, false) => return Err(Denied::NoConsent),
            (Mode::Drive, _) | (Mode::Assist, true) => {}
        }
        let quiet = self
            .typed_at
            .is_none_or(|last| now.duration_since(last) >= QUIET);
        if self.driver != Some(key) && (self.driver.is_none() || quiet) {
            self.drive(key);
        }
        if self.driver == Some(key) {
            self.typed_at = Some(now);
        }
        let another = self.typist.replace(key) != Some(key);
        // Who is alone knows who types.
        if another && self.members.len() > 1 {
            self.revision += 1;
        }
        Ok(())
    }

    /// Somebody's window has a new size. It is remembered; it counts while
    /// they drive.
    pub(crate) fn wishes(&mut self, key: Key, size: Size) -> Result<(), Denied> {
        let Some(member) = self.members.get_mut(&key) else {
            return Err(Denied::Observing);
        };
        if member.mode == Mode::Observe {
            return Err(Denied::Observing);
        }
        member.wished = Some(size);
        if self.driver == Some(key) {
            self.size = size;
        }
        Ok(())
    }

    /// A helper's consent ended: the wheel goes back.
    pub(crate) fn dismiss(&mut self, viewer: &str) {
        let drives = self.driver.and_then(|key| self.members.get(&key));
        if drives.is_some_and(|member| member.viewer == viewer && member.mode == Mode::Assist) {
            self.driver = None;
            self.typed_at = None;
            let learner = self
                .members
                .iter()
                .find(|(_, member)| member.mode == Mode::Drive)
                .map(|(key, _)| *key);
            if let Some(learner) = learner {
                self.drive(learner);
            }
        }
    }

    fn drive(&mut self, key: Key) {
        self.driver = Some(key);
        if let Some(wished) = self.members.get(&key).and_then(|member| member.wished) {
            self.size = wished;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BIG: Size = Size {
        cols: 200,
        rows: 50,
    };
    const SMALL: Size = Size { cols: 80, rows: 24 };

    fn crew() -> (Crew, Instant) {
        let mut crew = Crew::new(SMALL);
        crew.join(1, "learner", Mode::Drive, Some(SMALL));
        crew.join(2, "learner", Mode::Drive, Some(BIG));
        crew.join(3, "teacher", Mode::Assist, Some(BIG));
        crew.join(4, "guest", Mode::Observe, Some(BIG));
        (crew, Instant::now())
    }

    #[test]
    fn who_may_type_and_who_then_drives() {
        // key, consented, seconds after the driver's last key -> outcome, driver
        let cases = [
            ("the driver", 1, false, 0, Ok(()), 1),
            ("another, too soon", 2, false, 1, Ok(()), 1),
            ("another, after quiet", 2, false, 2, Ok(()), 2),
            (
                "a helper without consent",
                3,
                false,
                9,
                Err(Denied::NoConsent),
                1,
            ),
            ("a helper with consent, too soon", 3, true, 1, Ok(()), 1),
            ("a helper with consent", 3, true, 9, Ok(()), 3),
            (
                "an observer, whatever was said",
                4,
                true,
                9,
                Err(Denied::Observing),
                1,
            ),
            ("somebody who left", 9, true, 9, Err(Denied::Observing), 1),
        ];
        for (what, key, consented, seconds, wanted, driver) in cases {
            let (mut crew, start) = crew();
            crew.types(1, false, start).unwrap();
            let got = crew.types(key, consented, start + Duration::from_secs(seconds));
            assert_eq!(got, wanted, "{what}");
            assert_eq!(crew.driver(), Some(driver), "{what}");
        }
    }

    #[test]
    fn the_size_is_the_drivers() {
        let (mut crew, now) = crew();
        assert_eq!(crew.size(), SMALL, "the first to come drives");
        crew.wishes(2, BIG).unwrap();
        assert_eq!(crew.size(), SMALL, "another's wish waits");
        assert_eq!(crew.wishes(4, BIG), Err(Denied::Observing));
        crew.types(2, false, now).unwrap();
        assert_eq!(crew.size(), BIG, "taking the wheel brings the size");
        crew.leave(2);
        assert_eq!(crew.driver(), Some(1), "the wheel falls to who is left");
        assert_eq!(crew.size(), SMALL);
        crew.leave(1);
        assert_eq!(crew.driver(), None, "helpers and observers inherit nothing");
    }

    #[test]
    fn a_helpers_wheel_ends_with_the_consent() {
        let (mut crew, now) = crew();
        assert_eq!(crew.typing(), None, "nobody did yet");
        let before = crew.revision();
        crew.types(3, true, now).unwrap();
        assert_eq!(crew.driver(), Some(3));
        assert_eq!(crew.typing(), Some(("teacher", Mode::Assist)));
        assert!(crew.revision() > before, "it is told");
        let told = crew.revision();
        crew.types(3, true, now).unwrap();
        assert_eq!(crew.revision(), told, "and not for each key");
        crew.types(1, false, now).unwrap();
        assert_eq!(
            crew.typing(),
            Some(("learner", Mode::Drive)),
            "too soon to drive"
        );
        assert_eq!(crew.driver(), Some(3));
        crew.dismiss("teacher");
        assert_eq!(crew.driver(), Some(1));
        let watching: Vec<_> = crew.watching().collect();
        assert_eq!(
            watching,
            [("teacher", Mode::Assist), ("guest", Mode::Observe)]
        );
    }
}
