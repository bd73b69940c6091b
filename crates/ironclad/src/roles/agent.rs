//! `ironclad agent`: a node whose API server is elsewhere.

use std::path::Path;
use std::sync::Arc;

use client::{Env, Https, Servers, Transport, TransportError};
use launcher::credentials::{NodeConfig, PKI_DIR};
use pki::{Identity, Source};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::node::{self, Ways};
use super::{failed, notify};

/// Runs until `stop`. Pods run on.
pub async fn run(state: &Path, stop: CancellationToken) -> launcher::Result<()> {
    let config = NodeConfig::load(state)?;
    let env = Env::system();
    let pki = state.join(PKI_DIR);
    let mut tasks = JoinSet::new();
    let ways = Ways {
        kubelet: https(&mut tasks, &config, &pki, "kubelet-client", &env)?,
        proxy: https(&mut tasks, &config, &pki, "kube-proxy", &env)?,
        dns: https(&mut tasks, &config, &pki, "kube-dns", &env)?,
        kubelet_tls: serving(&mut tasks, &pki, &env)?,
    };
    node::start(&mut tasks, state, &config, ways, &env).await?;
    notify::ready();
    tracing::info!(node = config.node, servers = ?config.servers, "the node serves");
    stop.cancelled().await;
    drop(tasks);
    Ok(())
}

/// How the kubelet's server shows itself, and whose clients it knows.
fn serving(tasks: &mut JoinSet<()>, pki: &Path, env: &Env) -> launcher::Result<Arc<rustls::ServerConfig>> {
    let identity = identity(tasks, pki, "kubelet-server", env)?;
    let tls = pki::server_config(identity, &authority(pki)?, &["http/1.1"]);
    tls.map(Arc::new).map_err(|error| failed("cannot set up TLS", &error))
}

/// One of the node's certificates, which the launcher renews on disk.
fn identity(tasks: &mut JoinSet<()>, pki: &Path, name: &str, env: &Env) -> launcher::Result<Arc<Identity>> {
    let certificate = pki.join(format!("{name}.crt"));
    let source = Source::Files { certificate, key: pki.join(format!("{name}.key")) };
    let identity =
        Identity::new(source, env.clock.now()).map_err(|error| failed("cannot read a certificate", &error))?;
    tasks.spawn(identity.clone().keep_fresh(env.clock.clone()));
    Ok(identity)
}

fn authority(pki: &Path) -> launcher::Result<CertificateDer<'static>> {
    let authority = CertificateDer::from_pem_file(pki.join("ca.crt"));
    authority.map_err(|error| failed("cannot read the cluster's authority", &error))
}

/// A way to the API servers with one of the node's certificates.
fn https(
    tasks: &mut JoinSet<()>,
    config: &NodeConfig,
    pki: &Path,
    name: &str,
    env: &Env,
) -> launcher::Result<Arc<dyn Transport>> {
    let identity = identity(tasks, pki, name, env)?;
    let tls = pki::client_config(&authority(pki)?, Some(identity), &["h2", "http/1.1"]);
    let tls = Arc::new(tls.map_err(|error| failed("cannot set up TLS", &error))?);
    let tls: client::https::TlsSource = Arc::new(move || Ok::<_, TransportError>(tls.clone()));
    let alone = config.servers.len() == 1;
    let one = |server: &String| -> launcher::Result<Arc<dyn Transport>> {
        let https = Https::new(server, None, tls.clone(), client::https::Token::None);
        let https = https.map_err(|error| failed("cannot reach the API server", &error))?;
        Ok(Arc::new(if alone { https } else { https.hasty() }))
    };
    let mut all = config.servers.iter().map(one).collect::<launcher::Result<Vec<_>>>()?;
    match all.pop() {
        Some(only) if alone => Ok(only),
        last => Ok(Arc::new(Servers::new(all.into_iter().chain(last).collect()))),
    }
}
