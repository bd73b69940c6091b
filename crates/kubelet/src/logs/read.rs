//! Reads one container's log for `kubectl logs`: the end of it, since a time, up to a size, and on as it grows.
//!
//! Following waits for inotify and for the runtime's events, and ends when the container has ended and all is read. A
//! log that is rotated away is read to its end, then its successor from the start.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytes::Bytes;
use cri::{EventStream, Runtime, v1};
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::parse::{Stream, parse_line};
use crate::inotify::Watch;

const CHUNK_LEN: usize = 64 << 10;
/// A line that is longer is given in parts.
const LINE_LEN_MAX: usize = 1 << 20;

/// What is asked of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub follow: bool,
    pub tail_lines: Option<usize>,
    pub since: Option<Timestamp>,
    pub limit_bytes: Option<usize>,
    pub timestamps: bool,
    pub stream: Option<Stream>,
}

/// Where the text goes; a receiver that is gone ends the reading.
pub type Sink = mpsc::Sender<Bytes>;

/// Sends what is there now; then, when following, what comes until the container ends.
pub async fn read(
    path: &Path,
    options: &Options,
    container: Option<(&dyn Runtime, &str)>,
    sink: &Sink,
) -> io::Result<()> {
    let mut reader = Reader::open(path, options)?;
    let Some((runtime, id)) = container.filter(|_| options.follow) else {
        reader.drain(options, sink).await?;
        return Ok(());
    };
    let watch = Watch::new()?;
    if let Some(dir) = path.parent() {
        watch.directory(dir)?;
    }
    watch.file(path)?;
    let mut events = runtime.events().await.ok();
    loop {
        // Asked first: whatever the container wrote before its end is read below.
        let ended = has_ended(runtime, id).await;
        if reader.drain(options, sink).await?.is_full() {
            return Ok(());
        }
        if reader.was_rotated(path)? {
            reader.reopen(path)?;
            watch.file(path)?;
            continue;
        }
        if ended {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = sink.closed() => return Ok(()),
            changed = watch.changed() => changed?,
            () = next(&mut events) => {}
        }
    }
}

async fn next(events: &mut Option<Box<dyn EventStream>>) {
    match events {
        Some(stream) => {
            if stream.next().await.is_none() {
                *events = None;
            }
        }
        None => std::future::pending().await,
    }
}

async fn has_ended(runtime: &dyn Runtime, id: &str) -> bool {
    let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: false };
    match runtime.container_status(request).await {
        Ok(answer) => answer.status.is_none_or(|status| status.state == v1::ContainerState::ContainerExited as i32),
        Err(error) => error.code == cri::Code::NotFound,
    }
}

/// Whether more may be read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    AtEnd,
    /// The limit is reached, or nobody listens any more.
    Full,
}

impl Progress {
    fn is_full(self) -> bool {
        self == Self::Full
    }
}

struct Reader {
    file: File,
    /// What has been read of a line that is not whole yet.
    rest: Vec<u8>,
    left: Option<usize>,
}

impl Reader {
    fn open(path: &Path, options: &Options) -> io::Result<Self> {
        let mut file = File::open(path)?;
        if let Some(lines) = options.tail_lines {
            let start = tail_start(&mut file, lines)?;
            file.seek(SeekFrom::Start(start))?;
        }
        Ok(Self { file, rest: Vec::new(), left: options.limit_bytes })
    }

    fn reopen(&mut self, path: &Path) -> io::Result<()> {
        self.file = File::open(path)?;
        self.rest.clear();
        Ok(())
    }

