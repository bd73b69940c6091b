//! A process that is killed while it writes: what it acknowledged is there when the directory is opened again.

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use bytes::Bytes;
use stdx::Rng;
use store::{Commit, EmbeddedOptions, EmbeddedStore, Store, Write};

const CHILD: &str = "IRONCLAD_STORE_KILL_TEST";

fn options() -> EmbeddedOptions {
    EmbeddedOptions { log_bytes: 64 << 10, ..EmbeddedOptions::default() }
}

/// Not a test of its own: the writing process, when the parent asks for it.
#[tokio::test]
async fn child_writes_until_it_is_killed() {
    let Ok(directory) = std::env::var(CHILD) else { return };
    let store = EmbeddedStore::open(directory, options()).expect("open");
    let first = store.current().await.expect("current").0;
    for i in first.. {
        let write = Write::Put(format!("k{}", i % 100).as_bytes().into(), Bytes::from(format!("{i:0200}")));
        let revision = store.commit(Commit { writes: vec![write], ..Commit::default() }).await.expect("commit");
        writeln!(std::io::stderr(), "acknowledged {revision}").expect("the parent reads");
    }
}

/// `KILL_ROUNDS=200` for a longer run.
const ROUNDS: u64 = 25;

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let directory = std::env::temp_dir().join(format!("ironclad-store-kill-{}", std::process::id()));
    let rounds = std::env::var("KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let rng = Rng::seeded(rounds);
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().expect("own path"))
            .args(["--exact", "child_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD, &directory)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("spawn");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let (mut acknowledged, mut left) = (0, 1 + rng.below(150));
        for line in lines {
            let line = line.expect("line");
            if let Some(revision) = line.strip_prefix("acknowledged ") {
                acknowledged = revision.parse().expect("revision");
                left -= 1;
                if left == 0 {
                    break;
                }
            }
        }
        child.kill().expect("kill");
        child.wait().expect("reap");
        assert!(acknowledged > 0, "the child wrote nothing");
        let store = EmbeddedStore::open(&directory, options()).expect("open after a kill");
        let newest = store.current().await.expect("current").0;
        assert!(newest >= acknowledged, "round {round}: {acknowledged} was acknowledged, there is {newest}");
        // Commit number i made revision i + 1, so the newest hundred revisions are what the keys hold.
        for number in newest.saturating_sub(100).max(1)..newest {
            let entry = store.get(format!("k{}", number % 100).as_bytes()).await.expect("get").expect("entry");
            assert_eq!((entry.modified.0, &*entry.value), (number + 1, format!("{number:0200}").as_bytes()));
        }
    }
    std::fs::remove_dir_all(&directory).expect("clean up");
}
