//! docs/operators.md is true: its lines are run, one after the other.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop"
)]

use std::{fmt::Write as _, path::Path, process::Command};

use clarateach_e2e::{House, house::binary, house_or_skip};

/// The page's blocks of shell, in order; those that are `grpcurl`'s are marked `bash`.
fn blocks(page: &str, grpcurl: bool) -> Vec<&str> {
    page.split("\n```")
        .skip(1)
        .step_by(2)
        .filter_map(|block| {
            let (kind, text) = block.split_once('\n')?;
            (kind == "sh" || (grpcurl && kind == "bash")).then_some(text)
        })
        .collect()
}

/// One script: every line is shown before it is run, and the first that fails ends it.
fn script(page: &str, house: &House, grpcurl: bool) -> String {
    let mut script = "set -eo pipefail\nset -x\n".to_owned();
    for block in blocks(page, grpcurl) {
        if block.starts_with("URL=") {
            let data = house.data();
            writeln!(script, "URL={} DATA={}", house.url, data.display()).unwrap();
        } else {
            script += block;
            script.push('\n');
        }
    }
    let runtime = clarateach_e2e::house::runtime().as_str_name();
    script.replace("RUNTIME_CONTAINER", runtime)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_the_page_does_what_it_says() {
    if let Some(why) = missing(&["buf", "jq", "curl"]) {
        return println!("SKIPPED: {why}");
    }
    let house = house_or_skip!();
    run(&house, false);
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_lines_do_the_same_with_grpcurl() {
    if let Some(why) = missing(&["grpcurl", "buf", "jq", "curl"]) {
        return println!("SKIPPED: {why}");
    }
    let house = house_or_skip!();
    run(&house, true);
    house.close();
}

fn missing(programs: &[&str]) -> Option<String> {
    let runs = |name: &&&str| Command::new(name).arg("--version").output().is_ok();
    let absent = programs.iter().find(|name| !runs(name))?;
    Some(format!("needs {absent}: scripts/test.sh installs it"))
}

fn run(house: &House, grpcurl: bool) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operators.md");
    let page = std::fs::read_to_string(page).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bin = binary("clarateach-server");
    #[allow(clippy::disallowed_methods, reason = "a test hands its path on")]
    let path = std::env::var("PATH").unwrap();
    let done = Command::new("bash")
        .arg("-c")
        .arg(script(&page, house, grpcurl))
        .current_dir(folder.path())
        .env(
            "PATH",
            format!("{}:{path}", bin.parent().unwrap().display()),
        )
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    println!("{}\n{said}", String::from_utf8_lossy(&done.stdout));
    assert!(done.status.success(), "{said}");
}

#[test]
fn every_call_of_the_schema_is_on_the_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = std::fs::read_to_string(root.join("docs/operators.md")).unwrap();
    let schema = root.join("proto/clarateach/workshop/v1/workshop.proto");
    let schema = std::fs::read_to_string(schema).unwrap();
    let calls = schema
        .lines()
        .filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next());
    for call in calls {
        assert!(page.contains(call), "{call} is not on the page");
    }
}
