//! What every engine promises: one suite, run over each of them.

#[path = "suite/etcd.rs"]
mod etcd;
#[path = "suite/etcd_faults.rs"]
mod etcd_faults;

use std::sync::Arc;

use bytes::Bytes;
use store::fault::FaultDisk;
use store::{
    Commit, EmbeddedOptions, EmbeddedStore, EtcdOptions, EtcdStore, History, MemoryStore, Page, Precondition, Range,
    Revision, Store, StoreError, StoreEvent, StoreKey, WatchItem, WatchStream, Write,
};

const SMALL: History = History { window: None, events_max: 64, bytes_max: 1 << 20 };

/// Runs `case` over every engine.
async fn on_each<F: Future<Output = ()>>(case: impl Fn(Arc<dyn Store>) -> F) {
    on_each_local(&case).await;
    if let Some(cluster) = etcd::Cluster::start(1, &[]) {
        cluster.ready().await;
        case(Arc::new(EtcdStore::open(cluster.options()).expect("open"))).await;
    }
}

/// Runs `case` over every engine whose history is bounded by its length, with at most 64 events.
async fn on_each_local<F: Future<Output = ()>>(case: impl Fn(Arc<dyn Store>) -> F) {
    case(Arc::new(MemoryStore::with_history(SMALL))).await;
    let options = EmbeddedOptions { history: SMALL, ..EmbeddedOptions::default() };
    case(Arc::new(EmbeddedStore::open_on(Arc::new(FaultDisk::default()), options).expect("open"))).await;
}

fn key(text: &str) -> StoreKey {
    text.as_bytes().into()
}

fn put(name: &str, value: &str) -> Write {
    Write::Put(key(name), Bytes::copy_from_slice(value.as_bytes()))
}

async fn write(store: &Arc<dyn Store>, writes: Vec<Write>) -> Revision {
    store.commit(Commit { writes, ..Commit::default() }).await.expect("commit")
}

fn range(start: &str, end: &str, at: Option<Revision>, limit: Option<usize>) -> Range {
    Range { start: key(start), end: key(end), at, limit }
}

fn shown(page: &Page) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let entries: Vec<String> = page.entries.iter().map(|e| format!("{}={}", text(&e.key), text(&e.value))).collect();
    format!("{}{}", entries.join(" "), if page.more { " ..." } else { "" })
}

fn shown_event(event: &StoreEvent) -> String {
    let text = |bytes: &Option<Bytes>| bytes.as_ref().map_or("-".into(), |b| String::from_utf8_lossy(b).into_owned());
    let key = String::from_utf8_lossy(&event.key);
    format!("@{} {key}: {} -> {} (created {})", event.revision, text(&event.before), text(&event.value), event.created)
}

async fn next(watch: &mut Box<dyn WatchStream>) -> String {
    match watch.next().await {
        Some(Ok(WatchItem::Events(events))) => events.iter().map(shown_event).collect::<Vec<_>>().join("; "),
        Some(Ok(WatchItem::Progress(revision))) => format!("progress {revision}"),
        Some(Err(error)) => error.to_string(),
        None => "ended".into(),
    }
}

#[tokio::test]
async fn a_new_store_is_empty_at_revision_1() {
    on_each(|store| async move {
        assert_eq!(store.current().await.expect("current"), Revision(1));
        assert!(store.get(b"a").await.expect("get").is_none());
        assert_eq!(write(&store, vec![put("a", "1")]).await, Revision(2));
    })
    .await;
}

#[tokio::test]
async fn an_entry_tells_when_it_was_created_and_modified() {
    on_each(|store| async move {
        for (value, created, modified) in [("1", 2, 2), ("2", 2, 3)] {
            write(&store, vec![put("a", value)]).await;
            let entry = store.get(b"a").await.expect("get").expect("entry");
            assert_eq!((entry.created, entry.modified), (Revision(created), Revision(modified)));
        }
        write(&store, vec![Write::Delete(key("a"))]).await;
        assert!(store.get(b"a").await.expect("get").is_none());
        write(&store, vec![put("a", "3")]).await;
        let entry = store.get(b"a").await.expect("get").expect("entry");
        assert_eq!((entry.created, entry.modified), (Revision(5), Revision(5)), "a deletion ends a key's life");
    })
    .await;
}

