//! What a workshop's CA signs is accepted by rustls and by a strict openssl,
//! and nothing else is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{fs, net::IpAddr, process::Command, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use clarateach_certs::{
    ca::{Ca, Dialler},
    key::Key,
    tls,
};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

const NAME: &str = "ws-abcdefghij-w1.ws-abcdefghij.agent.clarateach.internal";
const HOUR: Duration = Duration::from_hours(1);

fn now() -> DateTime<Utc> {
    Utc::now()
}

fn ca() -> Ca {
    Ca::generate("ws-abcdefghij", now(), 48 * HOUR).unwrap()
}

/// The agent's side: asks every client for a certificate of `ca`.
fn agent(ca: &Ca) -> Arc<ServerConfig> {
    let key = Key::generate().unwrap();
    let request = key.request("agent").unwrap();
    let ips: [IpAddr; 1] = ["10.213.0.2".parse().unwrap()];
    let leaf = ca.sign_agent(&request, NAME, &ips, now(), HOUR).unwrap();
    let key = tls::certified(&leaf, &key.to_pem()).unwrap();
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(key));
    Arc::new(tls::server_for(ca.certificate_pem(), resolver).unwrap())
}

fn dialler(ca: &Ca, who: Dialler, shown_to: &Ca) -> Arc<ClientConfig> {
    let key = Key::generate().unwrap();
    let leaf = ca
        .sign_dialler(&key, who, "ws-abcdefghij", now(), HOUR)
        .unwrap();
    Arc::new(tls::client_with(shown_to.certificate_pem(), &leaf, &key.to_pem()).unwrap())
}

/// Shakes hands in memory; the URI the server saw.
fn shake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    name: &str,
) -> Result<Option<String>, rustls::Error> {
    let name = name.to_owned().try_into().unwrap();
    let mut client = ClientConnection::new(client, name)?;
    let mut server = ServerConnection::new(server)?;
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut read = wire.as_slice();
        while !read.is_empty() {
            server.read_tls(&mut read).unwrap();
        }
        server.process_new_packets()?;
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut read = wire.as_slice();
        while !read.is_empty() {
            client.read_tls(&mut read).unwrap();
        }
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    let peer = server.peer_certificates().and_then(|chain| chain.first());
    Ok(peer.and_then(tls::uri))
}

#[test]
fn the_control_plane_and_the_agent_know_each_other() {
    let ca = ca();
    for (who, uri) in [
        (
            Dialler::ControlPlane,
            "spiffe://clarateach/ws-abcdefghij/control-plane",
        ),
        (
            Dialler::Gateway,
            "spiffe://clarateach/ws-abcdefghij/gateway",
        ),
    ] {
        for name in [NAME, "10.213.0.2"] {
            let seen = shake(dialler(&ca, who, &ca), agent(&ca), name).unwrap();
            assert_eq!(seen.as_deref(), Some(uri));
        }
    }
}

#[test]
fn strangers_are_refused_in_the_handshake() {
    let (ca, other) = (ca(), ca2());
    let none = Arc::new(tls::client(ca.certificate_pem()).unwrap());
    let server_leaf_as_client = {
        let key = Key::generate().unwrap();
        let request = key.request("x").unwrap();
        let leaf = ca.sign_agent(&request, NAME, &[], now(), HOUR).unwrap();
        Arc::new(tls::client_with(ca.certificate_pem(), &leaf, &key.to_pem()).unwrap())
    };
    let expired = {
        let key = Key::generate().unwrap();
        let then = now() - 2 * HOUR;
        let leaf = ca
            .sign_dialler(&key, Dialler::ControlPlane, "ws-abcdefghij", then, HOUR)
            .unwrap();
        Arc::new(tls::client_with(ca.certificate_pem(), &leaf, &key.to_pem()).unwrap())
    };
    for (client, name, why) in [
        (none, NAME, "no certificate"),
        (
            dialler(&other, Dialler::ControlPlane, &ca),
            NAME,
            "another workshop's client",
        ),
        (
            dialler(&ca, Dialler::ControlPlane, &other),
            NAME,
            "another workshop's agent",
        ),
        (
            dialler(&ca, Dialler::ControlPlane, &ca),
            "10.213.0.3",
            "another address",
        ),
        (server_leaf_as_client, NAME, "an agent's leaf as client"),
        (expired, NAME, "an expired leaf"),
    ] {
        assert!(shake(client, agent(&ca), name).is_err(), "{why}");
    }
}

fn ca2() -> Ca {
    Ca::generate("ws-zzzzzzzzzz", now(), 48 * HOUR).unwrap()
}

#[test]
fn a_reloaded_ca_signs_like_the_first() {
    let first = ca();
    let again = Ca::from_pem(first.certificate_pem(), &first.key_pem()).unwrap();
    shake(
        dialler(&again, Dialler::Gateway, &first),
        agent(&first),
        NAME,
    )
    .unwrap();
}

#[test]
fn leaves_end_in_time_and_never_share_a_serial() {
    let now = now();
    let ca = Ca::generate("ws-abcdefghij", now, HOUR).unwrap();
    let key = Key::generate().unwrap();
    let leaf = |life| {
        ca.sign_dialler(&key, Dialler::Gateway, "ws-abcdefghij", now, life)
            .unwrap()
    };
    let long = leaf(1000 * HOUR);
    assert!(tls::expiry(&long).unwrap() <= tls::expiry(ca.certificate_pem()).unwrap());
    assert_ne!(leaf(HOUR), long);
    assert_ne!(leaf(HOUR), leaf(HOUR), "same key, same times, other serial");
}

#[test]
fn a_strict_openssl_accepts_the_chains() {
    let ca = ca();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("ca.pem"), ca.certificate_pem()).unwrap();
    let key = Key::generate().unwrap();
    let agent = ca
        .sign_agent(&key.request("a").unwrap(), NAME, &[], now(), HOUR)
        .unwrap();
    let client = ca
        .sign_dialler(&key, Dialler::ControlPlane, "ws-abcdefghij", now(), HOUR)
        .unwrap();
    for (leaf, purpose) in [(agent, "sslserver"), (client, "sslclient")] {
        fs::write(path("leaf.pem"), leaf).unwrap();
        let done = Command::new("openssl")
            .args(["verify", "-x509_strict", "-purpose", purpose, "-CAfile"])
            .args([path("ca.pem"), path("leaf.pem")])
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

#[test]
fn damaged_requests_are_refused() {
    let ca = ca();
    let good = Key::generate().unwrap().request("a").unwrap();
    let damaged = good.replacen('M', "N", 1);
    for bad in ["", "not pem", damaged.as_str()] {
        assert!(ca.sign_agent(bad, NAME, &[], now(), HOUR).is_err());
    }
}
