//! The fleet's owner task: which seats there are, who stands on which slot, and
//! the list that everybody watches.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use clarateach_domain::{
    ids::{SeatNo, Slot},
    microvm::{MicroVm, MicroVmSpec, MicroVmState},
};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    handle::{FleetError, FleetRequest},
    seat::{Beginning, Report, Seat, SeatRequest},
    shared::Shared,
};

/// Requests that may wait for one seat's task.
const SEAT_QUEUE: usize = 64;

/// A seat as the owner knows it.
struct Row {
    slot: Slot,
    requests: mpsc::Sender<SeatRequest>,
    vm: MicroVm,
    turn: Option<u64>,
}

/// The owner's state.
pub(super) struct Owner {
    shared: Arc<Shared>,
    seats: HashMap<SeatNo, Row>,
    slots: BTreeMap<Slot, SeatNo>,
    /// Slots of which it cannot be told whose they are.
    held: BTreeSet<Slot>,
    list: watch::Sender<Arc<Vec<MicroVm>>>,
}

impl Owner {
    /// An owner of no seats yet.
    pub(super) fn new(shared: Arc<Shared>, list: watch::Sender<Arc<Vec<MicroVm>>>) -> Self {
        Self {
            shared,
            seats: HashMap::new(),
            slots: BTreeMap::new(),
            held: BTreeSet::new(),
            list,
        }
    }

    /// Serves until every handle is gone. Machines stay.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<FleetRequest>,
        mut reports: mpsc::Receiver<Report>,
    ) {
        loop {
            tokio::select! {
                // Reports first: an answer must not be older than the list.
                biased;
                Some(report) = reports.recv() => {
                    let mut buried = self.take(report);
                    // Many seats change at once: one list for all of them.
                    while let Ok(report) = reports.try_recv() {
                        buried.extend(self.take(report));
                    }
                    self.publish();
                    for told in buried {
                        let _ended = told.send(Ok(()));
                    }
                }
                request = requests.recv() => match request {
                    Some(request) => self.answer(request),
                    None => return,
                },
            }
        }
    }

    /// Gives the slot to nobody: what stands there could not be told.
    pub(super) fn hold(&mut self, slot: Slot) {
        self.held.insert(slot);
    }

    /// Starts a seat's task; the receiver hears when it has begun.
    pub(super) fn start_seat(
        &mut self,
        spec: MicroVmSpec,
        beginning: Beginning,
    ) -> (MicroVm, oneshot::Receiver<()>) {
        let (slot, seat_no) = (spec.slot, spec.seat);
        let seat = Seat::new(Arc::clone(&self.shared), spec);
        let vm = seat.vm().clone();
        let (requests, inbox) = mpsc::channel(SEAT_QUEUE);
        let (begun, begins) = oneshot::channel();
        tokio::spawn(seat.run(beginning, inbox, begun));
        let row = Row {
            slot,
            requests,
            vm: vm.clone(),
            turn: None,
        };
        self.seats.insert(seat_no, row);
        self.slots.insert(slot, seat_no);
        (vm, begins)
    }

    fn answer(&mut self, request: FleetRequest) {
        match request {
            FleetRequest::Ensure { spec, reply } => self.ensure(spec, reply),
            FleetRequest::Remove { seat, grace, reply } => match self.seats.get(&seat) {
                None => drop(reply.send(Ok(()))),
                Some(row) => {
                    forward(row, SeatRequest::Remove { grace, reply });
                }
            },
            FleetRequest::SetEpochs { epochs, reply } => {
                let mut answers = Vec::new();
                let mut all = Ok(());
                for (seat, epoch, reason) in epochs {
                    let Some(row) = self.seats.get(&seat) else {
                        continue;
                    };
                    let (reply, answer) = oneshot::channel();
                    answers.push(answer);
                    let raise = SeatRequest::RaiseEpoch {
                        epoch,
                        reason,
                        reply,
                    };
                    if !forward(row, raise) {
                        all = Err(FleetError::Busy(seat)); // not done: never OK
                    }
                }
                tokio::spawn(async move {
                    for answer in answers {
                        // A seat that went meanwhile admits nobody.
                        all = all.and(answer.await.unwrap_or(Ok(())));
                    }
                    let _ended = reply.send(all);
                });
            }
            FleetRequest::Notify {
                seats,
                notice,
                reply,
            } => {
                let mut answers = Vec::new();
                for (seat, row) in &self.seats {
                    if !seats.is_empty() && !seats.contains(seat) {
                        continue;
                    }
                    let (reply, answer) = oneshot::channel();
                    answers.push(answer);
                    let notice = notice.clone();
                    forward(row, SeatRequest::Notify { notice, reply });
                }
                tokio::spawn(async move { reply.send(how_many(answers).await) });
            }
            FleetRequest::Sync { reply } => {
                let mut answers = Vec::new();
                for row in self.seats.values() {
                    let (reply, answer) = oneshot::channel();
                    answers.push(answer);
                    forward(row, SeatRequest::Sync { reply });
                }
                tokio::spawn(async move { reply.send(how_many(answers).await) });
            }
            FleetRequest::CloseViewers {
                seat,
                viewers,
                code,
                reason,
                reply,
            } => {
                let close = SeatRequest::CloseViewers {
                    viewers,
                    code,
                    reason,
                    reply,
                };
                if let Some(row) = self.seats.get(&seat) {
                    forward(row, close);
                }
            }
            FleetRequest::Preview { seat, reply } => {
                if let Some(row) = self.seats.get(&seat) {
                    forward(row, SeatRequest::Preview { reply });
                }
            }
            FleetRequest::Log { seat, reply } => {
                let slot = self.seats.get(&seat).map(|row| row.slot);
                let runtime = Arc::clone(&self.shared.runtime);
                tokio::spawn(async move {
                    let log = match slot {
                        Some(slot) => runtime.log(slot).await.ok(),
                        None => None,
                    };
                    let _ended = reply.send(log);
                });
            }
        }
    }

    fn ensure(&mut self, spec: MicroVmSpec, reply: oneshot::Sender<Result<MicroVm, FleetError>>) {
        let holder = self.slots.get(&spec.slot).copied();
        match (self.seats.get(&spec.seat), holder) {
            (Some(row), _) if row.slot != spec.slot => {
                let (seat, slot) = (spec.seat, row.slot);
                let _ended = reply.send(Err(FleetError::SeatElsewhere { seat, slot }));
            }
            (Some(row), _) => {
                forward(row, SeatRequest::Ensure { spec, reply });
            }
            (None, Some(holder)) => {
                let slot = spec.slot;
                let _ended = reply.send(Err(FleetError::SlotTaken { slot, holder }));
            }
            (None, None) if self.held.contains(&spec.slot) => {
                let _ended = reply.send(Err(FleetError::SlotUnread { slot: spec.slot }));
            }
            (None, None) => {
                let (vm, _begins) = self.start_seat(spec, Beginning::New);
                self.publish();
                let _ended = reply.send(Ok(vm));
            }
        }
    }

    /// Takes a report in; says who waits to hear that the seat is gone.
    fn take(&mut self, report: Report) -> Vec<oneshot::Sender<Result<(), FleetError>>> {
        match report {
            Report::Changed { vm, turn } => {
                if let Some(row) = self.seats.get_mut(&vm.seat) {
                    row.turn = if vm.state == MicroVmState::Queued {
                        turn.or(row.turn)
                    } else {
                        None
                    };
                    row.vm = vm;
                }
                Vec::new()
            }
            Report::Gone { vm, told } => {
                self.seats.remove(&vm.seat);
                self.slots.remove(&vm.slot);
                told
            }
        }
    }

    fn publish(&self) {
        let mut turns: Vec<u64> = self.seats.values().filter_map(|row| row.turn).collect();
        turns.sort_unstable();
        let mut list: Vec<MicroVm> = self
            .seats
            .values()
            .map(|row| {
                let before = row
                    .turn
                    .map_or(0, |turn| turns.partition_point(|other| *other < turn));
                MicroVm {
                    queue_position: u32::try_from(before).unwrap_or(u32::MAX),
                    ..row.vm.clone()
                }
            })
            .collect();
        list.sort_by_key(|vm| vm.slot);
        self.list.send_replace(Arc::new(list));
    }
}

