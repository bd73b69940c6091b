//! The forked child's way from the shim to the container's program: into cgroups and namespaces, onto the root file
//! system, into the user and its capabilities, execve. A straight line; the first failure is the answer.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use linux::cgroup::Cgroup;
use linux::mount::{self, MountOp, Sources};
use linux::namespace::{self, Kinds};
use linux::process;
use linux::root::Root;
use rustix::fs::{Mode, OFlags};
use rustix::net::SendFlags;

use crate::proto::ContainerDir;
use crate::socket;
use crate::spec::{Process, Spec};

/// What the child says over its report socket before exec closes it.
pub const TERMINAL: &[u8] = b"terminal";

/// Becomes a container's first process. Returns the message of what failed.
pub fn run_container(spec: &Spec, dir: &ContainerDir, cgroup: &Cgroup, report: &OwnedFd) -> String {
    match container(spec, dir, cgroup, report) {
        Ok(never) => match never {},
        Err(message) => message,
    }
}

/// Becomes one more process of the container whose first process is `init`.
pub fn run_exec(
    process: &Process,
    init: &OwnedFd,
    cgroup: &Cgroup,
    stdio: Option<[OwnedFd; 3]>,
    report: &OwnedFd,
) -> String {
    match exec(process, init, cgroup, stdio, report) {
        Ok(never) => match never {},
        Err(message) => message,
    }
}

enum Never {}
type Done<T> = Result<T, String>;

fn text(error: linux::Error) -> String {
    error.to_string()
}

fn container(spec: &Spec, dir: &ContainerDir, cgroup: &Cgroup, report: &OwnedFd) -> Done<Never> {
    cgroup.enter().map_err(text)?;
    stand_in_line(&spec.process);
    let sources = Sources::open(&spec.mounts).map_err(text)?;
    let streams = if spec.tty { None } else { Some(open_streams(spec, dir)?) };
    let joined = &spec.namespaces;
    for (path, kind) in [(&joined.net, Kinds::NET), (&joined.ipc, Kinds::IPC), (&joined.uts, Kinds::UTS)] {
        if let Some(path) = path {
            namespace::join_path(path, kind).map_err(text)?;
        }
    }
    namespace::unshare(Kinds::MOUNT.and(Kinds::CGROUP)).map_err(text)?;
    // Nothing mounted here may appear on the node; what the node unmounts must not be held here.
    mount::set_propagation(Path::new("/"), mount::Propagation::Slave, true).map_err(text)?;
    let root = assemble(spec, dir, sources)?;
    let (user, home) = super::user::resolve(&root, &spec.process.user)?;
    // Programs reopen their output by /dev/stdout, which asks the FIFO's owner.
    if streams.is_some() {
        for name in ["stdout", "stderr"] {
            let _ = rustix::fs::chown(
                dir.stream(name),
                Some(rustix::fs::Uid::from_raw(user.uid)),
                Some(rustix::fs::Gid::from_raw(user.gid)),
            );
        }
    }
    mount::pivot(&root).map_err(text)?;
    rustix::process::setsid().map_err(|error| format!("setsid: {error}"))?;
    match streams {
        Some(streams) => place(streams)?,
        None => terminal(report)?,
    }
    become_program(&spec.process, &user, &home)
}

/// The root file system with everything mounted on it.
fn assemble(spec: &Spec, dir: &ContainerDir, sources: Sources) -> Done<Root> {
    let rootfs = &spec.rootfs;
    let tree = mount::overlay(&rootfs.layers, &rootfs.upper, &rootfs.work).map_err(text)?;
    mount::attach_at(&tree, &dir.rootfs()).map_err(text)?;
    let root = Root::from_fd(tree);
    // Binds come with sources opened before, so the working directory must exist before the root turns read-only.
    mount::apply_opened(&root, &spec.mounts, sources).map_err(text)?;
    if !spec.process.cwd.is_empty() {
        root.make_dir(Path::new(&spec.process.cwd), 0o755).map_err(text)?;
    }
    if rootfs.readonly {
        let readonly = MountOp::Attr { target: PathBuf::from("/"), attr: mount::Attr::READONLY, recursive: false };
        mount::apply(&root, &[readonly]).map_err(text)?;
    }
    Ok(root)
}

/// stdin, stdout, stderr. Outputs are opened for reading too: then there always is a reader, and no death of a shim
/// turns a write into a broken pipe.
fn open_streams(spec: &Spec, dir: &ContainerDir) -> Done<[OwnedFd; 3]> {
    let open = |path: &Path, flags| {
        rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| format!("open {}: {error}", path.display()))
    };
    let stdin = if spec.stdin { dir.stream("stdin") } else { PathBuf::from("/dev/null") };
    Ok([
        open(&stdin, OFlags::RDONLY)?,
        open(&dir.stream("stdout"), OFlags::RDWR)?,
        open(&dir.stream("stderr"), OFlags::RDWR)?,
    ])
}

fn place(streams: [OwnedFd; 3]) -> Done<()> {
    for (number, stream) in (0..).zip(&streams) {
        process::place_fd(stream, number).map_err(text)?;
    }
    Ok(())
}

