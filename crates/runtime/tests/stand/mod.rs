//! The stand that the kernel tests run on: a runtime in directories of its own and an image packed from busybox.
#![allow(dead_code)] // Not every test uses all of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cri::{Runtime, v1};
use runtime::{Builtin, Config, Loopback, ShimCommand};
use stdx::{Rng, SystemClock};

const BUSYBOX: &str = "/bin/busybox";
const WAIT: Duration = Duration::from_secs(60);

pub struct Stand {
    pub dir: PathBuf,
    pub runtime: Builtin,
}

/// `None`, with a message, where real containers cannot be made.
pub async fn stand(name: &str) -> Option<Stand> {
    if !rustix::process::geteuid().is_root() || !Path::new(BUSYBOX).exists() {
        eprintln!("skipped: needs root and {BUSYBOX} (apt-get install busybox-static)");
        return None;
    }
    let dir = std::env::temp_dir().join(format!("ironclad-runtime-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(dir.join("logs")).unwrap();
    let runtime = open(&dir).await;
    let images = runtime.images();
    let archive = image_archive(&dir);
    let image = runtime::image::archive::import(&images, std::fs::File::open(archive).unwrap(), None).unwrap();
    assert_eq!(image.len(), 1);
    Some(Stand { dir, runtime })
}

async fn open(dir: &Path) -> Builtin {
    // SHIM_PROGRAM measures the real binary: its first argument is `shim`.
    let program =
        std::env::var_os("SHIM_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_shim-for-tests").into()).into();
    let config = Config {
        root: dir.join("root"),
        run: dir.join("run"),
        shim: ShimCommand { program, args: ["shim", "--profile", "test"].map(str::to_owned).to_vec() },
        log_bytes_max: 0,
        log_files_max: 5,
    };
    Builtin::open(config, Arc::new(Loopback), Arc::new(SystemClock), Rng::from_os()).await.unwrap()
}

/// `docker save` of an image with busybox and its names.
fn image_archive(dir: &Path) -> PathBuf {
    let root = dir.join("image");
    for part in ["bin", "etc", "tmp"] {
        std::fs::create_dir_all(root.join(part)).unwrap();
    }
    std::fs::copy(BUSYBOX, root.join("bin/busybox")).unwrap();
    for name in [
        "sh", "sleep", "cat", "echo", "id", "ls", "touch", "mkdir", "grep", "hostname", "wc", "df", "tail", "cut",
        "true", "head", "nc", "stty",
    ] {
        let _ = std::os::unix::fs::symlink("busybox", root.join("bin").join(name));
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    std::fs::write(root.join("etc/group"), "root:x:0:\n").unwrap();
    let mut layer = tar::Builder::new(Vec::new());
    layer.follow_symlinks(false);
    layer.append_dir_all(".", &root).unwrap();
    let layer = layer.into_inner().unwrap();
    let diff_id = runtime::image::store::digest_of(&layer);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["PATH=/bin"],"Cmd":["sleep","1000"]}},"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#
    );
    let manifest = r#"[{"Config":"config.json","RepoTags":["busybox:sleeps"],"Layers":["layer.tar"]}]"#;
    let path = dir.join("image.tar");
    let mut archive = tar::Builder::new(std::fs::File::create(&path).unwrap());
    for (name, bytes) in
        [("layer.tar", layer.as_slice()), ("config.json", config.as_bytes()), ("manifest.json", manifest.as_bytes())]
    {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive.append_data(&mut header, name, bytes).unwrap();
    }
    archive.finish().unwrap();
    path
}

