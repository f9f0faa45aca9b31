//! Does one step: its row first, then its effect, then how it ended.
//!
//! False means it failed and the round is over; the policy's back-off, which
//! counts the rows, says when it is tried again.

use std::{fs, future::Future, io::Write, path::Path, sync::Arc};

use anyhow::{Context, ensure};
use chrono::Utc;
use clarateach_certs::{ca::Ca, key};
use clarateach_domain::{
    ending::Ending,
    enrolment::{self, Vm},
    ids::{SeatNo, WorkerName},
    microvm::MicroVmSpec,
    plan::{Ground, Ordinal, Step},
};
use futures_util::future::join_all;
use tracing::{info, warn};

use super::{
    Reconciler,
    observe::{Looked, request},
};
use crate::{
    agents::{Target, Unknown},
    provisioner::{ProvisionError, WorkerSpec},
    store::{StoreError, leases, settle::Settling},
};

impl Reconciler {
    /// True if it was done.
    pub(super) async fn apply(
        &self,
        of: &Settling,
        looked: &Looked,
        step: Step,
    ) -> Result<bool, StoreError> {
        let name = |ordinal| WorkerName::of(&of.id, ordinal);
        let now = Utc::now();
        match step {
            Step::Expire => self.store.expire(&of.id, now).await.map(|()| true),
            Step::Notify { mark, minutes } => self.tell(of, mark, minutes).await,
            Step::CreateWorker(at) => {
                let sight = looked.seen.workers.get(&at);
                if let Some(worker) = sight.filter(|worker| worker.ground == Ground::Missing) {
                    self.tell_loss(of, at, worker.ending).await?;
                }
                let spec = spec(of, at);
                let act = async { Ok(self.provisioner.ensure(&spec).await?) };
                self.try_act(of, at, "create", act).await
            }
            Step::StartWorker(at) => {
                let spec = spec(of, at);
                let act = async { Ok(self.provisioner.start(&spec).await?) };
                self.try_act(of, at, "start", act).await
            }
            Step::StopWorker(at) => {
                self.agents.forget(&name(at));
                let act = async { Ok(self.provisioner.stop(&name(at)).await?) };
                self.try_act(of, at, "stop", act).await
            }
            Step::DeleteWorker(at) => {
                self.agents.forget(&name(at));
                let act = async { Ok(self.provisioner.delete(&name(at)).await?) };
                self.try_act(of, at, "delete", act).await
            }
            Step::Enrol(at) => {
                let act = self.enrol(of, looked, at);
                self.try_act(of, at, "enrol", act).await
            }
            Step::RenewCertificate(at) => {
                let act = self.renew(of, looked, at);
                self.try_act(of, at, "renew", act).await
            }
            Step::SetEpochs(at, epochs) => {
                let epochs: Vec<_> = epochs
                    .into_iter()
                    .map(|(seat, epoch, why)| (seat, epoch, Some(why)))
                    .collect();
                let name = name(at);
                let act = async { Ok(self.agents.set_epochs(&name, &epochs).await?) };
                self.try_act(of, at, "epochs", act).await
            }
            Step::SetEgress(at) => {
                let name = name(at);
                let act = async { Ok(self.agents.set_egress(&name, &of.want.egress).await?) };
                self.try_act(of, at, HOLD, act).await
            }
            Step::CreateSeats(at, seats) => {
                let act = self.create_seats(of, at, &seats);
                self.try_act(of, at, "seats.create", act).await
            }
            Step::DeleteSeats(at, seats) => {
                let name = name(at);
                let act = async { Ok(self.agents.delete(&name, &seats).await?) };
                self.try_act(of, at, "seats.delete", act).await
            }
            Step::FreeSeat(seat) => {
                if let Some(want) = of.want.seats.iter().find(|want| want.seat == seat) {
                    self.store.free_seat(&of.id, want, now).await?;
                }
                Ok(true)
            }
            Step::ForgetSeat(seat) => {
                self.store.forget_seat(&of.id, seat, now).await?;
                Ok(true)
            }
            Step::ForgetWorker(at) => {
                self.agents.forget(&name(at));
                self.store.forget_worker(&of.id, at, now).await?;
                self.crash.pass("forget-worker", "done");
                Ok(true)
            }
        }
    }

