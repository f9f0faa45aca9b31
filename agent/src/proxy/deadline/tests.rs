//! What ends a session, as a table.

use clarateach_domain::microvm::MicroVmState;

use super::{Ending, judge};
use crate::fleet::{Cut, SeatLife};

#[test]
fn a_session_lives_as_long_as_its_epoch_and_its_machine() {
    use MicroVmState::{Booting, Ready, Restarting, Stopping};
    for (state, epoch, cut, life, want) in [
        (Ready, Some(2), None, 1, None),
        (Ready, Some(1), None, 1, None),
        (Ready, Some(2), Some(Cut::Reset), 1, None),
        (Ready, Some(2), Some(Cut::Restarted), 1, None),
        (Ready, Some(3), Some(Cut::Reset), 1, Some(Ending::Reset)),
        (Ready, Some(3), Some(Cut::Revoked), 1, Some(Ending::Revoked)),
        (Ready, Some(3), None, 1, Some(Ending::Revoked)),
        (Booting, Some(3), Some(Cut::Reset), 2, Some(Ending::Reset)),
        (
            Restarting,
            Some(2),
            Some(Cut::Restarted),
            1,
            Some(Ending::Restarted),
        ),
        (
            Ready,
            Some(2),
            Some(Cut::Restarted),
            2,
            Some(Ending::Restarted),
        ),
        (Stopping, Some(2), None, 1, Some(Ending::Deleted)),
        (Ready, Some(3), Some(Cut::Deleted), 1, Some(Ending::Deleted)),
        (Ready, None, None, 1, Some(Ending::Revoked)),
    ] {
        let seen = SeatLife {
            state,
            epoch,
            made_for: 2,
            cut,
            life,
        };
        assert_eq!(judge(&seen, 2, 1), want, "{seen:?}");
    }
}
