//! What the command line says of itself, and what it keeps: no server needed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
};

fn run(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_clarateach"))
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn shells_can_read_the_completions() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let done = run(home.path(), &["completion", shell]);
        let text = String::from_utf8(done.stdout).unwrap();
        for word in ["collect", "doctor", "egress", "--output"] {
            assert!(
                text.contains(word) || text.contains(&word[2..]),
                "{shell}: {word}"
            );
        }
    }
    let bash = run(home.path(), &["completion", "bash"]);
    let file = home.path().join("completion");
    std::fs::write(&file, bash.stdout).unwrap();
    let read = Command::new("bash").arg("-n").arg(&file).status().unwrap();
    assert!(read.success());
}

#[test]
fn every_verb_has_a_manual_page() {
    let home = tempfile::tempdir().unwrap();
    let pages = home.path().join("man1");
    let done = run(home.path(), &["man", "--out", pages.to_str().unwrap()]);
    assert!(done.status.success());
    for page in [
        "clarateach",
        "clarateach-workshop-collect",
        "clarateach-files-sync",
        "clarateach-token-create",
    ] {
        let text = std::fs::read_to_string(pages.join(format!("{page}.1"))).unwrap();
        assert!(text.starts_with(".ie"), "{page}: {}", &text[..40]);
        assert!(
            text.contains("Example") || page == "clarateach",
            "{page} has no example"
        );
    }
    let main = String::from_utf8(run(home.path(), &["man"]).stdout).unwrap();
    assert!(main.contains("Exit codes"));
}

#[test]
fn help_says_every_exit_code() {
    let home = tempfile::tempdir().unwrap();
    let done = run(home.path(), &["--help"]);
    let text = String::from_utf8(done.stdout).unwrap();
    for code in [
        "0 done",
        "3 not found",
        "8 the workshop failed",
        "130 ended by Ctrl-C",
    ] {
        assert!(text.contains(code), "{code}: {text}");
    }
}

#[test]
fn a_login_that_others_can_read_is_not_used() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".config/clarateach/login.json");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(
        &file,
        r#"{"url":"http://127.0.0.1:9","token":"secret-token"}"#,
    )
    .unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let done = run(home.path(), &["workshop", "list"]);
    let text = String::from_utf8(done.stderr).unwrap();
    assert_eq!(
        (done.status.code(), text.contains("can be read by others")),
        (Some(4), true),
        "{text}"
    );
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let done = run(home.path(), &["workshop", "list"]);
    let text = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(6), "nobody answers there: {text}");
    assert!(!text.contains("secret-token"), "{text}");
    std::fs::write(&file, "{").unwrap();
    let done = run(home.path(), &["workshop", "list"]);
    let text = String::from_utf8(done.stderr).unwrap();
    assert!(text.contains("clarateach logout"), "{text}");
    assert!(run(home.path(), &["logout"]).status.success());
    assert!(!file.exists());
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let home = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_clarateach");
    let done = Command::new("bash")
        .arg("-c")
        .arg(format!(
            "set -o pipefail; {program} completion zsh | head -n 1"
        ))
        .env("HOME", home.path())
        .output()
        .unwrap();
    let text = String::from_utf8(done.stderr).unwrap();
    assert_eq!((done.status.code(), text.as_str()), (Some(0), ""));
}

#[test]
fn the_doctor_names_the_step_that_fails() {
    let home = tempfile::tempdir().unwrap();
    // Bound and closed again: nobody answers there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let gone = format!("http://{address}");
    for (server, line) in [
        (gone.as_str(), "FAILS  tcp"),
        ("https://no.such.name.invalid", "FAILS  name"),
        ("http://192.0.2.1", "FAILS  server"),
    ] {
        let done = run(home.path(), &["doctor", "--server", server]);
        let text = String::from_utf8(done.stdout).unwrap();
        assert_eq!(done.status.code(), Some(1), "{text}");
        assert!(text.contains(line), "{server}: {text}");
    }
}
