//! Connects to the cluster with the user's kubeconfig, as kubectl reads it.

use std::io::IsTerminal as _;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::args::Target;
use super::error::Error;

/// A client for the cluster that `target` names, and the namespace to work in.
///
/// # Errors
/// When there is no usable kubeconfig, or it lacks that context.
pub async fn connect(target: &Target) -> Result<(Client, String), Error> {
    // Without the operator's telemetry, the client's warnings would not be shown; errors are returned as values anyway.
    let mut config = load(target).await?;
    // A 503 is a valid answer: a health report that says what is wrong. The client would retry it for minutes.
    config.default_retry = false;
    let namespace = target
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let server = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|error| Error::Kubeconfig {
        said: chain(&error),
        hint: format!("the credentials for {server} can't be used"),
    })?;
    Ok((client, namespace))
}

async fn load(target: &Target) -> Result<Config, Error> {
    let options = KubeConfigOptions {
        context: target.context.clone(),
        ..KubeConfigOptions::default()
    };
    let read = match &target.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let unusable = |error: kube::config::KubeconfigError| Error::Kubeconfig {
        said: chain(&error),
        hint: "name a kubeconfig with --kubeconfig or KUBECONFIG, and one of its contexts with --context"
            .to_owned(),
    };
    match read {
        Ok(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .map_err(unusable),
        // In a pod there is no kubeconfig but a ServiceAccount, which kubectl uses too.
        Err(error) if target.kubeconfig.is_none() && target.context.is_none() => {
            Config::incluster().map_err(|_| unusable(error))
        }
        Err(error) => Err(unusable(error)),
    }
}

/// An error with its causes, unless they repeat each other.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

/// Whether standard output may be coloured: on a terminal, unless NO_COLOR is set to anything (no-color.org).
pub(super) fn may_colour() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    std::io::stdout().is_terminal() && !refused && !dumb
}
