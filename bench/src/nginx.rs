//! The peer: Debian's nginx in the worker's own network namespace, before the
//! same guests, with the agent's own certificate and key.
//!
//! Chosen for fairness, in nginx's favour where there was a choice: one worker
//! process a processor (as many as the agent has threads), no access log, no
//! token check, connections to guests kept, uploads passed on unread
//! (`proxy_request_buffering off`), downloads through large buffers and never
//! over the disk (`proxy_max_temp_file_size 0`).

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use crate::{Stand, process, stand::Worker};

/// Where it listens, on the agent's address: the namespace holds nothing else.
pub const PORT: u16 = 9443;

/// A running nginx; ends when dropped, or when this process does.
pub struct Nginx {
    master: Child,
    _dir: tempfile::TempDir,
}

impl Nginx {
    /// Starts it before every seat of the class and waits until it listens.
    pub async fn start(stand: &Stand) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("clarateach-bench-")
            .tempdir()?;
        // Its workers are not root and make their temporary files in here.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711))?;
        let config = dir.path().join("nginx.conf");
        let text = config_text(stand, &dir.path().display().to_string())?;
        fs::write(&config, text)?;
        fs::set_permissions(&config, fs::Permissions::from_mode(0o600))?;
        let master = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "nsenter"])
            .arg(format!("--net=/proc/{}/ns/net", stand.worker.agent))
            .args(["nginx", "-g", "daemon off;", "-c"])
            .arg(&config)
            .stdin(Stdio::null())
            .spawn()
            .context("could not start nginx")?;
        let mut nginx = Self { master, _dir: dir };
        let address = SocketAddr::new(stand.worker.address.ip(), PORT);
        for _ in 0..100 {
            if let Some(ended) = nginx.master.try_wait()? {
                anyhow::bail!("nginx ended with {ended}");
            }
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Ok(nginx);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::bail!("nginx does not listen on {address}");
    }

    /// Its worker processes: they do the work.
    pub fn workers(&self) -> Vec<i32> {
        process::children(self.master.id().cast_signed())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(pid) = Pid::from_raw(self.master.id().cast_signed()) {
            let _gone = kill_process(pid, Signal::TERM);
        }
        let _ended = self.master.wait();
    }
}

fn config_text(stand: &Stand, dir: &str) -> anyhow::Result<String> {
    let Worker {
        dir: worker,
        address,
        ..
    } = &stand.worker;
    let workers = std::thread::available_parallelism()?;
    let (mut upstreams, mut locations) = (String::new(), String::new());
    for learner in &stand.learners {
        let seat = learner.seat();
        let (guest, secret) = (Worker::guest(seat)?, stand.worker.secret(seat)?);
        let path = format!("/proxy/{}/{seat}", stand.workshop.id);
        writeln!(
            upstreams,
            "  upstream files{seat} {{ server {guest}:3002; keepalive 8; }}"
        )?;
        write!(
            locations,
            "    location = {path}/terminal {{
      proxy_pass http://{guest}:3001/terminal;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_set_header clarateach-secret {secret};
      proxy_set_header clarateach-viewer $request_id;drive;
    }}
    location {path}/files/ {{
      proxy_pass http://files{seat}/;
      proxy_set_header Connection \"\";
      proxy_set_header X-Forwarded-Prefix {path}/files;
      proxy_set_header clarateach-secret {secret};
      proxy_set_header clarateach-viewer $request_id;drive;
    }}
"
        )?;
    }
    let locations = locations.replace("$request_id;drive", "\"$request_id;drive\"");
    Ok(format!(
        "worker_processes {workers};
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {dir}/body;
  proxy_temp_path {dir}/proxy;
  fastcgi_temp_path {dir}/fastcgi;
  uwsgi_temp_path {dir}/uwsgi;
  scgi_temp_path {dir}/scgi;
{upstreams}
  server {{
    listen {ip}:{PORT} ssl;
    ssl_certificate {worker}/enrol/certificate.pem;
    ssl_certificate_key {worker}/run/agent.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    client_max_body_size 0;
    proxy_http_version 1.1;
    proxy_request_buffering off;
    proxy_buffering on;
    proxy_buffer_size 64k;
    proxy_buffers 16 64k;
    proxy_busy_buffers_size 256k;
    proxy_max_temp_file_size 0;
    proxy_read_timeout 1h;
    proxy_send_timeout 1h;
{locations}  }}
}}
",
        ip = address.ip(),
        worker = worker.display(),
    ))
}