    fn was_rotated(&self, path: &Path) -> io::Result<bool> {
        match std::fs::metadata(path) {
            Ok(now) => Ok(now.ino() != self.file.metadata()?.ino()),
            // Moved away, and its successor is not there yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends everything up to the end of the file.
    async fn drain(&mut self, options: &Options, sink: &Sink) -> io::Result<Progress> {
        let mut chunk = vec![0; CHUNK_LEN];
        loop {
            let read = self.file.read(&mut chunk)?;
            if read == 0 {
                return Ok(Progress::AtEnd);
            }
            self.rest.extend_from_slice(&chunk[..read]);
            let text = self.take_lines(options);
            if !text.is_empty() && sink.send(text).await.is_err() {
                return Ok(Progress::Full);
            }
            if self.left == Some(0) {
                return Ok(Progress::Full);
            }
        }
    }

    /// The text of the whole lines read so far, as it was asked for.
    fn take_lines(&mut self, options: &Options) -> Bytes {
        let mut out = Vec::new();
        let mut from = 0;
        while let Some(end) = self.rest[from..].iter().position(|byte| *byte == b'\n') {
            write_line(&self.rest[from..=from + end], options, &mut out);
            from += end + 1;
        }
        self.rest.drain(..from);
        if self.rest.len() > LINE_LEN_MAX {
            self.rest.clear();
        }
        if let Some(left) = &mut self.left {
            out.truncate(*left);
            *left -= out.len();
        }
        Bytes::from(out)
    }
}

fn write_line(line: &[u8], options: &Options, out: &mut Vec<u8>) {
    let Some(line) = parse_line(line) else { return };
    let old = options.since.is_some_and(|since| line.time < since);
    if old || options.stream.is_some_and(|wanted| wanted != line.stream) {
        return;
    }
    if options.timestamps {
        out.extend_from_slice(line.stamp);
        out.push(b' ');
    }
    out.extend(line.with_newline());
}

/// Where the last `lines` lines begin.
fn tail_start(file: &mut File, lines: usize) -> io::Result<u64> {
    let len = file.metadata()?.len();
    let mut at = len;
    let mut seen = 0;
    let mut block = vec![0; CHUNK_LEN];
    if lines == 0 {
        return Ok(len);
    }
    while at > 0 {
        let size = at.min(CHUNK_LEN as u64);
        at -= size;
        file.seek(SeekFrom::Start(at))?;
        let block = &mut block[..usize::try_from(size).unwrap_or(CHUNK_LEN)];
        file.read_exact(block)?;
        for (offset, byte) in block.iter().enumerate().rev() {
            let place = at + offset as u64 + 1;
            // The last line's own end does not begin a line.
            if *byte == b'\n' && place < len {
                seen += 1;
                if seen == lines {
                    return Ok(place);
                }
            }
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use expect_test::{Expect, expect};

    const LOG: &str = "2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:01Z stderr F two\n\
        2026-01-01T00:00:02Z stdout P th\n2026-01-01T00:00:02Z stdout F ree\n";

    fn check(options: &Options, expected: Expect) {
        let dir = TempDir::new("logs");
        let path = dir.0.join("0.log");
        std::fs::write(&path, LOG).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let text = runtime.block_on(async {
            let (sink, mut source) = mpsc::channel(16);
            read(&path, options, None, &sink).await.unwrap();
            drop(sink);
            let mut text = Vec::new();
            while let Some(bytes) = source.recv().await {
                text.extend_from_slice(&bytes);
            }
            String::from_utf8(text).unwrap()
        });
        expected.assert_eq(&text);
    }

    #[test]
    fn a_log_is_narrowed_as_asked() {
        check(
            &Options::default(),
            expect![[r#"
            one
            two
            three
        "#]],
        );
        check(
            &Options { tail_lines: Some(3), ..Options::default() },
            expect![[r#"
            two
            three
        "#]],
        );
        check(&Options { tail_lines: Some(0), ..Options::default() }, expect![""]);
        check(
            &Options { stream: Some(Stream::Stderr), timestamps: true, ..Options::default() },
            expect![[r#"
            2026-01-01T00:00:01Z two
        "#]],
        );
        check(
            &Options { since: "2026-01-01T00:00:01Z".parse().ok(), limit_bytes: Some(6), ..Options::default() },
            expect![[r#"
            two
            th"#]],
        );
    }

    #[tokio::test]
    async fn following_goes_on_over_a_rotation_until_the_container_ends() {
        let dir = TempDir::new("follow");
        let path = dir.0.join("0.log");
        std::fs::write(&path, "2026-01-01T00:00:00Z stdout F one\n").unwrap();
        let clock = std::sync::Arc::new(stdx::ManualClock::new(Timestamp::UNIX_EPOCH));
        let runtime = cri::fake::FakeRuntime::new(clock);
        runtime.serve_every_image();
        runtime.add_image("i");
        let config = v1::PodSandboxConfig { metadata: Some(v1::PodSandboxMetadata::default()), ..Default::default() };
        let request = v1::RunPodSandboxRequest { config: Some(config), ..Default::default() };
        let pod_sandbox_id = runtime.run_pod_sandbox(request).await.unwrap().pod_sandbox_id;
        let config = v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: "c".into(), attempt: 0 }),
            image: Some(v1::ImageSpec { image: "i".into(), ..Default::default() }),
            ..Default::default()
        };
        let request = v1::CreateContainerRequest { pod_sandbox_id, config: Some(config), sandbox_config: None };
        let id = runtime.create_container(request).await.unwrap().container_id;
        runtime.start_container(v1::StartContainerRequest { container_id: id.clone() }).await.unwrap();
        let (sink, mut source) = mpsc::channel(16);
        let options = Options { follow: true, ..Options::default() };
        let (followed, following, of) = (path.clone(), runtime.clone(), id.clone());
        let task = tokio::spawn(async move { read(&followed, &options, Some((&following, &of)), &sink).await });
        assert_eq!(source.recv().await.unwrap(), "one\n");
        std::fs::rename(&path, dir.0.join("0.log.old")).unwrap();
        std::fs::write(&path, "2026-01-01T00:00:00Z stdout F two\n").unwrap();
        assert_eq!(source.recv().await.unwrap(), "two\n");
        runtime.exit_container("c", 0, "Completed");
        assert_eq!(source.recv().await, None);
        task.await.unwrap().unwrap();
    }
}
