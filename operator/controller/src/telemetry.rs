//! Logging of the operator: text for people or one JSON object per line, to standard error.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

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
    // The runtime's span repeats in every line what ours says more concisely; a filter that names it wins. A filter
    // with only modules leaves everything else at info.
    let filter = checked(filter)
        .and_then(|()| {
            EnvFilter::try_new(format!("info,kube_runtime=warn,{filter}")).map_err(|e| e.to_string())
        })
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

/// The filter would treat a misspelled level as a module, and a module without a level as the only thing to log.
fn checked(filter: &str) -> Result<(), String> {
    let directives = filter.split(',').map(str::trim);
    for directive in directives.filter(|directive| !directive.is_empty()) {
        let (module, level) = directive.rsplit_once('=').unwrap_or(("-", directive));
        if module.trim().is_empty() || level.trim().is_empty() || level.trim().parse::<LevelFilter>().is_err()
        {
            return Err(format!("`{directive}` is neither a level nor module=level"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_level_is_refused() {
        for filter in ["info", "warn,kube=debug", "kube=off", ""] {
            assert!(checked(filter).is_ok(), "{filter}");
        }
        for filter in ["dubug", "nonsense=", "=debug", "info,kube", "info,kube=loud"] {
            assert!(checked(filter).is_err(), "{filter}");
        }
    }
}
