//! Hands every node what it needs to take part: who it is, whom to trust, and its own certificates.
//!
//! The profile's authority lies in the profile's directory on the host. The server node gets a copy, since it signs the
//! certificates of its own components; agents get certificates only. They are issued again at two thirds of their life.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use pki::{Authority, PkiError, Request};
use serde::{Deserialize, Serialize};

use crate::layout::ProfileDirs;
use crate::profile::{NodeSpec, Profile, Role, flag, write_atomically};
use crate::trouble::{Result, Trouble};

/// The file in a node's /var/lib/ironclad that says which node it is.
pub const NODE_FILE: &str = "node.json";
/// Directory of keys and certificates, beside it.
pub const PKI_DIR: &str = "pki";
/// The port of the API server on the server's own address.
pub const API_PORT: u16 = 6443;
/// The groups of every service account of kube-system.
pub const SERVICE_ACCOUNT_GROUPS: [&str; 2] = ["system:serviceaccounts", "system:serviceaccounts:kube-system"];

/// What a node's role reads when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfig {
    pub profile: String,
    pub node: String,
    pub role: Role,
    pub node_ip: IpAddr,
    /// Where agents find the API server.
    pub server: String,
}

impl NodeConfig {
    pub fn of(profile: &Profile, node: &NodeSpec) -> Result<Self> {
        Ok(Self {
            profile: profile.name.clone(),
            node: node.name.clone(),
            role: node.role,
            node_ip: IpAddr::V4(node.ip()),
            server: format!("https://{}:{API_PORT}", profile.server()?.ip()),
        })
    }

    /// Reads the file of the node that the calling process runs in.
    pub fn load(state: &Path) -> Result<Self> {
        let path = state.join(NODE_FILE);
        let bytes = std::fs::read(&path).map_err(|error| Trouble::file("read", &path, &error))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            Trouble::new(
                format!("{} is damaged: {error}", path.display()),
                "Type `ironclad start` on the host to write it anew.",
            )
        })
    }
}

/// The certificates of an agent: file name, and what is asked for.
fn agent_requests(node: &NodeSpec) -> [(&'static str, Request); 4] {
    [
        ("kubelet-client", Request::kubelet_client(&node.name)),
        ("kubelet-server", Request::kubelet_server(&node.name, &[IpAddr::V4(node.ip())])),
        ("kube-proxy", Request::client("system:kube-proxy", &["system:node-proxier"])),
        ("kube-dns", Request::client("system:serviceaccount:kube-system:kube-dns", &SERVICE_ACCOUNT_GROUPS)),
    ]
}

/// Addresses at which the API server is called.
pub fn api_addresses(node_ip: IpAddr) -> Vec<IpAddr> {
    vec![Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into(), node_ip, Ipv4Addr::new(10, 96, 0, 1).into()]
}

/// The profile's authority, made if there is none.
pub fn authority(dirs: &ProfileDirs, now: Timestamp) -> Result<Arc<Authority>> {
    Authority::load_or_create(&dirs.pki(), now).map(Arc::new).map_err(|error| pki_trouble(dirs, &error))
}

/// Writes the files of every node; repeats are cheap.
pub fn prepare(profile: &Profile, dirs: &ProfileDirs, authority: &Authority, now: Timestamp) -> Result<()> {
    for node in &profile.nodes {
        let lib = dirs.node(&node.name).lib();
        let pki = lib.join(PKI_DIR);
        std::fs::create_dir_all(&pki).map_err(|error| Trouble::file("make", &pki, &error))?;
        let config = serde_json::to_vec_pretty(&NodeConfig::of(profile, node)?).unwrap_or_default();
        write_if_changed(&lib.join(NODE_FILE), &config, 0o644)?;
        match node.role {
            Role::Server => {
                for (name, mode) in [("ca.key", 0o600), ("ca.crt", 0o644)] {
                    let from = dirs.pki().join(name);
                    let bytes = std::fs::read(&from).map_err(|error| Trouble::file("read", &from, &error))?;
                    write_if_changed(&pki.join(name), &bytes, mode)?;
                }
            }
            Role::Agent => {
                write_if_changed(&pki.join("ca.crt"), authority.certificate_pem().as_bytes(), 0o644)?;
                for (name, request) in agent_requests(node) {
                    issue_if_due(&pki, name, &request, authority, now)?;
                }
            }
        }
    }
    Ok(())
}

fn issue_if_due(pki: &Path, name: &str, request: &Request, authority: &Authority, now: Timestamp) -> Result<()> {
    let (certificate, key) = (pki.join(format!("{name}.crt")), pki.join(format!("{name}.key")));
    let source = pki::Source::Files { certificate: certificate.clone(), key: key.clone() };
    if pki::Identity::new(source, now).is_ok_and(|identity| now < identity.renew_at()) {
        return Ok(());
    }
    let issued = authority.issue(request, now);
    write_atomically(&key, issued.key_pem().as_bytes(), 0o600)?;
    write_atomically(&certificate, issued.certificate_pem().as_bytes(), 0o644)
}

fn write_if_changed(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) { Ok(()) } else { write_atomically(path, bytes, mode) }
}

fn pki_trouble(dirs: &ProfileDirs, error: &PkiError) -> Trouble {
    Trouble::new(
        format!("the certificate authority of cluster \"{}\" cannot be used: {error}", dirs.name),
        format!(
            "Restore {} from a backup, or type `ironclad delete{}` to begin anew.",
            dirs.pki().display(),
            flag(&dirs.name)
        ),
    )
}
