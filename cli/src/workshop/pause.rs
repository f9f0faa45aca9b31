//! Stopping a workshop, and starting it again.

use clarateach_proto::workshop::{StartWorkshopRequest, StopWorkshopRequest};

use super::{find, show, watch};
use crate::{
    api::Workshops,
    asking::fresh_id,
    config::{PauseArgs, Until},
    failure::Failure,
    interrupt,
};

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    Stop,
    Start,
}

pub(super) async fn run(
    workshops: &mut Workshops,
    args: PauseArgs,
    pause: Pause,
) -> Result<(), Failure> {
    let id = find::id(workshops, &args.workshop).await?;
    let request_id = fresh_id();
    let (verb, until, asked) = match pause {
        Pause::Stop => {
            let ask = StopWorkshopRequest {
                id: id.clone(),
                request_id,
            };
            let asked = workshops.stop_workshop(ask).await;
            ("stop", Until::Stopped, asked)
        }
        Pause::Start => {
            let ask = StartWorkshopRequest {
                id: id.clone(),
                request_id,
            };
            let asked = workshops.start_workshop(ask).await;
            ("start", Until::Running, asked)
        }
    };
    let failed = |status| Failure::status(format!("could not {verb} {id}"), &status);
    let mut now = asked.map_err(failed)?.into_inner();
    if args.wait {
        now = interrupt::or_stop(watch::until(workshops, &id, until)).await?;
    }
    show::brief(&now, args.show)
}
