//! Container images made offline from Debian packages, for the quickstart and the end-to-end tests.
//!
//! apt resolves the packages' closure against an empty status file, the archives are unpacked (no maintainer script
//! runs), what a package's scripts would have made is added here, and the tree is packed as an OCI layout tar.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// How an image is made: packages, what they lack without their scripts, and what it runs.
struct Recipe {
    name: &'static str,
    reference: &'static str,
    packages: &'static [&'static str],
    finish: fn(&Path) -> Result<()>,
    entrypoint: &'static [&'static str],
    command: &'static [&'static str],
    stop_signal: &'static str,
}

const RECIPES: &[Recipe] = &[
    Recipe {
        name: "busybox",
        reference: "docker.io/library/busybox:latest",
        packages: &[],
        finish: |_| Ok(()),
        entrypoint: &[],
        command: &["sh"],
        stop_signal: "SIGTERM",
    },
    Recipe {
        name: "nginx",
        reference: "docker.io/library/nginx:alpine",
        packages: &["nginx-light"],
        finish: finish_nginx,
        entrypoint: &[],
        command: &["nginx", "-g", "daemon off;"],
        stop_signal: "SIGQUIT",
    },
];

/// `cargo xtask image NAME [-o FILE] [-t REFERENCE]`
pub fn run(arguments: &[String]) -> Result<()> {
    let names: Vec<&str> = RECIPES.iter().map(|recipe| recipe.name).collect();
    let usage = || format!("usage: cargo xtask image {} [-o FILE] [-t REFERENCE]", names.join("|"));
    let name = arguments.first().with_context(usage)?;
    let recipe = RECIPES.iter().find(|recipe| recipe.name == name).with_context(usage)?;
    let (mut output, mut reference) = (PathBuf::from(format!("{name}.tar")), recipe.reference.to_owned());
    for pair in arguments[1..].chunks(2) {
        match pair {
            [flag, value] if flag == "-o" => output = value.into(),
            [flag, value] if flag == "-t" => reference.clone_from(value),
            _ => bail!(usage()),
        }
    }
    make(recipe, &reference, &output)?;
    println!("{reference} in {}", output.display());
    Ok(())
}

fn make(recipe: &Recipe, reference: &str, output: &Path) -> Result<()> {
    let work = std::env::temp_dir().join(format!("ironclad-image-{}", std::process::id()));
    let made = unpack_packages(recipe, &work).and_then(|root| {
        add_base(&root)?;
        (recipe.finish)(&root)?;
        pack(recipe, reference, &root, &work, output)
    });
    fs::remove_dir_all(&work).ok();
    made
}

/// Downloads and unpacks the closure of the packages; returns the root of the tree.
fn unpack_packages(recipe: &Recipe, work: &Path) -> Result<PathBuf> {
    let (root, archives) = (work.join("root"), work.join("archives"));
    fs::create_dir_all(&root)?;
    fs::create_dir_all(archives.join("partial"))?;
    if recipe.packages.is_empty() {
        return Ok(root);
    }
    let empty = work.join("status");
    File::create(&empty)?;
    let option = |name: &str, value: &Path| format!("-o{name}={}", value.display());
    let mut apt = Command::new("apt-get");
    apt.args(["-qq", "-y", "--no-install-recommends", "--download-only"]);
    apt.args([option("Dir::State::status", &empty), option("Dir::Cache::archives", &archives)]);
    apt.args(["-oAPT::Sandbox::User=root", "install"]).args(recipe.packages);
    call(apt.stdout(Stdio::null())).context("apt-get cannot download the packages (run `apt-get update` first?)")?;
    for entry in fs::read_dir(&archives)? {
        let archive = entry?.path();
        if archive.extension().is_some_and(|extension| extension == "deb") {
            call(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&root))?;
        }
    }
    // Nobody reads manuals in a container.
    for unread in ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info"] {
        fs::remove_dir_all(root.join(unread)).ok();
    }
    Ok(root)
}

