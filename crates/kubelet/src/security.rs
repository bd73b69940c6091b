//! From securityContext to what CRI is told: users, capabilities, profiles, namespaces. Pure.

use cri::v1;
use k8s_openapi::api::core::v1 as core;

use crate::env::ConfigError;
use crate::pod::PodRef;

/// What a runtime masks by default (procMount Default).
const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn int(value: i64) -> Option<v1::Int64Value> {
    Some(v1::Int64Value { value })
}

pub fn namespaces(pod: &PodRef) -> v1::NamespaceOption {
    let spec = pod.spec();
    let mode = |host: Option<bool>| if host == Some(true) { v1::NamespaceMode::Node } else { v1::NamespaceMode::Pod };
    let pid = match (spec.host_pid, spec.share_process_namespace) {
        (Some(true), _) => v1::NamespaceMode::Node,
        (_, Some(true)) => v1::NamespaceMode::Pod,
        _ => v1::NamespaceMode::Container,
    };
    v1::NamespaceOption {
        network: mode(spec.host_network) as i32,
        pid: pid as i32,
        ipc: mode(spec.host_ipc) as i32,
        target_id: String::new(),
        userns_options: None,
    }
}

/// Joins the PID namespace of another container, unless the pod's containers share one, or the node's, anyway.
pub fn share_processes(options: &mut v1::NamespaceOption, with: &str) {
    if options.pid == v1::NamespaceMode::Container as i32 {
        options.pid = v1::NamespaceMode::Target as i32;
        with.clone_into(&mut options.target_id);
    }
}

fn seccomp(profile: Option<&core::SeccompProfile>, default: bool) -> v1::SecurityProfile {
    use v1::security_profile::ProfileType;
    let (kind, localhost_ref) = match profile.map(|p| (p.type_.as_str(), p.localhost_profile.clone())) {
        Some(("RuntimeDefault", _)) => (ProfileType::RuntimeDefault, String::new()),
        Some(("Localhost", path)) => (ProfileType::Localhost, path.unwrap_or_default()),
        None if default => (ProfileType::RuntimeDefault, String::new()),
        _ => (ProfileType::Unconfined, String::new()),
    };
    v1::SecurityProfile { profile_type: kind as i32, localhost_ref }
}

/// The groups of a pod's processes besides their own: fsGroup and supplementalGroups.
fn groups(pod: &PodRef) -> Vec<i64> {
    let Some(context) = pod.spec().security_context.as_ref() else { return Vec::new() };
    context.supplemental_groups.iter().flatten().copied().chain(context.fs_group).collect()
}

fn groups_policy(pod: &PodRef) -> i32 {
    let context = pod.spec().security_context.as_ref();
    match context.and_then(|c| c.supplemental_groups_policy.as_deref()) {
        Some("Strict") => v1::SupplementalGroupsPolicy::Strict as i32,
        _ => v1::SupplementalGroupsPolicy::Merge as i32,
    }
}

pub fn sandbox(pod: &PodRef, seccomp_default: bool) -> v1::LinuxSandboxSecurityContext {
    let context = pod.spec().security_context.as_ref();
    let privileged = |c: &core::Container| c.security_context.as_ref().and_then(|s| s.privileged) == Some(true);
    v1::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(pod)),
        run_as_user: context.and_then(|c| c.run_as_user).and_then(int),
        run_as_group: context.and_then(|c| c.run_as_group).and_then(int),
        supplemental_groups: groups(pod),
        supplemental_groups_policy: groups_policy(pod),
        privileged: pod.containers().any(|c| privileged(c.spec)),
        seccomp: Some(seccomp(context.and_then(|c| c.seccomp_profile.as_ref()), seccomp_default)),
        ..v1::LinuxSandboxSecurityContext::default()
    }
}

/// `image_user` is the image's user: a number, or a name.
pub fn container(
    pod: &PodRef,
    container: &core::Container,
    image_user: (Option<i64>, &str),
    seccomp_default: bool,
) -> Result<v1::LinuxContainerSecurityContext, ConfigError> {
    let of_pod = pod.spec().security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let user = own.run_as_user.or(of_pod.run_as_user);
    let group = own.run_as_group.or(of_pod.run_as_group);
    if own.run_as_non_root.or(of_pod.run_as_non_root) == Some(true) {
        check_non_root(pod, container, user, image_user)?;
    }
    let privileged = own.privileged == Some(true);
    let unmasked = own.proc_mount.as_deref() == Some("Unmasked") || privileged;
    let paths = |list: &[&str]| if unmasked { Vec::new() } else { list.iter().map(|p| (*p).to_owned()).collect() };
    let profile = own.seccomp_profile.as_ref().or(of_pod.seccomp_profile.as_ref());
    let seccomp = if privileged { seccomp(None, false) } else { seccomp(profile, seccomp_default) };
    let from_image = user.is_none().then_some(image_user);
    Ok(v1::LinuxContainerSecurityContext {
        capabilities: own.capabilities.map(|c| v1::Capability {
            add_capabilities: c.add.unwrap_or_default(),
            drop_capabilities: c.drop.unwrap_or_default(),
            add_ambient_capabilities: Vec::new(),
        }),
        privileged,
        namespace_options: Some(namespaces(pod)),
        run_as_user: user.or(from_image.and_then(|(uid, _)| uid)).and_then(int),
        run_as_username: from_image
            .filter(|(uid, _)| uid.is_none())
            .map(|(_, name)| name.to_owned())
            .unwrap_or_default(),
        run_as_group: group.and_then(int),
        readonly_rootfs: own.read_only_root_filesystem.unwrap_or(false),
        supplemental_groups: groups(pod),
        supplemental_groups_policy: groups_policy(pod),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        masked_paths: paths(&MASKED),
        readonly_paths: paths(&READ_ONLY),
        seccomp: Some(seccomp),
        ..v1::LinuxContainerSecurityContext::default()
    })
}

fn check_non_root(
    pod: &PodRef,
    container: &core::Container,
    user: Option<i64>,
    (image_uid, image_name): (Option<i64>, &str),
) -> Result<(), ConfigError> {
    let about = format!("(pod: {:?}, container: {})", pod.described(), container.name);
    match (user, image_uid) {
        (Some(0), _) => Err(ConfigError(format!("container's runAsUser breaks non-root policy {about}"))),
        (Some(_), _) => Ok(()),
        (None, Some(0)) => Err(ConfigError(format!("container has runAsNonRoot and image will run as root {about}"))),
        (None, Some(_)) => Ok(()),
        (None, None) if !image_name.is_empty() => Err(ConfigError(format!(
            "container has runAsNonRoot and image has non-numeric user ({image_name}), cannot verify user is non-root {about}"
        ))),
        (None, None) => Err(ConfigError(format!("container has runAsNonRoot and image will run as root {about}"))),
    }
}
