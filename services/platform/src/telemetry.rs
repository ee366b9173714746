//! Log lines: to stderr, as text or as one JSON object each, with the fields of the spans they stand in.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::settings::{LogFormat, Settings};

/// PostgreSQL's notices ("relation exists, skipping") are no news to an operator.
const QUIET: [&str; 1] = ["sqlx::postgres::notice=warn"];

/// Starts logging for this process, and sends panics there too. A second call changes nothing.
pub fn init(settings: &Settings) {
    // `Settings::load` has checked the filter; one set by hand and wrong must not keep the process from logging.
    let mut filter = EnvFilter::try_new(QUIET.join(",")).unwrap_or_default();
    for directive in settings
        .log
        .split(',')
        .filter(|directive| !directive.trim().is_empty())
    {
        match directive.trim().parse() {
            Ok(directive) => filter = filter.add_directive(directive),
            Err(_) => filter = filter.add_directive(tracing::Level::INFO.into()),
        }
    }
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match settings.log_format {
        LogFormat::Text => registry
            .with(lines.with_ansi(std::io::stderr().is_terminal()))
            .try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    if started.is_ok() {
        log_panics();
    }
}

/// A panic as a log line: with `log_format` json nothing else may stand on stderr.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let panic = panic.payload_as_str().unwrap_or("without a message");
        tracing::error!(location, panic, "panicked");
    }));
}
