//! Files over WebDAV, JSON and tar, seen from a plain HTTP client.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

mod common;

use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    process::Command,
};

use common::{Guest, is_root, learner, skipped};
use serde_json::Value;

#[tokio::test]
async fn a_file_goes_up_and_comes_down_whole_in_part_and_only_if() {
    let guest = Guest::start().await;
    let content: Vec<u8> = (0..=255).cycle().take(3_000_000).collect();
    let (put, _) = guest
        .dav("PUT", "/a%20file.bin", &[], content.clone())
        .await;
    assert_eq!(put.status(), 201);
    let path = guest.workspace().join("a file.bin");
    let meta = std::fs::metadata(&path).unwrap();
    assert_eq!((meta.uid(), meta.gid()), learner());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let (get, body) = guest.dav("GET", "/a%20file.bin", &[], "").await;
    assert_eq!(get.status(), 200);
    assert!(body == content);
    assert_eq!(get.headers()["x-content-type-options"], "nosniff");
    let etag = get.headers()["etag"].to_str().unwrap().to_owned();
    let (part, body) = guest
        .dav("GET", "/a%20file.bin", &[("range", "bytes=10-19")], "")
        .await;
    assert_eq!(part.status(), 206);
    assert!(body == content[10..20]);
    let (same, _) = guest
        .dav("GET", "/a%20file.bin", &[("if-none-match", &etag)], "")
        .await;
    assert_eq!(same.status(), 304);
    let (new, _) = guest
        .dav("PUT", "/a%20file.bin", &[("if-none-match", "*")], "x")
        .await;
    assert_eq!(new.status(), 412);
    let (fits, _) = guest
        .dav("PUT", "/a%20file.bin", &[("if-match", &etag)], "second")
        .await;
    assert_eq!(fits.status(), 204);
    let (stale, _) = guest
        .dav("PUT", "/a%20file.bin", &[("if-match", &etag)], "third")
        .await;
    assert_eq!(stale.status(), 412);
    assert_eq!(std::fs::read(&path).unwrap(), b"second");
    assert_eq!(
        std::fs::metadata(&path).unwrap().mode() & 0o777,
        0o755,
        "it stays executable"
    );
    let left: Vec<_> = std::fs::read_dir(guest.workspace()).unwrap().collect();
    assert_eq!(left.len(), 1, "no half-made files");
}

#[tokio::test]
async fn nothing_outside_the_workspace_can_be_named() {
    let guest = Guest::start().await;
    let workspace = guest.workspace();
    let outside = guest.home().join("secret");
    std::fs::write(&outside, "secret").unwrap();
    std::fs::set_permissions(&outside, std::fs::Permissions::from_mode(0o666)).unwrap();
    symlink("../secret", workspace.join("up")).unwrap();
    symlink("/etc", workspace.join("etc")).unwrap();
    symlink("inner.txt", workspace.join("fine")).unwrap();
    std::fs::write(workspace.join("inner.txt"), "inner").unwrap();
    std::os::unix::fs::chown(workspace.join("inner.txt"), Some(learner().0), None).unwrap();
    for (method, path, wanted) in [
        ("GET", "/../secret", 403),
        ("GET", "/%2e%2e/secret", 403),
        ("GET", "/a%2f..%2f..%2fsecret", 400),
        ("GET", "/a%00b", 400),
        ("GET", "/up", 403),
        ("GET", "/etc/passwd", 403),
        ("PUT", "/up", 403),
        ("PUT", "/etc/new", 403),
        ("MKCOL", "/etc/new", 403),
        ("DELETE", "/etc/passwd", 403),
        ("GET", "/?archive=tar&", 200),
        ("GET", "/etc?archive=tar", 403),
        ("GET", "/fine", 200),
    ] {
        let (response, body) = guest.dav(method, path, &[], "").await;
        assert_eq!(
            response.status(),
            wanted,
            "{method} {path}: {:?}",
            String::from_utf8_lossy(&body)
        );
        assert!(
            wanted == 200 || !body.windows(6).any(|part| part == b"secret"),
            "{method} {path}"
        );
    }
    let prefix = ("x-forwarded-prefix", "/proxy/ws-a/3/files");
    for (destination, wanted) in [
        ("http://h/proxy/ws-a/3/files/copy", 201),
        ("http://h/proxy/ws-a/4/files/copy", 403),
        ("http://h/copy", 403),
        ("http://h/proxy/ws-a/3/files/../../4/files/copy", 403),
        ("http://h/proxy/ws-a/3/files/up", 204),
    ] {
        let (response, _) = guest
            .dav(
                "COPY",
                "/inner.txt",
                &[prefix, ("destination", destination)],
                "",
            )
            .await;
        assert_eq!(response.status(), wanted, "{destination}");
    }
    assert_eq!(std::fs::read(&outside).unwrap(), b"secret");
    // writing through a link that stays inside reaches what it leads to
    let (put, _) = guest.dav("PUT", "/fine", &[], "through").await;
    assert_eq!(put.status(), 204);
    assert_eq!(
        std::fs::read(workspace.join("inner.txt")).unwrap(),
        b"through"
    );
    assert!(workspace.join("fine").is_symlink());
}

