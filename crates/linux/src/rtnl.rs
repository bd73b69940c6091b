//! Links, addresses, neighbours and routes over a small synchronous rtnetlink socket.
//!
//! Data first: [`NetOp`] says what is wanted and can be printed; [`Rtnl::apply`] does it in the network namespace in
//! which the socket was opened, whichever namespace the caller is in later. Every op may be repeated.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// An Ethernet address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where packets of a route go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hop {
    Via(IpAddr),
    Link(String),
    Unreachable,
}

/// One wanted change of a namespace's network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetOp {
    AddBridge {
        name: String,
        mac: Mac,
    },
    /// The peer is made in the namespace that is handed to [`Rtnl::apply`].
    AddVeth {
        name: String,
        mac: Mac,
        peer: String,
        peer_mac: Mac,
    },
    /// Does nothing when there is no such link.
    DeleteLink {
        name: String,
    },
    Up {
        name: String,
    },
    Master {
        name: String,
        bridge: String,
    },
    /// Lets a bridge's port take back what came from it: with br_netfilter in the kernel, a pod that reaches itself
    /// through a service is bridged, not routed.
    Hairpin {
        name: String,
    },
    Address {
        name: String,
        ip: IpAddr,
        prefix: u8,
    },
    /// A permanent entry, which does not count against the kernel's limit of learnt ones.
    Neighbour {
        name: String,
        ip: IpAddr,
        mac: Mac,
    },
    /// `0.0.0.0/0` is the default route.
    Route {
        to: IpAddr,
        prefix: u8,
        hop: Hop,
    },
    /// Does nothing when there is no such route.
    DeleteRoute {
        to: IpAddr,
        prefix: u8,
    },
}

const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_NEWNEIGH: u16 = 28;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const IFF_UP: u32 = 1;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MASTER: u16 = 10;
const IFLA_PROTINFO: u16 = 12 | 0x8000; // nested
const IFLA_BRPORT_MODE: u16 = 4;
const AF_BRIDGE: u8 = 7;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const VETH_INFO_PEER: u16 = 1;
const NUD_PERMANENT: u16 = 0x80;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RTN_UNICAST: u8 = 1;
const RTN_UNREACHABLE: u8 = 7;
const RT_SCOPE_LINK: u8 = 253;
const RT_SCOPE_NOWHERE: u8 = 255;
const ESRCH: i32 = 3;
const ANSWER_LEN_MAX: usize = 16 * 1024;

/// One request as it grows: the header is filled in when it is sent.
struct Message {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: u16) -> Self {
        Self { kind, flags, body: Vec::with_capacity(256) }
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.body.extend_from_slice(bytes);
        self
    }

    fn attr(mut self, kind: u16, value: &[u8]) -> Self {
        put_attr(&mut self.body, kind, value);
        self
    }
}

