//! `ironclad service`: reach a Service from the host, through a port of its loopback.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::typed::Service;

use crate::cluster;
use crate::driver::control;
use crate::forward::{self, Forward};
use crate::layout::Layout;
use crate::profile::Profile;
use crate::progress::say;
use crate::trouble::{Result, Trouble};

/// Prints the URL of each port and serves them until it is interrupted.
pub fn run(layout: &Layout, name: &str, namespace: &str, service: &str, url_only: bool) -> Result<()> {
    crate::preflight::check_root()?;
    let dirs = layout.profile(name);
    let profile = Profile::load_existing(&dirs)?;
    let pid = control::some_pid(&dirs)?;
    let found = cluster::call(&profile, &dirs, async |client| {
        client.get::<Service>(namespace, service).await.map_err(|error| {
            Trouble::new(
                format!("cannot find service \"{service}\" in namespace \"{namespace}\": {error}"),
                "Type `kubectl get services -A` to see which there are.",
            )
        })
    })?;
    let targets = targets(&found).ok_or_else(|| {
        Trouble::new(
            format!("service \"{service}\" has no cluster address with a TCP port"),
            "Reach a pod of it with `kubectl port-forward` instead.",
        )
    })?;
    let fail = |error: std::io::Error| {
        Trouble::new(
            format!("cannot forward to service \"{service}\": {error}"),
            "Type `ironclad status` to see how the cluster is.",
        )
    };
    let net = Arc::new(forward::net_of(pid).map_err(fail)?);
    let mut forwards = Vec::new();
    for (port_name, to) in targets {
        let forward = Forward::bind(0, net.clone(), to).map_err(fail)?;
        let url = format!("http://{}", forward.address().map_err(fail)?);
        say(&if url_only { url } else { format!("{namespace}/{service}\t{port_name}\t{to}\t{url}") });
        forwards.push(forward);
    }
    if !url_only {
        say("Press Ctrl-C to end.");
    }
    let threads: Vec<_> = forwards.into_iter().map(|forward| std::thread::spawn(move || forward.run())).collect();
    for thread in threads {
        if let Ok(Err(error)) = thread.join() {
            return Err(fail(error));
        }
    }
    Ok(())
}

/// Names and cluster addresses of a service's TCP ports.
pub fn targets(service: &Service) -> Option<Vec<(String, SocketAddr)>> {
    let spec = service.spec.as_ref()?;
    let ip: IpAddr = spec.cluster_ip.as_deref()?.parse().ok()?;
    let ports = spec.ports.as_deref().unwrap_or_default();
    let tcp = ports.iter().filter(|port| port.protocol.as_deref().unwrap_or("TCP") == "TCP");
    let named = |port: &api::typed::k8s_openapi::api::core::v1::ServicePort| {
        let number = u16::try_from(port.port).ok()?;
        Some((port.name.clone().unwrap_or_else(|| number.to_string()), SocketAddr::new(ip, number)))
    };
    let found: Vec<_> = tcp.filter_map(named).collect();
    (!found.is_empty()).then_some(found)
}
