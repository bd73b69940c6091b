//! `ironclad logs`: what a node's role wrote, and goes on to write.

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use rustix::fs::inotify;

use crate::layout::Layout;
use crate::profile::Profile;
use crate::trouble::{Result, Trouble};

pub fn run(layout: &Layout, name: &str, node: Option<&str>, follow: bool) -> Result<()> {
    let dirs = layout.profile(name);
    let profile = Profile::load_existing(&dirs)?;
    let node = match node {
        Some(node) => profile.node(node)?,
        None => profile.server()?,
    };
    let dir = dirs.node(&node.name).log();
    let path = dir.join(format!("ironclad-{}.log", node.role.as_str()));
    show(&dir, &path, follow).map_err(|error| Trouble::file("read", &path, &error))
}

fn show(dir: &Path, path: &PathBuf, follow: bool) -> io::Result<()> {
    let mut old = path.clone().into_os_string();
    old.push(".1");
    if let Ok(mut file) = File::open(old) {
        copy(&mut file)?;
    }
    // Watched before it is read, so that nothing written in between is missed.
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC)?;
    let events = inotify::WatchFlags::MODIFY | inotify::WatchFlags::CREATE | inotify::WatchFlags::MOVED_FROM;
    inotify::add_watch(&watch, dir, events)?;
    let mut file = File::open(path)?;
    copy(&mut file)?;
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(&watch, &mut buffer);
    if !follow {
        return Ok(());
    }
    loop {
        let event = reader.next()?;
        let begun_anew = event.events().contains(inotify::ReadFlags::CREATE)
            && event
                .file_name()
                .is_some_and(|name| path.file_name().is_some_and(|own| own.as_encoded_bytes() == name.to_bytes()));
        copy(&mut file)?;
        if begun_anew {
            file = File::open(path)?;
            copy(&mut file)?;
        }
    }
}

fn copy(file: &mut File) -> io::Result<()> {
    let mut buffer = vec![0u8; 64 * 1024];
    let mut out = io::stdout().lock();
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return out.flush();
        }
        out.write_all(&buffer[..read])?;
    }
}