#[tokio::test]
async fn the_kernel_checks_as_for_the_learner() {
    if !is_root() {
        return skipped("needs root, to make files that the learner may not touch");
    }
    let guest = Guest::start().await;
    let theirs = guest.workspace().join("roots");
    std::fs::create_dir(&theirs).unwrap();
    std::fs::write(theirs.join("file"), "of root").unwrap();
    std::fs::set_permissions(theirs.join("file"), std::fs::Permissions::from_mode(0o600)).unwrap();
    for (method, path) in [
        ("GET", "/roots/file"),
        ("PUT", "/roots/file"),
        ("PUT", "/roots/new"),
        ("DELETE", "/roots/file"),
        ("COPY", "/roots/file"),
    ] {
        let (response, _) = guest
            .dav(method, path, &[("destination", "/copy")], "")
            .await;
        assert!(
            [403, 207].contains(&response.status().as_u16()),
            "{method} {path}: {}",
            response.status()
        );
    }
    assert_eq!(std::fs::read(theirs.join("file")).unwrap(), b"of root");
    assert!(
        !guest.workspace().join("copy").exists(),
        "the pool's threads are no root either"
    );
}

#[tokio::test]
async fn a_full_disk_says_so_and_keeps_the_old_file() {
    if !is_root() {
        return skipped("needs root, to mount a small file system");
    }
    let guest = Guest::start().await;
    let small = Small::mount(&guest.workspace());
    let (put, _) = guest.dav("PUT", "/work", &[], "old content").await;
    assert_eq!(put.status(), 201);
    let (full, body) = guest
        .dav("PUT", "/work", &[], vec![7; 8 * 1024 * 1024])
        .await;
    assert_eq!(full.status(), 507);
    assert!(String::from_utf8_lossy(&body).contains("DISK_FULL"));
    let (_, body) = guest.dav("GET", "/work", &[], "").await;
    assert_eq!(&body[..], b"old content");
    let (again, _) = guest.dav("PUT", "/other", &[], vec![7; 1024 * 1024]).await;
    assert_eq!(again.status(), 201, "the failed upload gave its room back");
    drop(small);
}

