//! Import of image archives: `docker save` and OCI layout tars, plain or compressed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use linux::root::Root;
use rustix::fs::{Mode, OFlags};
use serde::Deserialize;

use super::config::{ConfigFile, Descriptor, Manifest};
use super::reference::Reference;
use super::store::{Hashing, Incoming, Record, Store, digest_of};
use super::{During, Error, Result, unpack};

/// Manifests, indexes and configurations are small; more than this is no image.
const JSON_BYTES_MAX: u64 = 8 << 20;
const MANIFESTS_MAX: usize = 1_000;
const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Brings all images of the archive in. `name` is for an image that the archive does not name.
pub fn import(store: &Store, archive: impl Read, name: Option<&str>) -> Result<Vec<Record>> {
    let _writing = store.write_lock();
    let staging = store.temporary();
    std::fs::create_dir(&staging).during(|| format!("make {}", staging.display()))?;
    let done = stage(archive, &staging).and_then(|root| {
        let name = name.map(Reference::parse).transpose()?;
        match read_json_file::<Vec<DockerImage>>(&root, "manifest.json")? {
            Some(images) => images.into_iter().map(|image| docker(store, &root, image, name.as_ref())).collect(),
            None => match read_json_file::<Manifest>(&root, "index.json")? {
                Some(index) => oci(store, &root, &index, name.as_ref()),
                None => Err(Error::Invalid(
                    "not an image archive: it has neither manifest.json (docker save) nor index.json (OCI layout)"
                        .into(),
                )),
            },
        }
    });
    let _ = std::fs::remove_dir_all(&staging);
    done
}

/// Unpacks the archive's files into a directory that none of them can leave.
fn stage(archive: impl Read, dir: &Path) -> Result<Root> {
    let root = Root::open(dir).map_err(|error| Error::Invalid(error.to_string()))?;
    let mut archive = tar::Archive::new(unpack::plain(archive)?);
    let what = || "read image archive".to_owned();
    for entry in archive.entries().during(what)? {
        let mut entry = entry.during(what)?;
        let path = entry.path().during(what)?.into_owned();
        let fail = |error: linux::Error| Error::Invalid(format!("unpack {}: {error}", path.display()));
        match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                let (parent, name) = root.make_parent(&path).map_err(fail)?;
                let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(&parent, name, flags, Mode::from_raw_mode(0o600)).during(what)?;
                std::io::copy(&mut entry, &mut File::from(fd)).during(what)?;
            }
            // Old `docker save` shares layers by links.
            tar::EntryType::Symlink => {
                let to = entry.link_name().during(what)?.unwrap_or_default().into_owned();
                let (parent, name) = root.make_parent(&path).map_err(fail)?;
                rustix::fs::symlinkat(&to, &parent, name).during(what)?;
            }
            _ => {}
        }
    }
    Ok(root)
}

fn open(root: &Root, path: &str) -> Result<File> {
    let fd = root.open_at(Path::new(path), OFlags::RDONLY, Mode::empty());
    fd.map(File::from).during(|| format!("open {path} of the image archive"))
}

fn read(root: &Root, path: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(root, path)?.take(JSON_BYTES_MAX).read_to_end(&mut bytes).during(|| format!("read {path}"))?;
    Ok(bytes)
}

fn read_json_file<T: serde::de::DeserializeOwned>(root: &Root, path: &str) -> Result<Option<T>> {
    if root.lookup(Path::new(path)).is_err() {
        return Ok(None);
    }
    let parsed = serde_json::from_slice(&read(root, path)?);
    parsed.map(Some).map_err(|error| Error::Invalid(format!("bad {path} in image archive: {error}")))
}

fn docker(store: &Store, root: &Root, image: DockerImage, name: Option<&Reference>) -> Result<Record> {
    let config = read(root, &image.config)?;
    let parsed = parse_config(&config)?;
    if parsed.rootfs.diff_ids.len() != image.layers.len() {
        return Err(Error::Invalid(format!(
            "{} layers for {} diff_ids",
            image.layers.len(),
            parsed.rootfs.diff_ids.len()
        )));
    }
    let mut layers = Vec::new();
    for (path, diff_id) in image.layers.iter().zip(&parsed.rootfs.diff_ids) {
        store.add_layer(open(root, path)?, diff_id)?;
        let mut hashing = Hashing::new(open(root, path)?);
        std::io::copy(&mut hashing, &mut std::io::sink()).during(|| format!("read {path}"))?;
        let size = hashing.bytes;
        layers.push(descriptor("application/vnd.oci.image.layer.v1.tar", hashing.digest(), size));
    }
    let media_type = "application/vnd.oci.image.config.v1+json";
    let manifest = Manifest {
        schema_version: 2,
        media_type: OCI_MANIFEST.into(),
        config: Some(descriptor(media_type, digest_of(&config), config.len() as u64)),
        layers,
        manifests: Vec::new(),
    };
    let layers_bytes = manifest.layers.iter().map(|layer| layer.size).sum();
    let tags = image.repo_tags.unwrap_or_default();
    let mut names = tags.iter().map(|tag| Reference::parse(tag)).collect::<Result<Vec<_>>>()?;
    if names.is_empty() {
        names.extend(name.cloned());
    }
    let manifest = serde_json::to_vec(&manifest).map_err(|error| Error::Invalid(error.to_string()))?;
    store.commit(Incoming { config, manifest, layers_bytes, names })
}