/// A shell with its tools, users, and the usual directories.
fn add_base(root: &Path) -> Result<()> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let busybox = busybox.context("busybox is missing: apt-get install busybox-static")?;
    // Packages may bring /bin as a link to /usr/bin or as a directory; both are followed.
    for dir in ["bin", "sbin", "etc", "tmp", "root", "var/log", "run", "proc", "sys", "dev", "home"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::copy(busybox, root.join("bin/busybox"))?;
    let applets = Command::new(busybox).arg("--list").output()?;
    for applet in String::from_utf8(applets.stdout)?.lines().filter(|applet| *applet != "busybox") {
        let link = root.join("bin").join(applet);
        if fs::symlink_metadata(&link).is_err() {
            symlink("busybox", link)?;
        }
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    )?;
    fs::write(root.join("etc/group"), "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n")?;
    Ok(())
}

fn finish_nginx(root: &Path) -> Result<()> {
    let page = "<!DOCTYPE html>\n<title>Welcome to nginx!</title>\n<h1>Welcome to nginx!</h1>\n<p>Served by a container on Ironclad.</p>\n";
    let config = "worker_processes 1;\nerror_log /dev/stderr notice;\npid /run/nginx.pid;\nevents { worker_connections 256; }\n\
        http {\n  include /etc/nginx/mime.types;\n  access_log /dev/stdout;\n  server {\n    listen 80;\n    listen 8080;\n    \
        root /usr/share/nginx/html;\n  }\n}\n";
    fs::create_dir_all(root.join("usr/share/nginx/html"))?;
    for dir in ["body", "fastcgi", "proxy", "scgi", "uwsgi"] {
        fs::create_dir_all(root.join("var/lib/nginx").join(dir))?;
    }
    fs::create_dir_all(root.join("var/log/nginx"))?;
    fs::write(root.join("usr/share/nginx/html/index.html"), page)?;
    fs::write(root.join("etc/nginx/nginx.conf"), config)?;
    Ok(())
}

fn pack(recipe: &Recipe, reference: &str, root: &Path, work: &Path, output: &Path) -> Result<()> {
    let layer = work.join("layer.tar");
    call(
        Command::new("tar")
            .args(["--sort=name", "--mtime=@0", "--numeric-owner", "--owner=0", "--group=0", "-cf"])
            .arg(&layer)
            .arg("-C")
            .arg(root)
            .arg("."),
    )?;
    let layout = work.join("layout");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let layer_digest = digest(&fs::read(&layer)?);
    fs::rename(&layer, blobs.join(&layer_digest))?;
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {
            "Entrypoint": recipe.entrypoint, "Cmd": recipe.command, "StopSignal": recipe.stop_signal,
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer_digest}")]},
    });
    let config = add_blob(&blobs, &config, "application/vnd.oci.image.config.v1+json")?;
    let layer_size = fs::metadata(blobs.join(&layer_digest))?.len();
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2, "mediaType": manifest_type, "config": config,
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": format!("sha256:{layer_digest}"), "size": layer_size,
        }],
    });
    let mut manifest = add_blob(&blobs, &manifest, manifest_type)?;
    manifest["annotations"] =
        json!({"org.opencontainers.image.ref.name": reference, "io.containerd.image.name": reference});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(layout.join("index.json"), index.to_string())?;
    fs::write(layout.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())?;
    call(Command::new("tar").arg("-cf").arg(output).arg("-C").arg(&layout).arg("."))
}

/// Stores a JSON blob and returns its descriptor.
fn add_blob(blobs: &Path, content: &Value, media_type: &str) -> Result<Value> {
    let bytes = content.to_string().into_bytes();
    let digest = digest(&bytes);
    File::create(blobs.join(&digest))?.write_all(&bytes)?;
    Ok(json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len()}))
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn call(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {:?}", command.get_program()))?;
    ensure!(status.success(), "{:?} failed: {status}", command.get_program());
    Ok(())
}
