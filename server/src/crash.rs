//! Lets a test kill the server between any two steps. In release builds the
//! points are not there.

/// Every point, in the order in which a workshop's life passes them: the
/// attempt's row is written (`:row`), its effect is done (`:done`), its end is
/// noted (`:noted`).
pub const CRASH_POINTS: &[&str] = &[
    "settle:begun",
    "create:row",
    "create:done",
    "create:noted",
    "enrol:row",
    "enrol:signed",
    "enrol:done",
    "enrol:noted",
    "epochs:sent",
    "egress:row",
    "egress:done",
    "egress:noted",
    "seats.create:row",
    "seats.create:done",
    "seats.create:noted",
    "settle:saved",
    "seats.delete:row",
    "seats.delete:done",
    "seats.delete:noted",
    "delete:row",
    "delete:done",
    "delete:noted",
    "forget-worker:done",
];

/// Those of a worker that rests, or comes back: told in the cloud.
pub const RETURN_POINTS: &[&str] = &[
    "stop:row",
    "stop:done",
    "stop:noted",
    "start:row",
    "start:done",
    "start:noted",
];

/// Before Google's cloud, those around each request to it: what is asked for is noted
/// (`:noted`), and Google has it, and nobody here has noted its answer (`:asked`).
pub const CLOUD_POINTS: &[&str] = &[
    "vm.insert:noted",
    "vm.insert:asked",
    "vm.start:noted",
    "vm.start:asked",
    "vm.stop:noted",
    "vm.stop:asked",
    "vm.delete:noted",
    "vm.delete:asked",
];

/// The point at which this process kills itself, if any.
#[derive(Debug, Clone, Default)]
pub struct CrashAt(#[cfg_attr(not(debug_assertions), allow(dead_code))] Option<String>);

impl CrashAt {
    /// One of [`CRASH_POINTS`], [`RETURN_POINTS`] or [`CLOUD_POINTS`]; refused if it is none.
    pub fn parse(point: Option<&str>) -> Result<Self, String> {
        let known = [CRASH_POINTS, RETURN_POINTS, CLOUD_POINTS];
        match point {
            None => Ok(Self(None)),
            Some(point) if known.iter().any(|points| points.contains(&point)) => {
                Ok(Self(Some(point.to_owned())))
            }
            Some(other) => Err(format!("no crash point is called {other:?}")),
        }
    }

    /// Kills the process as `kill -9` would, if this is the point.
    #[cfg(debug_assertions)]
    pub(crate) fn pass(&self, verb: &str, part: &str) {
        let here = |at: &String| at.split_once(':') == Some((verb, part));
        if self.0.as_ref().is_some_and(here) {
            let own = rustix::process::getpid();
            let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
        }
    }

    /// Nothing.
    #[cfg(not(debug_assertions))]
    #[allow(clippy::unused_self)]
    pub(crate) fn pass(&self, _: &str, _: &str) {}
}