impl Stand {
    pub fn pod_config(&self, name: &str) -> v1::PodSandboxConfig {
        let options = v1::NamespaceOption { pid: v1::NamespaceMode::Container as i32, ..Default::default() };
        v1::PodSandboxConfig {
            metadata: Some(v1::PodSandboxMetadata {
                name: name.into(),
                uid: format!("uid-{name}"),
                namespace: "default".into(),
                attempt: 0,
            }),
            hostname: name.into(),
            log_directory: self.dir.join("logs").display().to_string(),
            dns_config: Some(v1::DnsConfig { servers: vec!["10.96.0.10".into()], ..Default::default() }),
            linux: Some(v1::LinuxPodSandboxConfig {
                cgroup_parent: self.cgroup(),
                security_context: Some(v1::LinuxSandboxSecurityContext {
                    namespace_options: Some(options),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    /// A group of this stand's own: tests of one process end theirs at different times.
    fn cgroup(&self) -> String {
        let name = self.dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        format!("/ironclad-test-{name}")
    }

    pub async fn pod(&self, name: &str) -> String {
        let request = v1::RunPodSandboxRequest { config: Some(self.pod_config(name)), runtime_handler: String::new() };
        self.runtime.run_pod_sandbox(request).await.unwrap().pod_sandbox_id
    }

    pub fn container(&self, name: &str, args: &[&str]) -> v1::ContainerConfig {
        v1::ContainerConfig {
            metadata: Some(v1::ContainerMetadata { name: name.into(), attempt: 0 }),
            image: Some(v1::ImageSpec { image: "busybox:sleeps".into(), ..Default::default() }),
            command: args.iter().map(|arg| (*arg).to_owned()).collect(),
            log_path: format!("{name}.log"),
            ..Default::default()
        }
    }

    pub async fn create(&self, pod: &str, config: v1::ContainerConfig) -> String {
        let request = v1::CreateContainerRequest {
            pod_sandbox_id: pod.into(),
            config: Some(config),
            sandbox_config: Some(self.pod_config("web")),
        };
        self.runtime.create_container(request).await.unwrap().container_id
    }

    pub async fn run(&self, pod: &str, name: &str, args: &[&str]) -> String {
        let id = self.create(pod, self.container(name, args)).await;
        self.runtime.start_container(v1::StartContainerRequest { container_id: id.clone() }).await.unwrap();
        id
    }

    pub async fn status(&self, id: &str) -> v1::ContainerStatus {
        let request = v1::ContainerStatusRequest { container_id: id.into(), verbose: false };
        self.runtime.container_status(request).await.unwrap().status.unwrap()
    }

    pub async fn ended(&self, id: &str) -> v1::ContainerStatus {
        let mut events = self.runtime.events().await.unwrap();
        let wait = async {
            loop {
                let status = self.status(id).await;
                if status.state == v1::ContainerState::ContainerExited as i32 {
                    return status;
                }
                events.next().await.unwrap();
            }
        };
        tokio::time::timeout(WAIT, wait).await.expect("the container ends")
    }

    pub async fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join("logs").join(format!("{name}.log"))).unwrap_or_default()
    }

    /// Waits until the container has said the line.
    pub async fn says(&self, name: &str, line: &str) {
        let wait = async {
            while !texts(&self.log(name).await, "stdout").iter().any(|said| said == line) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(WAIT, wait).await.is_err() {
            panic!("{name} never said {line:?}: {}", self.log(name).await);
        }
    }

    pub fn shim_pid(&self, pod: &str) -> u32 {
        let text = std::fs::read(self.dir.join("run/pods").join(pod).join("shim.json")).unwrap();
        let file: serde_json::Value = serde_json::from_slice(&text).unwrap();
        file["pid"].as_u64().unwrap() as u32
    }

    pub fn kill_shim(&self, pod: &str) {
        let pidfd = linux::pidfd::open(self.shim_pid(pod)).unwrap();
        linux::pidfd::signal(&pidfd, 9).unwrap();
    }

    /// Resident and of it private memory, of /proc/PID/smaps_rollup.
    pub fn memory(pid: u32) -> String {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let lines =
            rollup.lines().filter(|line| ["Rss:", "Pss:", "Private_Dirty:"].iter().any(|key| line.starts_with(key)));
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
    }

    pub async fn restart(&mut self) {
        self.runtime = open(&self.dir).await;
    }

    pub async fn remove(&self, pod: &str) {
        self.runtime.stop_pod_sandbox(v1::StopPodSandboxRequest { pod_sandbox_id: pod.into() }).await.unwrap();
        self.runtime.remove_pod_sandbox(v1::RemovePodSandboxRequest { pod_sandbox_id: pod.into() }).await.unwrap();
    }

    pub fn leaves_nothing(&self) {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(&self.dir.display().to_string()), "{mounts}");
        for part in ["run/pods", "run/netns", "root/containers", "root/sandboxes"] {
            assert_eq!(std::fs::read_dir(self.dir.join(part)).unwrap().count(), 0, "{part}");
        }
    }

    pub fn has_memory_limits(&self) -> bool {
        let layout = linux::cgroup::Layout::detect().unwrap();
        layout.v1.contains_key("memory") || Path::new("/sys/fs/cgroup/memory.stat").exists()
    }
}

impl Drop for Stand {
    /// A test that failed leaves nothing behind either.
    fn drop(&mut self) {
        let layout = linux::cgroup::Layout::detect().unwrap();
        let group = layout.group(&self.cgroup());
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let all = self.runtime.list_pod_sandbox(v1::ListPodSandboxRequest::default()).await;
                for pod in all.map(|all| all.items).unwrap_or_default() {
                    let request = v1::RemovePodSandboxRequest { pod_sandbox_id: pod.id };
                    let _ = self.runtime.remove_pod_sandbox(request).await;
                }
            });
        });
        let _ = group.kill();
        while !group.pids().is_empty() {
            std::thread::yield_now();
        }
        let _ = group.remove();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// The texts of a CRI log's lines of one stream.
pub fn texts(log: &str, stream: &str) -> Vec<String> {
    let lines = log.lines().filter_map(|line| {
        let mut parts = line.splitn(4, ' ');
        let (_, of, _, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        (of == stream).then(|| text.to_owned())
    });
    lines.collect()
}
