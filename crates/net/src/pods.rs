//! Gives pods their network and takes it back: carries out what `plan` lists.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use linux::rtnl::{NetOp, Rtnl};

use crate::cidr::Cidr;
use crate::ipam::{Grant, Ipam, IpamError};
use crate::{host_ports, plan};

/// A port of the node that leads to a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortMapping {
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    pub host_port: u16,
    pub container_port: u16,
}

#[derive(Debug, thiserror::Error)]
pub enum NetError {
    #[error("the node has no pod network yet")]
    NotReady,
    #[error(transparent)]
    Ipam(#[from] IpamError),
    #[error("{op:?}: {source}")]
    Link { op: NetOp, source: io::Error },
    #[error("network namespace {}: {source}", path.display())]
    Namespace { path: PathBuf, source: io::Error },
    #[error("host ports: {0}")]
    HostPorts(String),
    #[error("sysctl {name}: {source}")]
    Sysctl { name: String, source: io::Error },
}

/// The network of this node's pods. Calls block for a millisecond or two: call from a blocking thread.
pub struct PodNetwork {
    services: Cidr,
    local_vips: Vec<Ipv4Addr>,
    state: Mutex<State>,
}

struct State {
    ipam: Ipam,
    /// The node's share of the pod network, once it is known.
    pods: Option<Cidr>,
}

impl PodNetwork {
    /// `dir` keeps the address table over restarts.
    pub fn open(dir: &Path, services: Cidr, local_vips: Vec<Ipv4Addr>) -> Result<Self, NetError> {
        let ipam = Ipam::open(dir)?;
        Ok(Self { services, local_vips, state: Mutex::new(State { ipam, pods: None }) })
    }

    pub fn is_ready(&self) -> bool {
        self.state().pods.is_some()
    }

    /// Makes the bridge for the node's share of the pod network. May be repeated.
    pub fn configure(&self, pods: Cidr) -> Result<(), NetError> {
        let mut state = self.state();
        if state.pods == Some(pods) {
            return Ok(());
        }
        let mut rtnl = open_rtnl()?;
        run(&mut rtnl, &plan::node(pods, self.services, &self.local_vips), None)?;
        write_sysctl("net/ipv4/ip_forward", "1")?;
        // A packet between two pods leaves by the link that it came from; that is meant, and needs no redirect.
        write_sysctl(&format!("net/ipv4/conf/{}/send_redirects", plan::BRIDGE), "0")?;
        write_sysctl("net/ipv4/conf/all/send_redirects", "0")?;
        for (ip, _) in state.ipam.grants().filter(|(ip, _)| pods.contains(*ip)) {
            let known = NetOp::Neighbour { name: plan::BRIDGE.to_owned(), ip: ip.into(), mac: plan::mac(ip) };
            run(&mut rtnl, &[known], None)?;
        }
        let mappings: Vec<_> = state.ipam.grants().map(|(ip, grant)| (ip, parse_mappings(&grant.note))).collect();
        apply_nft(&host_ports::load(mappings.iter().flat_map(|(ip, all)| all.iter().map(|one| (*ip, one)))))?;
        state.pods = Some(pods);
        Ok(())
    }

    /// Connects the namespace at `netns`; the same sandbox gets the same address again.
    pub fn attach(&self, netns: &Path, sandbox: &str, mappings: &[PortMapping]) -> Result<Ipv4Addr, NetError> {
        let failed = |source| NetError::Namespace { path: netns.to_owned(), source };
        let (ip, gateway) = {
            let mut state = self.state();
            let pods = state.pods.ok_or(NetError::NotReady)?;
            (state.ipam.grant(pods, sandbox, &format_mappings(mappings))?, plan::gateway(pods))
        };
        let namespace = fs::File::open(netns).map_err(failed)?;
        run(&mut open_rtnl()?, &plan::attach(sandbox, ip), Some(namespace.as_fd()))?;
        let inside = linux::netns::run_in(netns, move || {
            let mut rtnl = open_rtnl()?;
            run(&mut rtnl, &plan::inside(ip, gateway), None)
        });
        inside.map_err(|error| failed(error.source))??;
        let text: String = mappings.iter().map(|mapping| host_ports::add(ip, mapping)).collect();
        if !text.is_empty() {
            apply_nft(&text)?;
        }
        Ok(ip)
    }

    /// Takes everything back that the sandbox has. May be repeated.
    pub fn detach(&self, sandbox: &str) -> Result<(), NetError> {
        run(&mut open_rtnl()?, &plan::detach(sandbox), None)?;
        let released = self.state().ipam.release(sandbox)?;
        let text: String = released.iter().flat_map(|(_, grant)| forget_ports(grant)).collect();
        if text.is_empty() { Ok(()) } else { apply_nft(&text) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_ports(grant: &Grant) -> Vec<String> {
    parse_mappings(&grant.note).iter().map(host_ports::remove).collect()
}

fn open_rtnl() -> Result<Rtnl, NetError> {
    Rtnl::open().map_err(|source| NetError::Namespace { path: PathBuf::from("/proc/self/ns/net"), source })
}

fn run(rtnl: &mut Rtnl, ops: &[NetOp], peer: Option<std::os::fd::BorrowedFd<'_>>) -> Result<(), NetError> {
    for op in ops {
        rtnl.apply(op, peer).map_err(|source| NetError::Link { op: op.clone(), source })?;
    }
    Ok(())
}

fn apply_nft(text: &str) -> Result<(), NetError> {
    linux::nft::apply(text).map_err(|error| NetError::HostPorts(error.to_string()))
}

fn write_sysctl(name: &str, value: &str) -> Result<(), NetError> {
    let path = Path::new("/proc/sys").join(name);
    fs::write(path, value).map_err(|source| NetError::Sysctl { name: name.to_owned(), source })
}

fn format_mappings(mappings: &[PortMapping]) -> String {
    let one = |mapping: &PortMapping| format!("{} {} {}", mapping.protocol, mapping.host_port, mapping.container_port);
    mappings.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn parse_mappings(note: &str) -> Vec<PortMapping> {
    let parse = |line: &str| -> Option<PortMapping> {
        let mut words = line.split(' ');
        let protocol = words.next()?.to_owned();
        Some(PortMapping {
            protocol,
            host_port: words.next()?.parse().ok()?,
            container_port: words.next()?.parse().ok()?,
        })
    };
    note.lines().filter_map(parse).collect()
}
