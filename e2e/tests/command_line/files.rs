//! A learner's files, there and back.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt,
    process::{Command, Stdio},
};

use clarateach_e2e::{house::patience, house_or_skip, wait::until};

use clarateach_e2e::person::Person;

/// Names that break what is careless.
fn hard_names() -> Vec<Vec<u8>> {
    vec![
        b"50% #1?.txt".to_vec(),
        "über 😀 山田".as_bytes().to_vec(),
        b"new\nline \x1b[2J".to_vec(),
        b"not \xff\xfe text".to_vec(),
        b"-rf".to_vec(),
        b"a&b;c'd\"e".to_vec(),
        vec![b'x'; 255],
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learners_files_go_there_and_back_unchanged() {
    let house = house_or_skip!();
    let workshop = house.class("Files", 1).await;
    let bob = Person::new();
    bob.join(&house, &workshop.code, "Bob");
    let project = bob.path("project");
    fs::create_dir_all(project.join("deep/er")).unwrap();
    for (number, name) in hard_names().iter().enumerate() {
        fs::write(
            project.join("deep").join(OsStr::from_bytes(name)),
            format!("{number}"),
        )
        .unwrap();
    }
    let big: Vec<u8> = (0..2_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(project.join("big"), &big).unwrap();
    fs::write(project.join("program"), "#!/bin/sh\n").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", project.join("link")).unwrap();

    let put = bob.run("files put project");
    assert!(
        put.errors.contains("left out") && put.errors.contains("link"),
        "{}",
        put.errors
    );
    put.good();
    let listed = bob.run("files ls project -o json").json();
    let names: Vec<_> = listed["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["name"].clone())
        .collect();
    assert_eq!(names, ["big", "deep", "program"]);
    let shown = bob.run("files ls project/deep").good();
    assert!(
        !shown.contains('\x1b'),
        "a name drives no terminal: {shown:?}"
    );

    bob.run("files get project back").good();
    fs::remove_file(project.join("link")).unwrap();
    let same = Command::new("diff")
        .arg("-r")
        .arg(&project)
        .arg(bob.path("back"))
        .output()
        .unwrap();
    assert!(
        same.status.success(),
        "{}",
        String::from_utf8_lossy(&same.stdout)
    );
    assert_eq!(
        bob.names("back"),
        ["big", "deep", "program"],
        "nothing half made"
    );

    // One file: renamed, into a folder that is made, from stdin, to stdout.
    bob.run("files put project/program new/folder/run.sh")
        .good();
    bob.run("files get new/folder/run.sh").good();
    assert_eq!(fs::read(bob.path("run.sh")).unwrap(), b"#!/bin/sh\n");
    bob.run_with(&["files", "put", "-", "from-stdin"], b"hello\0there")
        .good();
    assert_eq!(bob.run("files get from-stdin -").good(), "hello\0there");
    // What leads out is refused here already; what is not there is told apart.
    assert_eq!(bob.run("files get ../x").code, 2);
    assert_eq!(bob.run("files get nothing").code, 3);
    assert_eq!(bob.run("files put nothing-here").code, 3);
    assert!(!bob.path("nothing").exists());
    // A folder is in the way of a file.
    assert_eq!(
        bob.run("files put project/program project/deep/er/").code,
        0
    );
    bob.run_with(&["files", "put", "-", "project/deep"], b"x");
    assert!(
        bob.run("files ls project/deep -o name")
            .good()
            .contains("er/")
    );

    // Only what differs moves, and the other way, too.
    let again = bob.run("files sync project project -n").good();
    assert_eq!(
        again.lines().filter(|line| !line.contains("not ")).count(),
        0,
        "{again}"
    );
    fs::write(project.join("big"), "small now").unwrap();
    fs::remove_file(project.join("program")).unwrap();
    bob.run("files sync project project --delete").good();
    assert_eq!(bob.run("files get project/big -").good(), "small now");
    assert_eq!(bob.run("files get project/program").code, 3);
    bob.run("files sync down project --down").good();
    assert_eq!(fs::read(bob.path("down/big")).unwrap(), b"small now");
    assert_eq!(bob.run("files sync down project --down -n").good(), "");
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_and_ctrl_c_leave_nothing_half_made() {
    let house = house_or_skip!();
    let workshop = house.class("Faults", 1).await;
    let bob = Person::new();
    bob.join(&house, &workshop.code, "Bob");
    let learner = house.join(&workshop.code, "x").await;
    assert!(learner.is_err(), "one seat only");
    // A file that takes a while, made there.
    let big = vec![7_u8; 96 << 20];
    bob.run_with(&["files", "put", "-", "big"], &big).good();

    // Ctrl-C in the middle: no file, nothing beside it.
    fs::create_dir(bob.path("in")).unwrap();
    let mut child = bob
        .command(&["files", "get", "big", "in/big"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until("a half made file", patience(), async || {
        let names = bob.names("in");
        names
            .iter()
            .any(|name| name.starts_with(".clarateach-download-"))
            .then_some(())
            .ok_or(names)
    })
    .await;
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let ended = child.wait().unwrap();
    // It may have been quicker than we were; then it is whole.
    match ended.code() {
        Some(130) => assert_eq!(bob.names("in"), [""; 0]),
        Some(0) => assert_eq!(bob.names("in"), ["big"]),
        other => panic!("ended with {other:?}"),
    }

    // A disk of this machine without room.
    let small = bob.path("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=1m", "none"])
        .arg(&small)
        .status()
        .unwrap();
    assert!(mounted.success());
    let full = bob.run("files get big small/big");
    let archive = bob.run("files get . small/all");
    let left = bob.names("small");
    let all = fs::read_dir(small.join("all"))
        .map(Iterator::count)
        .unwrap_or_default();
    Command::new("umount").arg(&small).status().unwrap();
    assert_eq!(
        (full.code, full.errors.contains("disk is full")),
        (1, true),
        "{}",
        full.errors
    );
    assert_eq!(archive.code, 1, "{}", archive.errors);
    assert!(
        archive.errors.contains("full") || archive.errors.contains("space"),
        "{}",
        archive.errors
    );
    assert_eq!((left, all), (vec!["all".to_owned()], 0));
    house.close();
}
