//! Log lines: to stderr, as text or as one JSON object each, with the fields of the spans they stand in. What is
//! logged can be changed while the process runs.
//!
//! Lines of requests are written by a thread of their own, and dropped when whoever reads stderr is too slow: no request may wait for
//! that. All other lines are few, and written at once, so that the last words of a process are never lost.

use std::io::IsTerminal as _;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::writer::MakeWriterExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::metrics;
use crate::settings::{LogFormat, Settings};

/// PostgreSQL's notices ("relation exists, skipping") are no news to an operator.
const QUIET: [&str; 1] = ["sqlx::postgres::notice=warn"];

/// Target of the line that each request leaves.
pub(crate) const REQUEST: &str = "request";
/// Lines of requests that may wait to be written.
const WAITING: usize = 16_384;

/// What writes the lines of requests; dropped, it writes what waits.
static REQUESTS: Mutex<Option<WorkerGuard>> = Mutex::new(None);
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging for this process, and sends panics there too. A second call changes nothing.
pub fn init(settings: &Settings) {
    // `Settings::load` has checked the filter; one set by hand and wrong must not keep the process from logging.
    let (filter, handle) = reload::Layer::new(filter(&settings.log).unwrap_or_default());
    let (requests, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING)
        .thread_name("request-log")
        .finish(std::io::stderr());
    let dropped = requests.error_counter();
    let writer = requests
        .with_filter(|metadata| metadata.target() == REQUEST)
        .or_else(std::io::stderr);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match settings.log_format {
        LogFormat::Text => registry
            .with(lines.with_ansi(std::io::stderr().is_terminal()))
            .try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    if started.is_ok() {
        let _ = FILTER.set(handle);
        *REQUESTS.lock().unwrap_or_else(PoisonError::into_inner) = Some(guard);
        metrics::gauges_when_asked(
            "wallex_log_dropped_lines",
            "Lines of requests dropped since the start, because stderr was not read fast enough. Growing: the node's log \
             collection is behind; spec.logging.requests says which requests leave a line.",
            &[],
            move || vec![(Vec::new(), dropped.dropped_lines() as f64)],
        );
        log_panics();
    }
}

/// Writes the lines that still wait. At the end of the process.
pub fn finish() {
    REQUESTS.lock().unwrap_or_else(PoisonError::into_inner).take();
}

/// What is logged now, as [`set`] takes it. `None` before [`init`].
pub fn current() -> Option<String> {
    FILTER.get()?.with_current(ToString::to_string).ok()
}

/// Logs by `log` from now on: a level, or levels by module. The error says what is wrong with it.
pub fn set(log: &str) -> Result<(), String> {
    let filter = filter(log)?;
    let handle = FILTER.get().ok_or("this process does not log")?;
    handle.reload(filter).map_err(|error| error.to_string())
}

/// Reads a setting `log`. A word alone must be a level: the filter would take a misspelled one for a module, and log
/// nothing else.
pub(crate) fn filter(log: &str) -> Result<EnvFilter, String> {
    let directives = log
        .split(',')
        .map(str::trim)
        .filter(|directive| !directive.is_empty());
    let mut filter = EnvFilter::try_new(QUIET.join(",")).map_err(|error| error.to_string())?;
    for directive in directives {
        if !directive.contains('=') && directive.parse::<LevelFilter>().is_err() {
            return Err(format!(
                "`{directive}` is not one of trace, debug, info, warn, error and off"
            ));
        }
        filter = filter.add_directive(
            directive
                .parse()
                .map_err(|error| format!("`{directive}`: {error}"))?,
        );
    }
    Ok(filter)
}

/// A panic as a log line: with `log_format` json nothing else may stand on stderr.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let panic = panic.payload_as_str().unwrap_or("without a message");
        tracing::error!(location, panic, "panicked");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_alone_must_be_a_level() {
        for log in [
            "info",
            "WARN",
            "off",
            "info,wallex_journal=debug",
            "request=off, debug",
            "",
        ] {
            assert!(filter(log).is_ok(), "{log}");
        }
        for log in ["dubug", "info,wallex_journal", "info,request=loud", "info,="] {
            assert!(filter(log).is_err(), "{log}");
        }
    }
}