/// Opens a terminal of the container's own devpts, makes it ours and hands its master to the shim.
fn terminal(report: &OwnedFd) -> Done<()> {
    let (master, peer) = linux::pty::open().map_err(text)?;
    linux::pty::control(&peer).map_err(text)?;
    for number in 0..3 {
        process::place_fd(&peer, number).map_err(text)?;
    }
    socket::send(report, TERMINAL, &[master.as_fd()], SendFlags::empty()).map_err(|e| format!("send terminal: {e}"))
}

fn exec(
    program: &Process,
    init: &OwnedFd,
    cgroup: &Cgroup,
    stdio: Option<[OwnedFd; 3]>,
    report: &OwnedFd,
) -> Done<Never> {
    cgroup.enter().map_err(text)?;
    stand_in_line(program);
    let kinds = Kinds::MOUNT.and(Kinds::NET).and(Kinds::IPC).and(Kinds::UTS).and(Kinds::CGROUP);
    namespace::join(init, kinds).map_err(text)?;
    let root = Root::open(Path::new("/")).map_err(text)?;
    let (user, home) = super::user::resolve(&root, &program.user)?;
    rustix::process::setsid().map_err(|error| format!("setsid: {error}"))?;
    match stdio {
        Some(streams) => {
            for stream in &streams {
                let _ = rustix::fs::fchown(
                    stream,
                    Some(rustix::fs::Uid::from_raw(user.uid)),
                    Some(rustix::fs::Gid::from_raw(user.gid)),
                );
            }
            place(streams)?;
        }
        None => terminal(report)?,
    }
    become_program(program, &user, &home)
}

/// Takes its place in the kernel's choice of whom to kill when memory runs out.
fn stand_in_line(program: &Process) {
    if let Some(adj) = program.oom_score_adj {
        // Going below the inherited value needs CAP_SYS_RESOURCE, which not every machine gives us.
        let _ = process::set_oom_score_adj(adj);
    }
}

fn become_program(program: &Process, user: &process::User, home: &str) -> Done<Never> {
    let mut env = program.env.clone();
    if !env.iter().any(|pair| pair.starts_with("HOME=")) {
        env.push(format!("HOME={home}"));
    }
    for limit in &program.rlimits {
        process::set_rlimit(limit.resource, limit.soft, limit.hard).map_err(text)?;
    }
    process::set_umask(0o022);
    // What the shim spares itself is no container's concern.
    let _ = rustix::thread::disable_transparent_huge_pages(false);
    process::raise_open_files();
    process::reset_signals();
    let cwd = if program.cwd.is_empty() { "/" } else { &program.cwd };
    linux::caps::bound(program.caps.bounding).map_err(text)?;
    if let (Some(profile), false) = (&program.seccomp, program.no_new_privs) {
        // Installing needs CAP_SYS_ADMIN, which is about to go.
        linux::seccomp::install(profile).map_err(text)?;
    }
    linux::caps::keep_over_setuid().map_err(text)?;
    process::become_user(user).map_err(text)?;
    linux::caps::take(&program.caps).map_err(text)?;
    rustix::process::chdir(cwd).map_err(|error| format!("chdir to cwd ({cwd:?}): {error}"))?;
    let path = find_program(&program.args, &env)?;
    if program.no_new_privs {
        process::set_no_new_privs().map_err(text)?;
        if let Some(profile) = &program.seccomp {
            linux::seccomp::install(profile).map_err(text)?;
        }
    }
    process::close_others_on_exec().map_err(text)?;
    let error = process::exec(&path, &program.args, &env);
    Err(format!("exec {}: {}", path.display(), lower(&error)))
}

/// The program's path, by the container's $PATH; messages are those that users know from other runtimes.
fn find_program(args: &[String], env: &[String]) -> Done<PathBuf> {
    let Some(name) = args.first().filter(|name| !name.is_empty()) else {
        return Err("no command specified".to_owned());
    };
    let runnable = |path: &Path| -> Result<(), std::io::Error> {
        let meta = std::fs::metadata(path)?;
        if meta.is_dir() {
            return Err(std::io::Error::from(std::io::ErrorKind::IsADirectory));
        }
        use std::os::unix::fs::PermissionsExt;
        if meta.permissions().mode() & 0o111 == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
        }
        Ok(())
    };
    if name.contains('/') {
        let path = PathBuf::from(name);
        return match runnable(&path) {
            Ok(()) => Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(format!("exec: {name:?}: stat {name}: no such file or directory"))
            }
            Err(error) => Err(format!("exec: {name:?}: {}", lower(&error))),
        };
    }
    let dirs = env.iter().find_map(|pair| pair.strip_prefix("PATH=")).unwrap_or_default();
    let mut denied = false;
    for dir in dirs.split(':') {
        let path = Path::new(if dir.is_empty() { "." } else { dir }).join(name);
        match runnable(&path) {
            Ok(()) => return Ok(path),
            Err(error) => denied |= error.kind() == std::io::ErrorKind::PermissionDenied,
        }
    }
    let why = if denied { "permission denied" } else { "executable file not found in $PATH" };
    Err(format!("exec: {name:?}: {why}"))
}

/// "permission denied", as C libraries' and Go's messages differ from Rust's.
fn lower(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_lowercase()
}
