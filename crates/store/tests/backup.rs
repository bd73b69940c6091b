//! Backups, restores, checks and files of older formats, as an operator uses them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use expect_test::expect;
use stdx::Rng;
use store::disk::Disk;
use store::fault::FaultDisk;
use store::{
    Backup, Commit, EmbeddedOptions, EmbeddedStore, Entry, KEYS_END, MemoryStore, Range, Revision, Store, StoreError,
    Write, check_on, restore_on, verify_backup,
};

fn small() -> EmbeddedOptions {
    EmbeddedOptions { log_bytes: 4_000, fill_bytes: 4_096, rng: Rng::seeded(1), ..EmbeddedOptions::default() }
}

fn open(disk: &FaultDisk) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open_on(Arc::new(disk.clone()), small())
}

async fn put(store: &dyn Store, key: &str, value: &str) -> Revision {
    let writes = vec![Write::Put(key.as_bytes().into(), value.to_owned().into())];
    store.commit(Commit { writes, ..Commit::default() }).await.expect("commit")
}

async fn entries(store: &dyn Store, at: Option<Revision>) -> Vec<Entry> {
    let range = Range { start: [].as_slice().into(), end: KEYS_END.into(), at, limit: None };
    store.range(range).await.expect("range").entries
}

async fn backup_of(store: Arc<dyn Store>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let backup = Backup::begin(store, &Rng::seeded(2)).await.expect("begin");
    let contents = backup.write(&mut bytes).await.expect("write");
    assert_eq!((contents.bytes, contents), (bytes.len() as u64, verify_backup(&*bytes).expect("verify")));
    bytes
}

fn shown(entries: &[Entry]) -> String {
    let line = |e: &Entry| {
        let (key, value) = (String::from_utf8_lossy(&e.key), String::from_utf8_lossy(&e.value));
        format!("{key}={} {}..{}\n", &value[..value.len().min(8)], e.created, e.modified)
    };
    entries.iter().map(line).collect()
}

#[tokio::test]
async fn a_backup_under_load_restores_to_exactly_the_revision_it_names() {
    let memory: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let embedded: Arc<dyn Store> = Arc::new(open(&FaultDisk::default()).expect("open"));
    for store in [memory, embedded] {
        for i in 0..2_000 {
            put(&*store, &format!("k{:04}", i % 1_500), &format!("first {i}")).await;
        }
        let mut backup = Backup::begin(store.clone(), &Rng::seeded(2)).await.expect("begin");
        let (revision, expected) = (backup.revision(), entries(&*store, None).await);
        let (mut bytes, mut i) = (Vec::new(), 0);
        while let Some(chunk) = backup.next().await.expect("next") {
            bytes.extend_from_slice(&chunk);
            for _ in 0..100 {
                i += 1;
                put(&*store, &format!("k{:04}", (i * 7) % 2_000), "later").await;
            }
            let newest = store.current().await.expect("current");
            store.compact(newest).await.expect("compact");
        }
        drop(backup);
        let disk = FaultDisk::default();
        let contents = restore_on(&disk, &*bytes, 0, &Rng::seeded(3)).expect("restore");
        assert_eq!((contents.revision, contents.entries), (revision, 1_500));
        let restored = open(&disk).expect("open");
        assert_eq!(restored.current().await.expect("current"), revision);
        assert!(
            entries(&restored, None).await == expected,
            "keys, values, created and modified revisions are the same"
        );
        assert_eq!(put(&restored, "new", "v").await, revision.next());
    }
}

#[tokio::test]
async fn a_restore_may_skip_the_revisions_that_clients_may_have_seen() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    put(&*store, "a", "1").await;
    let bytes = backup_of(store).await;
    let disk = FaultDisk::default();
    restore_on(&disk, &*bytes, 1_000, &Rng::seeded(3)).expect("restore");
    let restored = open(&disk).expect("open");
    assert_eq!(restored.current().await.expect("current"), Revision(1_002));
    let again = restore_on(&FaultDisk::default(), &b""[..], 0, &Rng::seeded(3)).expect_err("empty");
    assert_eq!(again.to_string(), "the store is corrupt: at offset 0: the file is shorter than its header");
    drop(restored);
    let again = restore_on(&disk, &*bytes, 0, &Rng::seeded(3)).expect_err("there is a store");
    assert_eq!(again.to_string(), "the store is in use:  holds a store already; restore into an empty directory");
}

#[tokio::test]
async fn a_backup_that_is_cut_or_damaged_anywhere_is_refused_and_leaves_no_store() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    for i in 0..300 {
        put(&*store, &format!("k{i:03}"), "v").await;
    }
    let bytes = backup_of(store).await;
    for at in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        for broken in [&bytes[..at], &damaged] {
            let disk = FaultDisk::default();
            let error = restore_on(&disk, broken, 0, &Rng::seeded(3)).expect_err("broken");
            assert!(matches!(error, StoreError::Corrupt(_)), "at {at}: {error}");
            assert_eq!(disk.names().expect("names"), [""; 0], "at {at}");
        }
    }
}

