//! Items 1 to 5: who started the process, as whom it runs, what it can see, which
//! system calls it may make and how much it may open and write.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
};

use anyhow::{Context as _, bail, ensure};

use super::{
    devices::Told,
    open,
    vmm::{Vmm, field_of, one_id, same_file},
};
use crate::{
    check::{elf, line::Line},
    config::HostArgs,
    runtime::firecracker::{
        FirecrackerSettings,
        host::{version_of, versions},
        seen::filtered,
    },
};

/// What a jail's chroot holds: what the jailer and the VMM make, and the disks.
const IN_A_CHROOT: [&str; 9] = [
    "dev",
    "run",
    "vmlinux",
    "boot.ext4",
    "base.ext4",
    "seat.ext4",
    "v.sock",
    "state",
    "memory",
];
/// More files than any seat needs to have open.
const MOST_FILES: u64 = 2048;

/// All of them.
pub(super) fn lines(vmm: &Vmm, host: &HostArgs, told: &Told) -> Vec<Line> {
    vec![
        Line::holds(1, "jailer", started_by_jailer(vmm)),
        Line::holds(1, "one version", one_version(host, told)),
        no_holes(host),
        Line::holds(1, "static", both_static(vmm, host)),
        Line::holds(1, "trusted paths", trusted_paths(vmm, host)),
        Line::holds(2, "own user", own_user(vmm)),
        Line::holds(2, "no privileges", no_privileges(vmm)),
        Line::holds(2, "jail id", jail_id(&vmm.seen.id)),
        Line::holds(2, "clean jail", clean_jail(vmm)),
        Line::holds(3, "pid namespace", own_namespace(vmm, "pid")),
        Line::holds(3, "mount namespace", own_namespace(vmm, "mnt")),
        Line::holds(3, "output", captured_output(vmm)),
        Line::holds(3, "pid file", pid_file(vmm)),
        Line::holds(4, "seccomp", seccomp(vmm)),
        Line::holds(5, "file size limit", file_size(vmm)),
        Line::holds(5, "open files limit", open_files(vmm)),
    ]
}

/// The jailer alone puts the VMM into its chroot and tells it when it began.
fn started_by_jailer(vmm: &Vmm) -> anyhow::Result<String> {
    ensure!(
        same_file(&vmm.proc("root"), &vmm.seen.root)?,
        "its root is not its jail {}",
        vmm.seen.root.display()
    );
    let arguments = vmm.arguments()?;
    let has = |name: &str| arguments.iter().any(|argument| argument.starts_with(name));
    ensure!(
        has("--id") && has("--start-time-us"),
        "it was not started by the jailer: {}",
        arguments.join(" ")
    );
    Ok(format!("its root is {}", vmm.seen.root.display()))
}

fn one_version(host: &HostArgs, told: &Told) -> anyhow::Result<String> {
    let running = match &told.version {
        Ok(version) => version,
        Err(error) => bail!("{error}"),
    };
    let jailer = version_of(&host.jailer_bin).context("name it with --jailer-bin")?;
    ensure!(
        *running == jailer,
        "the VMM is {running} and the jailer {jailer}"
    );
    Ok(format!("VMM and jailer are {running}"))
}

fn no_holes(host: &HostArgs) -> Line {
    const NAME: &str = "known holes";
    let settings = host.firecracker();
    let strict = FirecrackerSettings {
        accepted_version: None,
        ..settings.clone()
    };
    match (versions(&strict), versions(&settings)) {
        (Err(hole), Ok(_accepted)) => Line::not_here(
            1,
            NAME,
            format!("{hole:#}"),
            "the operator took this version by --firecracker-accept",
        ),
        (strict, _) => Line::holds(
            1,
            NAME,
            strict.map(|version| format!("none is known of {version}")),
        ),
    }
}

fn both_static(vmm: &Vmm, host: &HostArgs) -> anyhow::Result<String> {
    for (name, program) in [
        ("VMM", vmm.proc("exe")),
        ("jailer", host.jailer_bin.clone()),
    ] {
        elf::ensure_static(&program).with_context(|| format!("the {name} cannot be trusted"))?;
    }
    Ok("VMM and jailer want no loader".to_owned())
}

/// Who can write to one of these decides what the jailer starts, or where.
fn trusted_paths(vmm: &Vmm, host: &HostArgs) -> anyhow::Result<String> {
    // The chroot itself is the VMM's; all above it must be root's.
    let jail = vmm.seen.root.parent().context("the jail has no folder")?;
    let mut looked = 0;
    for path in [jail, &host.firecracker_bin, &host.jailer_bin] {
        let path = path
            .canonicalize()
            .with_context(|| format!("could not find {}", path.display()))?;
        for part in path.ancestors() {
            roots_alone(part)?;
            looked += 1;
        }
    }
    Ok(format!("{looked} files and folders are root's alone"))
}

