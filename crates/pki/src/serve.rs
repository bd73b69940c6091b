//! TLS settings of servers and clients: rustls on ring, TLS 1.2 and 1.3, trust in the cluster's authority only.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::error::PkiError;
use crate::identity::Identity;

/// A server that answers as `identity`. A client may show a certificate signed by `authority`; one that shows none is
/// let in unidentified.
pub fn server_config(
    identity: Arc<Identity>,
    authority: &CertificateDer<'static>,
    protocols: &[&str],
) -> Result<ServerConfig, PkiError> {
    let tls = |why: &dyn std::fmt::Display| PkiError::Tls(why.to_string());
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(authority)?, provider.clone());
    let verifier = verifier.allow_unauthenticated().build().map_err(|why| tls(&why))?;
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|why| tls(&why))?;
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(identity);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(config)
}

/// A client that trusts `authority` and shows `identity` where it has one.
pub fn client_config(
    authority: &CertificateDer<'static>,
    identity: Option<Arc<Identity>>,
    protocols: &[&str],
) -> Result<ClientConfig, PkiError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|why| PkiError::Tls(why.to_string()))?;
    let builder = builder.with_root_certificates(roots(authority)?);
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(identity),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(config)
}

fn roots(authority: &CertificateDer<'static>) -> Result<Arc<RootCertStore>, PkiError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(|why| PkiError::Tls(why.to_string()))?;
    Ok(Arc::new(roots))
}
