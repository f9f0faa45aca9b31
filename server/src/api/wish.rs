//! What callers ask for, checked field by field before anything happens.
//!
//! Way: a request of the schema -> all its faults at once, or a wish in our own
//! words.

use std::{collections::BTreeMap, time::Duration};

use clarateach_domain::{
    egress::Egress,
    ids::{SeatNo, WorkshopId},
    limits::Asked,
    microvm::{Resources, Runtime},
    text,
    workshop::Role,
};
use clarateach_proto::workshop as pb;
use prost::Message;

use super::{
    Settings, egress,
    error::{ApiError, Violation},
};
use crate::config::MIN_TTL;

const MAX_NAME: usize = 100;
const MAX_INSTRUCTIONS: usize = 64 * 1024;
const MAX_REQUEST_ID: usize = 64;
/// And at least, where a repeat is answered with a secret.
const MIN_JOIN_REQUEST_ID: usize = 16;
const MAX_ENV: usize = 100;
const MAX_ENV_NAME: usize = 128;
const MAX_ENV_BYTES: usize = 32 * 1024;

/// Gathers faults, so that a caller learns of all at once.
#[derive(Default)]
pub(super) struct Faults(Vec<Violation>);

impl Faults {
    /// `field` must be `description`.
    pub(super) fn add(&mut self, field: &str, description: impl Into<String>) {
        self.0.push(Violation::new(field, description));
    }

    /// The value, or a fault and the default.
    fn take<T: Default, E: std::fmt::Display>(&mut self, field: &str, from: Result<T, E>) -> T {
        from.unwrap_or_else(|fault| {
            self.add(field, fault.to_string());
            T::default()
        })
    }

    /// `value`, if there is no fault.
    pub(super) fn none_or<T>(self, value: T) -> Result<T, ApiError> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(ApiError::fields(self.0))
        }
    }
}

/// A workshop that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkshopWish {
    /// What people call it.
    pub name: String,
    /// How many seats.
    pub seats: u32,
    /// What gives a seat its machine.
    pub runtime: Runtime,
    /// How long it lives.
    pub ttl: Duration,
    /// Environment of every learner's shell. Secret.
    pub env: BTreeMap<String, String>,
    /// What a seat's machine has.
    pub resources: Resources,
    /// What each seat may take, where it was said.
    pub limits: Asked,
    /// What seats may reach.
    pub egress: Egress,
    /// The root filesystem.
    pub template: String,
    /// What learners read.
    pub instructions: String,
    /// The caller's id of the call; may be empty.
    pub request_id: String,
    /// Equal exactly when two calls ask the same.
    pub body: Vec<u8>,
}

/// Checks the shape that `EstimateCost` asks about, and says how long it would live.
pub(super) fn estimate(
    ask: &pb::EstimateCostRequest,
    settings: &Settings,
) -> Result<Duration, ApiError> {
    let mut faults = Faults::default();
    let most = settings.max_seats_per_workshop;
    if !(1..=most).contains(&ask.seats) {
        faults.add("seats", format!("must be 1 to {most}"));
    }
    let ttl = faults.take("ttl", ttl(ask.ttl.as_ref(), settings));
    faults.none_or(ttl)
}

/// Checks what `CreateWorkshop` asks.
pub fn create(
    mut ask: pb::CreateWorkshopRequest,
    settings: &Settings,
) -> Result<WorkshopWish, ApiError> {
    let mut faults = Faults::default();
    let name = faults.take("name", text::line(&ask.name, MAX_NAME));
    let most = settings.max_seats_per_workshop;
    if !(1..=most).contains(&ask.seats) {
        faults.add("seats", format!("must be 1 to {most}"));
    }
    let runtime = match pb::Runtime::try_from(ask.runtime) {
        Ok(pb::Runtime::Firecracker) => Some(Runtime::Firecracker),
        Ok(pb::Runtime::Container) => Some(Runtime::Container),
        Ok(pb::Runtime::Unspecified) | Err(_) => {
            faults.add("runtime", "must be firecracker or container");
            None
        }
    };
    let ttl = faults.take("ttl", ttl(ask.ttl.as_ref(), settings));
    let env: BTreeMap<_, _> = std::mem::take(&mut ask.env).into_iter().collect();
    check_env(&env, &mut faults);
    let asked = ask.resources.unwrap_or_default();
    let limits = Asked {
        network_mbits: asked.network_mbits,
        disk_mib_per_second: asked.disk_mib_per_second,
        processes: asked.processes,
    };
    let limits = limits.checked().unwrap_or_else(|(field, must)| {
        faults.add(field, must);
        Asked::default()
    });
    let asked = Resources {
        vcpus: asked.vcpus,
        memory_mib: asked.memory_mib,
        disk_mib: asked.disk_mib,
    };
    let resources = asked
        .checked(Resources::DEFAULT)
        .unwrap_or_else(|(field, must)| {
            faults.add(field, must);
            Resources::DEFAULT
        });
    if !matches!(ask.template.as_str(), "" | "base") {
        faults.add("template", "must be base: this server has no other");
    }
    faults.take("instructions", instructions(&ask.instructions));
    let request_id = faults.take("request_id", request_id(&ask.request_id));
    let policy = ask.egress.as_ref();
    let policy = policy.map(|asked| egress::asked(asked, &mut faults));
    // Maps have no order of their own on the wire; this text has one.
    let mut body = serde_json::to_vec(&env).unwrap_or_default();
    let instructions = ask.instructions.clone();
    ask.request_id.clear();
    body.extend(ask.encode_to_vec());
    let wish = WorkshopWish {
        name,
        seats: ask.seats,
        runtime: runtime.unwrap_or(Runtime::Container),
        ttl,
        env,
        resources,
        limits,
        egress: policy.unwrap_or_default(),
        template: "base".to_owned(),
        instructions,
        request_id,
        body,
    };
    let wish = faults.none_or(wish)?;
    if !settings.runtimes.contains(&wish.runtime) {
        let have: Vec<_> = settings.runtimes.iter().map(|r| r.as_str()).collect();
        return Err(ApiError::new(
            tonic::Code::FailedPrecondition,
            "RUNTIME_UNAVAILABLE",
            format!(
                "this server gives {}, not {}",
                have.join(" and "),
                wish.runtime
            ),
        ));
    }
    Ok(wish)
}

