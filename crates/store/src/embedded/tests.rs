//! What the embedded engine promises beyond the suite: it survives kills, torn writes, full and failing disks.

mod crash;
mod model;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use stdx::Rng;

use super::codec::{HEADER_LEN, Header, encode_frame, frame_at};
use super::{EmbeddedOptions, EmbeddedStore};
use crate::disk::Disk;
use crate::fault::{Fault, FaultDisk};
use crate::{Commit, Durability, Range, Revision, Store, StoreError, WatchItem, Write};

const LOG: &str = "log-0000000000000001";

fn options(log_bytes: u64) -> EmbeddedOptions {
    EmbeddedOptions { log_bytes, fill_bytes: 8_192, rng: Rng::seeded(1), ..EmbeddedOptions::default() }
}

fn open(disk: &FaultDisk) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open_on(Arc::new(disk.clone()), options(16 << 20))
}

fn put(key: &str, value: impl Into<Bytes>) -> Commit {
    Commit { writes: vec![Write::Put(key.as_bytes().into(), value.into())], ..Commit::default() }
}

fn buffered(commit: Commit) -> Commit {
    Commit { durability: Durability::Buffered, ..commit }
}

async fn all(store: &EmbeddedStore) -> BTreeMap<String, String> {
    let range = Range { start: [].as_slice().into(), end: [0xff].as_slice().into(), at: None, limit: None };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    store.range(range).await.expect("range").entries.iter().map(|e| (text(&e.key), text(&e.value))).collect()
}

/// A log of eight commits of one key each, cut behind its last frame, and the offset at which each frame starts.
async fn small_log() -> (Vec<u8>, Vec<usize>) {
    let disk = FaultDisk::default();
    let store = open(&disk).expect("open");
    for i in 0..8 {
        store.commit(put(&format!("k{i}"), "v")).await.expect("commit");
    }
    let mut file = disk.read(LOG).expect("log");
    let salt = Header::decode(&file).expect("header").salt;
    let (mut at, mut starts) = (HEADER_LEN, Vec::new());
    while let Ok(frame) = frame_at(&file[at..], at as u64, salt) {
        if frame.payload.is_empty() {
            break;
        }
        starts.push(at);
        at += frame.bytes.len();
    }
    file.truncate(at);
    (file, starts)
}

#[tokio::test]
async fn a_log_cut_at_any_byte_gives_a_prefix_of_its_history() {
    let (file, starts) = small_log().await;
    assert_eq!(starts.len(), 10, "two records of the start and eight commits");
    for len in HEADER_LEN..=file.len() {
        let disk = FaultDisk::default();
        disk.put(LOG, file[..len].to_vec());
        let store = open(&disk).unwrap_or_else(|error| panic!("cut at {len}: {error}"));
        let whole = starts.iter().skip(3).chain([&file.len()]).filter(|end| **end <= len).count();
        assert_eq!(all(&store).await.len(), whole, "cut at {len}");
        store.commit(put("new", "v")).await.expect("commit behind a torn tail");
        drop(store);
        assert_eq!(all(&open(&disk).expect("reopen")).await.len(), whole + 1, "cut at {len}, then written on");
    }
}

#[tokio::test]
async fn a_damaged_byte_is_refused_unless_it_may_be_a_torn_tail() {
    let (file, starts) = small_log().await;
    let last = *starts.last().expect("frames");
    for at in 0..file.len() {
        let disk = FaultDisk::default();
        let mut damaged = file.clone();
        damaged[at] ^= 0x10;
        disk.put(LOG, damaged);
        match open(&disk) {
            Ok(store) => {
                assert!(at >= last, "damage at {at} went unnoticed");
                assert_eq!(all(&store).await.len(), 7);
            }
            Err(StoreError::Corrupt(what)) => {
                assert!(at < last, "damage at {at}: {what}");
                let frame = starts.iter().rev().find(|start| **start <= at).copied().unwrap_or(0);
                assert!(what.starts_with(&format!("{LOG} at offset {frame}: ")), "{what}");
                assert!(what.contains("`ironclad store check` says what"), "{what}");
            }
            Err(other) => panic!("damage at {at}: {other}"),
        }
    }
}