/// How many said yes; who does not answer did not.
async fn how_many(answers: Vec<oneshot::Receiver<bool>>) -> u32 {
    let mut yes = 0;
    for answer in answers {
        yes += u32::from(answer.await.unwrap_or(false));
    }
    yes
}

/// Hands a request on without waiting. A seat's task that has ended, or that
/// has a full inbox, drops the reply: the asker hears that it was not done.
/// False when the inbox is full: the seat is there and will not do it.
fn forward(row: &Row, request: SeatRequest) -> bool {
    match row.requests.try_send(request) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(seat = %row.vm.seat, %error, "seat took no request");
            matches!(error, mpsc::error::TrySendError::Closed(_))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_inbox_is_not_a_seat_that_went() {
        let seat = SeatNo::try_from(1).unwrap();
        let slot = Slot::try_from(1).unwrap();
        let (requests, inbox) = mpsc::channel(1);
        let vm = MicroVm {
            seat,
            slot,
            incarnation: 1,
            state: MicroVmState::Ready,
            reason: String::new(),
            restarts: 0,
            epoch: 1,
            ready_at: None,
            last_input_at: None,
            terminals: 0,
            queue_position: 0,
        };
        let row = Row {
            slot,
            requests,
            vm,
            turn: None,
        };
        let raise = || SeatRequest::RaiseEpoch {
            epoch: 2,
            reason: super::super::EpochReason::Revoked,
            reply: oneshot::channel().0,
        };
        assert!(forward(&row, raise()));
        assert!(!forward(&row, raise()), "full");
        drop(inbox);
        assert!(forward(&row, raise()), "a seat that went admits nobody");
    }
}
