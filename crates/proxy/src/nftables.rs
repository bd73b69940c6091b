//! The kernel's dataplane: nft for rules, conntrack for flows.

use std::process::{Command, Stdio};

use crate::rule::{Backend, Front};
use crate::run::Dataplane;

/// Works in the network namespace of its process.
pub struct Nftables;

impl Dataplane for Nftables {
    fn apply(&self, text: &str) -> Result<(), String> {
        linux::nft::apply(text).map_err(|error| error.to_string())
    }

    /// Best effort: without the tool a datagram flow to a removed endpoint ends with its conntrack entry (30 s).
    fn forget_flows(&self, flows: &[(Front, Backend)]) {
        for (front, backend) in flows {
            let mut command = Command::new("conntrack");
            command.args(["-D", "-p", "udp", "--dst-nat", &backend.ip.to_string()]);
            match front {
                Front::Address { ip, port, .. } => {
                    command.args(["--orig-dst", &ip.to_string(), "--orig-port-dst", &port.to_string()]);
                }
                Front::NodePort { port, .. } => {
                    command.args(["--orig-port-dst", &port.to_string()]);
                }
            }
            // It fails when there is no such flow, which is what is wanted.
            if let Err(error) = command.stdout(Stdio::null()).stderr(Stdio::null()).status() {
                tracing::debug!("cannot run conntrack: {error}");
                return;
            }
        }
    }
}
