//! Certificates: what is asked for, and the X.509 that is made of it.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::pki_types::CertificateDer;

use crate::der::{self, Der};
use crate::key::{Key, pem};
use crate::subject::Subject;

/// Clocks of other machines may be a little behind ours.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);

const ID_COMMON_NAME: &[u32] = &[2, 5, 4, 3];
const ID_ORGANIZATION: &[u32] = &[2, 5, 4, 10];
const ID_ECDSA_SHA256: &[u32] = &[1, 2, 840, 10045, 4, 3, 2];
const ID_SERVER_AUTH: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];
const ID_CLIENT_AUTH: &[u32] = &[1, 3, 6, 1, 5, 5, 7, 3, 2];

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Authority,
    Server,
    Client,
    /// Of the members of a cluster, which call each other.
    Peer,
}

/// A certificate that somebody wants.
#[derive(Clone, Debug)]
pub struct Request {
    pub subject: Subject,
    pub usage: Usage,
    pub dns_names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub lifetime: SignedDuration,
}

impl Request {
    /// The identity of a user or component: `organizations` are its groups.
    pub fn client(common_name: &str, organizations: &[&str]) -> Self {
        Self {
            subject: Subject::new(common_name, organizations),
            usage: Usage::Client,
            dns_names: Vec::new(),
            addresses: Vec::new(),
            lifetime: Self::LIFETIME,
        }
    }

    /// The identity of a server that answers under these names and addresses.
    pub fn server(common_name: &str, dns_names: &[&str], addresses: &[IpAddr]) -> Self {
        Self {
            subject: Subject::new(common_name, &[]),
            usage: Usage::Server,
            dns_names: dns_names.iter().map(|name| (*name).to_owned()).collect(),
            addresses: addresses.to_vec(),
            lifetime: Self::LIFETIME,
        }
    }

    /// A member of a cluster whose members call each other under these names and addresses.
    pub fn peer(common_name: &str, dns_names: &[&str], addresses: &[IpAddr]) -> Self {
        Self { usage: Usage::Peer, ..Self::server(common_name, dns_names, addresses) }
    }

    /// The API server: the names by which pods and people call it, and `addresses` (its Service IP among them).
    pub fn apiserver(addresses: &[IpAddr]) -> Self {
        let names = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
        ];
        Self::server("kube-apiserver", &names, addresses)
    }

    /// A kubelet, as the API server calls it.
    pub fn kubelet_server(node: &str, addresses: &[IpAddr]) -> Self {
        Self::server(&format!("system:node:{node}"), &[node], addresses)
    }

    /// A kubelet, as it calls the API server.
    pub fn kubelet_client(node: &str) -> Self {
        Self::client(&format!("system:node:{node}"), &["system:nodes"])
    }

    pub fn with_lifetime(mut self, lifetime: SignedDuration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// One year.
    pub const LIFETIME: SignedDuration = SignedDuration::from_hours(365 * 24);
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Issued {
    pub certificate: CertificateDer<'static>,
    pub key: Key,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

impl Issued {
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    pub fn key_pem(&self) -> String {
        self.key.to_pem()
    }

    /// When two thirds of the lifetime are over.
    pub fn renew_at(&self) -> Timestamp {
        renew_at(self.not_before, self.not_after)
    }
}

pub(crate) fn renew_at(not_before: Timestamp, not_after: Timestamp) -> Timestamp {
    not_before + not_before.duration_until(not_after) * 2 / 3
}

/// Who signs.
pub(crate) struct Signer<'a> {
    pub name: &'a Subject,
    pub key: &'a Key,
    /// Nothing that it signs outlives it.
    pub not_after: Timestamp,
}

/// Signs a certificate for `key`.
pub(crate) fn sign(request: &Request, key: Key, signer: Option<&Signer<'_>>, now: Timestamp) -> Issued {
    let not_before = now - BACKDATE;
    let wanted = now + request.lifetime;
    let not_after = signer.map_or(wanted, |signer| wanted.min(signer.not_after));
    let (issuer, issuer_key) = signer.map_or((&request.subject, &key), |signer| (signer.name, signer.key));
    let algorithm = der::sequence(&[der::oid(ID_ECDSA_SHA256)]);
    let body = der::sequence(&[
        der::explicit(0, &der::unsigned(&[2])),
        der::unsigned(&serial()),
        algorithm.clone(),
        name(issuer),
        der::sequence(&[der::time(not_before), der::time(not_after)]),
        name(&request.subject),
        key.spki(),
        der::explicit(3, &der::sequence(&extensions(request, &key, issuer_key))),
    ]);
    let signature = issuer_key.sign(&body);
    let certificate = der::sequence(&[body, algorithm, der::bits(&signature, 0)]);
    Issued { certificate: certificate.into(), key, not_before, not_after }
}

/// Random, so that no two certificates of one issuer share it.
fn serial() -> [u8; 16] {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).expect("invariant: the operating system hands out random bytes");
    serial[0] &= 0x7f;
    serial
}

fn name(subject: &Subject) -> Der {
    let part = |id: &[u32], text: &str| der::set(&[der::sequence(&[der::oid(id), der::utf8(text)])]);
    let organizations = subject.organizations.iter().map(|organization| part(ID_ORGANIZATION, organization));
    let parts: Vec<Der> = organizations.chain([part(ID_COMMON_NAME, &subject.common_name)]).collect();
    der::sequence(&parts)
}

fn extensions(request: &Request, key: &Key, issuer_key: &Key) -> Vec<Der> {
    let is_authority = request.usage == Usage::Authority;
    // digitalSignature; for an authority keyCertSign and cRLSign too.
    let key_usage = if is_authority { der::bits(&[0x86], 1) } else { der::bits(&[0x80], 7) };
    let constraints = if is_authority { der::sequence(&[der::boolean(true)]) } else { der::sequence(&[]) };
    let mut list = vec![
        extension(&[2, 5, 29, 15], true, &key_usage),
        extension(&[2, 5, 29, 19], true, &constraints),
        extension(&[2, 5, 29, 35], false, &der::sequence(&[der::implicit(0, &key_id(issuer_key))])),
    ];
    let purposes: &[&[u32]] = match request.usage {
        Usage::Authority => &[],
        Usage::Server => &[ID_SERVER_AUTH],
        Usage::Client => &[ID_CLIENT_AUTH],
        Usage::Peer => &[ID_SERVER_AUTH, ID_CLIENT_AUTH],
    };
    let purposes: Vec<Der> = purposes.iter().map(|purpose| der::oid(purpose)).collect();
    match purposes.is_empty() {
        false => list.push(extension(&[2, 5, 29, 37], false, &der::sequence(&purposes))),
        true => list.push(extension(&[2, 5, 29, 14], false, &der::octets(&key_id(key)))),
    }
    let names = request.dns_names.iter().map(|name| der::dns_name(name));
    let names: Vec<Der> = names.chain(request.addresses.iter().map(|address| der::ip_name(*address))).collect();
    if !names.is_empty() {
        list.push(extension(&[2, 5, 29, 17], false, &der::sequence(&names)));
    }
    list
}

fn extension(id: &[u32], critical: bool, value: &[u8]) -> Der {
    let mut parts = vec![der::oid(id)];
    if critical {
        parts.push(der::boolean(true));
    }
    parts.push(der::octets(value));
    der::sequence(&parts)
}

fn key_id(key: &Key) -> Vec<u8> {
    digest(&SHA256, key.public()).as_ref()[..20].to_vec()
}
