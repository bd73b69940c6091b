//! The authority and its certificates, as their users meet them: on disk, in TLS, over years.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use pki::{Authority, Identity, Request, Source, Subject, client_config, server_config, subject_of};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection};

fn start() -> Timestamp {
    // The verifiers of rustls ask the machine's clock, so these tests begin "now".
    stdx::Clock::now(&stdx::SystemClock)
}

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("pki-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn an_authority_is_the_same_after_a_restart_and_keeps_its_key_secret() {
    let directory = Directory::new("restart");
    let first = Authority::load_or_create(&directory.0, start()).unwrap();
    let second = Authority::load_or_create(&directory.0, start()).unwrap();
    assert_eq!(first.certificate_pem(), second.certificate_pem());
    let mode = |name: &str| fs::metadata(directory.0.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("ca.key"), mode("ca.crt")), (0o600, 0o644));
}

#[test]
fn what_is_wrong_with_the_files_is_said_by_name() {
    let directory = Directory::new("wrong");
    let path = |name: &str| directory.0.join(name);
    let error = || {
        Authority::load_or_create(&directory.0, start())
            .unwrap_err()
            .to_string()
            .replace(directory.0.to_str().unwrap(), "")
    };
    Authority::load_or_create(&directory.0, start()).unwrap();
    let key = fs::read(path("ca.key")).unwrap();

    fs::remove_file(path("ca.key")).unwrap();
    assert_eq!(
        error(),
        "/ca.key is missing although /ca.crt is there: restore it, or remove both to make a new identity"
    );
    fs::write(path("ca.key"), pki::Key::generate().to_pem()).unwrap();
    assert_eq!(error(), "/ca.key does not belong to /ca.crt");
    fs::write(path("ca.key"), "nothing").unwrap();
    assert!(error().starts_with("/ca.key is corrupt: "), "{}", error());
    fs::write(path("ca.key"), &key).unwrap();
    fs::write(path("ca.crt"), "nothing").unwrap();
    assert!(error().starts_with("/ca.crt is corrupt: "), "{}", error());

    // A creation that was cut short after the key is finished.
    fs::remove_file(path("ca.crt")).unwrap();
    Authority::load_or_create(&directory.0, start()).unwrap();
    let late = start() + SignedDuration::from_hours(11 * 365 * 24);
    assert!(Authority::load(&directory.0, late).unwrap_err().to_string().contains("/ca.crt expired at "));
}

#[test]
fn a_client_certificate_keeps_all_its_groups() {
    let authority = Authority::ephemeral(start());
    let issued = authority.issue(&Request::client("bob", &["g1", "g2", "g3"]), start());
    assert_eq!(subject_of(&issued.certificate).unwrap(), Subject::new("bob", &["g1", "g2", "g3"]));
}

/// Runs a handshake in memory; gives the groups that the server saw, or the error.
fn handshake(
    server: &Arc<rustls::ServerConfig>,
    client: &Arc<rustls::ClientConfig>,
    name: &str,
) -> Result<Option<Subject>, String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets().map_err(|why| why.to_string())?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets().map_err(|why| why.to_string())?;
    }
    Ok(server.peer_certificates().map(|chain| subject_of(&chain[0]).unwrap()))
}

#[test]
fn two_sides_recognise_each_other_and_nobody_else() {
    let now = start();
    let authority = Arc::new(Authority::ephemeral(now));
    let stranger = Arc::new(Authority::ephemeral(now));
    let request = Request::apiserver(&[Ipv4Addr::new(10, 96, 0, 1).into()]);
    let serving = Identity::issued(&authority, request, now).unwrap();
    let server = Arc::new(server_config(serving, authority.certificate(), &["h2"]).unwrap());
    let client = |of: &Arc<Authority>| {
        let identity = Identity::issued(of, Request::kubelet_client("n1"), now).unwrap();
        Arc::new(client_config(authority.certificate(), Some(identity), &["h2"]).unwrap())
    };
    let known = Ok(Some(Subject::new("system:node:n1", &["system:nodes"])));
    assert_eq!(handshake(&server, &client(&authority), "kubernetes.default.svc"), known);
    assert_eq!(handshake(&server, &client(&authority), "10.96.0.1"), known);
    assert!(handshake(&server, &client(&authority), "10.96.0.2").is_err());
    assert!(handshake(&server, &client(&stranger), "kubernetes").is_err());
    let anonymous = Arc::new(client_config(authority.certificate(), None, &["h2"]).unwrap());
    assert_eq!(handshake(&server, &anonymous, "localhost"), Ok(None));
}

#[test]
fn an_identity_renews_itself_at_two_thirds_of_its_life_while_in_use() {
    let now = start();
    let authority = Arc::new(Authority::ephemeral(now));
    let lifetime = SignedDuration::from_hours(30);
    let identity = Identity::issued(&authority, Request::client("c", &[]).with_lifetime(lifetime), now).unwrap();
    let first = identity.certificate();

    let (next, renewed) = identity.renew_if_due(now + SignedDuration::from_hours(19));
    assert!(!renewed.unwrap());
    assert_eq!((identity.certificate(), next), (first.clone(), identity.renew_at()));

    let later = now + SignedDuration::from_hours(21);
    let (next, renewed) = identity.renew_if_due(later);
    assert!(renewed.unwrap());
    assert_ne!(identity.certificate(), first);
    assert!(identity.not_after() > later + SignedDuration::from_hours(29) && next < identity.not_after());
}

#[test]
fn identities_from_files_follow_the_files_and_survive_a_bad_one() {
    let directory = Directory::new("files");
    let now = start();
    let authority = Authority::ephemeral(now);
    let (certificate, key) = (directory.0.join("c.crt"), directory.0.join("c.key"));
    let write = |at| {
        let issued = authority.issue(&Request::client("c", &[]), at);
        pki::write_atomically(&certificate, issued.certificate_pem().as_bytes(), 0o644).unwrap();
        pki::write_atomically(&key, issued.key_pem().as_bytes(), 0o600).unwrap();
    };
    write(now);
    let source = Source::Files { certificate: certificate.clone(), key: key.clone() };
    let identity = Identity::new(source, now).unwrap();
    let first = identity.certificate();
    let later = identity.renew_at();

    fs::write(&key, pki::Key::generate().to_pem()).unwrap();
    let (next, renewed) = identity.renew_if_due(later);
    assert!(renewed.unwrap_err().to_string().ends_with("c.crt"));
    assert_eq!((identity.certificate(), next), (first.clone(), later + SignedDuration::from_mins(1)));

    write(later);
    assert!(identity.renew_if_due(next).1.unwrap());
    assert_ne!(identity.certificate(), first);
}