/// A file system of 4 MiB; gone with this guard.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(path: &std::path::Path) -> Self {
        let (uid, gid) = learner();
        let done = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size=4m,uid={uid},gid={gid}"),
                "ctdev-guest",
            ])
            .arg(path)
            .status()
            .unwrap();
        assert!(done.success());
        Self(path.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_changes_nothing() {
    use tokio::io::AsyncWriteExt as _;
    let guest = Guest::start().await;
    guest.dav("PUT", "/work", &[], "old content").await;
    let mut stream = tokio::net::TcpStream::connect(&guest.files).await.unwrap();
    let head = format!(
        "PUT /work HTTP/1.1\r\nhost: g\r\nclarateach-secret: {}\r\ncontent-length: 1000000\r\n\r\nhalf",
        common::SECRET
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    drop(stream);
    let until = std::time::Instant::now() + common::PATIENCE;
    while std::fs::read_dir(guest.workspace()).unwrap().count() > 1 {
        assert!(std::time::Instant::now() < until, "half an upload stays");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(
        std::fs::read(guest.workspace().join("work")).unwrap(),
        b"old content"
    );
}

#[tokio::test]
async fn hrefs_and_listings_say_what_is_there() {
    let guest = Guest::start().await;
    guest.dav("MKCOL", "/dir", &[], "").await;
    guest.dav("PUT", "/dir/z.txt", &[], "zz").await;
    symlink("z.txt", guest.workspace().join("dir/link")).unwrap();
    let headers = [
        ("depth", "1"),
        ("x-forwarded-prefix", "/proxy/ws-a/3/files"),
    ];
    let (response, body) = guest.dav("PROPFIND", "/dir/", &headers, "").await;
    assert_eq!(response.status(), 207);
    let text = String::from_utf8_lossy(&body);
    assert!(
        text.contains("<D:href>/proxy/ws-a/3/files/dir/z.txt</D:href>"),
        "{text}"
    );
    let (response, body) = guest
        .dav("GET", "/dir", &[("accept", "application/json")], "")
        .await;
    assert_eq!(response.status(), 200);
    let listing: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(listing["path"], "/dir");
    assert_eq!(listing["next_page_token"], "");
    let entries = listing["entries"].as_array().unwrap();
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| {
            (
                entry["name"].as_str().unwrap(),
                entry["type"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(seen, [("link", "symlink"), ("z.txt", "file")]);
    assert_eq!(entries[1]["size"], 2);
    let (get, _) = guest.dav("GET", "/dir/z.txt", &[], "").await;
    assert_eq!(entries[1]["etag"], get.headers()["etag"].to_str().unwrap());
}

#[tokio::test]
async fn a_folder_comes_as_a_tar_that_tar_unpacks() {
    let guest = Guest::start().await;
    let deep = format!("/{}", "long-folder-name-".repeat(10));
    guest.dav("MKCOL", &deep, &[], "").await;
    guest
        .dav("PUT", &format!("{deep}/file"), &[], vec![1; 300_000])
        .await;
    symlink("/etc", guest.workspace().join("link")).unwrap();
    let (response, tar) = guest.dav("GET", "/?archive=tar", &[], "").await;
    assert_eq!(response.headers()["content-type"], "application/x-tar");
    let unpacked = tempfile::tempdir().unwrap();
    tar::Archive::new(&tar[..]).unpack(unpacked.path()).unwrap();
    let root = unpacked.path().join("workspace");
    assert_eq!(
        std::fs::read(root.join(&deep[1..]).join("file")).unwrap(),
        vec![1; 300_000]
    );
    assert!(root.join("link").is_symlink());
    let form = format!("token=x&path={}/file", &deep[1..]);
    let (response, body) = guest.dav("POST", "/download", &[], form).await;
    assert_eq!(response.status(), 200);
    assert!(
        response.headers()["content-disposition"]
            .to_str()
            .unwrap()
            .starts_with("attachment")
    );
    assert_eq!(body.len(), 300_000);
    let (response, _) = guest
        .dav("POST", "/download", &[], "path=/&archive=tar")
        .await;
    assert_eq!(response.headers()["content-type"], "application/x-tar");
    let (response, _) = guest.dav("POST", "/download", &[], "path=../secret").await;
    assert_eq!(response.status(), 403);
}

#[tokio::test]
async fn what_clients_note_on_a_file_goes_with_it() {
    let guest = Guest::start().await;
    guest.dav("PUT", "/a", &[], "1").await;
    let patch = r#"<propertyupdate xmlns="DAV:"><set><prop><x:mark xmlns:x="urn:x">kept &amp; found</x:mark></prop></set></propertyupdate>"#;
    let (response, body) = guest.dav("PROPPATCH", "/a", &[], patch).await;
    assert_eq!(response.status(), 207);
    assert!(
        String::from_utf8_lossy(&body).contains("200 OK"),
        "{body:?}"
    );
    guest.dav("PUT", "/a", &[], "2").await;
    guest.dav("COPY", "/a", &[("destination", "/b")], "").await;
    guest.dav("MOVE", "/a", &[("destination", "/c")], "").await;
    let find = r#"<propfind xmlns="DAV:"><prop><mark xmlns="urn:x"/></prop></propfind>"#;
    for path in ["/b", "/c"] {
        let (_, body) = guest.dav("PROPFIND", path, &[("depth", "0")], find).await;
        assert!(
            String::from_utf8_lossy(&body).contains("kept &amp; found"),
            "{path}: {body:?}"
        );
    }
}

#[tokio::test]
async fn a_workspace_made_anew_is_served_and_an_observer_gets_nothing() {
    let guest = Guest::start().await;
    std::fs::remove_dir(guest.workspace()).unwrap();
    std::fs::create_dir(guest.workspace()).unwrap();
    std::os::unix::fs::chown(guest.workspace(), Some(learner().0), None).unwrap();
    assert_eq!(guest.dav("PUT", "/a", &[], "1").await.0.status(), 201);
    let (response, _) = guest
        .dav("GET", "/a", &[("clarateach-viewer", "x;observe")], "")
        .await;
    assert_eq!(response.status(), 403);
    std::fs::remove_dir_all(guest.workspace()).unwrap();
    symlink("/etc", guest.workspace()).unwrap();
    let (response, _) = guest.dav("GET", "/passwd", &[], "").await;
    assert_eq!(response.status(), 403);
}

#[tokio::test]
async fn large_files_pass_without_growing_the_guest() {
    let guest = Guest::start().await;
    let content = vec![42; 200_000_000];
    assert_eq!(
        guest.dav("PUT", "/large", &[], content).await.0.status(),
        201
    );
    let (_, body) = guest.dav("GET", "/large", &[], "").await;
    assert_eq!(body.len(), 200_000_000);
    let status = std::fs::read_to_string(format!("/proc/{}/status", guest.pid())).unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    let peak: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(peak < 40_000, "{peak} KiB at the peak");
}