fn put_attr(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let len = u16::try_from(value.len() + 4).expect("invariant: attributes are short");
    out.extend_from_slice(&len.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn attr(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_attr(&mut out, kind, value);
    out
}

fn nul_terminated(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn ifinfo(index: u32, flags: u32) -> [u8; 16] {
    let mut out = [0u8; 16];
    out[4..8].copy_from_slice(&index.to_ne_bytes());
    out[8..12].copy_from_slice(&flags.to_ne_bytes());
    out[12..16].copy_from_slice(&flags.to_ne_bytes());
    out
}

fn ip_bytes(ip: IpAddr) -> (u8, Vec<u8>) {
    match ip {
        IpAddr::V4(ip) => (2, ip.octets().to_vec()),
        IpAddr::V6(ip) => (10, ip.octets().to_vec()),
    }
}

/// A socket to the kernel's tables of one network namespace.
#[derive(Debug)]
pub struct Rtnl {
    socket: OwnedFd,
    sequence: u32,
}

impl Rtnl {
    /// Opens the socket in the calling thread's network namespace.
    pub fn open() -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None, // NETLINK_ROUTE is protocol 0.
        )?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Does `op`; `peer_ns` is the namespace of a new veth's peer (the socket's own when absent).
    pub fn apply(&mut self, op: &NetOp, peer_ns: Option<BorrowedFd<'_>>) -> io::Result<()> {
        match op {
            NetOp::AddBridge { name, mac } => self.add_bridge(name, *mac),
            NetOp::AddVeth { name, mac, peer, peer_mac } => self.add_veth((name, *mac), (peer, *peer_mac), peer_ns),
            NetOp::DeleteLink { name } => match self.index(name) {
                Ok(index) => self.request(Message::new(RTM_DELLINK, 0).raw(&ifinfo(index, 0))),
                Err(_) => Ok(()),
            },
            NetOp::Up { name } => {
                let index = self.index(name)?;
                self.request(Message::new(RTM_NEWLINK, 0).raw(&ifinfo(index, IFF_UP)))
            }
            NetOp::Master { name, bridge } => {
                let (index, bridge) = (self.index(name)?, self.index(bridge)?);
                let message = Message::new(RTM_NEWLINK, 0).raw(&ifinfo(index, 0));
                self.request(message.attr(IFLA_MASTER, &bridge.to_ne_bytes()))
            }
            NetOp::Hairpin { name } => {
                let mut header = ifinfo(self.index(name)?, 0);
                header[0] = AF_BRIDGE;
                let mode = attr(IFLA_BRPORT_MODE, &[1]);
                self.request(Message::new(RTM_SETLINK, 0).raw(&header).attr(IFLA_PROTINFO, &mode))
            }
            NetOp::Address { name, ip, prefix } => self.add_address(name, *ip, *prefix),
            NetOp::Neighbour { name, ip, mac } => self.add_neighbour(name, *ip, *mac),
            NetOp::Route { to, prefix, hop } => self.add_route(*to, *prefix, hop),
            NetOp::DeleteRoute { to, prefix } => self.delete_route(*to, *prefix),
        }
    }

    /// The index of the link called `name`.
    pub fn index(&self, name: &str) -> io::Result<u32> {
        Ok(rustix::net::netdevice::name_to_index(&self.socket, name)?)
    }

    fn add_bridge(&mut self, name: &str, mac: Mac) -> io::Result<()> {
        let info = attr(IFLA_INFO_KIND, b"bridge");
        let message = Message::new(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL)
            .raw(&ifinfo(0, 0))
            .attr(IFLA_IFNAME, &nul_terminated(name))
            .attr(IFLA_ADDRESS, &mac.0)
            .attr(IFLA_LINKINFO, &info);
        exists_is_fine(self.request(message))
    }

    fn add_veth(
        &mut self,
        (name, mac): (&str, Mac),
        (peer, peer_mac): (&str, Mac),
        peer_ns: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let mut peer_info = ifinfo(0, 0).to_vec();
        put_attr(&mut peer_info, IFLA_IFNAME, &nul_terminated(peer));
        put_attr(&mut peer_info, IFLA_ADDRESS, &peer_mac.0);
        if let Some(ns) = peer_ns {
            put_attr(&mut peer_info, IFLA_NET_NS_FD, &ns.as_raw_fd().to_ne_bytes());
        }
        let mut info = attr(IFLA_INFO_KIND, b"veth");
        put_attr(&mut info, IFLA_INFO_DATA, &attr(VETH_INFO_PEER, &peer_info));
        let message = Message::new(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL)
            .raw(&ifinfo(0, 0))
            .attr(IFLA_IFNAME, &nul_terminated(name))
            .attr(IFLA_ADDRESS, &mac.0)
            .attr(IFLA_LINKINFO, &info);
        self.request(message)
    }

    fn add_address(&mut self, name: &str, ip: IpAddr, prefix: u8) -> io::Result<()> {
        let index = self.index(name)?;
        let (family, bytes) = ip_bytes(ip);
        let mut header = vec![family, prefix, 0, 0];
        header.extend_from_slice(&index.to_ne_bytes());
        let message = Message::new(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE)
            .raw(&header)
            .attr(1, &bytes) // IFA_ADDRESS
            .attr(2, &bytes); // IFA_LOCAL
        exists_is_fine(self.request(message))
    }

    fn add_neighbour(&mut self, name: &str, ip: IpAddr, mac: Mac) -> io::Result<()> {
        let index = self.index(name)?;
        let (family, bytes) = ip_bytes(ip);
        let mut header = vec![family, 0, 0, 0];
        header.extend_from_slice(&index.to_ne_bytes());
        header.extend_from_slice(&NUD_PERMANENT.to_ne_bytes());
        header.extend_from_slice(&[0, RTN_UNICAST]);
        let message = Message::new(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE)
            .raw(&header)
            .attr(1, &bytes) // NDA_DST
            .attr(2, &mac.0); // NDA_LLADDR
        self.request(message)
    }

    fn add_route(&mut self, to: IpAddr, prefix: u8, hop: &Hop) -> io::Result<()> {
        let (family, bytes) = ip_bytes(to);
        let (scope, kind) = match hop {
            Hop::Via(_) => (0, RTN_UNICAST),
            Hop::Link(_) => (RT_SCOPE_LINK, RTN_UNICAST),
            Hop::Unreachable => (0, RTN_UNREACHABLE),
        };
        let header = [family, prefix, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, kind, 0, 0, 0, 0];
        let mut message = Message::new(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE).raw(&header);
        if prefix > 0 {
            message = message.attr(1, &bytes); // RTA_DST
        }
        message = match hop {
            Hop::Via(gateway) => message.attr(5, &ip_bytes(*gateway).1), // RTA_GATEWAY
            Hop::Link(name) => {
                let index = self.index(name)?;
                message.attr(4, &index.to_ne_bytes()) // RTA_OIF
            }
            Hop::Unreachable => message,
        };
        self.request(message)
    }

    fn delete_route(&mut self, to: IpAddr, prefix: u8) -> io::Result<()> {
        let (family, bytes) = ip_bytes(to);
        let header = [family, prefix, 0, 0, RT_TABLE_MAIN, 0, RT_SCOPE_NOWHERE, 0, 0, 0, 0, 0];
        let mut message = Message::new(RTM_DELROUTE, 0).raw(&header);
        if prefix > 0 {
            message = message.attr(1, &bytes); // RTA_DST
        }
        match self.request(message) {
            Err(error) if error.raw_os_error() == Some(ESRCH) => Ok(()),
            other => other,
        }
    }

    fn request(&mut self, message: Message) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let len = u32::try_from(message.body.len() + 16).map_err(io::Error::other)?;
        let mut out = Vec::with_capacity(message.body.len() + 16);
        out.extend_from_slice(&len.to_ne_bytes());
        out.extend_from_slice(&message.kind.to_ne_bytes());
        out.extend_from_slice(&(message.flags | NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
        out.extend_from_slice(&self.sequence.to_ne_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&message.body);
        rustix::net::send(&self.socket, &out, SendFlags::empty())?;
        self.acknowledgement()
    }

    /// Reads until the answer to the newest request has come.
    fn acknowledgement(&mut self) -> io::Result<()> {
        let mut buffer = vec![0u8; ANSWER_LEN_MAX];
        loop {
            let (read, _) = rustix::net::recv(self.socket.as_fd(), &mut buffer[..], RecvFlags::empty())?;
            let answer = &buffer[..read];
            let u16_at = |at: usize| answer.get(at..at + 2).map(|b| u16::from_ne_bytes([b[0], b[1]]));
            let u32_at = |at: usize| answer.get(at..at + 4).map(|b| u32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
            if u16_at(4) != Some(NLMSG_ERROR) || u32_at(8) != Some(self.sequence) {
                continue;
            }
            let code = u32_at(16).ok_or(io::ErrorKind::UnexpectedEof)?.cast_signed();
            return if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) };
        }
    }
}

fn exists_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}
