//! CRI's configuration of a container, its pod and its image, compiled into a [`Spec`]. Pure: what the machine has is
//! handed in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cri::v1;
use linux::caps::{Set, Sets};
use linux::cgroup::Limits;
use linux::mount::{Attr, MountOp, Propagation};
use linux::seccomp::Profile;

use crate::image::ImageConfig;
use crate::spec::{Namespaces, PidNamespace, Process, Rootfs, Spec, UserSpec};

/// What every container may do (Docker's and containerd's default).
const DEFAULT_CAPS: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];
const DEFAULT_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Everything a spec is made of.
#[derive(Debug)]
pub struct Inputs<'a> {
    pub config: &'a v1::ContainerConfig,
    pub pod: &'a v1::PodSandboxConfig,
    pub image: &'a ImageConfig,
    pub rootfs: Rootfs,
    pub files: &'a PodFiles,
    /// The container's group, and its directory in each hierarchy by name (the unified one alone has no name).
    pub cgroup: String,
    pub cgroup_dirs: Vec<(String, PathBuf)>,
    pub available_caps: Set,
    /// The node's device files, for privileged containers.
    pub node_devices: &'a [PathBuf],
    /// The profile that `localhost_ref` names, read.
    pub localhost_profile: Option<Profile>,
    pub uts_hostname: String,
}

/// The pod's own files and namespaces.
#[derive(Clone, Debug, Default)]
pub struct PodFiles {
    pub hostname: PathBuf,
    pub resolv_conf: PathBuf,
    pub hosts: PathBuf,
    /// The pod's shared memory, unless it has the node's.
    pub shm: PathBuf,
    pub net: Option<PathBuf>,
    pub ipc: Option<PathBuf>,
    pub uts: Option<PathBuf>,
}

pub fn compile(inputs: &Inputs<'_>) -> Result<Spec, String> {
    let config = inputs.config;
    let linux = config.linux.clone().unwrap_or_default();
    let security = linux.security_context.unwrap_or_default();
    let caps = capabilities(&security, inputs.available_caps)?;
    let process = Process {
        args: args(config, inputs.image)?,
        env: env(config, inputs),
        cwd: first(&[&config.working_dir, &inputs.image.working_dir, "/"]),
        user: user(&security, inputs.image)?,
        caps,
        no_new_privs: security.no_new_privs,
        seccomp: seccomp(&security, caps.bounding, inputs)?,
        rlimits: Vec::new(),
        oom_score_adj: linux.resources.map(|r| i32::try_from(r.oom_score_adj).unwrap_or_default()),
    };
    let log_path = (!inputs.pod.log_directory.is_empty() && !config.log_path.is_empty())
        .then(|| Path::new(&inputs.pod.log_directory).join(&config.log_path));
    let mut rootfs = inputs.rootfs.clone();
    rootfs.readonly = security.readonly_rootfs;
    Ok(Spec {
        process,
        rootfs,
        mounts: mounts(inputs, &security)?,
        namespaces: Namespaces {
            net: inputs.files.net.clone(),
            ipc: inputs.files.ipc.clone(),
            uts: inputs.files.uts.clone(),
            pid: pid_namespace(&security, inputs.pod),
        },
        cgroup: inputs.cgroup.clone(),
        tty: config.tty,
        stdin: config.stdin,
        log_path,
    })
}

/// What an exec runs as: the container's process with another command (KEP: no new rights by exec).
pub fn exec_process(container: &Process, cmd: &[String], tty: bool) -> Process {
    let mut process = Process { args: cmd.to_vec(), ..container.clone() };
    if tty && !process.env.iter().any(|pair| pair.starts_with("TERM=")) {
        process.env.push("TERM=xterm".into());
    }
    process
}

