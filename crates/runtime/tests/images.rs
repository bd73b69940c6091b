//! Images on disk: layers as overlayfs wants them, hostile archives, crashes. Needs root for owners and devices.
#![allow(clippy::unwrap_used, clippy::expect_used)] // These are tests, helpers included.

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use runtime::image::{Store, archive, store::digest_of};

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return None;
        }
        let dir = std::env::temp_dir().join(format!("ironclad-images-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        Some(Self(dir))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

enum Item<'a> {
    Dir(&'a str),
    File(&'a str, &'a str),
    Symlink(&'a str, &'a str),
    Link(&'a str, &'a str),
}

/// A tar whose names are taken as they are, `..` and all.
fn tar_of(items: &[Item<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for item in items {
        let mut header = tar::Header::new_gnu();
        let (name, body, kind, link) = match item {
            Item::Dir(name) => (*name, "", tar::EntryType::Directory, None),
            Item::File(name, body) => (*name, *body, tar::EntryType::Regular, None),
            Item::Symlink(name, to) => (*name, "", tar::EntryType::Symlink, Some(*to)),
            Item::Link(name, to) => (*name, "", tar::EntryType::Link, Some(*to)),
        };
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if let Some(link) = link {
            header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        }
        header.set_entry_type(kind);
        header.set_size(body.len() as u64);
        header.set_mode(0o755);
        header.set_uid(12);
        header.set_gid(34);
        header.set_mtime(1_000_000);
        header.set_cksum();
        builder.append(&header, body.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn unpack(store: &Store, items: &[Item<'_>]) -> runtime::image::Result<PathBuf> {
    let tar = tar_of(items);
    let digest = digest_of(&tar);
    store.add_layer(tar.as_slice(), &digest).map(|()| store.layer_dir(&digest))
}

#[test]
fn layers_are_unpacked_as_overlayfs_wants_them() {
    let Some(dir) = Dir::new("unpack") else { return };
    let store = Store::open(&dir.0).unwrap();
    let layer = unpack(
        &store,
        &[
            Item::Dir("a/"),
            Item::File("a/file", "text"),
            Item::Link("a/same", "a/file"),
            Item::Symlink("a/link", "/etc/passwd"),
            Item::File("a/.wh.gone", ""),
            Item::Dir("b/"),
            Item::File("b/.wh..wh..opq", ""),
            Item::File("c/deep/er", "made with its parents"),
        ],
    )
    .unwrap();
    let meta = std::fs::metadata(layer.join("a/file")).unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mtime(), meta.nlink()), (12, 34, 1_000_000, 2));
    assert_eq!(
        std::fs::metadata(layer.join("a")).unwrap().mtime(),
        1_000_000,
        "a directory's time survives its content"
    );
    assert_eq!(std::fs::read_link(layer.join("a/link")).unwrap(), Path::new("/etc/passwd"));
    let whiteout = std::fs::symlink_metadata(layer.join("a/gone")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    let mut value = [0; 8];
    let len = rustix::fs::getxattr(layer.join("b"), "trusted.overlay.opaque", &mut value).unwrap();
    assert_eq!(&value[..len], b"y");
    assert!(layer.join("c/deep/er").exists());
}

#[test]
fn no_archive_writes_outside_of_its_layer() {
    let Some(dir) = Dir::new("escape") else { return };
    std::fs::create_dir_all(dir.0.join("outside")).unwrap();
    let outside = dir.0.join("outside").display().to_string();
    let store = Store::open(&dir.0.join("store")).unwrap();
    let absolute = format!("{}/by-absolute", outside);
    let attempts: Vec<Vec<Item<'_>>> = vec![
        vec![Item::File("../../../outside/by-dots", "x")],
        vec![Item::File(&absolute, "x")],
        vec![Item::Symlink("link", &outside), Item::File("link/by-symlink", "x")],
        vec![Item::Symlink("link", "../../../outside"), Item::File("link/by-relative-symlink", "x")],
        vec![Item::Symlink("link", &outside), Item::Dir("link/"), Item::File("link/by-replaced", "x")],
        vec![Item::Symlink("link", &outside), Item::File("link/.wh.victim", "")],
        vec![Item::Symlink("link", &outside), Item::Link("stolen", "link/victim")],
    ];
    std::fs::write(Path::new(&outside).join("victim"), "safe").unwrap();
    for attempt in &attempts {
        // Whether it is refused or lands inside does not matter.
        if let Ok(layer) = unpack(&store, attempt) {
            assert!(!layer.join("stolen").exists(), "a link to a file outside");
        }
    }
    let left: Vec<_> = std::fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["victim"]);
    assert_eq!(std::fs::read_to_string(Path::new(&outside).join("victim")).unwrap(), "safe");
    assert_eq!(std::fs::read_dir(dir.0.join("store/tmp")).unwrap().count(), 0, "what failed is cleared away");
}

#[test]
fn a_layer_that_is_not_what_it_says_is_refused() {
    let Some(dir) = Dir::new("digest") else { return };
    let store = Store::open(&dir.0).unwrap();
    let tar = tar_of(&[Item::File("a", "b")]);
    let wrong = digest_of(b"something else");
    let error = store.add_layer(tar.as_slice(), &wrong).unwrap_err().to_string();
    assert!(error.contains("layer has digest") && error.contains(&wrong), "{error}");
    assert!(!store.has_layer(&wrong));
    let half = &tar[..700];
    assert!(store.add_layer(half, &digest_of(&tar)).is_err(), "cut short");
    assert!(!store.has_layer(&digest_of(&tar)));
}

fn oci_layout(name: &str, layer: &[u8]) -> Vec<u8> {
    let packed = zstd::encode_all(layer, 1).unwrap();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"User":"33","Entrypoint":["/x"],"Cmd":null}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        digest_of(layer)
    );
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"c","digest":"{}","size":{}}},"layers":[{{"mediaType":"l","digest":"{}","size":{}}}]}}"#,
        digest_of(config.as_bytes()),
        config.len(),
        digest_of(&packed),
        packed.len()
    );
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"m","digest":"{}","size":{},"annotations":{{"io.containerd.image.name":"{name}"}}}}]}}"#,
        digest_of(manifest.as_bytes()),
        manifest.len()
    );
    let blob = |bytes: &[u8]| format!("blobs/{}", digest_of(bytes).replace(':', "/"));
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in [
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), index.into_bytes()),
        (blob(manifest.as_bytes()), manifest.into_bytes()),
        (blob(config.as_bytes()), config.into_bytes()),
        (blob(&packed), packed),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn an_oci_layout_is_imported_found_and_removed_with_what_only_it_needs() {
    let Some(dir) = Dir::new("oci") else { return };
    let store = Store::open(&dir.0).unwrap();
    let (shared, own) = (tar_of(&[Item::File("a", "1")]), tar_of(&[Item::File("a", "2")]));
    let first = archive::import(&store, oci_layout("nginx:alpine", &shared).as_slice(), None).unwrap().remove(0);
    let second = archive::import(&store, oci_layout("other:1", &own).as_slice(), None).unwrap().remove(0);
    let found = store.find("docker.io/library/nginx:alpine").unwrap();
    assert_eq!((found.id.as_str(), found.config.user.as_str()), (first.id.as_str(), "33"));
    assert_eq!(found.digests.iter().next().unwrap(), &format!("docker.io/library/nginx@{}", found.manifest));
    for name in [
        "nginx:alpine",
        &first.id,
        &first.id["sha256:".len()..],
        &first.id[7..20],
        &format!("nginx@{}", found.manifest),
    ] {
        assert_eq!(store.find(name).map(|found| found.id), Some(first.id.clone()), "{name}");
    }
    assert!(store.find("nginx:other").is_none());
    // A tag moves to the image that has it last.
    let moved = archive::import(&store, oci_layout("nginx:alpine", &own).as_slice(), None).unwrap().remove(0);
    assert_eq!(store.find("nginx:alpine").unwrap().id, moved.id);
    store.remove(&first.id, &Default::default()).unwrap();
    assert!(!store.has_layer(&digest_of(&shared)) && store.has_layer(&digest_of(&own)));
    store.remove(&second.id, &[digest_of(&own)].into()).unwrap();
    assert!(store.has_layer(&digest_of(&own)), "a container still needs it");
    drop(store);
    let again = Store::open(&dir.0).unwrap();
    assert_eq!(again.list().len(), 0);
    again.collect(&Default::default()).unwrap();
    assert!(!again.has_layer(&digest_of(&own)));
}

#[test]
fn what_is_no_image_archive_is_told_so() {
    let Some(dir) = Dir::new("noimage") else { return };
    let store = Store::open(&dir.0).unwrap();
    let error = archive::import(&store, tar_of(&[Item::File("a", "b")]).as_slice(), None).unwrap_err();
    assert!(error.to_string().starts_with("not an image archive"), "{error}");
    assert!(archive::import(&store, &b"junk"[..], None).is_err());
}