    /// Before workers are stopped: all their learners are told, and their files written, at
    /// the same time. One that does not answer stops all the same.
    pub(super) async fn settle_before_stops(&self, of: &Settling, steps: &[Step]) -> bool {
        let stops = steps.iter().filter_map(|step| match step {
            Step::StopWorker(at) => Some(WorkerName::of(&of.id, *at)),
            _ => None,
        });
        let settling = stops.map(|name| async move {
            if let Err(error) = self.agents.settle(&name, Utc::now()).await {
                warn!(worker = %name, error = ?error, "its seats may lose what they held");
            }
        });
        !join_all(settling).await.is_empty()
    }

    /// The row, the effect, the end.
    async fn try_act(
        &self,
        of: &Settling,
        at: Ordinal,
        verb: &str,
        act: impl Future<Output = anyhow::Result<()>>,
    ) -> Result<bool, StoreError> {
        let attempt = self
            .store
            .begin_attempt(&of.id, at, verb, Utc::now())
            .await?;
        self.crash.pass(verb, "row");
        leases::may_act()?;
        let ended = act.await;
        self.crash.pass(verb, "done");
        let permanent = ended.as_ref().is_err_and(|cause| {
            let refusal = cause.downcast_ref::<ProvisionError>();
            refusal.is_some_and(ProvisionError::is_permanent)
        });
        let error = match &ended {
            Ok(()) => {
                info!(worker = at, verb, "step done");
                None
            }
            Err(cause) => {
                warn!(worker = at, verb, error = ?cause, "step failed");
                Some(format!("{cause:#}"))
            }
        };
        // Worker verbs keep their rows until the agent answers: a machine that
        // is made and dies at once must not be made again without a pause. The
        // policy keeps its own until the agent says that it holds it.
        let kept = error.is_some() || verb == HOLD || LASTING.contains(&verb);
        if kept {
            self.store
                .end_attempt(attempt, (error.as_deref(), permanent), Utc::now())
                .await?;
        } else {
            self.store.clear_attempts(&of.id, at, &[verb]).await?;
        }
        self.crash.pass(verb, "noted");
        Ok(ended.is_ok())
    }

    /// Signs what an agent asks for: row, then file, or back over its connection.
    async fn enrol(&self, of: &Settling, looked: &Looked, at: Ordinal) -> anyhow::Result<()> {
        let described = looked
            .described
            .get(&at)
            .context("nobody looked at the worker")?;
        if let Some(vm) = &described.vm {
            return self.enrol_vm(of, looked, (at, vm)).await;
        }
        let request = request(described).context("the worker's signing request is gone")?;
        let chain = self.sign(of, looked, at, &request).await?;
        self.crash.pass("enrol", "signed");
        let dir = described
            .enrol_dir
            .as_ref()
            .context("the worker enrols another way")?;
        write_whole(&dir.join("certificate.pem"), &chain)?;
        self.agents.hurry(&WorkerName::of(&of.id, at));
        Ok(())
    }

