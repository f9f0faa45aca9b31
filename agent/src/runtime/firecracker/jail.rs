//! One VMM in its jail: started by the jailer under a uid and gid of its own,
//! in its own chroot, pid namespace, mount namespace and cgroup.
//!
//! Way: [`Jail::start`] -> the jailer -> firecracker, nobody's child, whose
//! process [`Jail::process`] finds again. The disks are shown in the chroot by
//! bind mounts that end with the VMM; the rest is [`Jail::clear`]'s to remove.

use std::{
    ffi::CString,
    fs::{self, DirBuilder, File},
    io,
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt as _,
            fs::{DirBuilderExt as _, chown},
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use clarateach_domain::{limits::Limits, microvm::Resources};
use rustix::pipe::PipeFlags;
use serde::{Deserialize, Serialize};

use super::{
    super::{ProcessName, cgroups, machine::kill, throttle},
    host::Host,
    limits,
};
use crate::{
    rundir::{gone, replace},
    sys,
};

/// What the VMM itself takes beside the guest's memory, in MiB: 5 by its own
/// word, and room for the page tables and buffers the kernel counts as its.
const VMM_MIB: u64 = 64;
/// Files it may have open: disks, tap, sockets.
const FILES: u32 = 256;
/// The API's socket, as the VMM sees it.
pub(super) const API: &str = "/run/firecracker.socket";

/// A file of this host, shown in the chroot under another name.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) from: PathBuf,
    /// As the VMM sees it: a name in its root.
    pub(super) name: &'static str,
    pub(super) read_only: bool,
}

/// Where one VMM lives.
#[derive(Debug, Clone)]
pub(super) struct Jail {
    /// Unique among the jails of this agent: letters, digits and hyphens.
    pub(super) id: String,
    /// Below it the jailer makes `firecracker/ID/root`.
    pub(super) base: PathBuf,
    /// Where the VMM's process is noted.
    pub(super) note: PathBuf,
    /// Uid and gid.
    pub(super) user: u32,
    /// Its cgroup, relative to each hierarchy's root; the last part is `id`.
    pub(super) cgroup: String,
}

/// The VMM's process, as it is noted for the next agent.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    pid: i32,
    started: u64,
}

impl Jail {
    fn folder(&self, host: &Host) -> PathBuf {
        folder(&self.base, &host.firecracker, &self.id)
    }

    /// The chroot.
    pub(super) fn root(&self, host: &Host) -> PathBuf {
        self.folder(host).join("root")
    }

    /// The API's socket on this host.
    pub(super) fn api(&self, host: &Host) -> PathBuf {
        self.root(host).join(API.trim_start_matches('/'))
    }

