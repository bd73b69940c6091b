//! Room `net` as the runtime's pod network.

use std::sync::Arc;

use async_trait::async_trait;
use net::{Cidr, PodNetwork, PortMapping};
use runtime::network::{self, PodNet};

/// Blocking calls of a millisecond or two, each on a thread for such.
pub struct Pods(pub Arc<PodNetwork>);

async fn blocking<T: Send + 'static>(
    pods: &Arc<PodNetwork>,
    work: impl FnOnce(&PodNetwork) -> Result<T, net::NetError> + Send + 'static,
) -> Result<T, String> {
    let pods = pods.clone();
    let done = tokio::task::spawn_blocking(move || work(&pods)).await;
    done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

#[async_trait]
impl network::PodNetwork for Pods {
    async fn setup(&self, pod: &PodNet) -> Result<Vec<String>, String> {
        let (netns, sandbox) = (pod.netns.clone(), pod.sandbox_id.clone());
        let mappings: Vec<PortMapping> = pod.port_mappings.iter().filter_map(mapping).collect();
        let ip = blocking(&self.0, move |pods| pods.attach(&netns, &sandbox, &mappings)).await?;
        Ok(vec![ip.to_string()])
    }

    async fn teardown(&self, pod: &PodNet) -> Result<(), String> {
        let sandbox = pod.sandbox_id.clone();
        blocking(&self.0, move |pods| pods.detach(&sandbox)).await
    }

    async fn ready(&self) -> Result<(), String> {
        if self.0.is_ready() { Ok(()) } else { Err("this node has no pod range yet".to_owned()) }
    }

    async fn set_pod_cidr(&self, cidr: &str) -> Result<(), String> {
        let first = cidr.split(',').next().unwrap_or_default();
        let pods: Cidr = first.parse().map_err(|error| format!("pod range {first:?}: {error}"))?;
        blocking(&self.0, move |network| network.configure(pods)).await
    }
}

/// Only what asks for a port of the node.
fn mapping(mapping: &cri::v1::PortMapping) -> Option<PortMapping> {
    let protocol = match mapping.protocol {
        1 => "udp",
        _ => "tcp",
    };
    let host_port = u16::try_from(mapping.host_port).ok().filter(|port| *port > 0)?;
    let container_port = u16::try_from(mapping.container_port).ok()?;
    Some(PortMapping { protocol: protocol.to_owned(), host_port, container_port })
}