#[tokio::test]
async fn a_commit_is_all_or_nothing() {
    on_each(|store| async move {
        write(&store, vec![put("a", "1")]).await;
        let commit = Commit {
            preconditions: vec![Precondition::ModifiedAt(key("a"), Revision(2)), Precondition::Absent(key("a"))],
            writes: vec![put("a", "2"), put("b", "2")],
            ..Commit::default()
        };
        let error = store.commit(commit.clone()).await.expect_err("a is there");
        let StoreError::Conflict { key: at, current: Some(current) } = error else { panic!("{error}") };
        assert_eq!((&*at, &*current.value), (b"a".as_slice(), b"1".as_slice()));
        assert_eq!(store.current().await.expect("current"), Revision(2));
        let commit = Commit { preconditions: vec![Precondition::ModifiedAt(key("a"), Revision(2))], ..commit };
        let revision = store.commit(commit.clone()).await.expect("commit");
        let page = store.range(range("a", "z", None, None)).await.expect("range");
        assert_eq!(shown(&page), "a=2 b=2");
        assert!(page.entries.iter().all(|entry| entry.modified == revision));
        store.commit(commit).await.expect_err("a was modified since");
    })
    .await;
}

#[tokio::test]
async fn the_later_write_of_a_key_counts_and_deleting_nothing_is_nothing() {
    on_each(|store| async move {
        assert_eq!(write(&store, vec![put("a", "1"), put("b", "1"), put("a", "2")]).await, Revision(2));
        let page = store.range(range("a", "z", None, None)).await.expect("range");
        assert_eq!(shown(&page), "a=2 b=1");
        assert_eq!(write(&store, vec![Write::Delete(key("c"))]).await, Revision(2));
        assert_eq!(write(&store, vec![]).await, Revision(2));
    })
    .await;
}

#[tokio::test]
async fn concurrent_creators_of_one_key_have_one_winner() {
    on_each(|store| async move {
        let commits = (0..32).map(|i| {
            let commit = Commit {
                preconditions: vec![Precondition::Absent(key("a"))],
                writes: vec![put("a", &i.to_string())],
                ..Commit::default()
            };
            let store = store.clone();
            async move { store.commit(commit).await }
        });
        let results = futures::future::join_all(commits).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        for result in results {
            let Err(StoreError::Conflict { current, .. }) = result else { continue };
            assert_eq!(current.expect("the winner").modified, Revision(2), "losers see who won");
        }
    })
    .await;
}

#[tokio::test]
async fn a_range_is_paged_at_the_revision_of_its_first_page() {
    on_each(|store| async move {
        for name in ["p/a", "p/b", "p/c", "p/d", "q/a"] {
            write(&store, vec![put(name, "1")]).await;
        }
        let first = store.range(range("p/", "p0", None, Some(2))).await.expect("range");
        assert_eq!(shown(&first), "p/a=1 p/b=1 ...");
        write(&store, vec![put("p/c", "2"), Write::Delete(key("p/d")), put("p/bb", "2")]).await;
        let second = store.range(range("p/b\0", "p0", Some(first.revision), Some(2))).await.expect("range");
        assert_eq!(shown(&second), "p/c=1 p/d=1");
        assert_eq!(second.revision, first.revision);
        let now = store.range(range("p/", "p0", None, Some(4))).await.expect("range");
        assert_eq!(shown(&now), "p/a=1 p/b=1 p/bb=2 p/c=2");
        assert_eq!(shown(&store.range(range("z", "a", None, None)).await.expect("an empty range")), "");
        let error = store.range(range("p/", "p0", Some(Revision(99)), None)).await.expect_err("future");
        assert_eq!(error.to_string(), "revision 99 is in the future; the newest is 7");
    })
    .await;
}

