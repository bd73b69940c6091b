//! The content store: blobs and unpacked layers by digest, and the index of images.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::config::{ConfigFile, ImageConfig};
use super::reference::{Reference, is_digest};
use super::{During, Error, Result, unpack};
use crate::proto::{read_json, write_json};

/// An image, by its id (the digest of its configuration).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    pub manifest: String,
    /// Full names with a tag.
    pub tags: BTreeSet<String>,
    /// `REPOSITORY@DIGEST`.
    pub digests: BTreeSet<String>,
    pub size_bytes: u64,
    /// Digests of the plain layers, lowest first.
    pub layers: Vec<String>,
    pub config: ImageConfig,
}

/// What an archive or a registry brings, its layers unpacked already.
#[derive(Debug)]
pub struct Incoming {
    pub config: Vec<u8>,
    pub manifest: Vec<u8>,
    pub layers_bytes: u64,
    pub names: Vec<Reference>,
}

#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    index: Mutex<BTreeMap<String, Record>>,
    /// One writer at a time: a layer is not unpacked twice, and nothing is collected while its image is on its way.
    writing: Mutex<()>,
    next_temporary: std::sync::atomic::AtomicU64,
}

impl Store {
    /// Opens or makes the store; what a crash left half-done goes.
    pub fn open(dir: &Path) -> Result<Self> {
        let temporary = dir.join("tmp");
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary).during(|| format!("clear {}", temporary.display()))?;
        }
        for part in ["tmp", "blobs/sha256", "layers"] {
            let path = dir.join(part);
            std::fs::create_dir_all(&path).during(|| format!("make {}", path.display()))?;
        }
        let path = dir.join("index.json");
        let index: BTreeMap<String, Record> =
            read_json(&path).during(|| format!("read {}", path.display()))?.unwrap_or_default();
        let store = Self {
            dir: dir.to_owned(),
            index: Mutex::new(index),
            writing: Mutex::new(()),
            next_temporary: std::sync::atomic::AtomicU64::new(0),
        };
        Ok(store)
    }

    pub fn list(&self) -> Vec<Record> {
        self.index().values().cloned().collect()
    }

    /// By id (whole, or its hex digits from the start), tag or digest.
    pub fn find(&self, name: &str) -> Option<Record> {
        let index = self.index();
        let id = if is_digest(name) { name.to_owned() } else { format!("sha256:{name}") };
        if let Some(record) = index.get(&id) {
            return Some(record.clone());
        }
        if let Ok(reference) = Reference::parse(name) {
            let by_digest = reference.digest.as_ref().map(|digest| format!("{}@{digest}", reference.name()));
            let full = Reference { digest: None, ..reference.clone() }.to_string();
            let found = index.values().find(|record| match &by_digest {
                Some(by_digest) => record.digests.contains(by_digest),
                None => record.tags.contains(&full),
            });
            if found.is_some() {
                return found.cloned();
            }
        }
        let short = name.len() >= 7 && name.chars().all(|c| c.is_ascii_hexdigit());
        let mut matching = index.values().filter(|record| short && record.id.starts_with(&id));
        match (matching.next(), matching.next()) {
            (Some(record), None) => Some(record.clone()),
            _ => None,
        }
    }

    pub fn layer_dir(&self, diff_id: &str) -> PathBuf {
        self.dir.join("layers").join(hex(diff_id))
    }

    /// Uppermost first, as overlayfs wants them.
    pub fn lower_dirs(&self, record: &Record) -> Vec<PathBuf> {
        let dirs = record.layers.iter().rev().map(|layer| self.layer_dir(layer));
        dirs.collect()
    }

    pub fn has_layer(&self, diff_id: &str) -> bool {
        self.layer_dir(diff_id).exists()
    }

    /// A fresh path in the store's own temporary directory, which is emptied at each start.
    pub fn temporary(&self) -> PathBuf {
        let number = self.next_temporary.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.dir.join("tmp").join(number.to_string())
    }

    /// Held while an image is brought in.
    pub fn write_lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unpacks a layer (plain, gzip or zstd) and checks it against its digest. One that is there is not read.
    pub fn add_layer(&self, packed: impl Read, diff_id: &str) -> Result<()> {
        if !is_digest(diff_id) {
            return Err(Error::Invalid(format!("bad layer digest {diff_id:?}")));
        }
        let target = self.layer_dir(diff_id);
        if target.exists() {
            return Ok(());
        }
        let temporary = self.temporary();
        std::fs::create_dir(&temporary).during(|| format!("make {}", temporary.display()))?;
        let done = unpack::layer(packed, &temporary).and_then(|digest| {
            if digest == diff_id {
                return std::fs::rename(&temporary, &target).during(|| format!("make {}", target.display()));
            }
            Err(Error::Invalid(format!("layer has digest {digest}, the image says {diff_id}")))
        });
        if done.is_err() {
            let _ = std::fs::remove_dir_all(&temporary);
        }
        done
    }

    /// Puts an image whose layers are all here into the index, under its names.
    pub fn commit(&self, incoming: Incoming) -> Result<Record> {
        let config: ConfigFile = serde_json::from_slice(&incoming.config)
            .map_err(|error| Error::Invalid(format!("bad image configuration: {error}")))?;
        if let Some(missing) = config.rootfs.diff_ids.iter().find(|layer| !self.has_layer(layer)) {
            return Err(Error::Invalid(format!("layer {missing} is missing")));
        }
        let (id, manifest) = (self.add_blob(&incoming.config)?, self.add_blob(&incoming.manifest)?);
        self.sync()?;
        let mut record = Record {
            id: id.clone(),
            manifest: manifest.clone(),
            tags: BTreeSet::new(),
            digests: BTreeSet::new(),
            size_bytes: incoming.layers_bytes + incoming.config.len() as u64,
            layers: config.rootfs.diff_ids,
            config: config.config,
        };
        let mut index = self.index().clone();
        if let Some(known) = index.get(&id) {
            (record.tags, record.digests) = (known.tags.clone(), known.digests.clone());
        }
        for name in &incoming.names {
            if name.tag.is_some() {
                let tag = Reference { digest: None, ..name.clone() }.to_string();
                index.values_mut().for_each(|other| other.tags.retain(|known| *known != tag));
                record.tags.insert(tag);
            }
            record.digests.insert(format!("{}@{}", name.name(), name.digest.as_ref().unwrap_or(&manifest)));
        }
        index.insert(id, record.clone());
        self.replace_index(index)?;
        Ok(record)
    }

    /// One more name for an image that is here.
    pub fn tag(&self, id: &str, name: &Reference) -> Result<()> {
        let mut index = self.index().clone();
        let tag = name.to_string();
        index.values_mut().for_each(|other| other.tags.retain(|known| *known != tag));
        let record = index.get_mut(id).ok_or_else(|| Error::Invalid(format!("no image {id}")))?;
        record.tags.insert(tag);
        self.replace_index(index)
    }

    /// Removes an image with all its names and what no other image needs. `layers_used` are those of containers.
    pub fn remove(&self, id: &str, layers_used: &BTreeSet<String>) -> Result<()> {
        let _writing = self.write_lock();
        let mut index = self.index().clone();
        if index.remove(id).is_none() {
            return Ok(());
        }
        self.replace_index(index)?;
        self.collect(layers_used)
    }

    /// Removes blobs and layers that neither an image nor a container needs.
    pub fn collect(&self, layers_used: &BTreeSet<String>) -> Result<()> {
        let mut keep = BTreeSet::new();
        for record in self.index().values() {
            keep.extend([hex(&record.id).to_owned(), hex(&record.manifest).to_owned()]);
            keep.extend(record.layers.iter().map(|layer| hex(layer).to_owned()));
        }
        keep.extend(layers_used.iter().map(|layer| hex(layer).to_owned()));
        for part in ["blobs/sha256", "layers"] {
            let dir = self.dir.join(part);
            for entry in std::fs::read_dir(&dir).during(|| format!("read {}", dir.display()))?.flatten() {
                if keep.contains(entry.file_name().to_string_lossy().as_ref()) {
                    continue;
                }
                // A layer is moved away first: half removed, it must not be taken for whole.
                let away = self.temporary();
                std::fs::rename(entry.path(), &away).during(|| format!("remove {}", entry.path().display()))?;
                if away.is_dir() { std::fs::remove_dir_all(&away) } else { std::fs::remove_file(&away) }
                    .during(|| format!("remove {}", away.display()))?;
            }
        }
        Ok(())
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn add_blob(&self, bytes: &[u8]) -> Result<String> {
        let digest = digest_of(bytes);
        let path = self.dir.join("blobs/sha256").join(hex(&digest));
        if !path.exists() {
            crate::proto::write_file(&path, bytes).during(|| format!("write {}", path.display()))?;
        }
        Ok(digest)
    }

    /// The index must never name what a power cut could still take away.
    fn sync(&self) -> Result<()> {
        let dir = std::fs::File::open(&self.dir).during(|| format!("open {}", self.dir.display()))?;
        rustix::fs::syncfs(&dir).during(|| format!("sync {}", self.dir.display()))
    }

    fn replace_index(&self, index: BTreeMap<String, Record>) -> Result<()> {
        let path = self.dir.join("index.json");
        write_json(&path, &index).during(|| format!("write {}", path.display()))?;
        *self.index() = index;
        Ok(())
    }

    fn index(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn digest_of(bytes: &[u8]) -> String {
    digest_text(Sha256::digest(bytes).as_slice())
}

pub fn digest_text(hash: &[u8]) -> String {
    use std::fmt::Write;
    hash.iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads through and hashes.
pub struct Hashing<R> {
    pub inner: R,
    hash: Sha256,
    pub bytes: u64,
}

impl<R> Hashing<R> {
    pub fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    pub fn digest(self) -> String {
        digest_text(self.hash.finalize().as_slice())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(&buffer[..n]);
        self.bytes += n as u64;
        Ok(n)
    }
}

fn hex(digest: &str) -> &str {
    digest.strip_prefix("sha256:").unwrap_or(digest)
}