    /// Starts the VMM; returns when its process is known and noted. `output` is
    /// its serial console and its own messages. Blocks.
    pub(super) fn start(
        &self,
        host: &Host,
        resources: Resources,
        allowed: Limits,
        shown: &[Shown],
        output: &File,
    ) -> anyhow::Result<OwnedFd> {
        let folder = self.folder(host);
        // The jailer would go on in one that is there, with whatever is in it.
        ensure!(
            !folder.exists(),
            "there is a stale jail at {}",
            folder.display()
        );
        let root = self.root(host);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)
            .context("could not make the chroot")?;
        let mut binds = Vec::new();
        for file in shown {
            let place = root.join(file.name);
            File::create(&place).context("could not make a file's place in the chroot")?;
            if !file.read_only {
                chown(&file.from, Some(self.user), Some(self.user))
                    .context("could not give the VMM its disk")?;
            }
            binds.push(sys::Bind {
                from: c_path(&file.from)?,
                to: c_path(&place)?,
                read_only: file.read_only,
            });
        }
        let mut jailer = self.jailer(host, resources, allowed);
        // Not waited for its end: the VMM goes on holding it.
        let (complaints, complain) =
            rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
                .context("could not make a pipe")?;
        jailer
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("could not share the log pipe")?)
            .stderr(complain);
        sys::bind_for(&mut jailer, binds);
        // With a pid namespace of its own the VMM is the jailer's child, whose
        // number it writes before it ends.
        let ended = jailer.status().context("the jailer could not be started")?;
        if !ended.success() {
            let mut said = [0; 4096];
            let read = rustix::io::read(&complaints, &mut said).unwrap_or(0);
            let said = String::from_utf8_lossy(&said[..read]);
            bail!("the jailer failed ({ended}): {}", last_line(&said));
        }
        let pid = self.pid(host)?;
        let name = ProcessName::of(pid).context("firecracker ended at once")?;
        let note = serde_json::to_vec(&Note {
            pid: name.pid,
            started: name.started,
        })?;
        replace(&self.note, &note, false).context("could not note the VMM's process")?;
        let process = name
            .open()
            .context("could not hold the VMM's process")?
            .context("firecracker ended at once")?;
        for disk in shown.iter().filter(|file| !file.read_only) {
            throttle::hold(host.cgroups, &self.cgroup, pid, &disk.from, allowed)?;
        }
        Ok(process)
    }

    fn jailer(&self, host: &Host, resources: Resources, allowed: Limits) -> Command {
        let bytes = |mib: u64| mib << 20;
        let memory = u64::from(resources.memory_mib);
        let largest = bytes(u64::from(resources.disk_mib).max(memory)) + bytes(1);
        let user = self.user.to_string();
        let parent = self
            .cgroup
            .rsplit_once('/')
            .map_or("", |(parent, _id)| parent);
        let mut jailer = Command::new(&host.jailer);
        jailer
            .env_clear()
            .args(["--id", &self.id, "--uid", &user, "--gid", &user])
            .arg("--exec-file")
            .arg(&host.firecracker)
            .arg("--chroot-base-dir")
            .arg(&self.base)
            .arg("--new-pid-ns")
            .args(["--parent-cgroup", parent])
            .args(["--resource-limit", &format!("fsize={largest}")])
            .args(["--resource-limit", &format!("no-file={FILES}")]);
        jailer.args(limits::arguments(
            host.cgroups,
            resources.vcpus,
            allowed,
            bytes(memory + VMM_MIB),
        ));
        jailer.args(["--", "--api-sock", API, "--level", "Warning"]);
        jailer
    }

    fn pid(&self, host: &Host) -> anyhow::Result<i32> {
        let name = host.firecracker.file_name().unwrap_or_default();
        let mut file = name.to_owned();
        file.push(".pid");
        let text = fs::read_to_string(self.root(host).join(file))
            .context("the jailer left no pid file")?;
        text.trim().parse().context("the jailer wrote no pid")
    }

    /// The VMM's process, if it lives.
    pub(super) fn process(&self) -> anyhow::Result<Option<OwnedFd>> {
        Ok(self.named()?.map(|(_name, process)| process))
    }

    /// As [`Jail::process`], with its name.
    pub(super) fn named(&self) -> anyhow::Result<Option<(ProcessName, OwnedFd)>> {
        noted(&self.note)
    }

    /// Ends the VMM and removes all that it and the jailer left; gone already
    /// is cleared. Blocks.
    pub(super) fn clear(&self, host: &Host, within: Duration) -> anyhow::Result<()> {
        if let Some(process) = self.process()? {
            kill(&process, within).context("could not kill the VMM")?;
        }
        // Whoever was started and not noted is still in here.
        cgroups::remove(&self.cgroup, within)?;
        gone(fs::remove_dir_all(self.folder(host))).context("could not remove the jail")?;
        gone(fs::remove_file(&self.note)).context("could not remove the VMM's note")
    }
}

/// The live process that a note names.
pub(super) fn noted(note: &Path) -> anyhow::Result<Option<(ProcessName, OwnedFd)>> {
    let Ok(text) = fs::read(note) else {
        return Ok(None);
    };
    let Ok(note) = serde_json::from_slice::<Note>(&text) else {
        return Ok(None); // half written: the boot was cut off
    };
    let name = ProcessName {
        pid: note.pid,
        started: note.started,
    };
    let process = name.open().context("could not hold the VMM's process")?;
    Ok(process.map(|process| (name, process)))
}

/// The ids of the jails that are there.
pub(super) fn list(base: &Path, host: &Host) -> io::Result<Vec<String>> {
    let exec = host.firecracker.file_name().unwrap_or_default();
    let entries = match fs::read_dir(base.join(exec)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        ids.extend(entry?.file_name().into_string());
    }
    Ok(ids)
}

/// Every thread of the process has its seccomp filter. They are installed when
/// the machine starts, not when the process does: looked at afterwards.
pub(super) fn filtered(pid: i32) -> anyhow::Result<()> {
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("the VMM is gone")? {
        let status = fs::read_to_string(thread?.path().join("status"))
            .context("could not look at a thread of the VMM")?;
        let mode = status
            .lines()
            .find_map(|line| line.strip_prefix("Seccomp:"));
        let name = status.lines().next().unwrap_or_default();
        ensure!(
            mode.map(str::trim) == Some("2"),
            "a thread of the VMM runs without its seccomp filter: {name}"
        );
        threads += 1;
    }
    ensure!(threads > 0, "the VMM is gone");
    Ok(())
}

fn folder(base: &Path, firecracker: &Path, id: &str) -> PathBuf {
    base.join(firecracker.file_name().unwrap_or_default())
        .join(id)
}

fn c_path(path: &Path) -> anyhow::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).context("a path has a zero byte")
}

fn last_line(said: &str) -> &str {
    said.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("it said nothing")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_filters_is_told() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let refused = filtered(pid);
        let own = fs::read_to_string("/proc/self/status").unwrap();
        assert_eq!(refused.is_ok(), own.contains("Seccomp:\t2"));
        assert!(filtered(i32::MAX).is_err());
    }
}