#[tokio::test]
async fn a_watch_replays_history_and_goes_on_without_gap_or_double() {
    on_each(|store| async move {
        write(&store, vec![put("a", "1")]).await;
        write(&store, vec![put("a", "2"), put("x", "1")]).await;
        let mut watch = store.watch(key("a"), key("b"), Revision(2)).await.expect("watch");
        write(&store, vec![put("y", "1")]).await;
        write(&store, vec![Write::Delete(key("a")), put("aa", "1")]).await;
        assert_eq!(next(&mut watch).await, "@3 a: 1 -> 2 (created 2)");
        assert_eq!(next(&mut watch).await, "progress 3");
        assert_eq!(next(&mut watch).await, "@5 a: 2 -> - (created 2); @5 aa: - -> 1 (created 5)");
        write(&store, vec![put("y", "2")]).await;
        store.current_in(b"c", b"d").await.expect("current");
        store.current_in(b"a", b"b").await.expect("current");
        store.current().await.expect("current");
        let Some(Ok(WatchItem::Progress(told))) = watch.next().await else { panic!("no progress") };
        assert!(told >= Revision(6), "{told}: an engine may take a revision of its own to find out");
        let last = write(&store, vec![put("a", "3")]).await;
        assert_eq!(next(&mut watch).await, format!("@{last} a: - -> 3 (created {last})"));
        let future = last.next();
        let Err(error) = store.watch(key("a"), key("b"), future).await else { panic!("watched the future") };
        assert_eq!(error.to_string(), format!("revision {future} is in the future; the newest is {last}"));
    })
    .await;
}

#[tokio::test]
async fn watchers_that_start_between_concurrent_commits_see_each_revision_once() {
    on_each(|store| async move {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let store = store.clone();
                tokio::spawn(async move {
                    let mut written = Vec::new();
                    for i in 0..10 {
                        written.push(write(&store, vec![put(&format!("k{writer}"), &i.to_string())]).await);
                        tokio::task::yield_now().await;
                    }
                    written
                })
            })
            .collect();
        let mut watches = Vec::new();
        for _ in 0..10 {
            let after = store.current().await.expect("current");
            watches.push((after, store.watch(key("k"), key("l"), after).await.expect("watch")));
            tokio::task::yield_now().await;
        }
        let mut written = Vec::new();
        for writer in writers {
            written.extend(writer.await.expect("writer"));
        }
        written.sort();
        for (after, mut watch) in watches {
            let expected: Vec<Revision> = written.iter().copied().filter(|revision| *revision > after).collect();
            let mut seen = Vec::new();
            while seen.last() < expected.last() {
                if let WatchItem::Events(events) = watch.next().await.expect("item").expect("no error") {
                    seen.push(events[0].revision);
                }
            }
            assert_eq!(seen, expected);
        }
    })
    .await;
}

#[tokio::test]
async fn compacted_history_is_refused_and_the_rest_stays_readable() {
    on_each(|store| async move {
        write(&store, vec![put("a", "1")]).await;
        write(&store, vec![put("a", "2"), put("b", "1")]).await;
        write(&store, vec![Write::Delete(key("b"))]).await;
        write(&store, vec![put("c", "1")]).await;
        store.compact(Revision(3)).await.expect("compact");
        let error = store.range(range("a", "z", Some(Revision(2)), None)).await.expect_err("compacted");
        assert_eq!(error.to_string(), "revision 2 has been compacted; the oldest kept is 3");
        let page = store.range(range("a", "z", Some(Revision(3)), None)).await.expect("range");
        assert_eq!(shown(&page), "a=2 b=1");
        let Err(error) = store.watch(key("a"), key("z"), Revision(1)).await else { panic!("watched the past") };
        assert_eq!(error.to_string(), "revision 1 has been compacted; the oldest kept is 3");
        let mut watch = store.watch(key("a"), key("z"), Revision(2)).await.expect("watch");
        assert_eq!(next(&mut watch).await, "@3 a: 1 -> 2 (created 2); @3 b: - -> 1 (created 3)");
        store.compact(Revision(5)).await.expect("compact");
        let page = store.range(range("a", "z", None, None)).await.expect("range");
        assert_eq!(shown(&page), "a=2 c=1");
        let future = store.current().await.expect("current").next();
        let error = store.compact(future).await.expect_err("future");
        assert!(matches!(error, StoreError::Future { .. }), "{error}");
    })
    .await;
}