#[tokio::test]
async fn damage_to_the_last_frame_is_refused_once_it_is_sealed() {
    let (file, starts) = small_log().await;
    let salt = Header::decode(&file).expect("header").salt;
    let len = file.len() as u64;
    let mut sealed = file.clone();
    encode_frame(&mut sealed, &[], len, len, salt);
    for at in *starts.last().expect("frames")..file.len() {
        let disk = FaultDisk::default();
        let mut damaged = sealed.clone();
        damaged[at] ^= 0x10;
        disk.put(LOG, damaged);
        let Err(error) = open(&disk) else { panic!("damage at {at} went unnoticed") };
        assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    }
}

#[tokio::test]
async fn reads_go_on_while_a_sync_hangs_and_nothing_is_acknowledged_before_it_ends() {
    let disk = FaultDisk::default();
    let store = open(&disk).expect("open");
    store.commit(put("kept", "v")).await.expect("commit");
    disk.hold_syncs(true);
    let mut slow = Box::pin(store.commit(put("slow", "v")));
    for _ in 0..100 {
        assert!(futures::poll!(&mut slow).is_pending());
        assert_eq!(all(&store).await.len(), 1, "what is not durable is not shown");
        tokio::task::yield_now().await;
    }
    disk.hold_syncs(false);
    slow.await.expect("commit");
    assert_eq!(all(&store).await.len(), 2);
}

#[tokio::test]
async fn a_flipped_bit_is_refused_or_does_no_harm() {
    let (mut refused, mut harmless) = (0, 0);
    for seed in 0..400 {
        let (rng, disk) = (Rng::seeded(seed), FaultDisk::default());
        let store = EmbeddedStore::open_on(Arc::new(disk.clone()), options(3_000)).expect("open");
        for i in 0..60 {
            let commit = put(&format!("k{}", rng.below(9)), vec![b'x'; rng.below(200) as usize]);
            let commit = if rng.below(3) == 0 { buffered(commit) } else { commit };
            store.commit(commit).await.unwrap_or_else(|error| panic!("seed {seed}, {i}: {error}"));
        }
        let (before, newest) = (all(&store).await, store.current().await.expect("current"));
        drop(store);
        let names = disk.names().expect("names");
        let name = &names[rng.below(names.len() as u64) as usize];
        let mut bytes = disk.read(name).expect("read");
        let at = rng.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << rng.below(8);
        disk.put(name, bytes);
        let report = crate::check_on(&disk).expect("check");
        match EmbeddedStore::open_on(Arc::new(disk.clone()), options(3_000)) {
            Ok(store) => {
                assert!(all(&store).await == before, "seed {seed}: {name} at {at} changed the content");
                assert_eq!(store.current().await.expect("current"), newest, "seed {seed}: {name} at {at}");
                assert!(report.opens(), "seed {seed}: {report:?}");
                harmless += 1;
            }
            Err(StoreError::Corrupt(what)) => {
                assert!(what.contains(&**name) && !report.opens(), "seed {seed}: {name} at {at}: {what} {report:?}");
                refused += 1;
            }
            Err(other) => panic!("seed {seed}: {name} at {at}: {other}"),
        }
    }
    assert!(refused > 50 && harmless > 50, "{refused} refused, {harmless} harmless");
}

#[tokio::test]
async fn a_full_disk_heals_by_itself_while_large_logs_wait_for_their_snapshot() {
    let disk = FaultDisk::default();
    let store = EmbeddedStore::open_on(Arc::new(disk.clone()), options(3_000)).expect("open");
    let rng = Rng::seeded(5);
    let mut model = BTreeMap::new();
    for round in 0..30 {
        disk.set_bytes_max((round % 3 < 2).then(|| disk.bytes_used() + rng.below(3_000) as usize));
        for i in 0..20 {
            let (key, value) = (format!("k{}", rng.below(30)), format!("{round}-{i}"));
            match store.commit(put(&key, value.clone())).await {
                Ok(_) => drop(model.insert(key, value)),
                Err(StoreError::NoSpace(_)) if round % 3 < 2 => {}
                Err(error) => panic!("round {round}: {error}"),
            }
            assert_eq!(all(&store).await, model);
        }
    }
    disk.set_bytes_max(None);
    store.compact(store.current().await.expect("current")).await.expect("compact");
    store.reclaim().await.expect("reclaim");
    drop(store);
    assert_eq!(disk.names().expect("names").len(), 2, "drafts are gone");
    assert_eq!(all(&open(&disk).expect("reopen")).await, model);
}

