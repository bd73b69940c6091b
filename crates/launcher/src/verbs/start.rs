//! `ironclad start`: makes a cluster, or starts a stopped one again, or mends a half-dead one; it never harms one that
//! runs.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use stdx::{Clock, SystemClock};

use crate::cluster;
use crate::credentials;
use crate::driver::cgroups;
use crate::driver::control::{Control, Phase, Report, Request};
use crate::kubeconfig::{self, Access};
use crate::layout::{Layout, ProfileDirs};
use crate::preflight;
use crate::profile::{self, CONTROL_PLANES_MAX, Datastore, Egress, NODES_MAX, Profile, ProfileLock, flag};
use crate::progress::{Progress, say};
use crate::trouble::{Result, Trouble};
use crate::verbs::delete;

const USUAL_API_PORT: u16 = 6443;
/// A role that has died this often while it was awaited will not come up.
const ROLE_FAILURES_MAX: u32 = 5;

/// What was asked for; `None` leaves an existing cluster as it is.
#[derive(Clone, Debug)]
pub struct Options {
    pub profile: String,
    pub nodes: Option<usize>,
    pub egress: Option<Egress>,
    pub api_port: Option<u16>,
    pub control_planes: Option<usize>,
    pub datastore: Option<Datastore>,
    pub etcd_files: EtcdFiles,
    pub store_history_secs: Option<u64>,
    pub wait: bool,
    pub timeout: Duration,
}