#[tokio::test]
async fn history_is_bounded_by_itself() {
    on_each_local(|store| async move {
        for i in 0..500 {
            write(&store, vec![put("a", &i.to_string())]).await;
        }
        let Err(error) = store.watch(key("a"), key("b"), Revision(400)).await else { panic!("unbounded") };
        assert!(matches!(error, StoreError::Compacted { .. }), "{error}");
        let mut watch = store.watch(key("a"), key("b"), Revision(460)).await.expect("watch");
        assert_eq!(next(&mut watch).await, "@461 a: 458 -> 459 (created 2)");
    })
    .await;
}

#[tokio::test]
async fn a_watcher_that_does_not_read_is_cut_off_and_can_tell() {
    on_each(|store| async move {
        let mut watch = store.watch(key("a"), key("b"), Revision(1)).await.expect("watch");
        let commits = 20_000u64;
        for chunk in 0..commits / 500 {
            let writes = (0..500).map(|i| {
                let store = store.clone();
                async move { write(&store, vec![put("a", &(chunk * 500 + i).to_string())]).await }
            });
            futures::future::join_all(writes).await;
        }
        let mut last = Revision(1);
        while let Some(item) = watch.next().await {
            if let WatchItem::Events(events) = item.expect("no error") {
                assert_eq!(events[0].revision, last.next(), "what is delivered has no gap");
                last = events[0].revision;
            }
        }
        assert!(last < Revision(commits), "the stream ended although it had everything");
    })
    .await;
}

#[tokio::test]
async fn a_watch_ends_with_its_store() {
    on_each(|store| async move {
        let mut watch = store.watch(key("a"), key("b"), Revision(1)).await.expect("watch");
        drop(store);
        assert_eq!(next(&mut watch).await, "progress 1");
        assert_eq!(next(&mut watch).await, "ended");
    })
    .await;
}

#[tokio::test]
async fn a_stamp_puts_the_revision_into_the_values() {
    let stamp = |value: &Bytes, revision: Revision| -> Bytes {
        let text = String::from_utf8_lossy(value);
        format!("{}@{revision}", text.split('@').next().unwrap_or_default()).into()
    };
    let on_disk = EmbeddedOptions { stamp: Some(stamp), ..EmbeddedOptions::default() };
    let on_disk = EmbeddedStore::open_on(Arc::new(FaultDisk::default()), on_disk).expect("open");
    let mut stores: Vec<Arc<dyn Store>> = vec![Arc::new(MemoryStore::new().stamping(stamp)), Arc::new(on_disk)];
    let cluster = etcd::Cluster::start(1, &[]);
    if let Some(cluster) = &cluster {
        cluster.ready().await;
        let options = EtcdOptions { stamp: Some(stamp), ..cluster.options() };
        stores.push(Arc::new(EtcdStore::open(options).expect("open")));
    }
    for store in stores {
        let mut watch = store.watch(key("a"), key("z"), Revision(1)).await.expect("watch");
        write(&store, vec![put("a", "x"), put("b", "x")]).await;
        write(&store, vec![put("a", "y@7")]).await;
        let page = store.range(range("a", "z", None, None)).await.expect("range");
        assert_eq!(shown(&page), "a=y@3 b=x@2");
        assert_eq!(store.get(b"a").await.expect("get").expect("entry").value, "y@3");
        assert_eq!(next(&mut watch).await, "progress 1");
        assert_eq!(next(&mut watch).await, "@2 a: - -> x@2 (created 2); @2 b: - -> x@2 (created 2)");
        assert_eq!(next(&mut watch).await, "@3 a: x@2 -> y@3 (created 2)");
    }
}