    /// Asks an agent on a VM for its request and for the proof that it is on that VM.
    async fn enrol_vm(
        &self,
        of: &Settling,
        looked: &Looked,
        (at, vm): (Ordinal, &Vm),
    ) -> anyhow::Result<()> {
        let described = looked
            .described
            .get(&at)
            .context("nobody looked at the worker")?;
        let row = of.workers.get(&at).context("the worker has no row")?;
        let name = WorkerName::of(&of.id, at);
        let ca = Ca::from_pem(of.ca.certificate_pem(), &of.ca.key_pem())?;
        let target = Target {
            name: name.clone(),
            workshop: of.id.clone(),
            address: described
                .address
                .context("the worker's address is not known")?,
            ca: Arc::new(ca),
        };
        let mut unknown = Unknown::dial(&target).await?;
        let claim = unknown.ask().await?;
        let audience = enrolment::audience(&of.id, &claim.certificate_request);
        let claimed = self
            .provisioner
            .vouched(&audience, &claim.identity_token)
            .await?;
        vm.check(claimed.as_ref())?;
        // One key a VM: whoever comes with another is somebody else on it.
        if row.instance_id == vm.instance_id && !row.csr.is_empty() {
            let (before, now) = (key::of_request(&row.csr)?, &claim.certificate_request);
            ensure!(
                before == key::of_request(now)?,
                "the VM {} comes with another key than before",
                vm.instance_id
            );
        }
        let chain = self
            .sign(of, looked, at, &claim.certificate_request)
            .await?;
        self.crash.pass("enrol", "signed");
        unknown.install(&chain).await?;
        self.agents.hurry(&name);
        Ok(())
    }

    /// A new certificate for the agent's present key, over its connection; a
    /// local agent that restarts finds it in its file too.
    async fn renew(&self, of: &Settling, looked: &Looked, at: Ordinal) -> anyhow::Result<()> {
        let row = of.workers.get(&at).context("the worker has no row")?;
        let described = looked
            .described
            .get(&at)
            .context("nobody looked at the worker")?;
        let chain = self.sign(of, looked, at, &row.csr).await?;
        if let Some(dir) = &described.enrol_dir {
            write_whole(&dir.join("certificate.pem"), &chain)?;
        }
        self.agents
            .install(&WorkerName::of(&of.id, at), &chain)
            .await?;
        Ok(())
    }

    async fn sign(
        &self,
        of: &Settling,
        looked: &Looked,
        at: Ordinal,
        request: &str,
    ) -> anyhow::Result<String> {
        let described = looked
            .described
            .get(&at)
            .context("nobody looked at the worker")?;
        let address = described
            .address
            .context("the worker's address is not known")?;
        let mut addresses = vec![address.ip()];
        addresses.extend(&described.also);
        let (name, now) = (WorkerName::of(&of.id, at).control_name(&of.id), Utc::now());
        let chain = of
            .ca
            .sign_agent(request, &name, &addresses, now, self.leaf_life)
            .context("could not sign the agent's request")?;
        let ends = clarateach_certs::tls::expiry(&chain).context("could not read it back")?;
        let instance = described.vm.as_ref().map(|vm| vm.instance_id.as_str());
        let place = (instance.unwrap_or_default(), address);
        self.store
            .certified(&of.id, at, place, (request, &chain), ends, now)
            .await
            .context("could not keep the agent's certificate")?;
        Ok(chain)
    }

    async fn create_seats(
        &self,
        of: &Settling,
        at: Ordinal,
        seats: &[SeatNo],
    ) -> anyhow::Result<()> {
        let env = self
            .store
            .seat_env(&of.id)
            .await
            .context("could not read the environment")?;
        let wanted = of
            .want
            .seats
            .iter()
            .filter(|want| seats.contains(&want.seat));
        let here = of.want.seats.iter().filter(|want| want.worker == at);
        let seats_on_worker = u32::try_from(here.count()).unwrap_or(u32::MAX);
        let specs = wanted.map(|want| MicroVmSpec {
            seat: want.seat,
            slot: want.slot,
            incarnation: want.incarnation,
            epoch: want.epoch,
            resources: of.resources,
            limits: of.limits,
            seats_on_worker,
            template: of.template.clone(),
            env: env.clone(),
            workshop_name: of.name.clone(),
        });
        let name = WorkerName::of(&of.id, at);
        Ok(self.agents.create(&name, specs.collect()).await?)
    }