pub fn limits(resources: &v1::LinuxContainerResources) -> Limits {
    let set = |value: i64| (value != 0).then_some(value);
    let text = |value: &String| (!value.is_empty()).then(|| value.clone());
    let memory = set(resources.memory_limit_in_bytes);
    Limits {
        memory_bytes: memory,
        // As containerd does: no swap unless the kubelet says so.
        memory_swap_bytes: set(resources.memory_swap_limit_in_bytes).or(memory),
        cpu_shares: u64::try_from(resources.cpu_shares).ok().filter(|shares| *shares > 0),
        cpu_quota_micros: set(resources.cpu_quota),
        cpu_period_micros: u64::try_from(resources.cpu_period).ok().filter(|period| *period > 0),
        pids: None,
        cpuset_cpus: text(&resources.cpuset_cpus),
        cpuset_mems: text(&resources.cpuset_mems),
        unified: resources.unified.clone().into_iter().collect(),
    }
}

/// The container's own namespace options win over the pod's.
pub fn namespace_options(
    security: &v1::LinuxContainerSecurityContext,
    pod: &v1::PodSandboxConfig,
) -> v1::NamespaceOption {
    security.namespace_options.clone().unwrap_or_else(|| pod_namespace_options(pod))
}

pub fn pod_namespace_options(pod: &v1::PodSandboxConfig) -> v1::NamespaceOption {
    let security = pod.linux.as_ref().and_then(|linux| linux.security_context.as_ref());
    security.and_then(|security| security.namespace_options.clone()).unwrap_or_default()
}

fn pid_namespace(security: &v1::LinuxContainerSecurityContext, pod: &v1::PodSandboxConfig) -> PidNamespace {
    let options = namespace_options(security, pod);
    match v1::NamespaceMode::try_from(options.pid).unwrap_or_default() {
        v1::NamespaceMode::Pod => PidNamespace::Pod,
        v1::NamespaceMode::Container => PidNamespace::Own,
        v1::NamespaceMode::Node => PidNamespace::Host,
        v1::NamespaceMode::Target => PidNamespace::Container(options.target_id),
    }
}

fn args(config: &v1::ContainerConfig, image: &ImageConfig) -> Result<Vec<String>, String> {
    let (mut command, mut args) = (config.command.clone(), config.args.clone());
    if command.is_empty() {
        if args.is_empty() {
            args.clone_from(&image.cmd);
        }
        command.clone_from(&image.entrypoint);
    }
    command.append(&mut args);
    if command.is_empty() { Err("no command specified".to_owned()) } else { Ok(command) }
}

fn env(config: &v1::ContainerConfig, inputs: &Inputs<'_>) -> Vec<String> {
    let mut env: Vec<String> = Vec::new();
    let mut set = |pair: String| {
        let key = pair.split('=').next().unwrap_or_default().to_owned() + "=";
        match env.iter_mut().find(|known| known.starts_with(&key)) {
            Some(known) => *known = pair,
            None => env.push(pair),
        }
    };
    set(DEFAULT_PATH.to_owned());
    if config.tty {
        set("TERM=xterm".to_owned());
    }
    set(format!("HOSTNAME={}", inputs.uts_hostname));
    inputs.image.env.iter().for_each(|pair| set(pair.clone()));
    config.envs.iter().for_each(|pair| set(format!("{}={}", pair.key, pair.value)));
    env
}

fn first(options: &[&str]) -> String {
    options.iter().find(|option| !option.is_empty()).copied().unwrap_or_default().to_owned()
}

fn user(security: &v1::LinuxContainerSecurityContext, image: &ImageConfig) -> Result<UserSpec, String> {
    let id = |value: i64| u32::try_from(value).map_err(|_| format!("id {value} is not within 0 to {}", u32::MAX));
    let user = match (&security.run_as_user, security.run_as_username.as_str()) {
        (Some(uid), _) => id(uid.value)?.to_string(),
        (None, "") => image.user.clone(),
        (None, name) => name.to_owned(),
    };
    let gid = security.run_as_group.as_ref().map(|gid| id(gid.value)).transpose()?;
    if gid.is_some() && security.run_as_user.is_none() && security.run_as_username.is_empty() {
        return Err("user group is specified without user".to_owned());
    }
    Ok(UserSpec {
        user,
        gid,
        groups: security.supplemental_groups.iter().map(|gid| id(*gid)).collect::<Result<_, _>>()?,
        only_these_groups: security.supplemental_groups_policy == v1::SupplementalGroupsPolicy::Strict as i32,
    })
}

