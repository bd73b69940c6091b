//! Which API servers live, where several share a store: each says so, and the endpoints of the service `kubernetes` are
//! those that did of late. As upstream's `--endpoint-reconciler-type=lease` and its Leases of API server identities.
//!
//! ```text
//! own key written each EVERY -> all keys read -> one that has not changed for DEAD_AFTER is removed -> endpoints
//! ```
//! A server that cannot say so lets the others take the connections that arrive at a socket of all (`http/listen.rs`).
//! A server's silence is timed by our own timer from when we saw its key change, never by comparing clocks.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

use api::{Gvr, Key, Revision, Status};
use bytes::Bytes;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use store::{Commit, Durability, Precondition, Range, Write};
use tokio::time::Instant;

use crate::bootstrap;
use crate::engine::Engine;
use crate::request::Verb;
use crate::storage;
use crate::tree;

/// Upstream's place for them. They are no objects: nothing serves them.
const PREFIX: &str = "/registry/masterleases/";
const PREFIX_END: &[u8] = b"/registry/masterleases0";
const EVERY: Duration = Duration::from_secs(3);
const DEAD_AFTER: Duration = Duration::from_secs(10);
/// A server that takes longer is cut off from the store; others may not be.
const ROUND_TIMEOUT: Duration = Duration::from_secs(2);
/// The identity's Lease is renewed every so many rounds: upstream's 10 s.
const IDENTITY_ROUNDS: u64 = 3;
const SLICES: Gvr = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
const ENDPOINTS: Gvr = Gvr::new("", "v1", "endpoints");
const LEASES: Gvr = Gvr::new("coordination.k8s.io", "v1", "leases");

/// The servers that were seen: when their key was last written, and since when we know that.
#[derive(Default)]
struct Seen(BTreeMap<Ipv4Addr, (Revision, Instant)>);

/// Tells the others of this server before it serves.
pub async fn begin(engine: &Arc<Engine>) -> Result<(), Status> {
    identify(engine).await?;
    Seen::default().round(engine).await
}

/// Runs until the engine is gone.
pub async fn run(engine: Weak<Engine>) {
    let mut seen = Seen::default();
    let mut rounds = 0u64;
    loop {
        tokio::time::sleep(EVERY).await;
        rounds += 1;
        let Some(engine) = engine.upgrade().filter(|engine| !engine.leaving.load(Relaxed)) else { return };
        let round = async {
            if rounds.is_multiple_of(IDENTITY_ROUNDS) {
                identify(&engine).await?;
            }
            seen.round(&engine).await
        };
        let why = match tokio::time::timeout(ROUND_TIMEOUT, round).await {
            Ok(Ok(())) => None,
            Ok(Err(status)) => Some(status.message),
            Err(_) => Some("the store takes too long".into()),
        };
        let is_cut_off = why.is_some();
        if engine.cut_off.read(|before| *before != is_cut_off) {
            tracing::warn!(is_cut_off, why, "this API server and its store");
            engine.cut_off.update(|cut_off| *cut_off = is_cut_off);
        }
    }
}

/// This server stops: it takes itself out, so that nobody is sent to it.
pub async fn leave(engine: &Arc<Engine>) -> Result<(), Status> {
    engine.leaving.store(true, Relaxed);
    let own = key_of(engine.config().advertise_address);
    let commit = Commit { writes: vec![Write::Delete(own)], ..Commit::default() };
    engine.store().commit(commit).await.map_err(storage::failed)?;
    let mut left = Seen::default();
    left.look(engine).await?;
    if left.0.is_empty() {
        return Ok(());
    }
    left.publish(engine).await
}

impl Seen {
    async fn round(&mut self, engine: &Arc<Engine>) -> Result<(), Status> {
        let own = Write::Put(key_of(engine.config().advertise_address), Bytes::from_static(b"{}"));
        let commit = Commit { writes: vec![own], durability: Durability::Buffered, ..Commit::default() };
        engine.store().commit(commit).await.map_err(storage::failed)?;
        self.look(engine).await?;
        self.publish(engine).await
    }

