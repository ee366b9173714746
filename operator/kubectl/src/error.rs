//! What can go wrong in the plugin. Each message says what to do.

use std::io;

/// Why the plugin could not do what was requested.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot reach a cluster: {said}\n{hint}")]
    Kubeconfig { said: String, hint: String },
    #[error("the API server does not answer: {said}")]
    Unreachable { said: String },
    #[error(
        "the API server does not accept your credentials: {said}\nlog in again, or choose another context with --context"
    )]
    Unauthorized { said: String },
    #[error(
        "you lack a right: {verb} on {resource} in {place}\n{said}\nAsk for a role with it; docs/kubectl-plugin.md lists what each subcommand needs."
    )]
    Forbidden {
        verb: &'static str,
        resource: String,
        place: String,
        said: String,
    },
    #[error(
        "this cluster has no WalletPlatforms: the CRD is not installed\nInstall the operator (helm install wallex-operator charts/wallex-operator, see docs/install.md), or choose another cluster with --context."
    )]
    NotInstalled,
    #[error("no WalletPlatform {name} in namespace {namespace}; {there_are}")]
    NoPlatform {
        name: String,
        namespace: String,
        there_are: String,
    },
    #[error("could not {verb} {resource} in {place}: {said}")]
    Refused {
        verb: &'static str,
        resource: String,
        place: String,
        said: String,
    },
    /// Anything that stops a subcommand; the text says what to do.
    #[error("{0}")]
    Hopeless(String),
    #[error("could not write {what}: {source}")]
    File {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("could not print: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// Whether the reader of our output has gone away (`| head`), which is not a failure.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// On one line, in place of missing data on a screen.
    pub fn short(&self) -> String {
        match self {
            Self::Forbidden {
                verb,
                resource,
                place,
                said: _,
            } => format!("you lack the right to {verb} {resource} in {place}"),
            Self::Kubeconfig { .. }
            | Self::Unreachable { .. }
            | Self::Unauthorized { .. }
            | Self::NotInstalled
            | Self::NoPlatform { .. }
            | Self::Refused { .. }
            | Self::Hopeless(_)
            | Self::File { .. }
            | Self::Output(_) => self.to_string().replace('\n', "; "),
        }
    }
}
