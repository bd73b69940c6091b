//! Hands every node what it needs to take part: who it is, whom to trust, and its own certificates.
//!
//! The profile's authority lies in the profile's directory on the host. Servers get a copy, since they sign the
//! certificates of their own components; agents get certificates only. They are issued again at two thirds of their life.
//! The store has an authority of its own: with a certificate of the cluster's, as each kubelet has, nobody may read it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use pki::{Authority, PkiError, Request, TokenKey};
use serde::{Deserialize, Serialize};

use crate::driver::member;
use crate::layout::ProfileDirs;
use crate::profile::{Datastore, NodeSpec, Profile, Role, flag, write_atomically};
use crate::trouble::{Result, Trouble};

/// The file in a node's /var/lib/ironclad that says which node it is.
pub const NODE_FILE: &str = "node.json";
/// Directory of keys and certificates, beside it.
pub const PKI_DIR: &str = "pki";
/// The port of the API server on the server's own address.
pub const API_PORT: u16 = 6443;
/// In [`PKI_DIR`] of a server: how it is known to etcd, and how its member is known to others.
pub const ETCD_DIR: &str = "etcd";
/// The groups of every service account of kube-system.
pub const SERVICE_ACCOUNT_GROUPS: [&str; 2] = ["system:serviceaccounts", "system:serviceaccounts:kube-system"];

/// What a node's role reads when it starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeConfig {
    pub profile: String,
    pub node: String,
    pub role: Role,
    pub node_ip: IpAddr,
    /// Where the API servers are, the preferred one first.
    pub servers: Vec<String>,
    /// Where etcd is, the nearest member first; empty where the store is embedded.
    #[serde(default)]
    pub etcd: Vec<String>,
    /// How long the store keeps history, where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_history_secs: Option<u64>,
}

impl NodeConfig {
    pub fn of(profile: &Profile, node: &NodeSpec) -> Result<Self> {
        profile.server()?;
        Ok(Self {
            profile: profile.name.clone(),
            node: node.name.clone(),
            role: node.role,
            node_ip: IpAddr::V4(node.ip()),
            servers: near_first(profile, node).map(|server| format!("https://{}:{API_PORT}", server.ip())).collect(),
            etcd: match (&profile.datastore, node.role) {
                (_, Role::Agent) | (Datastore::Embedded, _) => Vec::new(),
                (Datastore::Etcd, _) => near_first(profile, node).map(member::client_url).collect(),
                (Datastore::External(urls), _) => urls.clone(),
            },
            store_history_secs: profile.store_history_secs,
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

/// The servers, from the node's own on; agents begin at different ones, so that they spread over them.
fn near_first<'a>(profile: &'a Profile, node: &NodeSpec) -> impl Iterator<Item = &'a NodeSpec> {
    let servers: Vec<&NodeSpec> = profile.servers().collect();
    let own = servers.iter().position(|server| server.name == node.name);
    let first = own.unwrap_or(usize::from(node.index) % servers.len().max(1));
    let len = servers.len();
    servers.into_iter().cycle().skip(first).take(len)
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
                    copy(&dirs.pki().join(name), &pki.join(name), mode)?;
                }
                if profile.control_planes > 1 {
                    // A token that one server signed is good at all of them.
                    TokenKey::load_or_create(&dirs.pki()).map_err(|error| pki_trouble(dirs, &error))?;
                    copy(&dirs.pki().join("sa.key"), &pki.join("sa.key"), 0o600)?;
                }
                prepare_etcd(profile, dirs, node, &pki.join(ETCD_DIR), now)?;
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

/// The files of a server's etcd member, and those by which the server is known to it.
fn prepare_etcd(profile: &Profile, dirs: &ProfileDirs, node: &NodeSpec, etcd: &Path, now: Timestamp) -> Result<()> {
    if profile.datastore == Datastore::Embedded {
        return Ok(());
    }
    std::fs::create_dir_all(etcd).map_err(|error| Trouble::file("make", etcd, &error))?;
    let own = dirs.pki().join(ETCD_DIR);
    if profile.datastore != Datastore::Etcd {
        for (name, mode) in ETCD_FILES {
            if own.join(name).exists() {
                copy(&own.join(name), &etcd.join(name), mode)?;
            }
        }
        return Ok(());
    }
    let authority = Authority::load_or_create(&own, now).map_err(|error| pki_trouble(dirs, &error))?;
    write_if_changed(&etcd.join("ca.crt"), authority.certificate_pem().as_bytes(), 0o644)?;
    issue_if_due(etcd, "client", &Request::client("kube-apiserver-etcd-client", &[]), &authority, now)?;
    let addresses = [IpAddr::V4(node.ip()), Ipv4Addr::LOCALHOST.into()];
    let member = Request::peer(&node.name, &[&node.name, "localhost"], &addresses);
    issue_if_due(etcd, "member", &member, &authority, now)
}

/// What an external etcd wants to see, and with which mode it is kept.
pub const ETCD_FILES: [(&str, u32); 3] = [("ca.crt", 0o644), ("client.crt", 0o644), ("client.key", 0o600)];

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let bytes = std::fs::read(from).map_err(|error| Trouble::file("read", from, &error))?;
    write_if_changed(to, &bytes, mode)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Egress;

    #[test]
    fn a_server_prefers_its_own_and_agents_spread() {
        let profile = Profile::new("p", 6443, Egress::None, 0, 5).controlled_by(3, Datastore::Etcd);
        let first: Vec<(String, usize, Option<String>)> = profile
            .nodes
            .iter()
            .map(|node| NodeConfig::of(&profile, node).expect("has servers"))
            .map(|config| (config.servers[0].clone(), config.servers.len(), config.etcd.first().cloned()))
            .collect();
        expect_test::expect![[r#"
            [("https://192.168.49.2:6443", 3, Some("https://192.168.49.2:2379")), ("https://192.168.49.3:6443", 3, Some("https://192.168.49.3:2379")), ("https://192.168.49.4:6443", 3, Some("https://192.168.49.4:2379")), ("https://192.168.49.3:6443", 3, None), ("https://192.168.49.4:6443", 3, None)]"#]]
        .assert_eq(&format!("{first:?}"));
    }
}