/// How the cluster is known to an etcd of the user's, and whom it trusts there.
#[derive(Clone, Debug, Default)]
pub struct EtcdFiles {
    pub authority: Option<PathBuf>,
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

pub fn run(layout: &Layout, options: &Options) -> Result<()> {
    profile::check_name(&options.profile)?;
    let mut progress = Progress::start();
    preflight::check(layout)?;
    let lock = ProfileLock::take(layout, &options.profile)?;
    let dirs = layout.profile(&options.profile);
    let existing = Profile::load(&dirs)?;
    let is_new = existing.is_none();
    say(&format!("{} cluster \"{}\"", if is_new { "Making" } else { "Starting" }, options.profile));
    progress.done("Checked this machine");
    let result = bring_up(layout, &dirs, existing, options, &mut progress);
    let result = result.map_err(|trouble| if is_new { undone(layout, &dirs, trouble) } else { trouble });
    drop(lock);
    let profile = result?;
    say(&format!(
        "Cluster \"{}\" is ready after {}. Its context is the current one; now try:",
        profile.name,
        progress.total()
    ));
    say("  kubectl get nodes");
    say(&format!("  ironclad status{}", flag(&profile.name)));
    Ok(())
}

/// Nothing half-made stays behind a first start that failed; where something does, that is told beside the cause.
fn undone(layout: &Layout, dirs: &ProfileDirs, trouble: Trouble) -> Trouble {
    match delete::remove(layout, dirs) {
        Ok(()) => trouble,
        Err(left) => Trouble::new(
            format!("{}; what was made could not be removed either: {}", trouble.cause, left.cause),
            format!("{} Then type `ironclad delete{}`.", trouble.advice, flag(&dirs.name)),
        ),
    }
}

fn bring_up(
    layout: &Layout,
    dirs: &ProfileDirs,
    existing: Option<Profile>,
    options: &Options,
    progress: &mut Progress,
) -> Result<Profile> {
    let profile = match existing {
        Some(profile) => changed(profile, dirs, options)?,
        None => created(layout, dirs, options)?,
    };
    let now = SystemClock.now();
    let authority = credentials::authority(dirs, now)?;
    credentials::prepare(&profile, dirs, &authority, now)?;
    progress.done("Issued certificates");
    let mut control = supervise(layout, dirs)?;
    let report = await_roles(&mut control, dirs, options)?;
    let count = report.nodes.len();
    progress.done(&format!("Started {count} node{}", if count == 1 { "" } else { "s" }));
    if options.wait {
        cluster::call(&profile, dirs, async |client| cluster::nodes_ready(client, &profile, options.timeout).await)?;
        progress.done(if count == 1 { "The node is Ready" } else { "All nodes are Ready" });
    }
    let access = access(&profile, dirs)?;
    kubeconfig::merge_into(&kubeconfig::path(), &access)?;
    progress.done("Wrote the kubeconfig");
    Ok(profile)
}

fn created(layout: &Layout, dirs: &ProfileDirs, options: &Options) -> Result<Profile> {
    let control_planes = options.control_planes.unwrap_or(1);
    let datastore = options.datastore.clone().unwrap_or_default();
    check_control_planes(control_planes, &datastore, options)?;
    let nodes = options.nodes.unwrap_or(control_planes);
    check_nodes(nodes)?;
    if nodes < control_planes {
        return Err(Trouble::new(
            format!("{control_planes} control planes need as many nodes, not {nodes}"),
            "Leave --nodes out, or ask for more with it.",
        ));
    }
    // Processes or groups of a cluster whose files are gone would be mixed up with the new one.
    delete::remove(layout, dirs)?;
    let api_port = profile::free_port(options.api_port, USUAL_API_PORT)?;
    let egress = options.egress.unwrap_or(Egress::Nat);
    let profile = Profile::new(&options.profile, api_port, egress, free_uplink(layout), nodes);
    let mut profile = profile.controlled_by(control_planes, datastore);
    profile.store_history_secs = options.store_history_secs;
    std::fs::create_dir_all(&dirs.state).map_err(|error| Trouble::file("make", &dirs.state, &error))?;
    keep_etcd_files(dirs, options)?;
    profile.save(dirs)?;
    Ok(profile)
}

/// Several control planes need a store that all of them reach, and most of its members to agree.
fn check_control_planes(count: usize, datastore: &Datastore, options: &Options) -> Result<()> {
    if !(1..=CONTROL_PLANES_MAX).contains(&count) {
        return Err(Trouble::new(
            format!("a cluster cannot have {count} control planes"),
            format!("Ask for 1 to {CONTROL_PLANES_MAX} with --control-planes; 3 survive the loss of one."),
        ));
    }
    let files = &options.etcd_files;
    let has_files = files.authority.is_some() || files.certificate.is_some() || files.key.is_some();
    match datastore {
        Datastore::Embedded if count > 1 => {
            return Err(Trouble::new(
                format!("{count} control planes cannot share the embedded store, which belongs to one process"),
                "Add --datastore etcd, which runs an etcd member on each of them.",
            ));
        }
        Datastore::Embedded | Datastore::Etcd if has_files => {
            return Err(Trouble::new(
                "--etcd-cafile, --etcd-certfile and --etcd-keyfile are for an etcd of your own",
                "Leave them out, or give its URLs with --datastore.",
            ));
        }
        Datastore::External(urls) => check_etcd_files(urls, files)?,
        Datastore::Etcd => {
            preflight::check_etcd()?;
            if count.is_multiple_of(2) {
                let survives = (count - 1) / 2;
                say(&format!(
                    "Warning: {count} etcd members survive the loss of {survives}, as {} do: an odd number is better.",
                    count - 1
                ));
            }
        }
        Datastore::Embedded => {}
    }
    Ok(())
}

fn check_etcd_files(urls: &[String], files: &EtcdFiles) -> Result<()> {
    if urls.iter().any(|url| url.starts_with("https://")) && files.authority.is_none() {
        return Err(Trouble::new(
            "an etcd at https:// is only trusted by the certificate of its authority",
            "Give that with --etcd-cafile, and what the cluster shows with --etcd-certfile and --etcd-keyfile.",
        ));
    }
    if files.certificate.is_some() != files.key.is_some() {
        return Err(Trouble::new(
            "--etcd-certfile and --etcd-keyfile need each other",
            "Give both, or neither where that etcd asks for no certificate.",
        ));
    }
    Ok(())
}

/// Copies what the nodes will need: the files may be anywhere on the host.
fn keep_etcd_files(dirs: &ProfileDirs, options: &Options) -> Result<()> {
    let files = &options.etcd_files;
    let to = dirs.pki().join(credentials::ETCD_DIR);
    for (from, (name, mode)) in
        [&files.authority, &files.certificate, &files.key].into_iter().zip(credentials::ETCD_FILES)
    {
        let Some(from) = from else { continue };
        std::fs::create_dir_all(&to).map_err(|error| Trouble::file("make", &to, &error))?;
        let bytes = std::fs::read(from).map_err(|error| Trouble::file("read", from, &error))?;
        profile::write_atomically(&to.join(name), &bytes, mode)?;
    }
    Ok(())
}

fn check_nodes(nodes: usize) -> Result<()> {
    if (1..=NODES_MAX).contains(&nodes) {
        return Ok(());
    }
    Err(Trouble::new(format!("a cluster cannot have {nodes} nodes"), format!("Ask for 1 to {NODES_MAX} with --nodes.")))
}

/// The number of the first /30 for uplinks that no other profile has.
fn free_uplink(layout: &Layout) -> u8 {
    let profiles = profile::names(layout).into_iter().map(|name| layout.profile(&name));
    let taken: Vec<u8> = profiles.filter_map(|dirs| Profile::load(&dirs).ok()??.uplink.into()).collect();
    (0..=u8::MAX).find(|number| !taken.contains(number)).unwrap_or(u8::MAX)
}

/// A second `start` may add nodes; what cannot change says so.
fn changed(mut profile: Profile, dirs: &ProfileDirs, options: &Options) -> Result<Profile> {
    let cannot = |what: &str| {
        Trouble::new(
            format!("cluster \"{}\" exists and its {what} cannot be changed", profile.name),
            format!("Leave the flag out, or type `ironclad delete{}` first.", flag(&profile.name)),
        )
    };
    if options.egress.is_some_and(|egress| egress != profile.egress) {
        return Err(cannot("egress"));
    }
    if options.api_port.is_some_and(|port| port != profile.api_port) {
        return Err(cannot("API port"));
    }
    if options.control_planes.is_some_and(|count| count != profile.control_planes) {
        return Err(cannot("number of control planes"));
    }
    if options.datastore.as_ref().is_some_and(|datastore| *datastore != profile.datastore) {
        return Err(cannot("datastore"));
    }
    if profile.datastore == Datastore::Etcd {
        preflight::check_etcd()?;
    }
    if options.store_history_secs.is_some() && options.store_history_secs != profile.store_history_secs {
        if Control::connect(dirs).is_some() {
            return Err(Trouble::new(
                format!("cluster \"{}\" runs, and its store keeps the history that it was started with", profile.name),
                format!("Type `ironclad stop{}` first.", flag(&profile.name)),
            ));
        }
        profile.store_history_secs = options.store_history_secs;
        profile.save(dirs)?;
    }
    let wanted = options.nodes.unwrap_or(profile.nodes.len());
    check_nodes(wanted)?;
    if wanted < profile.nodes.len() {
        return Err(Trouble::new(
            format!("cluster \"{}\" has {} nodes already", profile.name, profile.nodes.len()),
            "Delete nodes one by one with `ironclad node delete NAME`.",
        ));
    }
    if wanted > profile.nodes.len() {
        while profile.nodes.len() < wanted && profile.add_node().is_some() {}
        profile.save(dirs)?;
    }
    Ok(profile)
}

/// Makes sure that a fabric runs and has every node started; gives a connection on which reports arrive.
pub fn supervise(layout: &Layout, dirs: &ProfileDirs) -> Result<Control> {
    if let Some(mut control) = Control::connect(dirs) {
        thaw(dirs);
        let profile = Profile::load_existing(dirs)?;
        control.send(&Request::Reload)?;
        for node in &profile.nodes {
            let mut one = Control::connect(dirs).ok_or_else(|| fabric_gone(dirs))?;
            one.send(&Request::StartNode { name: node.name.clone() })?;
        }
        return Ok(control);
    }
    thaw(dirs);
    spawn_fabric(layout, dirs)?;
    let mut control = Control::connect(dirs).ok_or_else(|| fabric_gone(dirs))?;
    control.send(&Request::Watch)?;
    Ok(control)
}

fn thaw(dirs: &ProfileDirs) {
    if let Ok(hierarchies) = cgroups::of_host()
        && cgroups::is_frozen(&hierarchies, &dirs.name)
    {
        let _ = cgroups::freeze(&hierarchies, &dirs.name, false);
    }
}

fn fabric_gone(dirs: &ProfileDirs) -> Trouble {
    Trouble::new(
        "the cluster's supervisor ended unexpectedly",
        format!("Read {} and try again.", dirs.fabric_log().display()),
    )
}

/// Starts the daemon and waits for its word that it supervises.
fn spawn_fabric(layout: &Layout, dirs: &ProfileDirs) -> Result<()> {
    std::fs::create_dir_all(&dirs.run).map_err(|error| Trouble::file("make", &dirs.run, &error))?;
    let path = dirs.fabric_log();
    let log =
        File::options().create(true).append(true).open(&path).map_err(|error| Trouble::file("write", &path, &error))?;
    let exe = std::env::current_exe()
        .map_err(|error| Trouble::new(format!("cannot find the ironclad binary: {error}"), "Start it by its path."))?;
    // Inherited by all that the fabric starts: the allocator asks for huge pages, which turn small heaps into MiBs.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let mut child = Command::new(&exe)
        .args(["fabric", "--profile", &dirs.name])
        .env("IRONCLAD_HOME", &layout.home)
        .env("IRONCLAD_RUN", &layout.run)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::from(log))
        .spawn()
        .map_err(|error| Trouble::file("execute", &exe, &error))?;
    let Some(stdout) = child.stdout.take() else { return Err(fabric_gone(dirs)) };
    let mut lines = BufReader::new(stdout).lines().map_while(std::result::Result::ok);
    match lines.next() {
        Some(line) if line == "up" => Ok(()),
        Some(cause) => Err(Trouble::new(cause, lines.next().unwrap_or_default())),
        None => Err(fabric_gone(dirs)),
    }
}