/// Nobody but root can put something else in this place. In a sticky folder
/// such as `/tmp` others make files and cannot touch root's.
fn roots_alone(path: &Path) -> anyhow::Result<()> {
    let seen =
        fs::metadata(path).with_context(|| format!("could not look at {}", path.display()))?;
    ensure!(
        seen.uid() == 0,
        "{} belongs to uid {}",
        path.display(),
        seen.uid()
    );
    let sticky = seen.is_dir() && seen.mode() & 0o1000 != 0;
    ensure!(
        sticky || seen.mode() & 0o022 == 0,
        "{} can be written by others (mode {:o})",
        path.display(),
        seen.mode() & 0o7777
    );
    Ok(())
}

fn own_user(vmm: &Vmm) -> anyhow::Result<String> {
    let (uid, gid) = (vmm.uid()?, one_id(&vmm.status("Gid")?)?);
    ensure!(
        uid != 0 && gid != 0,
        "it runs as root (uid {uid}, gid {gid})"
    );
    let groups = vmm.status("Groups")?;
    ensure!(
        groups
            .split_whitespace()
            .all(|group| group.parse() == Ok(gid)),
        "it is in the groups {groups}"
    );
    let shared: Vec<_> = processes()?
        .into_iter()
        .filter(|pid| *pid != vmm.seen.pid && uid_of(*pid) == Some(uid))
        .map(|pid| pid.to_string())
        .collect();
    ensure!(
        shared.is_empty(),
        "uid {uid} is also that of process {}",
        shared.join(", ")
    );
    Ok(format!("uid {uid} and gid {gid}, nobody else's"))
}

/// The numbers of all processes that this one can see.
pub(super) fn processes() -> anyhow::Result<Vec<i32>> {
    let listed = fs::read_dir("/proc").context("could not list the processes")?;
    let names = listed.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

fn uid_of(pid: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let uids = field_of(&status, "Uid")?;
    uids.split_whitespace().next()?.parse().ok()
}

fn no_privileges(vmm: &Vmm) -> anyhow::Result<String> {
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        let held = vmm.status(set)?;
        ensure!(
            held.bytes().all(|digit| digit == b'0'),
            "it holds capabilities: {set} {held}"
        );
    }
    ensure!(
        vmm.status("NoNewPrivs")? == "1",
        "a program with the setuid bit would give it new ones"
    );
    Ok("no capabilities, and none to be had".to_owned())
}

fn jail_id(id: &str) -> anyhow::Result<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    ensure!(
        (1..=64).contains(&id.len()) && id.bytes().all(fits),
        "{id:?} is no id of a jail"
    );
    Ok(id.to_owned())
}

/// The jailer goes on in a chroot that is there; the agent must not.
fn clean_jail(vmm: &Vmm) -> anyhow::Result<String> {
    let program = program(vmm)?;
    let known = |name: &str| {
        IN_A_CHROOT.contains(&name) || name == program || name == format!("{program}.pid")
    };
    let mut strange = Vec::new();
    for entry in fs::read_dir(&vmm.seen.root).context("could not list the chroot")? {
        let name = entry.context("could not list the chroot")?.file_name();
        let name = name.to_string_lossy().into_owned();
        if !known(&name) {
            strange.push(name);
        }
    }
    ensure!(
        strange.is_empty(),
        "the chroot also holds {}",
        strange.join(", ")
    );
    Ok("the chroot holds what it must and nothing else".to_owned())
}

/// The name by which the jailer knows the VMM.
fn program(vmm: &Vmm) -> anyhow::Result<String> {
    let folder = vmm.seen.root.ancestors().nth(2);
    let name = folder.and_then(Path::file_name);
    let name = name.context("the jail is not below a program's name")?;
    Ok(name.to_string_lossy().into_owned())
}

fn own_namespace(vmm: &Vmm, kind: &str) -> anyhow::Result<String> {
    let (own, its) = (
        Path::new("/proc/self/ns").join(kind),
        vmm.proc(&format!("ns/{kind}")),
    );
    ensure!(
        !same_file(&own, &its)?,
        "it sees the same {kind} namespace as this process"
    );
    if kind == "pid" {
        let numbers = vmm.status("NSpid")?;
        ensure!(
            numbers.split_whitespace().next_back() == Some("1"),
            "it is not the first process of its namespace: {numbers}"
        );
    }
    let its = fs::read_link(&its).context("could not read its name")?;
    Ok(its.display().to_string())
}

/// Nothing the guest prints reaches a terminal, or a file that grows.
fn captured_output(vmm: &Vmm) -> anyhow::Result<String> {
    let mut links = Vec::new();
    for open in open::all(vmm)?.iter().filter(|open| open.number <= 2) {
        let kind = open.file.file_type();
        let null = kind.is_char_device() && open.link == Path::new("/dev/null");
        ensure!(
            null || kind.is_fifo(),
            "descriptor {} is {}",
            open.number,
            open.link.display()
        );
        links.push(open.link.display().to_string());
    }
    Ok(links.join(", "))
}

