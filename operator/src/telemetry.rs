//! Log lines of the operator: text for people or one JSON object per line, to standard error.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// Shape of the operator's own log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

/// Starts logging. `filter` is a level or a list such as `info,kube=debug`.
///
/// # Errors
/// When the filter can't be parsed, or logging was started before.
pub fn start(filter: &str, format: LogFormat) -> anyhow::Result<()> {
    // The runtime's span repeats in every line what ours says more shortly; a filter that names it wins.
    let filter = EnvFilter::try_new(format!("kube_runtime=warn,{filter}"))
        .map_err(|error| anyhow::anyhow!("--log {filter:?} is not a log filter: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .try_init(),
    }
    .map_err(|error| anyhow::anyhow!("could not start logging: {error}"))
}