fn capabilities(security: &v1::LinuxContainerSecurityContext, available: Set) -> Result<Sets, String> {
    let named = |name: &String| match (name.to_ascii_uppercase().as_str(), Set::named(name)) {
        ("ALL", _) => Ok(available),
        (_, Some(set)) => Ok(set),
        _ => Err(format!("unknown capability {name:?}")),
    };
    let wanted = security.capabilities.clone().unwrap_or_default();
    let mut set = DEFAULT_CAPS.iter().filter_map(|name| Set::named(name)).fold(Set::EMPTY, Set::and);
    if security.privileged {
        set = available;
    }
    let is_all = |name: &&String| name.eq_ignore_ascii_case("ALL");
    // "ALL" counts before single names, whatever the order.
    if wanted.add_capabilities.iter().any(|name| is_all(&name)) {
        set = available;
    }
    if wanted.drop_capabilities.iter().any(|name| is_all(&name)) {
        set = Set::EMPTY;
    }
    for name in wanted.add_capabilities.iter().filter(|name| !is_all(name)) {
        set = set.and(named(name)?);
    }
    for name in wanted.drop_capabilities.iter().filter(|name| !is_all(name)) {
        set = set.without(named(name)?);
    }
    let mut ambient = Set::EMPTY;
    for name in &wanted.add_ambient_capabilities {
        ambient = ambient.and(named(name)?);
    }
    let set = set.and(ambient).only(available);
    let ambient = ambient.only(available);
    Ok(Sets { bounding: set, permitted: set, inheritable: ambient, ambient })
}

fn seccomp(
    security: &v1::LinuxContainerSecurityContext,
    caps: Set,
    inputs: &Inputs<'_>,
) -> Result<Option<Profile>, String> {
    use v1::security_profile::ProfileType;
    let Some(wanted) = security.seccomp.as_ref().filter(|_| !security.privileged) else { return Ok(None) };
    match ProfileType::try_from(wanted.profile_type).unwrap_or(ProfileType::RuntimeDefault) {
        ProfileType::RuntimeDefault => Ok(Some(Profile::runtime_default(caps))),
        ProfileType::Unconfined => Ok(None),
        ProfileType::Localhost => match &inputs.localhost_profile {
            Some(profile) => Ok(Some(profile.clone())),
            None => Err(format!("seccomp profile {:?} was not read", wanted.localhost_ref)),
        },
    }
}

fn mounts(inputs: &Inputs<'_>, security: &v1::LinuxContainerSecurityContext) -> Result<Vec<MountOp>, String> {
    let given: BTreeSet<PathBuf> = inputs.config.mounts.iter().map(|mount| clean(&mount.container_path)).collect();
    let mut ops = file_systems(inputs, security);
    ops.retain(|op| match op {
        MountOp::New { target, .. } | MountOp::Bind { target, .. } => !given.contains(target),
        _ => true,
    });
    ops.extend(devices(inputs, security.privileged));
    for (source, target) in [
        (&inputs.files.hostname, "/etc/hostname"),
        (&inputs.files.resolv_conf, "/etc/resolv.conf"),
        (&inputs.files.hosts, "/etc/hosts"),
    ] {
        if !given.contains(Path::new(target)) {
            ops.push(bind(source, Path::new(target), Attr { readonly: security.readonly_rootfs, ..Attr::NONE }));
        }
    }
    // A mount inside another's target comes after it.
    let mut wanted: Vec<&v1::Mount> = inputs.config.mounts.iter().collect();
    wanted.sort_by_key(|mount| clean(&mount.container_path).components().count());
    for mount in wanted {
        ops.push(volume(mount, security.privileged)?);
    }
    if !security.privileged {
        ops.extend(security.masked_paths.iter().map(|path| MountOp::Mask { path: path.into() }));
        ops.extend(security.readonly_paths.iter().map(|path| MountOp::Readonly { path: path.into() }));
    }
    Ok(ops)
}

