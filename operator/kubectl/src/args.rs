//! The command line of the plugin. The doc comments are its help text.
//!
//! Invariant: the flags for cluster and namespace are kubectl's own, in name and meaning.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use jiff::SignedDuration;
use wallex_crd::Component;

/// Manage wallet platforms.
///
/// Works on WalletPlatform objects (wallex.dev/v1alpha1) with the rights of your kubeconfig. Begin with `kubectl wallex status`.
#[derive(Parser)]
#[command(name = "kubectl-wallex", bin_name = "kubectl wallex", version)]
pub struct Cli {
    #[command(flatten)]
    pub arguments: Arguments,
}

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    pub target: Target,
    #[command(subcommand)]
    pub verb: Verb,
}

/// Which cluster, which namespace.
#[derive(Args, Clone, Debug, Default)]
pub struct Target {
    /// Context of the kubeconfig. Default: the current one.
    #[arg(long, global = true, help_heading = "Cluster")]
    pub context: Option<String>,
    /// Namespace of the platform. Default: that of the context.
    #[arg(long, short = 'n', global = true, help_heading = "Cluster")]
    pub namespace: Option<String>,
    /// Kubeconfig file. Default: those that KUBECONFIG names, or ~/.kube/config.
    #[arg(long, global = true, help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Show a platform on one screen: is it fine, and if not, why?
    ///
    /// Conditions with their age, components with the reason of every pod that is not ready, topics, the lag of the projections, the
    /// schema, endpoints and the last events. Without a name: the namespace's only platform, or a table of all.
    ///
    /// What your rights do not show is marked "not known" with the right that is missing. The lag is asked of the API itself through the API
    /// server (get on services/proxy).
    Status(Status),
    /// Stop the operator from changing a platform; running pods are not affected.
    ///
    /// Sets spec.paused. The operator then only observes and reports, so that you can change children by hand. `resume` gives the
    /// platform back to it; whatever differs from the spec by then is corrected.
    Pause {
        /// Name of the platform.
        name: String,
    },
    /// Stop all pods of a platform; topics and data stay.
    ///
    /// Sets spec.suspended. Clients get no answer until `resume`. Nothing is lost: the journal is in PostgreSQL.
    Suspend {
        /// Name of the platform.
        name: String,
    },
    /// Undo `pause` and `suspend`.
    Resume {
        /// Name of the platform.
        name: String,
    },
    /// Replace the pods of a platform one after another, without a failed request.
    ///
    /// Like `kubectl rollout restart`, one component at a time: publisher, projectors, query, then command. Waits for each before it starts the
    /// next. Ctrl-C stops the waiting only, and says what was not started. Without components: all of them.
    Restart(Restart),
    /// Check the journal: recompute the hash chain and every wallet from its events.
    ///
    /// Runs `wallex verify` as a Job beside the platform, with the image, settings and Secrets of its maintenance, and prints what it says.
    /// It only reads, while the platform serves. Exit code 0: all is whole; 1: it is not, or it could not be checked.
    Verify(Verify),
    /// Write a support bundle: manifests, events and logs, without secrets.
    ///
    /// A tar.gz whose README.txt lists what is in it and what is missing. Of Secrets it holds the names and the names of their
    /// keys. Their values, credentials in URLs, and variables that look like passwords are blacked out everywhere, in logs too. Nothing is
    /// read from the journal. Look through it before you pass it on.
    Report(Report),
}

#[derive(Args, Clone, Debug, Default)]
pub struct Status {
    /// Name of the platform. Without: the only one, or a table of all.
    #[arg(conflicts_with = "all_namespaces")]
    pub name: Option<String>,
    /// A table of the platforms of all namespaces.
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,
    /// Keep running, and redraw the screen whenever something changes. Ctrl-C ends it.
    #[arg(long, short)]
    pub watch: bool,
}

#[derive(Args, Clone, Debug)]
pub struct Restart {
    /// Name of the platform.
    pub name: String,
    #[arg(value_parser = component, help = format!("Components to restart: {}. The order is always that one", components()))]
    pub components: Vec<Component>,
    /// How long a component may take, such as 90s or 10m.
    #[arg(long, default_value = "10m", value_parser = duration)]
    pub timeout: Duration,
}

#[derive(Args, Clone, Debug)]
pub struct Verify {
    /// Name of the platform.
    pub name: String,
    /// How long the check may take, such as 30m or 4h. It reads the whole journal.
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub timeout: Duration,
    /// Leave the Job and its log in the cluster; it goes by itself ten minutes after its end.
    #[arg(long)]
    pub keep: bool,
}

#[derive(Args, Clone, Debug)]
pub struct Report {
    /// Name of the platform.
    pub name: String,
    /// File to write; it must not exist. Default: NAME-report-TIME.tar.gz in the current folder.
    #[arg(long, short)]
    pub output: Option<PathBuf>,
}

fn component(text: &str) -> Result<Component, String> {
    Component::ROLLOUT
        .into_iter()
        .find(|component| component.name() == text)
        .ok_or_else(|| format!("no such component; the components are {}", components()))
}

fn components() -> String {
    Component::ROLLOUT.map(Component::name).join(", ")
}

fn duration(text: &str) -> Result<Duration, String> {
    let refuse = || "use a duration such as 90s, 10m or 2h".to_owned();
    let duration: SignedDuration = text.parse().map_err(|_| refuse())?;
    Duration::try_from(duration)
        .ok()
        .filter(|duration| duration.as_secs() > 0)
        .ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_flags_of_kubectl_stand_before_or_behind_the_subcommand() {
        for line in [
            "kubectl-wallex -n wallex --context there status demo",
            "kubectl-wallex status demo --namespace wallex --context there",
        ] {
            let target = Cli::try_parse_from(line.split(' ')).unwrap().arguments.target;
            assert_eq!(target.namespace.as_deref(), Some("wallex"));
            assert_eq!(target.context.as_deref(), Some("there"));
        }
    }

    #[test]
    fn an_unknown_component_names_those_there_are() {
        let parsed = Cli::try_parse_from(["kubectl-wallex", "restart", "demo", "api"]);
        let error = parsed.err().unwrap().to_string();
        assert!(error.contains("publisher, ledger-projector"), "{error}");
    }

    #[test]
    fn durations_have_units_and_are_positive() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        for wrong in ["", "90", "0s", "-1m", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
