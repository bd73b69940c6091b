//! Pulls from registries: manifest, configuration and layers are fetched and checked, then unpacked and committed at
//! once. Errors are texts as containerd's, which the kubelet shows: they name the image and the cause.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use cri::{Code, RuntimeError, v1};
use oci_client::client::{Certificate, ClientConfig, ClientProtocol};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;

use super::config::{ConfigFile, Descriptor, Manifest};
use super::reference::Reference;
use super::store::{Incoming, digest_of};
use super::{Record, Store};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Layers on their way at a time, as other runtimes.
const DOWNLOADS_MAX: usize = 3;
const LAYERS_MAX: usize = 500;
const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Why a pull failed, before the image's name is put in front of it.
#[derive(Debug)]
struct Failure {
    code: Code,
    message: String,
}

type Done<T> = Result<T, Failure>;

pub async fn pull(store: Arc<Store>, image: &str, auth: Option<&v1::AuthConfig>) -> cri::Result<Record> {
    let parsed = Reference::parse(image).map_err(|error| {
        RuntimeError::new(Code::InvalidArgument, format!("failed to parse image reference {image:?}: {error}"))
    })?;
    let done = pull_parsed(store, &parsed, auth).await;
    done.map_err(|Failure { code, message }| {
        RuntimeError::new(code, format!("failed to pull and unpack image \"{parsed}\": {message}"))
    })
}

async fn pull_parsed(store: Arc<Store>, image: &Reference, auth: Option<&v1::AuthConfig>) -> Done<Record> {
    let auth = registry_auth(auth)?;
    let client = client(&image.registry)?;
    let remote = match (&image.digest, &image.tag) {
        (Some(digest), _) => {
            oci_client::Reference::with_digest(image.registry.clone(), image.repository.clone(), digest.clone())
        }
        (None, tag) => {
            let tag = tag.clone().unwrap_or_else(|| "latest".to_owned());
            oci_client::Reference::with_tag(image.registry.clone(), image.repository.clone(), tag)
        }
    };
    let resolving = |error| {
        let Failure { code, message } = explain(image, error);
        Failure { code, message: format!("failed to resolve reference \"{image}\": {message}") }
    };
    let (bytes, digest) = client.pull_manifest_raw(&remote, &auth, &ACCEPTED).await.map_err(resolving)?;
    let mut name = image.clone();
    // The digest that a later pull by digest would ask for is the one the tag leads to.
    name.digest = Some(digest);
    let mut bytes = bytes.to_vec();
    let mut manifest = parse(&bytes)?;
    if manifest.config.is_none() {
        let ours = manifest.manifests.iter().find(|entry| entry.platform.as_ref().is_some_and(|p| p.is_ours()));
        let Some(entry) = ours else {
            let arch = super::config::architecture();
            return Err(failure(format!("no match for platform in manifest: linux/{arch}")).with(Code::NotFound));
        };
        let exact =
            oci_client::Reference::with_digest(image.registry.clone(), image.repository.clone(), entry.digest.clone());
        bytes = client.pull_manifest_raw(&exact, &auth, &ACCEPTED).await.map_err(resolving)?.0.to_vec();
        if digest_of(&bytes) != entry.digest {
            return Err(failure(format!("manifest {} has another digest", entry.digest)));
        }
        manifest = parse(&bytes)?;
    }
    let fetch = Fetch { store, client, remote, image: image.clone() };
    fetch.image(name, bytes, manifest).await
}

struct Fetch {
    store: Arc<Store>,
    client: oci_client::Client,
    remote: oci_client::Reference,
    image: Reference,
}

impl Fetch {
    async fn image(&self, name: Reference, bytes: Vec<u8>, manifest: Manifest) -> Done<Record> {
        let Some(config) = &manifest.config else { return Err(failure("the manifest has no configuration")) };
        let mut config_bytes = Vec::new();
        let fetched = self.client.pull_blob(&self.remote, &descriptor(config), &mut config_bytes).await;
        fetched.map_err(|error| explain(&self.image, error))?;
        let parsed: ConfigFile = serde_json::from_slice(&config_bytes)
            .map_err(|error| failure(format!("bad image configuration {}: {error}", config.digest)))?;
        let layers: Vec<_> = manifest.layers.iter().cloned().zip(parsed.rootfs.diff_ids.iter().cloned()).collect();
        if layers.len() != manifest.layers.len() || layers.len() != parsed.rootfs.diff_ids.len() {
            return Err(failure("layers and diff_ids differ in number"));
        }
        if layers.len() > LAYERS_MAX {
            return Err(failure(format!("more than {LAYERS_MAX} layers")));
        }
        let mut files: Vec<(Option<PathBuf>, String)> = Vec::new();
        for batch in layers.chunks(DOWNLOADS_MAX) {
            let fetches = batch.iter().map(|(layer, diff_id)| self.layer(layer, diff_id));
            files.extend(futures::future::try_join_all(fetches).await?);
        }
        let layers_bytes = manifest.layers.iter().map(|layer| layer.size).sum();
        let incoming = Incoming { config: config_bytes, manifest: bytes, layers_bytes, names: vec![name] };
        let store = self.store.clone();
        let unpack = move || -> super::Result<Record> {
            let _writing = store.write_lock();
            for (file, diff_id) in files {
                // A layer that was here may have been collected since; then committing says so.
                if let Some(file) = file {
                    let opened = std::fs::File::open(&file);
                    let opened = opened.map_err(|source| super::Error::Io { what: "open layer".into(), source })?;
                    store.add_layer(opened, &diff_id)?;
                    let _ = std::fs::remove_file(&file);
                }
            }
            store.commit(incoming)
        };
        let unpacked = tokio::task::spawn_blocking(unpack).await.map_err(|error| failure(error.to_string()))?;
        unpacked.map_err(|error| failure(error.to_string()))
    }

