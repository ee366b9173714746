//! The binary `wallex-operator`: reads its settings and starts what `wallex_operator` holds.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use wallex_kubectl as plugin;
use wallex_operator::run::Settings;
use wallex_operator::telemetry::{self, LogFormat};
use wallex_operator::{check, run};

/// Runs wallet platforms on Kubernetes.
///
/// Watches WalletPlatform objects (wallex.dev/v1alpha1) and makes each one a running wallet platform: Kafka topics, a migrated
/// database, and the command, publisher, projector and query deployments. Without a subcommand it runs.
#[derive(Parser)]
#[command(name = "wallex-operator", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Run the operator (what happens without a subcommand).
    ///
    /// In a pod it uses the pod's ServiceAccount, elsewhere the current context of the kubeconfig. Several replicas elect one
    /// that works; the others stand by and take over within 20 seconds.
    Run(RunArgs),
    /// Print the CustomResourceDefinition as YAML.
    ///
    /// The chart installs it too. By hand: wallex-operator crd | kubectl apply --server-side -f -
    Crd,
    /// Check an installation: is the operator ready, and are WalletPlatforms served and readable?
    ///
    /// What `helm test` runs, under the operator's own ServiceAccount. Elsewhere it uses the current context of the kubeconfig.
    Check(CheckArgs),
    /// Check that the operator can be uninstalled: does any WalletPlatform need it to be let go?
    ///
    /// What `helm uninstall` runs first. Fails, and names them, while there are platforms with deletionPolicy Delete.
    CheckUninstall(Watched),
    /// Manage wallet platforms: what `kubectl wallex` runs.
    ///
    /// A copy of this program, or a link to it, by the name kubectl-wallex on the path makes `kubectl wallex` of it.
    Kubectl(plugin::Arguments),
}

#[derive(Args)]
struct Watched {
    /// Namespaces that the operator watches, separated by commas. Empty: all of them. Without the rights of a cluster role, name them.
    #[arg(
        long,
        env = "WALLEX_OPERATOR_WATCH_NAMESPACES",
        value_delimiter = ',',
        default_value = ""
    )]
    watch_namespaces: Vec<String>,
}

impl Watched {
    /// Trims blanks and drops the empty name, which stands for all.
    fn names(&self) -> Vec<String> {
        let names = self.watch_namespaces.iter();
        names
            .map(|namespace| namespace.trim().to_owned())
            .filter(|namespace| !namespace.is_empty())
            .collect()
    }
}

#[derive(Args)]
struct CheckArgs {
    /// Address of the running operator, host:port.
    #[arg(long)]
    operator: String,
    #[command(flatten)]
    watched: Watched,
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    watched: Watched,
    /// Address of /health/live, /health/ready and /metrics.
    #[arg(long, env = "WALLEX_OPERATOR_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Namespace of the Lease by which replicas elect the one that works. Default: the one the process runs in.
    #[arg(long, env = "WALLEX_OPERATOR_LEASE_NAMESPACE")]
    lease_namespace: Option<String>,
    /// Name of this replica in the Lease and in Events; must be its own. Default: host name and process id.
    #[arg(long, env = "WALLEX_OPERATOR_INSTANCE")]
    instance: Option<String>,
    /// Level of the log (error, warn, info, debug, trace), or a filter such as info,kube=debug.
    #[arg(long, env = "WALLEX_OPERATOR_LOG", default_value = "info")]
    log: String,
    /// Shape of the log: text for people, json for machines.
    #[arg(long, env = "WALLEX_OPERATOR_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    if std::env::args_os()
        .next()
        .is_some_and(|program| plugin::is_called(program.as_ref()))
    {
        let cli = plugin::Cli::parse();
        return Ok(plugin::main(cli.arguments).await.into());
    }
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Kubectl(arguments) => Ok(plugin::main(arguments).await.into()),
        Command::Crd => {
            print(&wallex_crd::crd_yaml()?)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Run(args) => {
            telemetry::start(&args.log, args.log_format)?;
            tracing::info!(version = env!("CARGO_PKG_VERSION"), "wallex-operator");
            run::operator(settings(args)).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::CheckUninstall(watched) => {
            let client = kube::Client::try_default().await?;
            check::uninstall(&client, &watched.names()).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check(args) => {
            let seen = check::installation(&args.operator, &args.watched.names()).await?;
            print(&format!("{}\n", seen.join("\n")))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A reader that stops early, as in `wallex-operator crd | head`, is not an error.
fn print(text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

fn settings(args: RunArgs) -> Settings {
    Settings {
        watch_namespaces: args.watched.names(),
        listen: args.listen,
        lease_namespace: args.lease_namespace.filter(|namespace| !namespace.is_empty()),
        identity: args
            .instance
            .filter(|instance| !instance.is_empty())
            .unwrap_or_else(host_and_process),
    }
}

fn host_and_process() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
