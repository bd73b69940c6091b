//! The command line: every verb and flag, and which room does it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use launcher::Layout;
use launcher::profile::{DEFAULT_NAME, Datastore, Egress};
use launcher::verbs::{delete, hello, image, logs, node, profiles, service, ssh, start, status, stop};

use crate::roles;
use crate::store::StoreVerb;

/// Kubernetes, as one binary.
#[derive(Debug, Parser)]
#[command(name = "ironclad", version, about, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    roots: Roots,
}

#[derive(Debug, Args)]
struct Roots {
    /// Where clusters keep their state.
    #[arg(long, global = true, env = "IRONCLAD_HOME", value_name = "DIR", hide_env = true, hide = true)]
    home: Option<PathBuf>,
    /// Where running clusters keep their sockets.
    #[arg(long, global = true, env = "IRONCLAD_RUN", value_name = "DIR", hide_env = true, hide = true)]
    run: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Which {
    /// The cluster.
    #[arg(short, long, default_value = DEFAULT_NAME)]
    profile: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EgressArg {
    /// Nodes reach the world through the host.
    Nat,
    /// Nodes reach nothing outside the cluster.
    None,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a cluster, or start a stopped one.
    Start(StartArgs),
    /// End a cluster's processes; its state stays.
    Stop(Which),
    /// Freeze a cluster.
    Pause(Which),
    /// Let a paused cluster go on.
    Unpause(Which),
    /// Remove a cluster and everything in it.
    Delete(Which),
    /// Show what runs.
    Status(Which),
    /// Nodes of a cluster.
    Node {
        #[command(subcommand)]
        verb: NodeVerb,
    },
    /// Open a shell in a node, or run a command there.
    Ssh {
        #[command(flatten)]
        which: Which,
        /// The node; the server when left out.
        node: Option<String>,
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Show what a node's components logged.
    Logs {
        #[command(flatten)]
        which: Which,
        /// The node; the server when left out.
        node: Option<String>,
        /// Go on as more is written.
        #[arg(short, long)]
        follow: bool,
    },
    /// Images of a cluster's nodes.
    Image {
        #[command(subcommand)]
        verb: ImageVerb,
    },
    /// Reach a Service from this machine.
    Service {
        #[command(flatten)]
        which: Which,
        service: String,
        #[arg(short, long, default_value = "default")]
        namespace: String,
        /// Print URLs and nothing else.
        #[arg(long)]
        url: bool,
    },
    /// Run a web server in the cluster and fetch its page.
    Hello {
        #[command(flatten)]
        which: Which,
        #[arg(long, default_value = "nginx:alpine")]
        image: String,
    },
    /// The objects of a cluster as they are kept: backup, restore, check, compaction.
    Store {
        #[command(subcommand)]
        verb: StoreVerb,
    },
    /// Print a kubeconfig for a cluster.
    Kubeconfig(Which),
    /// Clusters on this machine.
    Profile {
        #[command(subcommand)]
        verb: ProfileVerb,
    },
    /// Print the version.
    Version,
    /// Run a control plane with a node (what a server's init runs).
    #[command(hide = true)]
    Server(RoleArgs),
    /// Run a node (what an agent's init runs).
    #[command(hide = true)]
    Agent(RoleArgs),
}

#[derive(Debug, Args)]
struct StartArgs {
    #[command(flatten)]
    which: Which,
    /// How many nodes.
    #[arg(long, value_name = "N")]
    nodes: Option<usize>,
    /// How nodes reach the world outside.
    #[arg(long, env = "IRONCLAD_EGRESS", value_enum)]
    egress: Option<EgressArg>,
    /// Port of the API server on 127.0.0.1.
    #[arg(long, value_name = "PORT")]
    api_port: Option<u16>,
    /// How many control planes, each on a node of its own; 3 survive the loss of one.
    #[arg(long, value_name = "N")]
    control_planes: Option<usize>,
    /// What the control planes keep their objects in: `embedded`, `etcd` (a member on each of them), or the URLs of an etcd.
    #[arg(long, value_name = "STORE")]
    datastore: Option<String>,
    #[command(flatten)]
    etcd_files: EtcdFileArgs,
    /// How long what was stored before can still be watched from and read (300, 90s, 10m, 2h); 5m where it is not said.
    #[arg(long, value_name = "AGE", value_parser = crate::store::seconds)]
    store_history: Option<u64>,
    /// Do not wait for the nodes to be ready.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
}

/// For an etcd that is named by its URLs.
#[derive(Debug, Args)]
struct EtcdFileArgs {
    /// Certificate of the authority that signs etcd's.
    #[arg(long, value_name = "FILE")]
    etcd_cafile: Option<PathBuf>,
    /// Certificate that etcd is shown.
    #[arg(long, value_name = "FILE")]
    etcd_certfile: Option<PathBuf>,
    /// Key of that certificate.
    #[arg(long, value_name = "FILE")]
    etcd_keyfile: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum NodeVerb {
    /// List nodes.
    List(Which),
    /// Add a node.
    Add(Which),
    /// Remove a node.
    Delete(OneNode),
    /// Start a stopped node.
    Start(OneNode),
    /// End a node's processes; its state stays.
    Stop(OneNode),
}

#[derive(Debug, Args)]
struct OneNode {
    #[command(flatten)]
    which: Which,
    node: String,
}

#[derive(Debug, Subcommand)]
enum ImageVerb {
    /// Load the images of docker archives or OCI layout tars into every node.
    Load {
        #[command(flatten)]
        which: Which,
        /// The files; `-` reads standard input.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// List images.
    #[command(alias = "ls")]
    List(Which),
    /// Remove an image from every node.
    Rm {
        #[command(flatten)]
        which: Which,
        image: String,
    },
    /// Pull an image into every node.
    Pull {
        #[command(flatten)]
        which: Which,
        image: String,
    },
}

#[derive(Debug, Subcommand)]
enum ProfileVerb {
    /// List clusters.
    List,
}

#[derive(Debug, Args)]
struct NodeArgs {
    #[command(flatten)]
    which: Which,
    #[arg(long)]
    node: String,
}

/// Every process names its profile and node.
#[derive(Debug, Args)]
struct RoleArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The node's state.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/ironclad")]
    state: PathBuf,
}

/// Does what the command line says; gives the exit code.
pub fn run(cli: Cli) -> launcher::Result<u8> {
    let layout = Layout::new(cli.roots.home, cli.roots.run);
    match cli.verb {
        Verb::Start(args) => options(args).and_then(|options| start::run(&layout, &options)),
        Verb::Stop(which) => stop::stop(&layout, &which.profile),
        Verb::Pause(which) => stop::pause(&layout, &which.profile),
        Verb::Unpause(which) => stop::unpause(&layout, &which.profile),
        Verb::Delete(which) => delete::run(&layout, &which.profile),
        Verb::Status(which) => status::run(&layout, &which.profile),
        Verb::Node { verb } => run_node(&layout, verb),
        Verb::Ssh { which, node, command } => return ssh::run(&layout, &which.profile, node.as_deref(), &command),
        Verb::Logs { which, node, follow } => logs::run(&layout, &which.profile, node.as_deref(), follow),
        Verb::Image { verb } => run_image(&layout, verb),
        Verb::Service { which, service, namespace, url } => {
            service::run(&layout, &which.profile, &namespace, &service, url)
        }
        Verb::Hello { which, image } => hello::run(&layout, &which.profile, &image),
        Verb::Store { verb } => return crate::store::run(&layout, verb),
        Verb::Kubeconfig(which) => profiles::print_kubeconfig(&layout, &which.profile),
        Verb::Profile { verb: ProfileVerb::List } => profiles::list(&layout),
        Verb::Version => {
            println!("ironclad {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        Verb::Server(args) => roles::run(async |stop| roles::server::run(&args.state, stop).await),
        Verb::Agent(args) => roles::run(async |stop| roles::agent::run(&args.state, stop).await),
    }
    .map(|()| 0)
}

fn run_node(layout: &Layout, verb: NodeVerb) -> launcher::Result<()> {
    match verb {
        NodeVerb::List(which) => node::list(layout, &which.profile),
        NodeVerb::Add(which) => node::add(layout, &which.profile),
        NodeVerb::Delete(one) => node::delete(layout, &one.which.profile, &one.node),
        NodeVerb::Start(one) => node::start(layout, &one.which.profile, &one.node),
        NodeVerb::Stop(one) => node::stop(layout, &one.which.profile, &one.node),
    }
}

fn run_image(layout: &Layout, verb: ImageVerb) -> launcher::Result<()> {
    match verb {
        ImageVerb::Load { which, files } => files.iter().try_for_each(|file| image::load(layout, &which.profile, file)),
        ImageVerb::List(which) => image::list(layout, &which.profile),
        ImageVerb::Rm { which, image } => image::remove(layout, &which.profile, &image),
        ImageVerb::Pull { which, image } => image::pull(layout, &which.profile, &image),
    }
}

fn options(args: StartArgs) -> launcher::Result<start::Options> {
    let files = args.etcd_files;
    Ok(start::Options {
        profile: args.which.profile,
        nodes: args.nodes,
        egress: args.egress.map(|egress| match egress {
            EgressArg::Nat => Egress::Nat,
            EgressArg::None => Egress::None,
        }),
        api_port: args.api_port,
        control_planes: args.control_planes,
        datastore: args.datastore.map(|text| Datastore::parse(&text)).transpose()?,
        etcd_files: start::EtcdFiles {
            authority: files.etcd_cafile,
            certificate: files.etcd_certfile,
            key: files.etcd_keyfile,
        },
        store_history_secs: args.store_history,
        wait: !args.no_wait,
        timeout: Duration::from_secs(args.timeout),
    })
}
