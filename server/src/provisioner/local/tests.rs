//! Local workers with real namespaces, cgroups and processes; the agent is a
//! script that holds its lock and does what a bad day needs.

use std::{
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};

use super::*;

/// Holds the lock, writes its pid, keeps a child in a cgroup of its worker, one
/// with a seat's uid that left every group, and one loop device.
const AGENT: &str = r#"#!/bin/bash
[ "$1" = serve ] || { echo "not told to serve"; exit 2; }
shift
while [ $# -gt 0 ]; do case "$1" in
  --run-dir) run=$2;; --cgroup) cgroup=$2;; --uid-base) uid=$2;;
  --listen) listen=$2;;
esac; shift 2; done
[ -e "$run/die" ] && { echo "told to die"; exit 3; }
exec 9>>"$run/agent.lock"
flock -n 9 || { echo "another agent runs"; exit 1; }
echo $$ > "$run/agent.pid"
echo "$listen" > "$run/listen"
if [ ! -e "$run/seat.pid" ]; then
  for top in /sys/fs/cgroup/pids /sys/fs/cgroup/memory; do
    [ -d $top ] && mkdir -p $top/$cgroup/seat1
  done
  (exec 9>&-; setsid unshare --net sleep 3600 & echo $! > "$run/seat.pid"
   for top in /sys/fs/cgroup/pids /sys/fs/cgroup/memory; do
     [ -d $top ] && echo $! > $top/$cgroup/seat1/cgroup.procs; done
   setpriv --reuid $((uid + 65536 + 1000)) --clear-groups setsid unshare -U sleep 3600 & )
  truncate -s 1M "$run/disk"; losetup --find "$run/disk"
fi
exec sleep 3600
"#;

/// Places are the host's: one that a test gave back may be the next one's before
/// it has looked that nothing is left of it.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Box_ {
    local: Local,
    dir: tempfile::TempDir,
}

impl Box_ {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED: local workers need root");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let agent = dir.path().join("agent");
        fs::write(&agent, AGENT).unwrap();
        fs::set_permissions(&agent, fs::Permissions::from_mode(0o755)).unwrap();
        let local = Self::open(dir.path());
        Some(Self { local, dir })
    }

    fn open(dir: &Path) -> Local {
        Local::open(LocalSettings {
            data_dir: dir.to_owned(),
            agent: dir.join("agent"),
            images: dir.join("images"),
            firecracker: FirecrackerArgs::default(),
            alloc_dir: DEFAULT_ALLOC_DIR.into(),
            subnet: DEFAULT_SUBNET.parse().unwrap(),
            runtimes: vec![Runtime::Container],
            allowed_origins: vec!["http://localhost:8080".into()],
            nameservers: vec![],
        })
        .unwrap()
    }

    fn run(&self, name: &WorkerName, file: &str) -> String {
        let path = self.dir.path().join("workers").join(name.as_str());
        let text = fs::read_to_string(path.join("run").join(file)).unwrap();
        text.trim().to_owned()
    }
}

impl Drop for Box_ {
    fn drop(&mut self) {
        if let Err(cause) = self.local.down() {
            println!("could not clean up: {cause:?}");
        }
    }
}

fn worker(name: &str) -> WorkerSpec {
    WorkerSpec {
        name: name.parse().unwrap(),
        workshop: "ws-abcdefghij".parse().unwrap(),
        runtime: Runtime::Container,
        ca_certificate: "ca".into(),
        seat_key: "key".into(),
    }
}

fn alive(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").unwrap().1.starts_with('Z'))
}

fn listens(address: SocketAddr, netns: &str) -> bool {
    let port = address.port().to_string();
    let mut server = Command::new("ip")
        .args([
            "netns",
            "exec",
            netns,
            "python3",
            "-m",
            "http.server",
            &port,
        ])
        .args(["--bind", &address.ip().to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let found = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
    });
    server.kill().unwrap();
    server.wait().unwrap();
    found
}