/// A change that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeWish {
    /// The workshop.
    pub id: WorkshopId,
    /// How many seats.
    pub seats: Option<u32>,
    /// How long it lives from now.
    pub ttl: Option<Duration>,
    /// What people call it.
    pub name: Option<String>,
    /// What learners read.
    pub instructions: Option<String>,
    /// What seats may reach.
    pub egress: Option<Egress>,
    /// Let learners lose seats that must go.
    pub evict: bool,
    /// The caller's id of the call; may be empty.
    pub request_id: String,
    /// Equal exactly when two calls ask the same.
    pub body: Vec<u8>,
}

/// Checks what `UpdateWorkshop` asks.
pub fn update(
    mut ask: pb::UpdateWorkshopRequest,
    settings: &Settings,
) -> Result<ChangeWish, ApiError> {
    let id = workshop_id(&ask.id)?;
    let mut faults = Faults::default();
    let name = ask.name.as_deref().map(|name| text::line(name, MAX_NAME));
    let name = faults.take("name", name.transpose());
    let most = settings.max_seats_per_workshop;
    if ask.seats.is_some_and(|seats| !(1..=most).contains(&seats)) {
        faults.add("seats", format!("must be 1 to {most}"));
    }
    let asked = ask.ttl.as_ref().map(|asked| ttl(Some(asked), settings));
    let ttl = faults.take("ttl", asked.transpose());
    if let Some(text) = &ask.instructions {
        faults.take("instructions", instructions(text));
    }
    let request_id = faults.take("request_id", request_id(&ask.request_id));
    let policy = ask.egress.as_ref();
    let policy = policy.map(|asked| egress::asked(asked, &mut faults));
    ask.request_id.clear();
    let body = ask.encode_to_vec();
    let wish = ChangeWish {
        id,
        seats: ask.seats,
        ttl,
        name,
        instructions: ask.instructions,
        egress: policy,
        evict: ask.evict,
        request_id,
        body,
    };
    faults.none_or(wish)
}

/// A workshop's id. What is no id is as unknown as what nobody has.
pub fn workshop_id(text: &str) -> Result<WorkshopId, ApiError> {
    text.parse().map_err(|_| ApiError::no_workshop())
}

/// A seat's number; likewise.
pub fn seat_no(number: u32) -> Result<SeatNo, ApiError> {
    SeatNo::try_from(number).map_err(|_| ApiError::no_seat())
}

/// A request id: up to 64 printable ASCII characters, or none.
pub fn request_id(text: &str) -> Result<String, &'static str> {
    let printable = text.bytes().all(|b| (0x20..0x7f).contains(&b));
    if printable && text.len() <= MAX_REQUEST_ID {
        Ok(text.to_owned())
    } else {
        Err("must have at most 64 printable ASCII characters")
    }
}

/// The request id of a join: none, or one that nobody guesses. All learners of
/// a workshop share one space of these, and a repeat is answered with the first
/// one's seat and reconnect code.
pub fn join_request_id(text: &str) -> Result<String, &'static str> {
    match request_id(text)? {
        id if id.is_empty() || id.len() >= MIN_JOIN_REQUEST_ID => Ok(id),
        _ => Err("must be random and have at least 16 characters, or be empty"),
    }
}

/// What a principal may do, if it is said.
pub fn role(role: i32) -> Result<Option<Role>, ApiError> {
    match pb::Role::try_from(role) {
        Ok(pb::Role::Unspecified) => Ok(None),
        Ok(pb::Role::Admin) => Ok(Some(Role::Admin)),
        Ok(pb::Role::Instructor) => Ok(Some(Role::Instructor)),
        Err(_) => Err(ApiError::field("role", "must be admin or instructor")),
    }
}

fn ttl(asked: Option<&prost_types::Duration>, settings: &Settings) -> Result<Duration, String> {
    let Some(asked) = asked else {
        return Ok(settings.default_ttl);
    };
    let most = settings.max_ttl;
    Duration::try_from(*asked)
        .ok()
        .filter(|ttl| (MIN_TTL..=most).contains(ttl))
        .ok_or_else(|| {
            format!(
                "must be {} to {} seconds",
                MIN_TTL.as_secs(),
                most.as_secs()
            )
        })
}

fn instructions(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_INSTRUCTIONS {
        return Err("must have at most 64 KiB");
    }
    let unfit = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    if text.chars().any(unfit) {
        return Err("must not contain control characters beside line breaks and tabs");
    }
    Ok(())
}

fn check_env(env: &BTreeMap<String, String>, faults: &mut Faults) {
    if env.len() > MAX_ENV {
        faults.add("env", format!("must have at most {MAX_ENV} variables"));
    }
    let bytes: usize = env
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > MAX_ENV_BYTES {
        faults.add("env", "must have at most 32 KiB");
    }
    for (name, value) in env {
        let fits = (1..=MAX_ENV_NAME).contains(&name.len())
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
        if !fits {
            faults.add(
                &format!("env[{shown}]"),
                "must be a name of letters, digits and underscores",
            );
        } else if value.contains('\0') {
            // The value itself may be a secret: it is not repeated.
            faults.add(&format!("env[{shown}]"), "must not contain NUL");
        }
    }
}