#[tokio::test]
async fn reclaiming_after_a_compaction_leaves_one_snapshot_and_one_log() {
    let disk = FaultDisk::default();
    let store = open(&disk).expect("open");
    for i in 0..500 {
        put(&store, &format!("k{}", i % 3), &"x".repeat(100)).await;
    }
    let before = store.stats().await.expect("stats");
    store.compact(before.revision).await.expect("compact");
    store.reclaim().await.expect("reclaim");
    let after = store.stats().await.expect("stats");
    assert_eq!((after.revision, after.oldest, after.keys, after.live_bytes), (Revision(501), Revision(501), 3, 306));
    assert_eq!((after.history_events, after.history_bytes), (Some(1), Some(100)));
    let kept: Vec<String> = disk.names().expect("names").iter().map(|name| name[..4].to_owned()).collect();
    assert_eq!(kept, ["log-", "snap"]);
    let expected = entries(&store, None).await;
    drop(store);
    assert_eq!(entries(&open(&disk).expect("reopen"), None).await, expected);
}

fn fixture() -> FaultDisk {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1");
    let disk = FaultDisk::default();
    for file in std::fs::read_dir(directory).expect("fixture") {
        let path: PathBuf = file.expect("file").path();
        let name = path.file_name().expect("name").to_string_lossy().into_owned();
        disk.put(&name, std::fs::read(&path).expect("read"));
    }
    disk
}

#[tokio::test]
async fn a_directory_of_format_1_opens_and_is_written_on_in_today_s() {
    let disk = fixture();
    let versions = |disk: &FaultDisk| -> Vec<u32> {
        check_on(disk).expect("check").files.iter().map(|file| file.version).collect()
    };
    assert_eq!(versions(&disk), [1, 1, 1, 1]);
    let store = open(&disk).expect("open");
    expect![[r#"
        /registry/b=last 42..42
        /registry/k1=value 36 24..38
        /registry/k2=value 37 39..39
        /registry/k3=value 38 19..40
        /registry/k4=value 39 34..41
        /registry/k5=value 33 14..35
        /registry/k6=value 34 29..36
    "#]]
    .assert_eq(&shown(&entries(&store, None).await));
    let newest = put(&store, "/registry/new", "v").await;
    store.compact(newest).await.expect("compact");
    store.reclaim().await.expect("reclaim");
    let expected = entries(&store, None).await;
    drop(store);
    assert_eq!(versions(&disk), [2, 2], "all files are of today's format");
    assert_eq!(entries(&open(&disk).expect("reopen"), None).await, expected);
}

#[tokio::test]
async fn a_check_says_what_is_broken_and_what_to_do() {
    let whole = fixture();
    let damaged = |name: &str, at: usize| {
        let disk = fixture();
        let mut bytes = whole.read(name).expect("read");
        bytes[at] ^= 1;
        disk.put(name, bytes);
        disk
    };
    let without = |name: &str| {
        let disk = fixture();
        disk.remove(name).expect("remove");
        disk
    };
    let torn = fixture();
    let mut log = whole.read("log-0000000000000004").expect("read");
    log.extend_from_slice(b"half a frame");
    torn.put("log-0000000000000004", log);
    let cases = [
        ("whole", whole.clone()),
        ("a torn tail", torn),
        ("the newest log damaged", damaged("log-0000000000000004", 4_200)),
        ("an older log damaged", damaged("log-0000000000000003", 4_200)),
        ("an older snapshot damaged", damaged("snapshot-0000000000000003", 4_200)),
        ("the newest snapshot damaged", damaged("snapshot-0000000000000004", 4_200)),
        ("the newest snapshot missing", without("snapshot-0000000000000004")),
        ("a header damaged", damaged("log-0000000000000004", 30)),
        ("the newest log missing", without("log-0000000000000004")),
    ];
    let mut shown = String::new();
    for (name, disk) in cases {
        let report = check_on(&disk).expect("check");
        let opens = open(&disk).is_ok();
        assert_eq!(report.opens(), opens, "{name}: {report:?}");
        shown += &format!("{name}: revision {}, opens: {opens}\n", report.revision());
        for finding in report.findings {
            let store::Finding { file, offset, what, severity, advice } = finding;
            shown += &format!("  {file} at {offset}: {what}; {severity:?}\n    {advice}\n");
        }
    }
    expect![[r#"
        whole: revision 42, opens: true
        a torn tail: revision 42, opens: true
          log-0000000000000004 at 4432: a torn tail of 12 bytes; Harmless
            nothing: it never was acknowledged, and is wiped by the next start
        the newest log damaged: revision 40, opens: false
          log-0000000000000004 at 4096: the checksum differs; StateLost
            restore a backup into an empty directory (`ironclad store restore`), or have the disk read again
        an older log damaged: revision 42, opens: true
          log-0000000000000003 at 4096: the checksum differs; HistoryLost
            nothing: the newest state is whole; move the file away, or let the next compaction do it
        an older snapshot damaged: revision 42, opens: true
          snapshot-0000000000000003 at 4096: the checksum differs; HistoryLost
            nothing: the newest state is whole; move the file away, or let the next compaction do it
        the newest snapshot damaged: revision 42, opens: false
          snapshot-0000000000000004 at 4096: the checksum differs; Repairable
            move snapshot-0000000000000004 away and start again: the files before it hold the same state
        the newest snapshot missing: revision 42, opens: true
        a header damaged: revision 40, opens: false
          log-0000000000000004 at 0: the checksum of its header differs; StateLost
            restore a backup into an empty directory (`ironclad store restore`), or have the disk read again
        the newest log missing: revision 40, opens: false
          log-0000000000000004 at 0: the file is missing; StateLost
            restore a backup into an empty directory (`ironclad store restore`), or have the disk read again
    "#]]
    .assert_eq(&shown);
}