#[tokio::test]
async fn a_worker_comes_is_repaired_stops_starts_and_leaves_nothing() {
    let _alone = ALONE.lock().await;
    let Some(house) = Box_::new() else { return };
    let (local, spec) = (&house.local, worker("ws-abcdefghij-w1"));
    assert_eq!(
        local.describe(&spec.name).await.unwrap().ground,
        Ground::Missing
    );

    local.ensure(&spec).await.unwrap();
    let seen = local.describe(&spec.name).await.unwrap();
    assert_eq!(seen.ground, Ground::Up);
    let address = seen.address.unwrap();
    assert_eq!(house.run(&spec.name, "listen"), address.to_string());
    let place = local.0.find(&spec.name).unwrap().unwrap();
    assert!(
        listens(address, &place.netns()),
        "the host reaches {address}"
    );

    // Asked again, also by a server that started anew: the same agent.
    let pid = house.run(&spec.name, "agent.pid");
    Box_::open(house.dir.path()).ensure(&spec).await.unwrap();
    assert_eq!(house.run(&spec.name, "agent.pid"), pid);

    // The agent dies, its seats do not; ensuring starts only the agent.
    let seat = house.run(&spec.name, "seat.pid");
    assert!(
        Command::new("kill")
            .args(["-9", &pid])
            .status()
            .unwrap()
            .success()
    );
    for _ in 0..200 {
        if local.describe(&spec.name).await.unwrap().ground == Ground::Broken {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(
        local.describe(&spec.name).await.unwrap().ground,
        Ground::Broken
    );
    local.ensure(&spec).await.unwrap();
    assert_ne!(house.run(&spec.name, "agent.pid"), pid);
    assert!(alive(&seat), "the seat outlives its agent");

    // Somebody removed the uplink: it is built again.
    assert!(
        Command::new("ip")
            .args(["link", "del", &place.veth()])
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(
        local.describe(&spec.name).await.unwrap().ground,
        Ground::Broken
    );
    local.ensure(&spec).await.unwrap();
    assert_eq!(local.describe(&spec.name).await.unwrap().ground, Ground::Up);

    local.stop(&spec.name).await.unwrap();
    assert_eq!(
        local.describe(&spec.name).await.unwrap().ground,
        Ground::Stopped
    );
    assert!(!alive(&seat), "stopped means nothing runs");
    assert!(
        house
            .dir
            .path()
            .join("workers/ws-abcdefghij-w1/run/disk")
            .exists()
    );
    local.start(&spec).await.unwrap();
    assert_eq!(local.describe(&spec.name).await.unwrap().ground, Ground::Up);

    local.delete(&spec.name).await.unwrap();
    local.delete(&spec.name).await.unwrap();
    assert_eq!(
        local.describe(&spec.name).await.unwrap().ground,
        Ground::Missing
    );
    assert_eq!(local.list().await.unwrap(), []);
    nothing_of(&place, house.dir.path());
}

fn nothing_of(place: &Allocation, dir: &Path) {
    assert!(!place.netns_path().exists(), "namespace");
    assert!(
        !Path::new("/sys/class/net").join(place.veth()).exists(),
        "veth"
    );
    let name = place.worker.as_str();
    assert!(!dir.join("workers").join(name).exists(), "files");
    for top in ["pids", "memory", "unified", ""] {
        let group = Path::new("/sys/fs/cgroup").join(top).join(place.cgroup());
        assert!(!group.exists(), "{}", group.display());
    }
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let status = fs::read_to_string(process.path().join("status")).unwrap_or_default();
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        let uid = uid.and_then(|uids| uids.split_whitespace().next()?.parse::<u32>().ok());
        let lives = !status.contains("\nState:\tZ"); // init reaps in its own time
        assert!(
            !(lives && uid.is_some_and(|uid| place.uids().contains(&uid))),
            "{status}"
        );
    }
    let loops = Command::new("losetup").arg("-a").output().unwrap();
    let loops = String::from_utf8_lossy(&loops.stdout).into_owned();
    assert!(!loops.contains(&*dir.to_string_lossy()), "{loops}");
}

#[tokio::test]
async fn two_installations_share_a_host_and_down_removes_only_its_own() {
    let _alone = ALONE.lock().await;
    let (Some(one), Some(two)) = (Box_::new(), Box_::new()) else {
        return;
    };
    let spec = worker("ws-abcdefghij-w1");
    one.local.ensure(&spec).await.unwrap();
    two.local.ensure(&spec).await.unwrap();
    let place = one.local.0.find(&spec.name).unwrap().unwrap();
    let other = two.local.0.find(&spec.name).unwrap().unwrap();
    assert_ne!(place.index, other.index);

    // Workers do not reach each other, nor the host.
    let ping = |to: std::net::Ipv4Addr, port: &str| {
        let script = format!("exec 3<>/dev/tcp/{to}/{port}");
        let inside = [
            "netns",
            "exec",
            &place.netns(),
            "timeout",
            "2",
            "bash",
            "-c",
            &script,
        ];
        Command::new("ip")
            .args(inside)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(
        ping(other.address(), "9"),
        Some(124),
        "dropped, not refused"
    );
    assert_eq!(
        ping(place.gateway(), "9"),
        Some(124),
        "dropped, not refused"
    );

    let data_dir = one.dir.path().to_owned();
    let gone = tokio::task::spawn_blocking(move || down(&data_dir))
        .await
        .unwrap();
    assert_eq!(gone.unwrap(), std::slice::from_ref(&spec.name));
    nothing_of(&place, one.dir.path());
    assert_eq!(
        two.local.describe(&spec.name).await.unwrap().ground,
        Ground::Up
    );
}

#[tokio::test]
async fn an_agent_that_cannot_start_says_why_and_half_a_worker_can_be_removed() {
    let _alone = ALONE.lock().await;
    let Some(house) = Box_::new() else { return };
    let (local, spec) = (&house.local, worker("ws-abcdefghij-w1"));
    let run = house.dir.path().join("workers/ws-abcdefghij-w1/run");
    fs::create_dir_all(&run).unwrap();
    fs::write(run.join("die"), "").unwrap();
    let refused = local.ensure(&spec).await.unwrap_err();
    let chain = format!("{:#}", anyhow::Error::new(refused));
    assert!(
        chain.contains("could not start the agent of ws-abcdefghij-w1"),
        "{chain}"
    );
    assert!(chain.contains("told to die"), "{chain}");
    assert_eq!(
        local.describe(&spec.name).await.unwrap().ground,
        Ground::Broken
    );
    let place = local.0.find(&spec.name).unwrap().unwrap();
    local.delete(&spec.name).await.unwrap();
    nothing_of(&place, house.dir.path());
}

#[tokio::test]
async fn a_worker_that_is_removed_while_it_is_made_leaves_nothing() {
    let _alone = ALONE.lock().await;
    let Some(house) = Box_::new() else { return };
    for wait in [0, 5, 10, 20, 40, 80] {
        let spec = worker("ws-abcdefghij-w1");
        let (maker, wish) = (house.local.clone(), spec.clone());
        let making = tokio::spawn(async move { maker.ensure(&wish).await });
        tokio::time::sleep(Duration::from_millis(wait)).await;
        let place = house.local.0.find(&spec.name).unwrap();
        // Nobody waits for it any more, but its thread may still be at work;
        // and the one who removes it is another process.
        making.abort();
        let data_dir = house.dir.path().to_owned();
        tokio::task::spawn_blocking(move || down(&data_dir))
            .await
            .unwrap()
            .unwrap();
        let _ = making.await;
        house.local.delete(&spec.name).await.unwrap();
        assert_eq!(house.local.0.find(&spec.name).unwrap(), None);
        if let Some(place) = place {
            nothing_of(&place, house.dir.path());
        }
    }
}

/// KVM makes a timer's thread for every MicroVM, and it was seen in the group of
/// another worker.
#[tokio::test]
async fn a_thread_of_the_kernel_in_its_group_does_not_hold_a_worker() {
    let _alone = ALONE.lock().await;
    let Some(house) = Box_::new() else { return };
    let spec = worker("ws-abcdefghij-w1");
    house.local.ensure(&spec).await.unwrap();
    let place = house.local.0.find(&spec.name).unwrap().unwrap();
    let disk = house.dir.path().join("workers/ws-abcdefghij-w1/run/disk");
    let made = (0..1000).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        disk.exists() // made after its groups
    });
    assert!(made, "the agent made no groups");
    let seat = Path::new("/sys/fs/cgroup/pids")
        .join(place.cgroup())
        .join("seat1");
    let list = seat.join("cgroup.procs");
    let strangers: Vec<_> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .is_ok_and(|name| name.starts_with("khugepaged") || name.starts_with("ksmd"))
        })
        .filter(|pid| fs::write(&list, pid.to_string()).is_ok())
        .collect();
    if strangers.is_empty() {
        println!("SKIPPED: threads of the kernel cannot be put into cgroups here");
    }
    house.local.delete(&spec.name).await.unwrap();
    nothing_of(&place, house.dir.path());
}