    /// Fetches a layer into a file, unless it is here unpacked.
    async fn layer(&self, layer: &Descriptor, diff_id: &str) -> Done<(Option<PathBuf>, String)> {
        if self.store.has_layer(diff_id) {
            return Ok((None, diff_id.to_owned()));
        }
        let path = self.store.temporary();
        let file = tokio::fs::File::create(&path).await.map_err(|error| failure(format!("make file: {error}")))?;
        match self.client.pull_blob(&self.remote, &descriptor(layer), file).await {
            Ok(()) => Ok((Some(path), diff_id.to_owned())),
            Err(error) => {
                let _ = std::fs::remove_file(&path);
                Err(explain(&self.image, error))
            }
        }
    }
}

fn descriptor(from: &Descriptor) -> OciDescriptor {
    OciDescriptor {
        media_type: from.media_type.clone(),
        digest: from.digest.clone(),
        size: i64::try_from(from.size).unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    }
}

fn parse(bytes: &[u8]) -> Done<Manifest> {
    serde_json::from_slice(bytes).map_err(|error| failure(format!("bad manifest: {error}")))
}

fn client(registry: &str) -> Done<oci_client::Client> {
    // One provider for the process; whoever comes first installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ClientConfig {
        protocol: if is_loopback(registry) { ClientProtocol::Http } else { ClientProtocol::Https },
        extra_root_certificates: Vec::<Certificate>::new(),
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(READ_TIMEOUT),
        user_agent: "ironclad",
        ..ClientConfig::default()
    };
    oci_client::Client::try_from(config).map_err(|error| failure(format!("set up TLS: {}", chain(&error))))
}

/// A registry on the machine itself speaks plain HTTP, as other runtimes have it.
fn is_loopback(registry: &str) -> bool {
    let host = registry.rsplit_once(':').map_or(registry, |(host, _)| host);
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn registry_auth(auth: Option<&v1::AuthConfig>) -> Done<RegistryAuth> {
    let Some(auth) = auth else { return Ok(RegistryAuth::Anonymous) };
    if !auth.registry_token.is_empty() {
        return Ok(RegistryAuth::Bearer(auth.registry_token.clone()));
    }
    if !auth.identity_token.is_empty() {
        return Err(failure("identity tokens are not supported, use a user name and a password"));
    }
    if !auth.username.is_empty() {
        return Ok(RegistryAuth::Basic(auth.username.clone(), auth.password.clone()));
    }
    if auth.auth.is_empty() {
        return Ok(RegistryAuth::Anonymous);
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(&auth.auth).ok();
    let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = pair.as_deref().and_then(|text| text.trim_end_matches('\0').split_once(':'));
    match pair {
        Some((user, password)) => Ok(RegistryAuth::Basic(user.to_owned(), password.to_owned())),
        None => Err(failure("invalid registry credentials: auth is not base64 of USER:PASSWORD")),
    }
}

fn failure(message: impl Into<String>) -> Failure {
    Failure { code: Code::Internal, message: message.into() }
}

impl Failure {
    fn with(self, code: Code) -> Self {
        Self { code, ..self }
    }
}

fn explain(image: &Reference, error: OciDistributionError) -> Failure {
    let not_found = || failure(format!("{image}: not found")).with(Code::NotFound);
    let denied = |message: &str| {
        failure(format!(
            "pull access denied, repository does not exist or may require authorization: server message: {message}"
        ))
    };
    match &error {
        OciDistributionError::ImageManifestNotFoundError(_) => not_found(),
        OciDistributionError::ServerError { code: 404, .. } => not_found(),
        OciDistributionError::UnauthorizedError { .. } => denied("authorization failed"),
        OciDistributionError::AuthenticationFailure(message) => denied(message),
        OciDistributionError::RegistryError { envelope, .. } => {
            let codes: Vec<&OciErrorCode> = envelope.errors.iter().map(|error| &error.code).collect();
            let unknown =
                |code: &&&OciErrorCode| matches!(code, OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown);
            let refused = |code: &&&OciErrorCode| matches!(code, OciErrorCode::Denied | OciErrorCode::Unauthorized);
            if codes.iter().any(|code| unknown(&code)) {
                return not_found();
            }
            if codes.iter().any(|code| refused(&code)) {
                return denied("insufficient_scope: authorization failed");
            }
            failure(chain(&error))
        }
        _ => failure(format!("failed to do request: {}", chain(&error))).with(Code::Unavailable),
    }
}

/// The error with its causes: the last one is what a user can act on ("connection refused").
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_on_this_machine_are_told_from_others() {
        for (registry, wanted) in [
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("[::1]:5000", true),
            ("localhost", true),
            ("docker.io", false),
            ("10.0.0.1:5000", false),
        ] {
            assert_eq!(is_loopback(registry), wanted, "{registry}");
        }
    }

    #[tokio::test]
    async fn a_registry_that_is_not_there_is_named_with_the_cause() {
        let dir = std::env::temp_dir().join(format!("ironclad-pull-{}", std::process::id()));
        let store = Arc::new(Store::open(&dir).unwrap());
        let error = pull(store, "localhost:1/nothing:1", None).await.unwrap_err();
        std::fs::remove_dir_all(&dir).unwrap();
        let start = "failed to pull and unpack image \"localhost:1/nothing:1\": failed to resolve reference \
                     \"localhost:1/nothing:1\": failed to do request: ";
        assert!(error.message.starts_with(start), "{error}");
        assert!(error.message.to_lowercase().contains("connection refused"), "{error}");
    }
}