    /// Reads the keys; those of the dead are deleted.
    async fn look(&mut self, engine: &Engine) -> Result<(), Status> {
        let range = Range { start: PREFIX.as_bytes().into(), end: PREFIX_END.into(), at: None, limit: None };
        let page = engine.store().range(range).await.map_err(storage::failed)?;
        let mut now = BTreeMap::new();
        for entry in page.entries {
            let Some(ip) = address_of(&entry.key) else { continue };
            let known = self.0.get(&ip).filter(|(modified, _)| *modified == entry.modified);
            let since = known.map_or_else(Instant::now, |(_, since)| *since);
            if since.elapsed() < DEAD_AFTER {
                now.insert(ip, (entry.modified, since));
                continue;
            }
            tracing::info!(%ip, "an API server has died");
            let commit = Commit {
                preconditions: vec![Precondition::ModifiedAt(entry.key.clone(), entry.modified)],
                writes: vec![Write::Delete(entry.key)],
                ..Commit::default()
            };
            // A conflict means that it lives after all: the next round sees that.
            let _ = engine.store().commit(commit).await;
        }
        self.0 = now;
        Ok(())
    }

    /// Makes the endpoints those of the living, where they are not.
    async fn publish(&self, engine: &Arc<Engine>) -> Result<(), Status> {
        let living: Vec<Ipv4Addr> = self.0.keys().copied().collect();
        if published(engine) == Some(living.clone()) {
            return Ok(());
        }
        match bootstrap::lead_to(engine, &living).await {
            // Another server says the same at this moment.
            Err(status) if status.is_conflict() => Ok(()),
            done => done,
        }
    }
}

/// The addresses that both objects name; `None` where one is missing or they differ.
fn published(engine: &Engine) -> Option<Vec<Ipv4Addr>> {
    let key = Key::new("default", "kubernetes");
    let find = |gvr: &Gvr| engine.table(gvr)?.get(&key)?.tree().ok();
    let (slice, endpoints) = (find(&SLICES)?, find(&ENDPOINTS)?);
    let addresses = |list: &[Value], field: &str| -> Option<Vec<Ipv4Addr>> {
        list.iter().map(|one| one.pointer(field)?.as_str()?.parse().ok()).collect()
    };
    let in_slice = addresses(tree::list(&slice, "endpoints"), "/addresses/0")?;
    let subset = tree::list(&endpoints, "subsets").first()?;
    let in_endpoints = addresses(tree::list(subset, "addresses"), "/ip")?;
    (in_slice == in_endpoints).then_some(in_slice)
}

fn key_of(ip: Ipv4Addr) -> store::StoreKey {
    format!("{PREFIX}{ip}").into_bytes().into()
}

fn address_of(key: &[u8]) -> Option<Ipv4Addr> {
    std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?.parse().ok()
}

/// Renews the Lease by which people and tools see this server.
async fn identify(engine: &Arc<Engine>) -> Result<(), Status> {
    let Some(host) = &engine.config().replica else { return Ok(()) };
    let name = format!("apiserver-{}", base32(&digest(&SHA256, host.as_bytes()).as_ref()[..16]));
    let mut lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": name, "namespace": "kube-system",
            "labels": { "apiserver.kubernetes.io/identity": "kube-apiserver", "kubernetes.io/hostname": host },
        },
        "spec": {
            "holderIdentity": format!("{name}_{host}"),
            "leaseDurationSeconds": 3600,
            "renewTime": engine.clock().now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        },
    });
    let known = engine.table(&LEASES).and_then(|table| table.get(&Key::new("kube-system", &name)).cloned());
    let verb = match known {
        Some(known) => {
            tree::set(&mut lease, "metadata.resourceVersion", known.revision().to_string());
            Verb::Update
        }
        None => Verb::Create,
    };
    match bootstrap::write(engine, verb, &lease).await? {
        Some(status) if !status.is_conflict() && !status.is_already_exists() => Err(status),
        _ => Ok(()),
    }
}

/// RFC 4648 in small letters, without padding.
fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let (mut out, mut held, mut bits) = (String::new(), 0u32, 0);
    for byte in bytes {
        (held, bits) = ((held << 8) | u32::from(*byte), bits + 8);
        while bits >= 5 {
            bits -= 5;
            out.push(char::from(LETTERS[(held >> bits) as usize & 31]));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push(char::from(LETTERS[(held << (5 - bits)) as usize & 31]));
    }
    out
}