/// Waits until every node's role says that it serves.
fn await_roles(control: &mut Control, dirs: &ProfileDirs, options: &Options) -> Result<Report> {
    let deadline = SystemClock.now().checked_add(options.timeout).unwrap_or(jiff::Timestamp::MAX);
    loop {
        let left = deadline.duration_since(SystemClock.now()).as_millis();
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0).max(1));
        control.set_timeout(Some(left))?;
        let report = match control.report() {
            Ok(Some(report)) => report,
            Ok(None) => return Err(fabric_gone(dirs)),
            Err(_) => return Err(late(dirs, options)),
        };
        let far_enough = |phase: Phase| phase == Phase::Ready || (!options.wait && phase == Phase::Up);
        if report.nodes.iter().all(|node| far_enough(node.phase)) {
            return Ok(report);
        }
        if let Some(node) = report.nodes.iter().find(|node| node.restarts >= ROLE_FAILURES_MAX) {
            let log = dirs.node(&node.name).log();
            return Err(Trouble::new(
                format!("node {} does not start: {}{}", node.name, node.message, last_words(&log)),
                format!("Type `ironclad start{}` to try again; its log is in {}.", flag(&dirs.name), log.display()),
            ));
        }
    }
}

/// The last line that a dying role wrote, which goes with it when a first start is undone.
fn last_words(log: &std::path::Path) -> String {
    let files = ["ironclad-etcd.log", "ironclad-server.log", "ironclad-agent.log"].map(|name| log.join(name));
    let text: String = files.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    let line = text.lines().rev().find(|line| !line.starts_with("init: ") && !line.trim().is_empty());
    line.map(|line| format!(" ({line})")).unwrap_or_default()
}

fn late(dirs: &ProfileDirs, options: &Options) -> Trouble {
    Trouble::new(
        format!("cluster \"{}\" is not ready after {} s", dirs.name, options.timeout.as_secs()),
        format!("Type `ironclad logs{}` to see why, or give it longer with --timeout.", flag(&dirs.name)),
    )
}

/// How the host's user reaches the cluster, as its administrator.
pub fn access(profile: &Profile, dirs: &ProfileDirs) -> Result<Access> {
    let now = SystemClock.now();
    let authority = credentials::authority(dirs, now)?;
    let issued = authority.issue(&pki::Request::client("kubernetes-admin", &["system:masters"]), now);
    Ok(Access {
        name: profile.name.clone(),
        server: profile.api_url(),
        authority_pem: authority.certificate_pem(),
        certificate_pem: issued.certificate_pem(),
        key_pem: issued.key_pem(),
    })
}
