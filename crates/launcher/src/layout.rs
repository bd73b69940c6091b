//! Where things lie on disk: `<home>/profiles/<p>/...` outlives a stop, `<run>/<p>/...` does not.

use std::path::PathBuf;

/// The two roots; `IRONCLAD_HOME` and `IRONCLAD_RUN` move them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub home: PathBuf,
    pub run: PathBuf,
}

impl Layout {
    pub fn new(home: Option<PathBuf>, run: Option<PathBuf>) -> Self {
        let run = run.or_else(|| home.as_ref().map(|home| home.join("run")));
        Self {
            home: home.unwrap_or_else(|| PathBuf::from("/var/lib/ironclad")),
            run: run.unwrap_or_else(|| PathBuf::from("/run/ironclad")),
        }
    }

    pub fn profiles(&self) -> PathBuf {
        self.home.join("profiles")
    }

    pub fn profile(&self, name: &str) -> ProfileDirs {
        ProfileDirs { name: name.to_owned(), state: self.profiles().join(name), run: self.run.join(name) }
    }
}

/// The directories of one profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileDirs {
    pub name: String,
    pub state: PathBuf,
    pub run: PathBuf,
}

impl ProfileDirs {
    pub fn config(&self) -> PathBuf {
        self.state.join("profile.json")
    }

    pub fn pki(&self) -> PathBuf {
        self.state.join("pki")
    }

    pub fn fabric_log(&self) -> PathBuf {
        self.state.join("fabric.log")
    }

    pub fn control_socket(&self) -> PathBuf {
        self.run.join("fabric.sock")
    }

    pub fn fabric_lock(&self) -> PathBuf {
        self.run.join("fabric.lock")
    }

    /// What the fabric knows of its nodes, for the next fabric should this one be killed.
    pub fn fabric_state(&self) -> PathBuf {
        self.run.join("nodes.json")
    }

    pub fn nodes(&self) -> PathBuf {
        self.state.join("nodes")
    }

    pub fn node(&self, node: &str) -> NodeDirs {
        NodeDirs { state: self.nodes().join(node), run: self.run.join(node) }
    }
}

/// The directories of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeDirs {
    pub state: PathBuf,
    pub run: PathBuf,
}

impl NodeDirs {
    /// What the node has changed on its copy of the host's root.
    pub fn upper(&self) -> PathBuf {
        self.state.join("upper")
    }

    pub fn work(&self) -> PathBuf {
        self.state.join("work")
    }

    /// The mount point of the node's root; it stays empty outside the node.
    pub fn root(&self) -> PathBuf {
        self.state.join("root")
    }

    /// The node's /var/lib/ironclad.
    pub fn lib(&self) -> PathBuf {
        self.state.join("lib")
    }

    /// The node's /var/log.
    pub fn log(&self) -> PathBuf {
        self.state.join("log")
    }

    /// The pipe by which the node's init and role tell the fabric how they are.
    pub fn notify(&self) -> PathBuf {
        self.run.join("notify")
    }
}
