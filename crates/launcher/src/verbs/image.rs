//! `ironclad image load | list | rm | pull`: images of every node, over each node's image socket.
//!
//! The protocol is one JSON line to the node ([`Order`]), then for `load` the archive until the end of the stream, then
//! one JSON line back ([`Answer`]). The node's end is wired in the `ironclad` binary.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::driver::control;
use crate::layout::{Layout, ProfileDirs};
use crate::preflight;
use crate::profile::{Profile, flag};
use crate::progress::{Progress, say};
use crate::trouble::{Result, Trouble, plain};

/// Where a node takes orders about images, as the node sees it.
pub const SOCKET: &str = "/run/ironclad/images.sock";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Order {
    /// An archive follows.
    Load,
    List,
    Remove {
        image: String,
    },
    Pull {
        image: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub id: String,
    pub tags: Vec<String>,
    pub size_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    Done(Vec<Image>),
    Failed(String),
}

/// `path` is `-` for standard input.
pub fn load(layout: &Layout, name: &str, path: &Path) -> Result<()> {
    let (dirs, nodes) = nodes(layout, name)?;
    let mut progress = Progress::start();
    let (archive, spooled) = if path == Path::new("-") { (spool(&dirs)?, true) } else { (path.to_owned(), false) };
    let opened = File::open(&archive).map(drop).map_err(|error| Trouble::file("read", &archive, &error));
    let result = opened.and_then(|()| on_all(&nodes, |socket| ask(socket, &Order::Load, Some(&archive))));
    if spooled {
        let _ = std::fs::remove_file(&archive);
    }
    let loaded = result.map_err(|trouble| trouble.within(&format!("cannot load {}", path.display())))?;
    let tags: Vec<&str> =
        loaded.first().iter().flat_map(|(_, images)| images).flat_map(|i| &i.tags).map(String::as_str).collect();
    progress.done(&format!(
        "Loaded {} into {} node{}",
        tags.join(", "),
        nodes.len(),
        if nodes.len() == 1 { "" } else { "s" }
    ));
    Ok(())
}

pub fn list(layout: &Layout, name: &str) -> Result<()> {
    let (_, nodes) = nodes(layout, name)?;
    let mut rows: BTreeMap<String, (String, u64, Vec<String>)> = BTreeMap::new();
    for (node, images) in on_all(&nodes, |socket| ask(socket, &Order::List, None))? {
        for image in images {
            let id = image.id.trim_start_matches("sha256:").chars().take(12).collect::<String>();
            let tags = if image.tags.is_empty() { vec!["<none>".to_owned()] } else { image.tags };
            for tag in tags {
                let row = rows.entry(tag).or_insert_with(|| (id.clone(), image.size_bytes, Vec::new()));
                row.2.push(node.clone());
            }
        }
    }
    say(&format!("{:<44} {:<14} {:>9}  {}", "IMAGE", "ID", "SIZE", "NODES"));
    for (tag, (id, size, on)) in rows {
        say(&format!("{tag:<44} {id:<14} {:>6.1} MB  {}", size as f64 / 1e6, on.join(",")));
    }
    Ok(())
}

pub fn remove(layout: &Layout, name: &str, image: &str) -> Result<()> {
    let (_, nodes) = nodes(layout, name)?;
    on_all(&nodes, |socket| ask(socket, &Order::Remove { image: image.to_owned() }, None))?;
    say(&format!("Removed {image}."));
    Ok(())
}

pub fn pull(layout: &Layout, name: &str, image: &str) -> Result<()> {
    let (_, nodes) = nodes(layout, name)?;
    let mut progress = Progress::start();
    on_all(&nodes, |socket| ask(socket, &Order::Pull { image: image.to_owned() }, None))?;
    progress.done(&format!("Pulled {image}"));
    Ok(())
}

/// Every node with the path of its socket, as the host sees it.
fn nodes(layout: &Layout, name: &str) -> Result<(ProfileDirs, Vec<(String, PathBuf)>)> {
    preflight::check_root()?;
    let dirs = layout.profile(name);
    let profile = Profile::load_existing(&dirs)?;
    let mut nodes = Vec::new();
    for node in &profile.nodes {
        let pid = control::node_pid(&dirs, &node.name)?;
        nodes.push((node.name.clone(), PathBuf::from(format!("/proc/{pid}/root{SOCKET}"))));
    }
    Ok((dirs, nodes))
}

/// Standard input can be read once, but every node wants it.
fn spool(dirs: &ProfileDirs) -> Result<PathBuf> {
    let path = dirs.state.join(format!(".image-{}", std::process::id()));
    let mut file = File::create(&path).map_err(|error| Trouble::file("write", &path, &error))?;
    io::copy(&mut io::stdin().lock(), &mut file).map_err(|error| {
        let _ = std::fs::remove_file(&path);
        Trouble::file("write", &path, &error)
    })?;
    Ok(path)
}

/// Asks all nodes at once; the first failure is the answer.
fn on_all(
    nodes: &[(String, PathBuf)],
    ask: impl Fn(&Path) -> io::Result<Answer> + Sync,
) -> Result<Vec<(String, Vec<Image>)>> {
    let answers: Vec<io::Result<Answer>> = std::thread::scope(|scope| {
        let asked: Vec<_> = nodes.iter().map(|(_, socket)| scope.spawn(|| ask(socket))).collect();
        let died = || Err(io::Error::other("the asking thread died"));
        asked.into_iter().map(|thread| thread.join().unwrap_or_else(|_| died())).collect()
    });
    let named = nodes.iter().map(|(name, _)| name).zip(answers);
    named
        .map(|(node, answer)| match answer {
            Ok(Answer::Done(images)) => Ok((node.clone(), images)),
            Ok(Answer::Failed(why)) => Err(Trouble::new(
                format!("node {node}: {why}"),
                "Check the image's name or file; `ironclad image list` shows what is there.",
            )),
            Err(error) => Err(Trouble::new(
                format!("cannot reach the images of node {node}: {}", plain(&error)),
                format!("Type `ironclad status{}` to see whether it runs.", flag("ironclad")),
            )),
        })
        .collect()
}

fn ask(socket: &Path, order: &Order, archive: Option<&Path>) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    let mut line = serde_json::to_string(order).map_err(io::Error::other)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    if let Some(archive) = archive {
        let copied = io::copy(&mut File::open(archive)?, &mut stream);
        // A node that refuses the archive early closes its end; its answer says why.
        copied
            .map(drop)
            .or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })?;
    }
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the node gave no answer"));
    }
    serde_json::from_str(&answer).map_err(io::Error::other)
}
