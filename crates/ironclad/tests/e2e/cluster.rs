//! A cluster for one test: started by it, deleted when it ends, however it ends.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::fs::FlockOperation;

/// Held while a test runs.
pub struct Turn {
    _lock: File,
}

/// `None`, with a word why, where this machine cannot run the test.
pub fn turn() -> Option<Turn> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return None;
    }
    let path = std::env::temp_dir().join("ironclad-e2e.lock");
    let file = File::create(path).expect("the lock file can be made");
    rustix::fs::flock(&file, FlockOperation::LockExclusive).expect("the lock can be taken");
    Some(Turn { _lock: file })
}

/// This machine's kubectl: the one on the path, or the newest of those that lie beside it as `kubectl.1.NN`, where it
/// only chooses among them.
pub fn kubectl_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join("kubectl")).find(|file| file.is_file())?;
    let dir = found.canonicalize().ok()?.parent()?.to_owned();
    let minor = |entry: std::fs::DirEntry| {
        let minor = entry.file_name().to_str()?.strip_prefix("kubectl.1.")?.parse::<u16>().ok()?;
        Some((minor, entry.path()))
    };
    let newest = dir.read_dir().ok()?.filter_map(|entry| minor(entry.ok()?)).max();
    Some(newest.map_or(found, |(_, file)| file))
}

/// The binary under test; `IRONCLAD_BINARY` names another than this build's.
pub fn binary() -> PathBuf {
    std::env::var_os("IRONCLAD_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_ironclad").into(), PathBuf::from)
}

pub struct Cluster {
    pub name: String,
    pub home: PathBuf,
    kubectl: PathBuf,
    _turn: Turn,
}

impl Cluster {
    /// `None` where this machine cannot run the test.
    pub fn start(what: &str, flags: &[&str]) -> Option<Self> {
        let cluster = Self::prepare(what)?;
        let mut args = vec!["start"];
        args.extend(flags);
        cluster.ironclad(&args);
        Some(cluster)
    }

    /// A name and a directory, with nothing started.
    pub fn prepare(what: &str) -> Option<Self> {
        let turn = turn()?;
        let Some(kubectl) = kubectl_path() else {
            eprintln!("skipped: there is no kubectl");
            return None;
        };
        let name = format!("e2e-{what}-{}", std::process::id());
        let home = std::env::temp_dir().join(&name);
        std::fs::create_dir_all(&home).expect("the directory can be made");
        Some(Self { name, home, kubectl, _turn: turn })
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.home.join("kubeconfig")
    }

    /// The binary with this cluster's profile and directories.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        let (verb, rest) = args.split_first().expect("a verb");
        command.arg(verb);
        let nested = matches!(*verb, "node" | "image" | "store") && !rest.is_empty();
        let (head, rest) = rest.split_at(usize::from(nested));
        command.args(head).args(["--profile", &self.name]).args(rest);
        command
            .env("IRONCLAD_HOME", &self.home)
            .env("IRONCLAD_EGRESS", "none")
            .env("KUBECONFIG", self.kubeconfig())
            .stdin(Stdio::null());
        command
    }

    /// Runs a verb that must succeed; gives what it printed.
    #[track_caller]
    pub fn ironclad(&self, args: &[&str]) -> String {
        let output = self.command(args).output().expect("the binary runs");
        succeeded(&format!("ironclad {}", args.join(" ")), &output)
    }

    /// Runs a verb that must fail; gives its exit code and what it said.
    #[track_caller]
    pub fn ironclad_fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.command(args).output().expect("the binary runs");
        assert!(!output.status.success(), "ironclad {} succeeded:\n{}", args.join(" "), text(&output.stdout));
        (output.status.code().unwrap_or(-1), text(&output.stderr))
    }

    pub fn kubectl_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.args(args).env("KUBECONFIG", self.kubeconfig()).env("HOME", &self.home).stdin(Stdio::null());
        command
    }

    #[track_caller]
    pub fn kubectl(&self, args: &[&str]) -> String {
        let output = self.kubectl_command(args).output().expect("kubectl runs");
        succeeded(&format!("kubectl {}", args.join(" ")), &output)
    }

    /// With `input` on standard input.
    #[track_caller]
    pub fn kubectl_with(&self, args: &[&str], input: &str) -> String {
        let path = self.home.join("input");
        std::fs::write(&path, input).expect("the input can be written");
        let file = File::open(&path).expect("the input can be read");
        let output = self.kubectl_command(args).stdin(file).output().expect("kubectl runs");
        succeeded(&format!("kubectl {}", args.join(" ")), &output)
    }

    #[track_caller]
    pub fn kubectl_fails(&self, args: &[&str]) -> String {
        let output = self.kubectl_command(args).output().expect("kubectl runs");
        assert!(!output.status.success(), "kubectl {} succeeded:\n{}", args.join(" "), text(&output.stdout));
        text(&output.stderr)
    }

    /// Loads the test images into every node.
    pub fn load_images(&self) {
        let archives = ["nginx", "busybox"].map(|kind| image(kind, "").display().to_string());
        self.ironclad(&["image", "load", &archives[0], &archives[1]]);
    }

    /// The pid of a node's init, as `ironclad status` tells it.
    pub fn init_pid(&self, node: &str) -> u32 {
        let output = self.command(&["status"]).output().expect("the binary runs");
        let status = text(&output.stdout);
        let line =
            status.lines().find(|line| line.starts_with(&format!("node:       {node} "))).expect("the node is listed");
        let mut words = line.split(' ').skip_while(|word| *word != "pid");
        words.nth(1).and_then(|pid| pid.parse().ok()).expect("the node has a pid")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("IRONCLAD_E2E_KEEP").is_some() {
            eprintln!(
                "kept: IRONCLAD_HOME={} KUBECONFIG={} -p {}",
                self.home.display(),
                self.kubeconfig().display(),
                self.name
            );
            return;
        }
        if std::thread::panicking() {
            for args in [["get", "pods,nodes", "-A"], ["get", "events", "-A"]] {
                let output = self.kubectl_command(&args).output();
                eprintln!("{}", output.map(|output| text(&output.stdout)).unwrap_or_default());
            }
            let logs = self.command(&["logs"]).output().map(|output| text(&output.stdout)).unwrap_or_default();
            let lines: Vec<&str> = logs.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
        let _ = self.command(&["delete"]).output();
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

#[track_caller]
fn succeeded(what: &str, output: &Output) -> String {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{what}: {}\n{stdout}{stderr}", output.status);
    stdout
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An image made from Debian packages, once for all tests; under another name than its usual one where `tag` is given.
pub fn image(kind: &str, tag: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{kind}{}.tar", tag.replace([':', '/'], "-")));
    if !path.is_file() {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/make-image");
        let output = Command::new(script).arg(kind).arg(&path).arg(tag).output().expect("the script runs");
        succeeded(&format!("make-image {kind}"), &output);
    }
    path
}