#[tokio::test]
async fn no_synced_commit_is_lost_when_the_machine_goes_down_at_any_time() {
    let rng = Rng::seeded(42);
    for round in 0..24 {
        let disk = FaultDisk::default();
        let mut synced: BTreeMap<String, String> = BTreeMap::new();
        for life in 0..4 {
            let log_bytes = if round % 2 == 0 { 2_000 } else { 16 << 20 };
            let store = EmbeddedStore::open_on(Arc::new(disk.clone()), options(log_bytes))
                .unwrap_or_else(|error| panic!("round {round} life {life}: {error}"));
            let found = all(&store).await;
            for (key, value) in &synced {
                assert!(found.get(key).is_some_and(|found| found >= value), "round {round} life {life}: {key} is lost");
            }
            for step in 0..rng.below(12) {
                let commits = (0..1 + rng.below(6)).map(|writer| {
                    let (key, value) = (format!("key-{writer}"), format!("{life}-{step:03}"));
                    let soon = rng.below(3) == 0;
                    let commit = put(&key, value.clone() + &"x".repeat(rng.below(900) as usize));
                    let commit = if soon { buffered(commit) } else { commit };
                    let store = &store;
                    async move { store.commit(commit).await.map(|_| (!soon).then_some((key, value))) }
                });
                synced.extend(join_all(commits).await.into_iter().filter_map(|done| done.expect("commit")));
            }
            disk.crash(&rng);
            drop(store);
        }
    }
}

#[tokio::test]
async fn history_survives_a_restart_of_the_process_but_not_of_the_machine() {
    let disk = FaultDisk::default();
    let store = open(&disk).expect("open");
    let first = store.commit(put("a", "1")).await.expect("commit");
    store.commit(put("a", "2")).await.expect("commit");
    drop(store);
    let store = open(&disk).expect("reopen");
    let watch = || store.watch([].as_slice().into(), [0xff].as_slice().into(), first);
    let item = watch().await.expect("watch").next().await.expect("item").expect("events");
    let WatchItem::Events(events) = item else { panic!("{item:?}") };
    assert_eq!(events[0].value.as_deref(), Some(b"2".as_slice()));
    store.commit(buffered(put("a", "3"))).await.expect("commit");
    disk.crash(&Rng::seeded(3));
    drop(store);
    let store = open(&disk).expect("reopen after a crash");
    assert!(store.current().await.expect("current") > Revision(100_000), "no revision is given out twice");
    let Err(error) = store.watch([].as_slice().into(), [0xff].as_slice().into(), Revision(4)).await else {
        panic!("a watcher must list again: it may have seen what is lost")
    };
    assert!(matches!(error, StoreError::Compacted { .. }), "{error}");
}

/// Found by `CRASH_SEED=6`.
#[tokio::test]
async fn a_crash_is_noticed_however_many_logs_were_begun_since_the_start() {
    for seed in 0..20 {
        let disk = FaultDisk::default();
        let history = crate::History { events_max: 2, ..crate::History::default() };
        let options = EmbeddedOptions { history, ..options(500) };
        let store = EmbeddedStore::open_on(Arc::new(disk.clone()), options).expect("open");
        for i in 0..60 {
            store.commit(put("k", format!("{i:0100}"))).await.expect("commit");
        }
        let seen = store.commit(buffered(put("k", "seen"))).await.expect("commit");
        disk.crash(&Rng::seeded(seed));
        drop(store);
        let store = open(&disk).expect("reopen");
        let current = store.current().await.expect("current");
        // The writer may have synced it before the crash: then nothing is lost.
        let is_kept = all(&store).await.get("k").is_some_and(|value| value == "seen");
        let goes_on = if is_kept { current >= seen } else { current > Revision(seen.0 + 90_000) };
        assert!(goes_on, "{seen} was seen, and the store goes on at {current}");
    }
}

