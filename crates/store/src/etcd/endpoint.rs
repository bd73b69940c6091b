//! Where etcd is reached, and how a byte stream to there is opened: TCP, TLS with client certificates, unix sockets.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::StoreError;

/// Files with what is needed for `https://`; read anew for each connection, so that renewed ones come into use.
#[derive(Clone, Debug, Default)]
pub struct EtcdTls {
    /// Authorities that sign etcd's certificates.
    pub ca_file: Option<PathBuf>,
    /// By what etcd knows us: a certificate (with its chain) and its key.
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
}

/// A stream of either kind.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// As it was written.
    pub name: String,
    place: Place,
    secure: bool,
}

impl Endpoint {
    /// `http://host:port`, `https://host:port`, `unix://path` or `unixs://path`.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let bad = |why: &str| StoreError::Io(format!("etcd endpoint {text:?}: {why}"));
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| bad("it must begin with http://, https:// or unix://, such as https://127.0.0.1:2379"))?;
        let secure = matches!(scheme, "https" | "unixs");
        let place = match scheme {
            "http" | "https" => {
                let uri: http::Uri = text.parse().map_err(|error: http::uri::InvalidUri| bad(&error.to_string()))?;
                let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| bad("it names no host"))?;
                if uri.path() != "/" {
                    return Err(bad("it must not have a path"));
                }
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                Place::Tcp { host, port: uri.port_u16().unwrap_or(2379) }
            }
            "unix" | "unixs" if rest.is_empty() => return Err(bad("it names no socket")),
            "unix" | "unixs" => Place::Unix(rest.into()),
            _ => return Err(bad("its scheme is none of http, https and unix")),
        };
        Ok(Self { name: text.to_owned(), place, secure })
    }

    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The part of a request's URI in front of its path.
    pub fn origin(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        match &self.place {
            Place::Tcp { host, port } => format!("{scheme}://{}", stdx::authority(host, *port)),
            Place::Unix(_) => format!("{scheme}://localhost"),
        }
    }

    /// Errors are for people.
    pub async fn open(&self, tls: &EtcdTls) -> Result<Box<dyn Duplex>, String> {
        match &self.place {
            Place::Tcp { host, port } => {
                let to = stdx::authority(host, *port);
                let stream = TcpStream::connect((host.as_str(), *port)).await;
                let stream = stream.map_err(|error| stdx::dial_error(&to, &error))?;
                stream.set_nodelay(true).map_err(|error| error.to_string())?;
                self.secured(stream, host, tls).await
            }
            Place::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                let stream = stream.map_err(|error| format!("connect to {}: {error}", path.display()))?;
                self.secured(stream, "localhost", tls).await
            }
        }
    }

    async fn secured<S: Duplex + 'static>(
        &self,
        stream: S,
        host: &str,
        tls: &EtcdTls,
    ) -> Result<Box<dyn Duplex>, String> {
        if !self.secure {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(Arc::new(tls.client_config().await?));
        let stream = connector.connect(name, stream).await.map_err(|error| format!("TLS: {error}"))?;
        Ok(Box::new(stream))
    }
}

impl EtcdTls {
    /// What is wrong with the set of files, before any is read.
    pub(super) fn check(&self, endpoints: &[Endpoint]) -> Result<(), StoreError> {
        if self.cert_file.is_some() != self.key_file.is_some() {
            return Err(StoreError::Io("a client certificate for etcd needs both its file and its key's".into()));
        }
        match endpoints.iter().find(|endpoint| endpoint.is_secure()) {
            Some(endpoint) if self.ca_file.is_none() => {
                let name = &endpoint.name;
                Err(StoreError::Io(format!("etcd endpoint {name:?}: the file of the authority to trust is not given")))
            }
            _ => Ok(()),
        }
    }

    async fn client_config(&self) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(self.ca_file.as_ref()).await? {
            roots.add(certificate).map_err(|error| format!("the authority to trust: {error}"))?;
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        let builder = builder.with_root_certificates(roots);
        let mut config = match &self.key_file {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let key = PrivateKeyDer::from_pem_slice(&read(path).await?);
                let key = key.map_err(|error| format!("{}: {error}", path.display()))?;
                let chain = certificates(self.cert_file.as_ref()).await?;
                builder.with_client_auth_cert(chain, key).map_err(|error| format!("client certificate: {error}"))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

async fn certificates(path: Option<&PathBuf>) -> Result<Vec<CertificateDer<'static>>, String> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let pem = read(path).await?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|error| format!("{}: {error}", path.display()))?;
    if all.is_empty() { Err(format!("{}: no certificate in it", path.display())) } else { Ok(all) }
}

async fn read(path: &PathBuf) -> Result<Vec<u8>, String> {
    tokio::fs::read(path).await.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_or_refused_with_a_reason() {
        let shown = |text: &str| match Endpoint::parse(text) {
            Ok(endpoint) => format!("{} {:?}", endpoint.origin(), endpoint.place),
            Err(error) => error.to_string(),
        };
        let cases = [
            ("http://10.0.0.1:2379", r#"http://10.0.0.1:2379 Tcp { host: "10.0.0.1", port: 2379 }"#),
            ("https://[::1]:23790", r#"https://[::1]:23790 Tcp { host: "::1", port: 23790 }"#),
            ("https://etcd", r#"https://etcd:2379 Tcp { host: "etcd", port: 2379 }"#),
            ("unix:///run/etcd.sock", r#"http://localhost Unix("/run/etcd.sock")"#),
            (
                "10.0.0.1:2379",
                r#"store I/O failed: etcd endpoint "10.0.0.1:2379": it must begin with http://, https:// or unix://, such as https://127.0.0.1:2379"#,
            ),
            ("ftp://a", r#"store I/O failed: etcd endpoint "ftp://a": its scheme is none of http, https and unix"#),
            ("http://a/b", r#"store I/O failed: etcd endpoint "http://a/b": it must not have a path"#),
        ];
        for (text, expected) in cases {
            assert_eq!(shown(text), expected);
        }
    }
}