    /// Says what is lost with a worker that is gone, before it is made anew.
    async fn tell_loss(
        &self,
        of: &Settling,
        at: Ordinal,
        ending: Option<Ending>,
    ) -> Result<(), StoreError> {
        let how = match ending {
            Some(Ending::DeletedByHand) => "was deleted by hand with its disk",
            Some(Ending::Preempted | Ending::StoppedByHand(_)) | None => "is gone with its disk",
        };
        let seats = of.want.seats.iter().filter(|seat| seat.worker == at);
        let seats: Vec<_> = seats.map(|seat| seat.seat.to_string()).collect();
        let message = format!(
            "worker {at} {how} and is made anew: its seats ({}) start afresh, \
             and what was in them is lost",
            seats.join(", ")
        );
        if self
            .store
            .lost_worker(&of.id, at, &message, Utc::now())
            .await?
        {
            warn!(worker = at, "worker is gone with what was on its disk");
        }
        Ok(())
    }

    /// Tells Watch streams by an event; terminals are told by the next look.
    async fn tell(&self, of: &Settling, mark: u32, minutes: u32) -> Result<bool, StoreError> {
        let ends = of.want.expires_at;
        let message = notice(of, minutes);
        self.store
            .notified(&of.id, mark, &message, ends, Utc::now())
            .await?;
        info!(minutes, "notice due");
        Ok(true)
    }

    /// Tells learners in the terminals of every agent that answers and was not
    /// told the present notice: one that was away is told when it is back. Holds
    /// nothing up for long.
    pub(super) async fn tell_terminals(
        &self,
        of: &Settling,
        looked: &Looked,
    ) -> Result<(), StoreError> {
        let ends = of.want.expires_at;
        let left = (ends - Utc::now()).to_std().unwrap_or_default();
        let (Some(mark), false) = (of.want.notified, left.is_zero()) else {
            return Ok(());
        };
        let message = notice(
            of,
            u32::try_from(left.as_secs().div_ceil(60)).unwrap_or(mark),
        );
        let present = format!("{mark} {}", ends.to_rfc3339());
        let answer = looked.versions.keys().filter_map(|at| of.workers.get(at));
        for worker in answer.filter(|worker| worker.told != present) {
            let name = &worker.name;
            leases::may_act()?;
            let notify = self.agents.notify(name, "expiring", &message, ends);
            match tokio::time::timeout(NOTICE_PATIENCE, notify).await {
                Ok(Ok(())) => {
                    self.store
                        .told_terminals(&of.id, worker.ordinal, &present)
                        .await?;
                }
                Ok(Err(cause)) => {
                    warn!(worker = %name, error = ?cause, "notice could not be sent");
                }
                Err(_) => warn!(worker = %name, "notice was not taken in time"),
            }
        }
        Ok(())
    }
}

/// How long an agent may take over a notice.
const NOTICE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
/// Verbs whose success is known only when the agent answers.
pub(super) const LASTING: [&str; 4] = ["create", "start", "stop", "enrol"];

/// The verb by which an agent comes to hold the egress policy.
pub(super) const HOLD: &str = "egress";

fn notice(of: &Settling, minutes: u32) -> String {
    let unit = if minutes == 1 { "minute" } else { "minutes" };
    format!("{} ends in {minutes} {unit}; save your work.", of.name)
}

fn spec(of: &Settling, at: Ordinal) -> WorkerSpec {
    WorkerSpec {
        name: WorkerName::of(&of.id, at),
        workshop: of.id.clone(),
        runtime: of.runtime,
        ca_certificate: of.ca.certificate_pem().to_owned(),
        seat_key: of.seat_key.clone(),
    }
}

/// Writes a file so that whoever watches for it sees all of it or none.
fn write_whole(path: &Path, text: &str) -> anyhow::Result<()> {
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = fs::File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("could not write {}", path.display()))
}
