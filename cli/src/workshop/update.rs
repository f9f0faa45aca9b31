//! Changes a workshop: seats, time, name, instructions and egress in one call.

use std::{
    fs,
    io::Read,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clarateach_proto::workshop::{GetWorkshopRequest, UpdateWorkshopRequest};

use super::{egress, find, show, span};
use crate::{
    api::Workshops,
    asking::fresh_id,
    config::UpdateArgs,
    failure::{Exit, Failure},
};

/// As the schema has it; the server has the last word.
const LONGEST_INSTRUCTIONS: u64 = 64 * 1024;

pub(super) async fn run(workshops: &mut Workshops, args: UpdateArgs) -> Result<(), Failure> {
    let id = find::id(workshops, &args.workshop).await?;
    let ttl = match (args.ttl, args.extend) {
        (Some(ttl), _) => Some(span(ttl)?),
        (None, Some(more)) => Some(span(extended(workshops, &id, more).await?)?),
        (None, None) => None,
    };
    let request = UpdateWorkshopRequest {
        id: id.clone(),
        seats: args.seats,
        ttl,
        name: args.name,
        evict: args.evict,
        egress: args.egress.map(|mode| egress(mode, args.allow)),
        instructions: args.instructions.as_deref().map(read).transpose()?,
        request_id: fresh_id(),
    };
    let changed = workshops.update_workshop(request).await;
    let changed = changed.map_err(|status| {
        let failure = Failure::status(format!("could not change {id}"), &status);
        if failure.exit() == Exit::Conflict as u8 && args.seats.is_some() && !args.evict {
            return failure
                .hint("--evict takes seats away from learners; their files go with them.");
        }
        failure
    })?;
    show::brief(changed.get_ref(), args.show)
}

/// The time from now until `more` after the present end. By the server's clock:
/// ours may be an hour off.
async fn extended(
    workshops: &mut Workshops,
    id: &str,
    more: Duration,
) -> Result<Duration, Failure> {
    let request = GetWorkshopRequest { id: id.to_owned() };
    let found = workshops.get_workshop(request).await;
    let found = found.map_err(|status| Failure::status(format!("could not get {id}"), &status))?;
    let date = found.metadata().get("date");
    let now = date
        .and_then(|date| httpdate::parse_http_date(date.to_str().ok()?).ok())
        .unwrap_or_else(SystemTime::now);
    let end = found.get_ref().expires_at.as_ref().map(|at| at.seconds);
    Ok(later(end, now, more))
}

/// Pure: what is left, if anything is, and more.
fn later(end: Option<i64>, now: SystemTime, more: Duration) -> Duration {
    let end = end.and_then(|end| u64::try_from(end).ok()).unwrap_or(0);
    let left = (UNIX_EPOCH + Duration::from_secs(end))
        .duration_since(now)
        .unwrap_or_default();
    left + more
}

/// Instructions; `-` is stdin.
pub(super) fn read(file: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::io(format!("could not read {}", file.display()), error);
    let mut text = String::new();
    if file == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(LONGEST_INSTRUCTIONS + 1)
            .read_to_string(&mut text)
            .map_err(failed)?;
    } else {
        fs::File::open(file)
            .map_err(failed)?
            .take(LONGEST_INSTRUCTIONS + 1)
            .read_to_string(&mut text)
            .map_err(failed)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_moved_from_where_it_is() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let hour = Duration::from_hours(1);
        for (end, seconds) in [
            (Some(1_600), 4_200),
            (Some(1_000), 3_600),
            (Some(10), 3_600),
            (None, 3_600),
        ] {
            assert_eq!(later(end, now, hour).as_secs(), seconds, "{end:?}");
        }
    }
}