#[tokio::test]
async fn a_worker_comes_back_to_the_place_its_disks_have_the_uids_of() {
    let _alone = ALONE.lock().await;
    let Some(house) = Box_::new() else { return };
    let spec = worker("ws-abcdefghij-w1");
    // As a restart of the host leaves it.
    let dir = house.dir.path().join("workers/ws-abcdefghij-w1");
    fs::create_dir_all(dir.join("run/seats/1")).unwrap();
    fs::write(dir.join("index"), "133").unwrap();
    house.local.ensure(&spec).await.unwrap();
    let place = house.local.0.find(&spec.name).unwrap().unwrap();
    assert_eq!(place.index, 133);
    house.local.delete(&spec.name).await.unwrap();
    nothing_of(&place, house.dir.path());

    // A new one notes where it is.
    house.local.ensure(&spec).await.unwrap();
    let place = house.local.0.find(&spec.name).unwrap().unwrap();
    let noted = fs::read_to_string(dir.join("index")).unwrap();
    assert_eq!(noted, place.index.to_string());
}

#[test]
fn a_network_of_somebody_else_is_refused_until_workers_stand_in_it() {
    if Command::new("ip").arg("-V").output().is_err() {
        println!("SKIPPED: no ip");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let open = |subnet: std::net::Ipv4Addr| {
        Local::open(LocalSettings {
            data_dir: dir.path().to_owned(),
            agent: PathBuf::new(),
            images: PathBuf::new(),
            firecracker: FirecrackerArgs::default(),
            alloc_dir: dir.path().join("alloc"),
            subnet,
            runtimes: vec![],
            allowed_origins: vec![],
            nameservers: vec![],
        })
        .unwrap()
    };
    // Some network that this host has a route to.
    let listed = Command::new("ip").args(["-4", "route"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut lines = listed.lines().filter(|line| !line.contains("ctu"));
    let Some(taken) = lines.find_map(|line| line.split(['/', ' ']).next()?.parse().ok()) else {
        println!("SKIPPED: this host has no route but the default");
        return;
    };
    let refused = open(taken).check_routes().unwrap_err().to_string();
    assert!(refused.contains("--local-subnet"), "{refused}");
    let local = open(taken);
    let place = Allocation {
        index: 1,
        installation: local.0.installation.clone(),
        data_dir: dir.path().to_owned(),
        worker: "ws-abcdefghij-w1".parse().unwrap(),
        subnet: taken,
        ending: false,
    };
    local.0.allocations.save(&place).unwrap();
    local.check_routes().unwrap();
}

#[test]
fn down_of_a_directory_without_workers_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(down(dir.path()).unwrap(), []);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
