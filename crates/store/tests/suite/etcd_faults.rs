//! What becomes of writes and watches when members of etcd die, stop, are cut off or run full.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use stdx::Rng;
use store::{Commit, EtcdStore, Precondition, Range, Revision, Store, StoreError, StoreEvent, WatchItem, Write};
use tokio::time::{Instant, sleep, timeout};

use super::etcd::Cluster;
use super::{key, put, range, shown, write};

const WRITERS: u64 = 4;
const KEYS: u64 = 6;
/// A call that takes longer than this hangs.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// What a writer was told of one write.
#[derive(Debug)]
enum Told {
    Done(Revision),
    NotDone,
    InDoubt,
}

struct Wrote {
    key: String,
    /// Absent for a deletion.
    value: Option<String>,
    /// What it was conditional on; zero where the key had to be absent.
    expected: Revision,
    told: Told,
}

/// Writes, each conditional on what it read, until told to stop.
async fn writer(store: Arc<EtcdStore>, id: u64, rng: Rng, stop: Arc<AtomicBool>) -> Vec<Wrote> {
    let mut wrote = Vec::new();
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let name = format!("k{}", rng.below(KEYS));
        let found = timeout(ANSWER_MAX, store.get(name.as_bytes())).await.expect("a read that hangs");
        let Ok(found) = found else { continue };
        count += 1;
        let expected = found.as_ref().map_or(Revision::ZERO, |entry| entry.modified);
        let value = (found.is_none() || rng.below(4) > 0).then(|| format!("{id}-{count}"));
        let precondition = match &found {
            None => Precondition::Absent(key(&name)),
            Some(entry) => Precondition::ModifiedAt(key(&name), entry.modified),
        };
        let writes = vec![value.as_ref().map_or(Write::Delete(key(&name)), |value| put(&name, value))];
        let commit = Commit { preconditions: vec![precondition], writes, ..Commit::default() };
        let told = match timeout(ANSWER_MAX, store.commit(commit)).await.expect("a write that hangs") {
            Ok(revision) => Told::Done(revision),
            Err(StoreError::InDoubt(_)) => Told::InDoubt,
            Err(StoreError::Conflict { .. } | StoreError::Unavailable(_)) => Told::NotDone,
            Err(error) => panic!("{error}"),
        };
        wrote.push(Wrote { key: name, value, expected, told });
    }
    wrote
}

/// All events after `after` up to `to`.
async fn history(store: &EtcdStore, after: Revision, to: Revision) -> Vec<StoreEvent> {
    let mut watch = store.watch(key("k"), key("l"), after).await.expect("watch");
    collect(&mut *watch, store, to).await
}

async fn collect(watch: &mut dyn store::WatchStream, store: &EtcdStore, to: Revision) -> Vec<StoreEvent> {
    let mut events = Vec::new();
    store.current().await.expect("current");
    loop {
        match timeout(ANSWER_MAX, watch.next()).await.expect("a watch that hangs").expect("an end").expect("no error") {
            WatchItem::Events(more) => events.extend(more),
            WatchItem::Progress(revision) if revision >= to => return events,
            WatchItem::Progress(_) => {}
        }
        if events.last().is_some_and(|event| event.revision >= to) {
            return events;
        }
    }
}

fn text(value: Option<&Bytes>) -> Option<String> {
    value.map(|value| String::from_utf8_lossy(value).into_owned())
}

/// Every acknowledged write is in the history, at its revision and where it was expected; no refused one is.
fn check(wrote: &[Wrote], events: &[StoreEvent]) {
    let mut last: BTreeMap<String, (Revision, Option<String>)> = BTreeMap::new();
    let mut at = BTreeMap::new();
    let mut values = BTreeSet::new();
    let mut before = Revision::ZERO;
    for event in events {
        assert!(event.revision > before, "@{} after @{before}: doubled or out of order", event.revision);
        before = event.revision;
        let name = String::from_utf8_lossy(&event.key).into_owned();
        let value = text(event.value.as_ref());
        let previous = last.insert(name.clone(), (event.revision, value.clone()));
        let expected = previous.as_ref().filter(|(_, value)| value.is_some()).map_or(Revision::ZERO, |(at, _)| *at);
        assert_eq!(text(event.before.as_ref()), previous.and_then(|(_, value)| value), "a gap before @{before}");
        values.extend(value.clone());
        at.insert(event.revision, (name, value, expected));
    }
    let mut taken = BTreeSet::new();
    for write in wrote {
        match write.told {
            Told::Done(revision) => {
                assert!(taken.insert(revision), "@{revision} was given twice");
                let found = at.get(&revision);
                let wanted = (write.key.clone(), write.value.clone(), write.expected);
                assert_eq!(found, Some(&wanted), "acknowledged at @{revision}");
            }
            Told::NotDone => {
                let value = write.value.as_ref();
                assert!(value.is_none_or(|value| !values.contains(value)), "refused, yet there: {value:?}");
            }
            Told::InDoubt => {}
        }
    }
}