fn descriptor(media_type: &str, digest: String, size: u64) -> Descriptor {
    Descriptor { media_type: media_type.into(), digest, size, annotations: Default::default(), platform: None }
}

/// Every image of the index that is for this machine.
fn oci(store: &Store, root: &Root, index: &Manifest, name: Option<&Reference>) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    let mut platforms = Vec::new();
    // (descriptor, names): an index in the index hands its names on.
    let mut todo: Vec<(Descriptor, Vec<Reference>)> = Vec::new();
    for entry in &index.manifests {
        todo.push((entry.clone(), names_of(entry, name)?));
    }
    let mut seen = 0;
    while let Some((entry, names)) = todo.pop() {
        seen += 1;
        if seen > MANIFESTS_MAX {
            return Err(Error::Invalid(format!("more than {MANIFESTS_MAX} manifests in the image archive")));
        }
        if let Some(platform) = entry.platform.as_ref().filter(|platform| !platform.is_ours()) {
            platforms.push(format!("{}/{}", platform.os, platform.architecture));
            continue;
        }
        let path = blob_path(&entry.digest)?;
        if root.lookup(Path::new(&path)).is_err() && !records.is_empty() {
            continue;
        }
        let bytes = read_blob(root, &entry.digest)?;
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Invalid(format!("bad manifest {}: {error}", entry.digest)))?;
        match &manifest.config {
            Some(config) => records.push(oci_image(store, root, &bytes, &manifest, config, names)?),
            None => todo.extend(manifest.manifests.into_iter().map(|inner| (inner, names.clone()))),
        }
    }
    if records.is_empty() {
        let ours = super::config::architecture();
        return Err(Error::Invalid(format!("no image for linux/{ours} in the archive, only for {platforms:?}")));
    }
    Ok(records)
}

fn oci_image(
    store: &Store,
    root: &Root,
    bytes: &[u8],
    manifest: &Manifest,
    config: &Descriptor,
    names: Vec<Reference>,
) -> Result<Record> {
    let config = read_blob(root, &config.digest)?;
    let parsed = parse_config(&config)?;
    if parsed.rootfs.diff_ids.len() != manifest.layers.len() {
        return Err(Error::Invalid("layers and diff_ids differ in number".into()));
    }
    for (layer, diff_id) in manifest.layers.iter().zip(&parsed.rootfs.diff_ids) {
        store.add_layer(open(root, &blob_path(&layer.digest)?)?, diff_id)?;
    }
    let layers_bytes = manifest.layers.iter().map(|layer| layer.size).sum();
    store.commit(Incoming { config, manifest: bytes.to_vec(), layers_bytes, names })
}

fn parse_config(bytes: &[u8]) -> Result<ConfigFile> {
    serde_json::from_slice(bytes).map_err(|error| Error::Invalid(format!("bad image configuration: {error}")))
}

fn blob_path(digest: &str) -> Result<String> {
    if super::reference::is_digest(digest) {
        return Ok(digest.replacen("sha256:", "blobs/sha256/", 1));
    }
    Err(Error::Invalid(format!("bad digest {digest:?}")))
}

fn read_blob(root: &Root, digest: &str) -> Result<Vec<u8>> {
    let bytes = read(root, &blob_path(digest)?)?;
    let actual = digest_of(&bytes);
    if actual == digest { Ok(bytes) } else { Err(Error::Invalid(format!("blob {digest} has digest {actual}"))) }
}

/// Builders disagree on where the name is; a bare tag is none.
fn names_of(entry: &Descriptor, name: Option<&Reference>) -> Result<Vec<Reference>> {
    let full = entry.annotations.get("io.containerd.image.name");
    let short = entry.annotations.get("org.opencontainers.image.ref.name").filter(|n| n.contains(['/', ':']));
    match full.or(short) {
        Some(text) => Ok(vec![Reference::parse(text)?]),
        None => Ok(name.cloned().into_iter().collect()),
    }
}
