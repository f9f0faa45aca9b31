//! A PostgreSQL of a test's own: a cluster in a temporary folder, reached by a unix socket
//! and by nobody else, gone with the process that started it, however that ends.
//!
//! Way: [`shared`] -> `initdb` and `postgres` as another user (both refuse root) -> a
//! database for each test -> the end of a pipe ends it. The server's own tests read this
//! file, too.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test code, read by several crates, each of which uses its part; its one setting \
              is said by the environment"
)]

use std::{
    fs,
    io::Write as _,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

const USER: &str = "clarateach";
const START: Duration = Duration::from_mins(1);
/// Ends PostgreSQL and removes its folder when nobody holds its standard input any more.
const KEEPER: &str = r#"trap '' INT TERM HUP
folder=$1; shift
"$@" < /dev/null & own=$!
read -r _
kill -QUIT "$own"; wait "$own"
rm -rf "$folder""#;

/// A running cluster.
pub struct Postgres {
    bin: PathBuf,
    folder: PathBuf,
    /// Holds the pipe.
    keeper: Child,
}

/// Why there is none on this machine, if there is none.
pub fn missing() -> Option<String> {
    bin()
        .is_none()
        .then(|| "needs PostgreSQL: install Debian's postgresql".to_owned())
}

/// Whether this run's tests are to be told on PostgreSQL.
pub fn chosen() -> bool {
    match std::env::var("CLARATEACH_TEST_DATABASE").as_deref() {
        Err(_) | Ok("sqlite") => false,
        Ok("postgres") => true,
        Ok(other) => panic!("CLARATEACH_TEST_DATABASE is sqlite or postgres, not {other}"),
    }
}

/// The URL of a database that belongs to this folder, made if it is not there; `None` when
/// this run is told on SQLite.
pub fn beside(folder: &Path) -> Option<String> {
    let name = folder.file_name().unwrap().to_str().unwrap();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    chosen().then(|| shared().database(&format!("t{}", name.to_lowercase())))
}

/// The one cluster of this process.
pub fn shared() -> &'static Postgres {
    static ONE: OnceLock<Postgres> = OnceLock::new();
    ONE.get_or_init(Postgres::start)
}

fn bin() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let bins = versions.map(|version| version.unwrap().path().join("bin"));
    bins.filter(|bin| bin.join("postgres").exists()).max()
}

/// User and group of whoever may run it.
fn somebody() -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").unwrap();
    ["postgres:", "nobody:"].iter().find_map(|name| {
        let line = users.lines().find(|line| line.starts_with(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

impl Postgres {
    fn start() -> Self {
        let bin = bin().expect("PostgreSQL is installed");
        let folder = tempfile::Builder::new()
            .prefix("clarateach-pg-")
            .tempdir()
            .unwrap()
            .keep();
        let mut run = Vec::new();
        if rustix::process::geteuid().is_root() {
            let (user, group) = somebody().expect("there is a user to run PostgreSQL as");
            chown(&folder, Some(user), Some(group)).unwrap();
            run = ["setpriv", "--clear-groups"].map(str::to_owned).to_vec();
            run.extend([format!("--reuid={user}"), format!("--regid={group}")]);
        }
        let data = folder.join("data").display().to_string();
        let mut make = run.clone();
        make.push(bin.join("initdb").display().to_string());
        make.extend(["-D", &data, "-U", USER, "-A", "trust", "-E", "UTF8"].map(str::to_owned));
        make.extend(["--locale=C", "--no-sync"].map(str::to_owned));
        let made = Command::new(&make[0])
            .args(&make[1..])
            .current_dir("/")
            .output()
            .unwrap();
        assert!(made.status.success(), "{make:?}: {made:?}");
        run.push(bin.join("postgres").display().to_string());
        run.extend(["-D", &data, "-k", &folder.display().to_string()].map(str::to_owned));
        for setting in [
            "listen_addresses=",
            "max_connections=300",
            "shared_buffers=32MB",
            // What is lost with the machine is a test's.
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
        ] {
            run.extend(["-c".to_owned(), setting.to_owned()]);
        }
        let log = fs::File::create(folder.join("log")).unwrap();
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .arg(&folder)
            .args(&run)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let this = Self {
            bin,
            folder,
            keeper,
        };
        let began = Instant::now();
        while !this.psql("postgres", "SELECT 1").status.success() {
            let log = fs::read_to_string(this.folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < START, "PostgreSQL does not answer: {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        this
    }

    /// Where its socket is.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(".s.PGSQL.5432")
    }

    /// The URL of a database of that name, made if it is not there.
    pub fn database(&self, name: &str) -> String {
        let made = self.psql("postgres", &format!("CREATE DATABASE {name}"));
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(
            made.status.success() || said.contains("already exists"),
            "{said}"
        );
        let folder = self.folder.display();
        format!("postgres://{USER}@localhost/{name}?host={folder}&sslmode=disable")
    }

    /// The same database, by a door on this machine.
    pub fn by(&self, name: &str, port: u16) -> String {
        self.database(name);
        format!("postgres://{USER}@127.0.0.1:{port}/{name}?sslmode=disable")
    }

    /// What a query answers: a line a row, fields separated by `|`.
    pub fn ask(&self, name: &str, sql: &str) -> String {
        let answer = self.psql(name, sql);
        assert!(answer.status.success(), "{sql}: {answer:?}");
        String::from_utf8(answer.stdout).unwrap().trim().to_owned()
    }

    fn psql(&self, name: &str, sql: &str) -> Output {
        let mut psql = Command::new(self.bin.join("psql"))
            .args(["-X", "-q", "-t", "-A", "-U", USER, "-d", name, "-h"])
            .arg(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .args(["-v", "ON_ERROR_STOP=1"])
            .spawn()
            .unwrap();
        // It may have ended already: its answer says why.
        let _ = psql.stdin.take().unwrap().write_all(sql.as_bytes());
        psql.wait_with_output().unwrap()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ended = self.keeper.wait();
    }
}
