//! A kubeconfig file: which server, and who we are to it.
//!
//! Files named in it are read again for each connection, so that certificates renewed on disk come into use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;

use crate::https::{Https, Token, connect_error};
use crate::transport::TransportError;

#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    #[error("cannot read kubeconfig {}: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("kubeconfig {} is invalid: {why}", .path.display())]
    Invalid { path: PathBuf, why: String },
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// One context of a kubeconfig: a cluster, a user, a namespace.
#[derive(Clone, Debug)]
pub struct Kubeconfig {
    pub server: String,
    pub server_name: Option<String>,
    pub namespace: String,
    authority: Option<Pem>,
    identity: Option<(Pem, Pem)>,
    token: Token,
}

/// PEM text, or where it is.
#[derive(Clone, Debug)]
enum Pem {
    Inline(Vec<u8>),
    File(PathBuf),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    current_context: String,
    clusters: Vec<NamedCluster>,
    users: Vec<NamedUser>,
    contexts: Vec<NamedContext>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: String,
    tls_server_name: Option<String>,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    insecure_skip_tls_verify: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    exec: Option<serde_json::Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
    namespace: String,
}

impl Kubeconfig {
    /// Reads a context of the file; its current one where `context` is `None`.
    pub fn load(path: &Path, context: Option<&str>) -> Result<Self, KubeconfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| KubeconfigError::Read { path: path.to_owned(), source })?;
        let directory = path.parent().unwrap_or(Path::new("."));
        Self::parse(&text, directory, context).map_err(|why| KubeconfigError::Invalid { path: path.to_owned(), why })
    }

    fn parse(text: &str, directory: &Path, context: Option<&str>) -> Result<Self, String> {
        let file: File = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        let wanted = context.unwrap_or(&file.current_context);
        let context = file.contexts.iter().find(|c| c.name == wanted);
        let context = &context.ok_or_else(|| format!("there is no context {wanted:?}"))?.context;
        let cluster = file.clusters.iter().find(|c| c.name == context.cluster);
        let cluster = &cluster.ok_or_else(|| format!("there is no cluster {:?}", context.cluster))?.cluster;
        let user = file.users.iter().find(|u| u.name == context.user);
        let user = &user.ok_or_else(|| format!("there is no user {:?}", context.user))?.user;
        if cluster.insecure_skip_tls_verify {
            return Err("insecure-skip-tls-verify is not supported: give a certificate-authority".to_owned());
        }
        if user.exec.is_some() {
            return Err("credentials by exec are not supported: give a client certificate or a token".to_owned());
        }
        let certificate = pem(directory, user.client_certificate.as_ref(), user.client_certificate_data.as_ref())?;
        let key = pem(directory, user.client_key.as_ref(), user.client_key_data.as_ref())?;
        let identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(format!("user {:?} has only one of client-certificate and client-key", context.user)),
        };
        let token = match (&user.token, &user.token_file) {
            (Some(token), _) if !token.is_empty() => Token::Fixed(token.clone()),
            (_, Some(path)) => Token::File(directory.join(path)),
            _ => Token::None,
        };
        Ok(Self {
            server: cluster.server.clone(),
            server_name: cluster.tls_server_name.clone(),
            namespace: if context.namespace.is_empty() { "default".to_owned() } else { context.namespace.clone() },
            authority: pem(
                directory,
                cluster.certificate_authority.as_ref(),
                cluster.certificate_authority_data.as_ref(),
            )?,
            identity,
            token,
        })
    }

    /// A transport to this server as this user. Connects when it is first used.
    pub fn transport(&self) -> Result<Https, KubeconfigError> {
        let source = self.clone();
        let tls = Arc::new(move || source.tls());
        Ok(Https::new(&self.server, self.server_name.as_deref(), tls, self.token.clone())?)
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, TransportError> {
        let mut roots = RootCertStore::empty();
        if let Some(authority) = &self.authority {
            for certificate in CertificateDer::pem_slice_iter(&self.read(authority)?) {
                let certificate = certificate.map_err(|error| connect_error(&self.server, error))?;
                roots.add(certificate).map_err(|error| connect_error(&self.server, error))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| connect_error(&self.server, error))?
            .with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.read(certificate)?).collect();
                let chain = chain.map_err(|error| connect_error(&self.server, error))?;
                let key = PrivateKeyDer::from_pem_slice(&self.read(key)?);
                let key = key.map_err(|error| connect_error(&self.server, error))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| connect_error(&self.server, error))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    fn read(&self, pem: &Pem) -> Result<Vec<u8>, TransportError> {
        match pem {
            Pem::Inline(text) => Ok(text.clone()),
            Pem::File(path) => std::fs::read(path).map_err(|error| {
                let error = std::io::Error::new(error.kind(), format!("{}: {error}", path.display()));
                connect_error(&self.server, error)
            }),
        }
    }
}

/// Data goes before a file, as in kubectl.
fn pem(directory: &Path, file: Option<&PathBuf>, data: Option<&String>) -> Result<Option<Pem>, String> {
    match (data, file) {
        (Some(data), _) if !data.is_empty() => {
            Ok(Some(Pem::Inline(STANDARD.decode(data.trim()).map_err(|error| format!("bad base64: {error}"))?)))
        }
        (_, Some(file)) => Ok(Some(Pem::File(directory.join(file)))),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
apiVersion: v1
kind: Config
current-context: a
clusters:
- name: c
  cluster: {server: 'https://127.0.0.1:6443', certificate-authority: ca.crt}
users:
- name: u
  user: {tokenFile: token}
- name: broken
  user: {client-certificate: x.crt}
contexts:
- name: a
  context: {cluster: c, user: u}
- name: b
  context: {cluster: c, user: broken, namespace: shop}
";

    #[test]
    fn paths_are_relative_to_the_file_and_the_current_context_is_taken() {
        let config = Kubeconfig::parse(TEXT, Path::new("/etc/x"), None).unwrap();
        assert_eq!((config.server.as_str(), config.namespace.as_str()), ("https://127.0.0.1:6443", "default"));
        assert_eq!(config.token, Token::File("/etc/x/token".into()));
        assert!(matches!(config.authority, Some(Pem::File(path)) if path == Path::new("/etc/x/ca.crt")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let why = |context| Kubeconfig::parse(TEXT, Path::new("."), Some(context)).unwrap_err();
        assert_eq!(why("b"), "user \"broken\" has only one of client-certificate and client-key");
        assert_eq!(why("zz"), "there is no context \"zz\"");
    }
}