fn counted(wrote: &[Wrote]) -> String {
    let of = |told: fn(&Told) -> bool| wrote.iter().filter(|write| told(&write.told)).count();
    let (done, doubt) = (of(|told| matches!(told, Told::Done(_))), of(|told| matches!(told, Told::InDoubt)));
    format!("{done} done, {doubt} in doubt, {} refused", wrote.len() - done - doubt)
}

/// Runs writers and a watcher over three members while `faults` happen, and checks what they saw.
async fn under_faults(cluster: &mut Cluster, seed: u64, faults: impl AsyncFnOnce(&mut Cluster, &EtcdStore)) {
    cluster.ready().await;
    let open = |first: usize| Arc::new(EtcdStore::open(cluster.options_from(first)).expect("open"));
    let watching = open(0);
    let mut watch = watching.watch(key("k"), key("l"), Revision(1)).await.expect("watch");
    let stop = Arc::new(AtomicBool::new(false));
    let rng = Rng::seeded(seed);
    let writers: Vec<_> = (0..WRITERS)
        .map(|id| {
            let store = open(usize::try_from(id).expect("small") % cluster.members.len());
            tokio::spawn(writer(store, id, Rng::seeded(rng.next_u64()), stop.clone()))
        })
        .collect();
    faults(cluster, &watching).await;
    cluster.ready().await;
    stop.store(true, Ordering::Relaxed);
    let mut wrote = Vec::new();
    for writer in writers {
        wrote.extend(writer.await.expect("writer"));
    }
    eprintln!("seed {seed}: {}", counted(&wrote));
    let fresh = EtcdStore::open(cluster.options()).expect("open");
    let newest = fresh.current().await.expect("current");
    let events = collect(&mut *watch, &watching, newest).await;
    check(&wrote, &events);
    assert_eq!(events, history(&fresh, Revision(1), newest).await, "the watch saw what happened");
    let page = fresh.range(Range { at: Some(newest), ..range("k", "l", None, None) }).await.expect("range");
    let mut live: BTreeMap<_, _> = BTreeMap::new();
    for event in &events {
        match &event.value {
            Some(value) => drop(live.insert(event.key.clone(), value.clone())),
            None => drop(live.remove(&event.key)),
        }
    }
    let page: BTreeMap<_, _> = page.entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
    assert_eq!(page, live, "the range is what the events make");
}

/// How long until a write succeeds again.
async fn writes_again(store: &EtcdStore, at: &str) {
    let begun = Instant::now();
    loop {
        let commit = Commit { writes: vec![put("probe", at)], ..Commit::default() };
        if timeout(ANSWER_MAX, store.commit(commit)).await.expect("a write that hangs").is_ok() {
            break;
        }
        assert!(begun.elapsed() < ANSWER_MAX, "no write succeeds after {at}");
        sleep(Duration::from_millis(20)).await;
    }
    eprintln!("{at}: writes go on after {:?}", begun.elapsed());
}