fn clean(path: &str) -> PathBuf {
    Path::new("/").join(path).components().collect()
}

fn bind(source: &Path, target: &Path, attr: Attr) -> MountOp {
    MountOp::Bind {
        source: source.to_owned(),
        target: target.to_owned(),
        recursive: true,
        attr,
        attr_recursive: false,
        propagation: Propagation::Private,
    }
}

fn file_systems(inputs: &Inputs<'_>, security: &v1::LinuxContainerSecurityContext) -> Vec<MountOp> {
    let new = |fstype: &str, target: &str, options: &[(&str, &str)], attr| MountOp::New {
        fstype: fstype.to_owned(),
        target: target.into(),
        options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        attr,
    };
    let readonly_unless_privileged = Attr { readonly: !security.privileged, ..Attr::DATA };
    // Devices are bound one by one; with `nodev` all around, mknod gives a container nothing it can open.
    let nodev = Attr { nosuid: true, nodev: !security.privileged, ..Attr::NONE };
    let mut ops = vec![
        new("proc", "/proc", &[], Attr::DATA),
        new("tmpfs", "/dev", &[("mode", "755"), ("size", "65536k")], nodev),
        new(
            "devpts",
            "/dev/pts",
            &[("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")],
            Attr { nosuid: true, noexec: true, ..Attr::NONE },
        ),
        new("mqueue", "/dev/mqueue", &[], Attr::DATA),
        bind(&inputs.files.shm, Path::new("/dev/shm"), Attr::DATA),
        new("sysfs", "/sys", &[], readonly_unless_privileged),
    ];
    let cgroups = Path::new("/sys/fs/cgroup");
    match inputs.cgroup_dirs.as_slice() {
        [(name, dir)] if name.is_empty() => ops.push(bind(dir, cgroups, readonly_unless_privileged)),
        dirs => {
            ops.push(new("tmpfs", "/sys/fs/cgroup", &[("mode", "755"), ("size", "64k")], Attr::DATA));
            ops.extend(dirs.iter().map(|(name, dir)| bind(dir, &cgroups.join(name), readonly_unless_privileged)));
        }
    }
    ops
}

fn devices(inputs: &Inputs<'_>, privileged: bool) -> Vec<MountOp> {
    let mut ops = Vec::new();
    let device = |source: &Path, target: &Path| bind(source, target, Attr { nosuid: true, noexec: true, ..Attr::NONE });
    if privileged {
        ops.extend(inputs.node_devices.iter().map(|path| device(path, path)));
    } else {
        let paths = DEVICES.iter().map(|name| Path::new("/dev").join(name));
        ops.extend(paths.map(|path| device(&path, &path)));
    }
    for wanted in &inputs.config.devices {
        ops.push(device(Path::new(&wanted.host_path), &clean(&wanted.container_path)));
    }
    for (to, link) in [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
        ("pts/ptmx", "/dev/ptmx"),
    ] {
        ops.push(MountOp::Symlink { to: to.into(), link: link.into() });
    }
    ops
}

fn volume(mount: &v1::Mount, privileged: bool) -> Result<MountOp, String> {
    if mount.recursive_read_only && (!mount.readonly || mount.propagation != 0) {
        return Err(format!(
            "mount {}: recursive read-only needs read-only and private propagation",
            mount.container_path
        ));
    }
    if mount.image.is_some() {
        return Err(format!("mount {}: image volumes are not supported by this runtime", mount.container_path));
    }
    let propagation = match v1::MountPropagation::try_from(mount.propagation).unwrap_or_default() {
        v1::MountPropagation::PropagationPrivate => Propagation::Private,
        v1::MountPropagation::PropagationHostToContainer => Propagation::Slave,
        v1::MountPropagation::PropagationBidirectional => Propagation::Shared,
    };
    Ok(MountOp::Bind {
        source: PathBuf::from(&mount.host_path),
        target: clean(&mount.container_path),
        recursive: true,
        attr: Attr { readonly: mount.readonly, nodev: !privileged, ..Attr::NONE },
        attr_recursive: mount.recursive_read_only,
        propagation,
    })
}