/// Found by `CRASH_SEED=365`.
#[tokio::test]
async fn a_first_log_whose_name_a_kill_left_undurable_is_not_lost_with_the_machine() {
    for operations in 0..12 {
        for seed in 0..4 {
            let (disk, rng) = (FaultDisk::default(), Rng::seeded(seed));
            disk.after(operations, Fault::Down, &rng);
            drop(open(&disk));
            disk.kill();
            let store = open(&disk).expect("open");
            store.commit(put("kept", "v")).await.expect("commit");
            disk.crash(&rng);
            drop(store);
            let found = all(&open(&disk).expect("reopen")).await;
            assert!(found.contains_key("kept"), "lost after {operations} operations, seed {seed}");
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_commits_serves_reads_and_heals() {
    let disk = FaultDisk::default();
    let store = open(&disk).expect("open");
    store.commit(put("kept", "v")).await.expect("commit");
    disk.set_bytes_max(Some(disk.bytes_used()));
    let large = vec![b'x'; 2 << 20];
    let error = store.commit(put("large", large.clone())).await.expect_err("there is no space");
    assert!(matches!(error, StoreError::NoSpace(_)), "{error}");
    assert!(store.get(b"kept").await.expect("get").is_some());
    assert!(store.get(b"large").await.expect("get").is_none());
    drop(store);
    let log = disk.read(LOG).expect("log");
    let used = log.iter().rposition(|byte| *byte != 0).expect("frames") + 1;
    disk.put(LOG, log[..used.next_multiple_of(8)].to_vec());
    disk.set_bytes_max(Some(0));
    let store = open(&disk).expect("a full disk is no reason not to serve");
    assert_eq!(all(&store).await.len(), 1);
    store.commit(put("small", "v")).await.expect_err("there is no space");
    disk.set_bytes_max(None);
    store.commit(put("large", large)).await.expect("there is space again");
    drop(store);
    assert_eq!(all(&open(&disk).expect("reopen")).await.len(), 2);
}

#[tokio::test]
async fn a_failing_disk_stops_writes_for_good_and_serves_reads() {
    let disk = FaultDisk::default();
    let store = open(&disk).expect("open");
    store.commit(put("kept", "v")).await.expect("commit");
    disk.fail_syncs(true);
    let error = store.commit(put("lost", "v")).await.expect_err("not durable");
    assert!(matches!(error, StoreError::Io(_)), "{error}");
    disk.fail_syncs(false);
    let error = store.commit(put("later", "v")).await.expect_err("what the disk holds is not known");
    assert!(error.to_string().contains("writes stop until the process is started again"), "{error}");
    assert_eq!(all(&store).await.len(), 1);
}

#[tokio::test]
async fn old_logs_go_and_nothing_else_does() {
    let disk = FaultDisk::default();
    let history = crate::History { events_max: 100, ..crate::History::default() };
    let options = |log_bytes| EmbeddedOptions { history, ..options(log_bytes) };
    let store = EmbeddedStore::open_on(Arc::new(disk.clone()), options(20_000)).expect("open");
    let mut model = BTreeMap::new();
    for i in 0..2_000 {
        let (key, value) = (format!("k{}", i % 50), format!("{i}"));
        store.commit(put(&key, value.clone())).await.expect("commit");
        model.insert(key, value);
    }
    assert_eq!(all(&store).await, model);
    drop(store);
    assert!(disk.names().expect("names").iter().any(|name| name.starts_with("snapshot-")), "there were snapshots");
    assert!(disk.read(LOG).is_err(), "the first log is gone");
    assert!(disk.bytes_used() < 200_000, "{} bytes are used", disk.bytes_used());
    let store = EmbeddedStore::open_on(Arc::new(disk.clone()), options(20_000)).expect("reopen");
    assert_eq!(all(&store).await, model);
    assert_eq!(store.current().await.expect("current"), Revision(2_001));
}

#[tokio::test]
async fn history_reaches_as_far_back_as_its_window() {
    let read_first = async |window_secs: u64| {
        let clock = Arc::new(stdx::ManualClock::new("2026-01-01T00:00:00Z".parse().expect("a time")));
        let history = crate::History::of(std::time::Duration::from_secs(window_secs));
        let options = EmbeddedOptions { history, clock: clock.clone(), ..options(16 << 20) };
        let store = EmbeddedStore::open_on(Arc::new(FaultDisk::default()), options).expect("open");
        let first = store.commit(put("k", "1")).await.expect("commit");
        for _ in 0..3 {
            clock.advance(std::time::Duration::from_secs(600).try_into().expect("ten minutes"));
            store.commit(put("k", "2")).await.expect("commit");
        }
        let range = Range { start: [].as_slice().into(), end: [0xff].as_slice().into(), at: Some(first), limit: None };
        store.range(range).await.map(|page| page.entries.len())
    };
    assert!(matches!(read_first(300).await, Err(StoreError::Compacted { .. })));
    assert_eq!(read_first(7200).await.expect("an hour is kept"), 1);
}

/// What a store shows at each readable revision, and what a watch from its oldest one tells.
async fn whole_history(store: &dyn Store, oldest: u64) -> Vec<String> {
    let newest = store.current().await.expect("current").0;
    let (start, end): (crate::StoreKey, crate::StoreKey) = ([].as_slice().into(), [0xff].as_slice().into());
    let mut shown = Vec::new();
    for revision in oldest..=newest {
        let at = Some(Revision(revision));
        let page = store.range(Range { start: start.clone(), end: end.clone(), at, limit: None }).await;
        shown.push(format!("{revision}: {:?}", page.expect("range").entries));
    }
    let mut watch = store.watch(start, end, Revision(oldest - 1)).await.expect("watch");
    loop {
        match watch.next().await.expect("item").expect("no error") {
            WatchItem::Events(events) => shown.push(format!("{events:?}")),
            WatchItem::Progress(_) => return shown,
        }
    }
}

#[tokio::test]
async fn whatever_happens_it_says_what_the_memory_engine_says() {
    let mut compared = 0;
    for seed in 0..20 {
        let (rng, disk, memory) = (Rng::seeded(seed), FaultDisk::default(), crate::MemoryStore::new());
        let reopen = || EmbeddedStore::open_on(Arc::new(disk.clone()), options(4_000)).expect("open");
        let (mut store, mut oldest) = (reopen(), 1);
        for step in 0..120 {
            if rng.below(40) == 0 {
                drop(store);
                store = reopen();
            }
            let newest = memory.current().await.expect("current");
            if rng.below(30) == 0 {
                oldest = oldest.max(newest.0.saturating_sub(rng.below(20)));
                memory.compact(Revision(oldest)).await.expect("compact");
                store.compact(Revision(oldest)).await.expect("compact");
            }
            let key = |i: u64| -> crate::StoreKey { format!("k{i}").as_bytes().into() };
            let mut commit = Commit::default();
            for _ in 0..1 + rng.below(3) {
                let key = key(rng.below(8));
                commit.writes.push(match rng.below(4) {
                    0 => Write::Delete(key),
                    _ => Write::Put(key, format!("{step}-{}", "x".repeat(rng.below(200) as usize)).into()),
                });
            }
            if rng.below(2) == 0 {
                let key = key(rng.below(8));
                commit.preconditions.push(match rng.below(2) {
                    0 => crate::Precondition::Absent(key),
                    _ => crate::Precondition::ModifiedAt(key, Revision(newest.0.saturating_sub(rng.below(8)))),
                });
            }
            let (one, other) = (memory.commit(commit.clone()).await, store.commit(commit).await);
            assert_eq!(format!("{one:?}"), format!("{other:?}"), "seed {seed} step {step}");
        }
        drop(store);
        let store = reopen();
        // Logs that a snapshot made needless took their history along; the newest generations kept theirs.
        let kept = match store.watch([].as_slice().into(), [0xff].as_slice().into(), Revision(oldest - 1)).await {
            Err(StoreError::Compacted { oldest, .. }) => oldest.0,
            _ => oldest,
        };
        let history = whole_history(&store, kept).await;
        assert_eq!(whole_history(&memory, kept).await.len(), history.len(), "seed {seed}");
        compared += history.len();
        for (expected, found) in whole_history(&memory, kept).await.into_iter().zip(history) {
            assert!(expected == found, "seed {seed}: {expected}\nis now {found}");
        }
    }
    assert!(compared > 500, "only {compared} revisions were compared");
}

#[tokio::test]
async fn a_directory_is_open_once() {
    let path = std::env::temp_dir().join(format!("ironclad-store-lock-{}", std::process::id()));
    let store = EmbeddedStore::open(&path, options(16 << 20)).expect("open");
    let Err(error) = EmbeddedStore::open(&path, options(16 << 20)) else { panic!("opened twice") };
    assert_eq!(
        error.to_string(),
        format!("the store is in use: process {} has {} open", std::process::id(), path.display())
    );
    drop(store);
    drop(EmbeddedStore::open(&path, options(16 << 20)).expect("open again"));
    std::fs::remove_dir_all(&path).expect("clean up");
}