#[tokio::test]
async fn nothing_is_lost_when_members_of_etcd_die() {
    let Some(mut cluster) = Cluster::start(3, &[]) else { return };
    under_faults(&mut cluster, 1, async |cluster, store| {
        for round in 0..3 {
            sleep(Duration::from_millis(300)).await;
            let victim = if round < 2 { cluster.leader() } else { (cluster.leader() + 1) % 3 };
            cluster.kill(victim);
            writes_again(store, &format!("killed member {victim}")).await;
            cluster.start_member(victim);
            sleep(Duration::from_millis(700)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_is_lost_when_members_of_etcd_are_paused() {
    let Some(mut cluster) = Cluster::start(3, &[]) else { return };
    under_faults(&mut cluster, 2, async |cluster, store| {
        for round in 0..2 {
            sleep(Duration::from_millis(300)).await;
            let victim = (cluster.leader() + round) % 3;
            cluster.signal(victim, rustix::process::Signal::STOP);
            writes_again(store, &format!("paused member {victim}")).await;
            sleep(Duration::from_millis(500)).await;
            cluster.signal(victim, rustix::process::Signal::CONT);
            sleep(Duration::from_millis(700)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_lost_majority_is_said_in_time_and_writes_go_on_when_it_is_back() {
    let Some(mut cluster) = Cluster::start(3, &[]) else { return };
    under_faults(&mut cluster, 3, async |cluster, store| {
        sleep(Duration::from_millis(300)).await;
        cluster.kill(0);
        cluster.kill(1);
        let begun = Instant::now();
        let said = loop {
            match timeout(ANSWER_MAX, store.current()).await.expect("a read that hangs") {
                Err(StoreError::Unavailable(why)) if why.contains("no leader") => break why,
                _ => assert!(begun.elapsed() < ANSWER_MAX, "not told"),
            }
        };
        eprintln!("told after {:?}: {said}", begun.elapsed());
        assert!(said.contains("a majority of the members is lost"), "{said}");
        cluster.start_member(0);
        writes_again(store, "the majority came back").await;
        cluster.start_member(1);
    })
    .await;
}

#[tokio::test]
async fn a_full_quota_refuses_writes_with_a_reason_and_reads_go_on() {
    let Some(cluster) = Cluster::start(1, &["--quota-backend-bytes", "4000000"]) else { return };
    cluster.ready().await;
    let store: Arc<dyn Store> = Arc::new(EtcdStore::open(cluster.options()).expect("open"));
    let mut watch = store.watch(key("k"), key("l"), Revision(1)).await.expect("watch");
    let large = "x".repeat(100_000);
    let error = loop {
        match store.commit(Commit { writes: vec![put("k", &large)], ..Commit::default() }).await {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::NoSpace(_)), "{error}");
    assert!(error.to_string().contains("etcdctl alarm disarm"), "{error}");
    assert_eq!(store.get(b"k").await.expect("get").expect("entry").value.len(), large.len());
    let newest = store.current().await.expect("current");
    assert!(newest > Revision(10));
    while let Some(Ok(item)) = watch.next().await {
        match item {
            WatchItem::Events(events) if events[0].revision >= newest => break,
            WatchItem::Progress(revision) if revision >= newest => break,
            _ => {}
        }
    }
    let error = store.commit(Commit { writes: vec![put("k", "small")], ..Commit::default() }).await;
    assert!(matches!(error, Err(StoreError::NoSpace(_))), "etcd's alarm is sticky: {error:?}");
    let too_large = "x".repeat(2 << 20);
    let error = store.commit(Commit { writes: vec![put("k", &too_large)], ..Commit::default() }).await;
    assert!(matches!(error, Err(StoreError::TooLarge(_))), "{error:?}");
}

#[tokio::test]
async fn a_watch_goes_on_over_a_compaction_that_it_was_told_past_and_else_says_so() {
    let Some(mut cluster) = Cluster::start(1, &[]) else { return };
    cluster.ready().await;
    let store: Arc<dyn Store> = Arc::new(EtcdStore::open(cluster.options()).expect("open"));
    let mut told = store.watch(key("a"), key("b"), Revision(1)).await.expect("watch");
    let mut behind = store.watch(key("c"), key("d"), Revision(1)).await.expect("watch");
    for i in 0..50 {
        write(&store, vec![put("x", &i.to_string())]).await;
    }
    let newest = store.current_in(b"a", b"b").await.expect("current");
    loop {
        match told.next().await {
            Some(Ok(WatchItem::Progress(revision))) if revision >= newest => break,
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(behind.next().await, Some(Ok(WatchItem::Progress(Revision(1))))));
    store.compact(newest).await.expect("compact");
    cluster.kill(0);
    cluster.start_member(0);
    cluster.ready().await;
    let last = write(&store, vec![put("a", "1"), put("c", "1")]).await;
    match told.next().await {
        Some(Ok(WatchItem::Events(events))) => assert_eq!(events[0].revision, last),
        other => panic!("{other:?}"),
    }
    match behind.next().await {
        Some(Err(StoreError::Compacted { asked: Revision(1), oldest })) => assert_eq!(oldest, newest),
        other => panic!("{other:?}"),
    }
    assert!(behind.next().await.is_none());
    assert_eq!(shown(&store.range(range("a", "d", None, None)).await.expect("range")), "a=1 c=1");
}

#[tokio::test]
async fn nothing_is_lost_when_a_member_of_etcd_is_cut_off() {
    let Some(mut cluster) = Cluster::start_apart(3) else { return };
    under_faults(&mut cluster, 4, async |cluster, store| {
        for round in 0..2 {
            sleep(Duration::from_millis(300)).await;
            let victim = (cluster.leader() + round) % 3;
            cluster.cut(victim, true);
            writes_again(store, &format!("cut off member {victim}")).await;
            sleep(Duration::from_millis(500)).await;
            cluster.cut(victim, false);
            sleep(Duration::from_millis(1000)).await;
        }
    })
    .await;
}
