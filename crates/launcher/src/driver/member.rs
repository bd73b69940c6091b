//! A control plane's etcd member as a command line. Pure. Init runs it beside the server, so that neither ends with the
//! other.

use crate::credentials::{ETCD_DIR, PKI_DIR};
use crate::profile::{Datastore, NodeSpec, Profile};

pub const PROGRAM: &str = "etcd";
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
/// The node's own state.
const STATE: &str = "/var/lib/ironclad";
/// Half of etcd's usual time: the members are on one machine, and an API without a leader stands still so long.
const ELECTION_MS: u32 = 500;
const HEARTBEAT_MS: u32 = 100;
/// etcd's own advice for the largest.
const QUOTA_BYTES: u64 = 8 << 30;

pub fn client_url(node: &NodeSpec) -> String {
    format!("https://{}:{CLIENT_PORT}", node.ip())
}

fn peer_url(node: &NodeSpec) -> String {
    format!("https://{}:{PEER_PORT}", node.ip())
}

/// The arguments of the node's member; `None` where it has none.
pub fn arguments(profile: &Profile, node: &NodeSpec) -> Option<Vec<String>> {
    let has_member = profile.datastore == Datastore::Etcd && profile.servers().any(|server| server.name == node.name);
    if !has_member {
        return None;
    }
    let cluster: Vec<String> = profile.servers().map(|peer| format!("{}={}", peer.name, peer_url(peer))).collect();
    let pki = |name: &str| format!("{STATE}/{PKI_DIR}/{ETCD_DIR}/{name}");
    let (client, peer) = (client_url(node), peer_url(node));
    let flags = [
        ("name", node.name.clone()),
        ("data-dir", format!("{STATE}/etcd")),
        ("listen-client-urls", client.clone()),
        ("advertise-client-urls", client),
        ("listen-peer-urls", peer.clone()),
        ("initial-advertise-peer-urls", peer),
        ("initial-cluster", cluster.join(",")),
        ("initial-cluster-token", profile.name.clone()),
        ("heartbeat-interval", HEARTBEAT_MS.to_string()),
        ("election-timeout", ELECTION_MS.to_string()),
        ("pre-vote", "true".to_owned()),
        ("quota-backend-bytes", QUOTA_BYTES.to_string()),
        ("client-cert-auth", "true".to_owned()),
        ("trusted-ca-file", pki("ca.crt")),
        ("cert-file", pki("member.crt")),
        ("key-file", pki("member.key")),
        ("peer-client-cert-auth", "true".to_owned()),
        ("peer-trusted-ca-file", pki("ca.crt")),
        ("peer-cert-file", pki("member.crt")),
        ("peer-key-file", pki("member.key")),
        ("logger", "zap".to_owned()),
    ];
    Some(std::iter::once(PROGRAM.to_owned()).chain(flags.map(|(flag, value)| format!("--{flag}={value}"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Egress;

    #[test]
    fn every_control_plane_has_a_member_that_knows_the_others() {
        let profile = Profile::new("p", 6443, Egress::None, 0, 3).controlled_by(2, Datastore::Etcd);
        let of = |at: usize| arguments(&profile, &profile.nodes[at]);
        let told = of(1).expect("it has a member");
        for flag in [
            "--name=p-m02",
            "--initial-cluster=p=https://192.168.49.2:2380,p-m02=https://192.168.49.3:2380",
            "--listen-client-urls=https://192.168.49.3:2379",
            "--cert-file=/var/lib/ironclad/pki/etcd/member.crt",
        ] {
            assert!(told.iter().any(|argument| argument == flag), "{flag} is missing in {told:?}");
        }
        assert_eq!(of(2), None);
        assert_eq!(arguments(&Profile::new("q", 6443, Egress::None, 0, 1), &profile.nodes[0]), None);
    }
}
