//! Workers without a machine: an agent in this process, behind real TLS and real
//! enrolment, that notes what it is told and says what a test has it say.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use clarateach_certs::key::Key;
use clarateach_domain::{
    ending::Ending,
    ids::{WorkerName, WorkshopId},
    microvm::Runtime,
    plan::Ground,
};
use clarateach_proto::agent::{
    self as pb,
    agent_service_server::{AgentService, AgentServiceServer},
};
use futures_util::{Stream, StreamExt};
use tokio::{net::TcpListener, sync::watch, task::AbortHandle};
use tokio_stream::wrappers::{TcpListenerStream, WatchStream};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    transport::{Certificate, Identity, Server, ServerTlsConfig},
};

use crate::provisioner::{Described, Listed, ProvisionError, Provisioner, Remainder, WorkerSpec};

/// All workers of a test.
#[derive(Default)]
pub(super) struct Fakes {
    dir: PathBuf,
    workers: Mutex<HashMap<WorkerName, Worker>>,
    /// Agents of before this policy was.
    too_old: bool,
    /// When its workers were made, as it says.
    pub(super) made_at: Mutex<Option<DateTime<Utc>>>,
    /// Why all are down, as it says; or that nobody can look.
    pub(super) down: Mutex<Option<Result<Ending, ()>>>,
    /// What is left beside them; none: it cannot be listed.
    pub(super) beside: Mutex<Option<Vec<Remainder>>>,
}

struct Worker {
    address: SocketAddr,
    agent: Arc<FakeAgent>,
    task: AbortHandle,
}

impl Fakes {
    pub(super) fn new(dir: &Path, too_old: bool) -> Self {
        Self {
            dir: dir.join("fakes"),
            too_old,
            ..Self::default()
        }
    }

    /// The agent of the workshop's first worker.
    pub(super) fn agent(&self, id: &WorkshopId) -> Arc<FakeAgent> {
        let name = WorkerName::of(id, 1.try_into().unwrap());
        self.workers.lock().unwrap()[&name].agent.clone()
    }

    /// Nobody listens any more.
    pub(super) fn silence(&self) {
        for worker in self.workers.lock().unwrap().values() {
            worker.task.abort();
        }
    }

    fn enrol_dir(&self, name: &WorkerName) -> PathBuf {
        self.dir.join(name.as_str())
    }
}

#[async_trait]
impl Provisioner for Fakes {
    fn runtimes(&self) -> Vec<Runtime> {
        vec![Runtime::Container]
    }
    async fn ensure(&self, worker: &WorkerSpec) -> Result<(), ProvisionError> {
        if self.workers.lock().unwrap().contains_key(&worker.name) {
            return Ok(());
        }
        let (dir, key) = (self.enrol_dir(&worker.name), Key::generate().unwrap());
        let request = key.request("fake").unwrap();
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("request.pem"), &request).unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let agent = Arc::new(FakeAgent {
            worker: worker.clone(),
            request,
            too_old: Mutex::new(self.too_old),
            said: watch::Sender::default(),
            told: Mutex::default(),
            specs: Mutex::default(),
            bounce: Mutex::default(),
        });
        let serve = serve(listener, agent.clone(), key, dir);
        let task = tokio::spawn(serve).abort_handle();
        let made = Worker {
            address,
            agent,
            task,
        };
        self.workers
            .lock()
            .unwrap()
            .insert(worker.name.clone(), made);
        Ok(())
    }
    async fn describe(&self, name: &WorkerName) -> Result<Described, ProvisionError> {
        let down = *self.down.lock().unwrap();
        if let Some(ending) = down {
            let forbidden = |()| ProvisionError::new("look", anyhow::anyhow!("forbidden"));
            return Ok(Described {
                ground: Ground::Stopped,
                ending: Some(ending.map_err(forbidden)?),
                ..Described::missing("fake")
            });
        }
        let workers = self.workers.lock().unwrap();
        Ok(workers.get(name).map_or_else(
            || Described::missing("fake"),
            |worker| Described {
                ground: Ground::Up,
                address: Some(worker.address),
                also: vec![],
                zone: "fake".into(),
                enrol_dir: Some(self.enrol_dir(name)),
                vm: None,
                ending: None,
            },
        ))
    }
    async fn list(&self) -> Result<Vec<Listed>, ProvisionError> {
        let listed = |name: &WorkerName| Listed {
            name: name.clone(),
            made_at: *self.made_at.lock().unwrap(),
        };
        Ok(self.workers.lock().unwrap().keys().map(listed).collect())
    }
    async fn remainders(&self) -> Result<Vec<Remainder>, ProvisionError> {
        let beside = self.beside.lock().unwrap().clone();
        beside.ok_or_else(|| ProvisionError::new("list disks", anyhow::anyhow!("forbidden")))
    }
    async fn clear(&self, what: &Remainder) -> Result<(), ProvisionError> {
        let mut beside = self.beside.lock().unwrap();
        beside
            .iter_mut()
            .for_each(|all| all.retain(|one| one != what));
        Ok(())
    }
    async fn stop(&self, name: &WorkerName) -> Result<(), ProvisionError> {
        self.delete(name).await
    }
    async fn start(&self, worker: &WorkerSpec) -> Result<(), ProvisionError> {
        self.ensure(worker).await
    }
    async fn delete(&self, name: &WorkerName) -> Result<(), ProvisionError> {
        if let Some(gone) = self.workers.lock().unwrap().remove(name) {
            gone.task.abort();
            // Its key goes with it, and so does what was signed for that key.
            std::fs::remove_dir_all(self.enrol_dir(name)).unwrap();
        }
        Ok(())
    }
}

