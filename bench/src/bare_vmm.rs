//! The peer of a cold boot: firecracker by itself, from a file.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use clarateach_e2e::{house, micro_vms};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::sleep,
};

const TAP: &str = "bare0";

/// One that is ready to be started.
pub struct BareVmm {
    folder: PathBuf,
}

impl BareVmm {
    /// The same machine as `machine` says, with a copy of `disk` for its seat and
    /// a tap that leads nowhere.
    pub fn prepare(folder: &Path, machine: &Value, disk: &Path) -> anyhow::Result<Self> {
        drop(fs::remove_dir_all(folder));
        fs::create_dir_all(folder)?;
        let seat = folder.join("seat.ext4");
        run(Command::new("cp")
            .arg("--sparse=always")
            .arg(disk)
            .arg(&seat))?;
        let images = house::images();
        let named = |pointer: &str| -> anyhow::Result<String> {
            let text = fs::read_to_string(images.join(pointer))
                .with_context(|| format!("there is no {pointer}"))?;
            Ok(text.trim().to_owned())
        };
        // A kernel of each kind; disks of emulating hosts have a name of their own.
        let (kind, disks) = if micro_vms::emulated() {
            ("emulated", "-emulated")
        } else {
            ("hardware", "")
        };
        let hash = |name: String| name.split_once('-').map(|(_, hash)| hash.to_owned());
        let base = hash(named("current")?).context("the root filesystem has no hash")?;
        let boot = hash(named("guest-current")?).context("the guest has no hash")?;
        let mut machine = machine.clone();
        let path = |name: String| Value::String(images.join(name).display().to_string());
        machine["boot-source"]["kernel_image_path"] =
            path(named(&format!("vmlinux-{kind}-current"))?);
        let drives = machine["drives"].as_array_mut().context("no drives")?;
        for drive in drives {
            drive["path_on_host"] = match drive["drive_id"].as_str() {
                Some("base") => path(format!("base-{base}{disks}.ext4")),
                Some("boot") => path(format!("boot-{boot}{disks}.ext4")),
                Some("seat") => Value::String(seat.display().to_string()),
                other => bail!("an unknown drive: {other:?}"),
            };
        }
        machine["network-interfaces"][0]["host_dev_name"] = TAP.into();
        machine["vsock"]["uds_path"] = folder.join("v.sock").display().to_string().into();
        fs::write(folder.join("machine.json"), machine.to_string())?;
        drop(run(Command::new("ip").args(["link", "del", TAP])));
        run(Command::new("ip").args(["tuntap", "add", TAP, "mode", "tap"]))?;
        run(Command::new("ip").args(["link", "set", TAP, "up"]))?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Boots it; how long until its guest's control channel answered. Then it is
    /// ended.
    pub async fn boot(self, within: Duration) -> anyhow::Result<Duration> {
        let log = fs::File::create(self.folder.join("log"))?;
        let began = Instant::now();
        let mut vmm = Started(
            Command::new(micro_vms::folder().join("firecracker"))
                .args(["--no-api", "--config-file"])
                .arg(self.folder.join("machine.json"))
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()
                .context("firecracker could not be started")?,
        );
        while began.elapsed() < within {
            if speaks(&self.folder.join("v.sock")).await.unwrap_or(false) {
                return Ok(began.elapsed());
            }
            if let Some(ended) = vmm.0.try_wait()? {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                bail!("bare firecracker ended with {ended}: {log}");
            }
            sleep(Duration::from_millis(5)).await;
        }
        bail!("the bare guest did not answer within {within:?}")
    }
}

struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Whether the guest's control channel takes a connection.
async fn speaks(socket: &Path) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(b"CONNECT 3000\n").await?;
    let mut said = [0; 3];
    stream.read_exact(&mut said).await?;
    Ok(&said == b"OK ")
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let done = command
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("{command:?} could not be started"))?;
    ensure!(done.success(), "{command:?} failed");
    Ok(())
}
