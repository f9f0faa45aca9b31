//! Browsers come straight to a VM, by a name and a certificate that they know: nothing of it is
//! in the VM's metadata, and it is there again when the VM is back elsewhere.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use bytes::Bytes;
use chrono::Utc;
use clarateach_certs::{ca::Ca, key::Key};
use clarateach_e2e::{house::patience, http::send_at, learner::Learner, wait::until};
use http::Request;

use crate::Stage;

const ORIGIN: &str = "https://class.example.org";

/// What a browser trusts, and the files that the server is given.
struct Known {
    ca: String,
    key: String,
    files: [PathBuf; 2],
    _folder: tempfile::TempDir,
}

impl Known {
    fn new() -> Self {
        let (now, life) = (Utc::now(), Duration::from_hours(1));
        let ca = Ca::generate("known to browsers", now, life).unwrap();
        let key = Key::generate().unwrap();
        let request = key.request("workers").unwrap();
        let chain = ca.sign_agent(&request, "*.w.example.org", &[], now, life);
        let folder = tempfile::tempdir().unwrap();
        let files = ["workers.pem", "workers.key"].map(|name| folder.path().join(name));
        fs::write(&files[0], chain.unwrap()).unwrap();
        fs::write(&files[1], key.to_pem()).unwrap();
        Self {
            ca: ca.certificate_pem().to_owned(),
            key: key.to_pem(),
            files,
            _folder: folder,
        }
    }

    /// Status and allowed origin of what a page of `origin` gets of the learner's file.
    async fn page(
        &self,
        learner: &Learner,
        at: SocketAddr,
        origin: &str,
    ) -> Result<(u16, String), String> {
        let public = learner.joined.public_endpoints.clone();
        let files = public.ok_or("no public endpoints")?.files;
        let name = at.ip().to_string().replace('.', "-");
        assert!(
            files.contains(&format!("//{name}.w.example.org:")),
            "{files}"
        );
        let request = Request::get(format!("{files}/kept.txt"))
            .header("authorization", format!("Bearer {}", learner.joined.token))
            .header("origin", origin)
            .body(Bytes::new())
            .unwrap();
        let answer = send_at(request, &self.ca, at).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let allowed = answer.headers().get("access-control-allow-origin");
        let allowed = allowed.map_or("", |origin| origin.to_str().unwrap());
        Ok((answer.status().as_u16(), allowed.to_owned()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_come_straight_to_a_vm_wherever_it_is() {
    let known = Known::new();
    let [certificate, key] = known.files.each_ref().map(|file| file.to_str().unwrap());
    let flags = [
        "--worker-domain",
        "w.example.org",
        "--worker-tls-cert",
        certificate,
        "--worker-tls-key",
        key,
        "--allowed-origin",
        ORIGIN,
    ];
    let Some(stage) = Stage::with(&flags).await else {
        return;
    };
    let workshop = stage.house.class("Direct", 1).await;
    let mut learner = stage.house.join(&workshop.code, "ada").await.unwrap();
    assert_eq!(learner.put("kept.txt", "before").await, 201);
    assert_eq!(learner.run("sync").await.exit_code, Some(0));
    let (zone, name, _) = stage.only_vm();
    let vm = stage.google.instance(&zone, &name).unwrap().to_string();
    let secret: String = known.key.lines().skip(1).take(1).collect();
    assert!(!vm.contains(&secret), "a key in the VM's metadata");

    for preempted in [false, true] {
        if preempted {
            let before = stage.worker_address(&stage.house.workshop(&workshop.id).await);
            stage.google.preempt(&zone, &name, Duration::ZERO);
            until("it to be back elsewhere", patience(), async || {
                let now = stage.ready(&workshop.id).await.workers[0].address.clone();
                if now == before { Err(now) } else { Ok(()) }
            })
            .await;
            learner = stage.rejoin(&workshop, &learner).await;
        }
        let now = stage.house.workshop(&workshop.id).await;
        let at: SocketAddr = stage.worker_address(&now).parse().unwrap();
        // It comes over the link, which may be younger than the seat.
        until(
            "the worker to know its name",
            patience(),
            async || match known.page(&learner, at, ORIGIN).await {
                Ok((200, allowed)) if allowed == ORIGIN => Ok(()),
                other => Err(other),
            },
        )
        .await;
        let (status, allowed) = known
            .page(&learner, at, "https://else.example")
            .await
            .unwrap();
        assert_eq!((status, allowed.as_str()), (403, ""), "another's page");
    }
    stage.end(&workshop).await;
}
