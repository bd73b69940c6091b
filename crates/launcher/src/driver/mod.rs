//! The namespace driver: nodes as sets of Linux namespaces on one machine.
//!
//! `ironclad start` -> fabric (host; one per profile; bridge namespace, loopback ports, supervision)
//!                  -> init (PID 1 of a node's namespaces) -> server | agent, and a server's etcd member.
//! What is to be done is data ([`net`], [`plan`]); [`steps`] and `linux::rtnl` do it. The host's interfaces, routes and
//! firewall stay as they are, but for the one uplink of `--egress nat`.

pub mod adopt;
pub mod cgroups;
pub mod control;
pub mod fabric;
pub mod init;
pub mod log;
pub mod member;
pub mod net;
pub mod plan;
pub mod steps;

/// Descriptors under which an init and its role find what the fabric gave them. High, so that they meet nothing.
pub mod fds {
    use std::os::fd::RawFd;

    /// Lines about how the node is, to the fabric.
    pub const NOTIFY: RawFd = 100;
    /// The fabric's network namespace; every init holds it, so it outlives a killed fabric.
    pub const FABRIC_NET: RawFd = 101;
    /// The API servers' socket on the host's loopback. Every server accepts from it: when one dies, the others go on.
    pub const LISTENER: RawFd = 102;
}