fn pid_file(vmm: &Vmm) -> anyhow::Result<String> {
    let path = vmm.seen.root.join(format!("{}.pid", program(vmm)?));
    let text =
        fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    ensure!(
        text.trim() == vmm.seen.pid.to_string(),
        "the jailer wrote {}, and the VMM is {}",
        text.trim(),
        vmm.seen.pid
    );
    Ok(format!("process {}, as its agent noted it", vmm.seen.pid))
}

fn seccomp(vmm: &Vmm) -> anyhow::Result<String> {
    for argument in vmm.arguments()? {
        ensure!(
            !matches!(argument.as_str(), "--no-seccomp" | "--seccomp-filter"),
            "it was started with {argument}"
        );
    }
    filtered(vmm.seen.pid)?;
    let threads = vmm.status("Threads")?;
    Ok(format!("the default filters, on each of {threads} threads"))
}

fn file_size(vmm: &Vmm) -> anyhow::Result<String> {
    let resources = vmm.spec.resources;
    // Its disk and its memory, written out for a snapshot, are the largest.
    let most = (u64::from(resources.disk_mib.max(resources.memory_mib)) + 1) << 20;
    let limit = limit(&vmm.read("limits")?, "Max file size")?;
    ensure!(limit <= most, "it may write files of {limit} bytes");
    Ok(format!("{} MiB", limit >> 20))
}

fn open_files(vmm: &Vmm) -> anyhow::Result<String> {
    let limit = limit(&vmm.read("limits")?, "Max open files")?;
    ensure!(limit <= MOST_FILES, "it may open {limit} files");
    Ok(limit.to_string())
}

/// The hard limit of that name in `/proc/PID/limits`.
fn limit(limits: &str, name: &str) -> anyhow::Result<u64> {
    let values = limits.lines().find_map(|line| line.strip_prefix(name));
    let hard = values.and_then(|values| values.split_whitespace().nth(1));
    let hard = hard.with_context(|| format!("there is no {name:?}"))?;
    hard.parse().with_context(|| format!("{name} is {hard}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{
        super::{super::line::Verdict, vmm::tests::unjailed},
        *,
    };
    use crate::config::{Cli, Command};

    fn host() -> HostArgs {
        let told = ["clarateach-agent", "check", "--jailer-bin", "/bin/true"];
        match Cli::try_parse_from(told).unwrap().command {
            Command::Check(asked) => asked.host,
            Command::Serve(_) | Command::ServeVm(_) => panic!("not what was asked"),
        }
    }

    #[test]
    fn a_process_that_nobody_jailed_fails() {
        let (_dir, vmm) = unjailed();
        let told = Told::silent("nobody listens");
        let lines = lines(&vmm, &host(), &told);
        for name in [
            "jailer",
            "one version",
            "static",
            "no privileges",
            "pid namespace",
            "mount namespace",
            "pid file",
            "file size limit",
        ] {
            let line = lines.iter().find(|line| line.name == name).unwrap();
            assert_eq!(line.verdict, Verdict::Fails, "{line:?}");
        }
    }

    #[test]
    fn a_limit_that_is_none_is_not_taken_for_one() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max file size             1048576              unlimited            bytes\n\
                      Max open files            256                  512                  files\n";
        assert_eq!(limit(limits, "Max open files").unwrap(), 512);
        assert!(limit(limits, "Max file size").is_err());
        assert!(limit(limits, "Max threads").is_err());
    }

    #[test]
    fn what_others_can_write_is_not_trusted() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        if !rustix::process::geteuid().is_root() {
            assert!(roots_alone(dir.path()).is_err());
            println!("SKIPPED: needs root");
            return;
        }
        for (mode, trusted) in [
            (0o755, true),
            (0o700, true),
            (0o1777, true),
            (0o775, false),
            (0o777, false),
        ] {
            fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(roots_alone(dir.path()).is_ok(), trusted, "{mode:o}");
        }
    }

    #[test]
    fn a_jail_with_something_strange_in_it_is_told() {
        let (_dir, vmm) = unjailed();
        for name in ["firecracker", "firecracker.pid", "base.ext4"] {
            fs::write(vmm.seen.root.join(name), "").unwrap();
        }
        clean_jail(&vmm).unwrap();
        fs::write(vmm.seen.root.join("planted"), "").unwrap();
        let told = format!("{:#}", clean_jail(&vmm).unwrap_err());
        assert!(told.contains("planted"), "{told}");
        assert!(jail_id("s1").is_ok() && jail_id("").is_err() && jail_id("a/b").is_err());
    }
}