/// Waits for the certificate, then answers as long as it is let.
async fn serve(listener: TcpListener, agent: Arc<FakeAgent>, key: Key, dir: PathBuf) {
    let chain = loop {
        match std::fs::read_to_string(dir.join("certificate.pem")) {
            Ok(chain) => break chain,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(chain, key.to_pem()))
        .client_ca_root(Certificate::from_pem(&agent.worker.ca_certificate));
    let mut server = Server::builder().tls_config(tls).unwrap();
    let service = AgentServiceServer::from_arc(agent);
    let incoming = TcpListenerStream::new(listener);
    let served = server.add_service(service).serve_with_incoming(incoming);
    served.await.unwrap();
}

/// One agent.
pub(super) struct FakeAgent {
    worker: WorkerSpec,
    request: String,
    pub(super) too_old: Mutex<bool>,
    /// What it streams.
    said: watch::Sender<pb::WatchMicroVmsResponse>,
    /// What it was told, in order.
    told: Mutex<Vec<String>>,
    specs: Mutex<Vec<pb::MicroVmSpec>>,
    /// Ends the streams of now.
    bounce: Mutex<CancellationToken>,
}

impl FakeAgent {
    /// What it was told since this was last asked.
    pub(super) fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    /// The machines it was asked for so far.
    pub(super) fn specs(&self) -> Vec<pb::MicroVmSpec> {
        self.specs.lock().unwrap().clone()
    }

    /// The policy it holds.
    pub(super) fn holds(&self) -> Option<pb::EgressPolicy> {
        self.said.borrow().egress.clone()
    }

    pub(super) fn says(&self, network: pb::NetworkHealth) {
        self.said.send_modify(|said| said.network = Some(network));
    }

    /// It comes back without a memory of policy and repairs; its seats ran on.
    pub(super) fn forgets(&self) {
        self.said.send_modify(|said| {
            said.egress = None;
            said.network = Some(pb::NetworkHealth::default());
        });
        std::mem::take(&mut *self.bounce.lock().unwrap()).cancel();
    }

    fn note(&self, what: String) {
        self.told.lock().unwrap().push(what);
    }
}

type Answer<T> = Result<Response<T>, Status>;
type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[async_trait]
impl AgentService for FakeAgent {
    async fn enrol(&self, _: Request<pb::EnrolRequest>) -> Answer<pb::EnrolResponse> {
        Err(Status::unimplemented("it enrols through files"))
    }
    async fn get_worker(&self, _: Request<pb::GetWorkerRequest>) -> Answer<pb::Worker> {
        Ok(Response::new(pb::Worker {
            name: self.worker.name.to_string(),
            agent_version: "fake".to_owned(),
            workshop_id: self.worker.workshop.to_string(),
            certificate_request: self.request.clone(),
            ..Default::default()
        }))
    }
    async fn create_micro_vm(
        &self,
        request: Request<pb::CreateMicroVmRequest>,
    ) -> Answer<pb::MicroVm> {
        let spec = request.into_inner().spec.unwrap();
        self.note(format!("create {}", spec.seat));
        self.specs.lock().unwrap().push(spec.clone());
        let made = pb::MicroVm {
            seat: spec.seat,
            slot: spec.slot,
            incarnation: spec.incarnation,
            epoch: spec.epoch,
            state: pb::MicroVmState::Ready.into(),
            ..Default::default()
        };
        self.said.send_modify(|said| {
            said.micro_vms.retain(|mv| mv.seat != made.seat);
            said.micro_vms.push(made.clone());
        });
        Ok(Response::new(made))
    }
    async fn list_micro_vms(
        &self,
        _: Request<pb::ListMicroVmsRequest>,
    ) -> Answer<pb::ListMicroVmsResponse> {
        let micro_vms = self.said.borrow().micro_vms.clone();
        Ok(Response::new(pb::ListMicroVmsResponse { micro_vms }))
    }
    type WatchMicroVmsStream = Streamed<pb::WatchMicroVmsResponse>;
    async fn watch_micro_vms(
        &self,
        _: Request<pb::WatchMicroVmsRequest>,
    ) -> Answer<Self::WatchMicroVmsStream> {
        let bounce = self.bounce.lock().unwrap().clone();
        let said = WatchStream::new(self.said.subscribe()).map(Ok);
        let until = said.take_until(bounce.cancelled_owned());
        Ok(Response::new(Box::pin(until)))
    }
    async fn delete_micro_vm(
        &self,
        request: Request<pb::DeleteMicroVmRequest>,
    ) -> Answer<pb::DeleteMicroVmResponse> {
        let seat = request.into_inner().seat;
        self.note(format!("delete {seat}"));
        self.said
            .send_modify(|said| said.micro_vms.retain(|mv| mv.seat != seat));
        Ok(Response::new(pb::DeleteMicroVmResponse {}))
    }
    async fn set_seat_epochs(
        &self,
        request: Request<pb::SetSeatEpochsRequest>,
    ) -> Answer<pb::SetSeatEpochsResponse> {
        self.said.send_modify(|said| {
            for epoch in request.into_inner().epochs {
                let mut has = said.micro_vms.iter_mut();
                if let Some(mv) = has.find(|mv| mv.seat == epoch.seat) {
                    mv.epoch = mv.epoch.max(epoch.epoch);
                }
            }
        });
        Ok(Response::new(pb::SetSeatEpochsResponse {}))
    }
    async fn set_egress_policy(
        &self,
        request: Request<pb::SetEgressPolicyRequest>,
    ) -> Answer<pb::SetEgressPolicyResponse> {
        if *self.too_old.lock().unwrap() {
            return Err(Status::unimplemented("it knows no such call"));
        }
        let egress = request.into_inner().egress.unwrap();
        let words = [
            vec![egress.mode().as_str_name().to_owned()],
            egress.allow.clone(),
        ];
        self.note(words.concat().join(" "));
        self.said.send_modify(|said| said.egress = Some(egress));
        Ok(Response::new(pb::SetEgressPolicyResponse {}))
    }
    async fn send_notice(
        &self,
        _: Request<pb::SendNoticeRequest>,
    ) -> Answer<pb::SendNoticeResponse> {
        Ok(Response::new(pb::SendNoticeResponse::default()))
    }
    async fn install_certificate(
        &self,
        _: Request<pb::InstallCertificateRequest>,
    ) -> Answer<pb::InstallCertificateResponse> {
        Err(Status::unimplemented("it lives shorter than a leaf"))
    }
    async fn set_browser_access(
        &self,
        _: Request<pb::SetBrowserAccessRequest>,
    ) -> Answer<pb::SetBrowserAccessResponse> {
        Ok(Response::new(pb::SetBrowserAccessResponse {}))
    }
    type WatchPreviewsStream = Streamed<pb::WatchPreviewsResponse>;
    async fn watch_previews(
        &self,
        _: Request<pb::WatchPreviewsRequest>,
    ) -> Answer<Self::WatchPreviewsStream> {
        Ok(Response::new(Box::pin(futures_util::stream::empty())))
    }
    async fn sync_seats(&self, _: Request<pb::SyncSeatsRequest>) -> Answer<pb::SyncSeatsResponse> {
        self.note("sync".to_owned());
        Ok(Response::new(pb::SyncSeatsResponse::default()))
    }
    async fn get_seat_log(
        &self,
        _: Request<pb::GetSeatLogRequest>,
    ) -> Answer<pb::GetSeatLogResponse> {
        Ok(Response::new(pb::GetSeatLogResponse::default()))
    }
    async fn drain(&self, _: Request<pb::DrainRequest>) -> Answer<pb::DrainResponse> {
        Ok(Response::new(pb::DrainResponse {}))
    }
}
