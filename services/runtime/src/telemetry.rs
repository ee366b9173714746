//! Logging to stderr, as text or as one JSON object per line, with the fields of the enclosing spans. What is
//! logged can be changed while the process runs.
//!
//! Request lines are written by a separate thread, and dropped when the reader of stderr is too slow: no request may
//! wait for that. All other lines are few, and written at once, so that a process's last words are never lost.

use std::io::IsTerminal as _;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::writer::MakeWriterExt as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::metrics;
use crate::settings::{LogFormat, Settings};

/// PostgreSQL's notices ("relation exists, skipping") are of no interest to an operator.
const QUIET: [&str; 1] = ["sqlx::postgres::notice=warn"];

/// The level of everything else when the setting lists only modules.
const DEFAULT: &str = "info";
/// The filter itself also accepts numbers, which mean nothing to a reader.
const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "off"];

/// Target of the log line of each request.
pub(crate) const REQUEST: &str = "request";
/// Request lines that may wait to be written.
const WAITING: usize = 16_384;

/// Writes the request lines; when dropped, it writes those still waiting.
static REQUESTS: Mutex<Option<WorkerGuard>> = Mutex::new(None);
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging for this process, and logs panics too. A second call changes nothing.
pub fn init(settings: &Settings) {
    // `Settings::load` has checked the filter; a wrong one set by hand must not keep the process from logging.
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
             collection is behind; spec.logging.requests sets which requests are logged.",
            &[],
            move || vec![(Vec::new(), dropped.dropped_lines() as f64)],
        );
        log_panics();
    }
}

/// Writes the lines still waiting. Call this at the end of the process.
pub fn finish() {
    REQUESTS.lock().unwrap_or_else(PoisonError::into_inner).take();
}

/// The current filter, in the form that [`set`] takes. `None` before [`init`].
pub fn current() -> Option<String> {
    FILTER.get()?.with_current(ToString::to_string).ok()
}

/// Changes the filter to `log`: a level, or levels by module. The error says what is wrong with it.
pub fn set(log: &str) -> Result<(), String> {
    let filter = filter(log)?;
    let handle = FILTER.get().ok_or("this process does not log")?;
    handle.reload(filter).map_err(|error| error.to_string())
}

/// Parses the setting `log`: a level for everything, by default `info`, and levels of modules beside it. Input that the
/// filter itself would misread is refused: it takes a misspelled level for a module, and a module without a level for
/// the only thing to log.
pub(crate) fn filter(log: &str) -> Result<EnvFilter, String> {
    let directives: Vec<&str> = log
        .split(',')
        .map(str::trim)
        .filter(|directive| !directive.is_empty())
        .collect();
    if directives.is_empty() {
        return Err(format!("`{log}` names no level"));
    }
    let quiet = QUIET.join(",");
    // With modules alone, everything else stays at the default.
    let begin = if directives.iter().all(|directive| directive.contains('=')) {
        format!("{DEFAULT},{quiet}")
    } else {
        quiet
    };
    let mut filter = EnvFilter::try_new(begin).map_err(|error| error.to_string())?;
    for directive in directives {
        let (module, level) = match directive.rsplit_once('=') {
            Some((module, level)) => (Some(module.trim()), level.trim()),
            None => (None, directive),
        };
        if !LEVELS.iter().any(|known| level.eq_ignore_ascii_case(known)) {
            let place = module.map_or_else(String::new, |_| format!(" in `{directive}`"));
            return Err(format!("`{level}`{place} is not one of {}", LEVELS.join(", ")));
        }
        let refused = |error: &dyn std::fmt::Display| format!("`{directive}`: {error}");
        let parsed = match module {
            Some("") => return Err(refused(&"there is no module before the =")),
            Some(module) if module.contains(char::is_whitespace) => {
                return Err(refused(&"a module has no blanks in its name"));
            }
            Some(module) => format!("{module}={level}").parse(),
            None => level.parse(),
        };
        filter = filter.add_directive(parsed.map_err(|error| refused(&error))?);
    }
    Ok(filter)
}

/// Logs panics as lines: with `log_format` json nothing else may appear on stderr.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let panic = panic.payload_as_str().unwrap_or("without a message");
        tracing::error!(location, panic, "panicked");
    }));
}

#[cfg(test)]
mod tests {
    use tracing::level_filters::LevelFilter;

    use super::*;

    #[test]
    fn what_is_no_level_is_refused() {
        for log in [
            "info",
            "WARN",
            "off",
            "info,wallex_journal=debug",
            "request=off, debug",
            "wallex_journal = debug,",
        ] {
            assert!(filter(log).is_ok(), "{log}");
        }
        for log in [
            "dubug",
            "info,wallex_journal",
            "info,request=loud",
            "info,=",
            "nonsense=",
            "=debug",
            "info,nonsense=",
            "info, =debug",
            "5",
            "0",
            "info,request=4",
            "two words=debug",
            "a=b=debug",
            "",
            " , ",
        ] {
            assert!(filter(log).is_err(), "{log}");
        }
    }

    #[test]
    fn modules_alone_silence_nothing_else() {
        let shown = |log: &str| filter(log).unwrap_or_default().max_level_hint();
        assert_eq!(shown("wallex_journal=error"), Some(LevelFilter::INFO));
        assert_eq!(shown("warn,wallex_journal=error"), Some(LevelFilter::WARN));
        // PostgreSQL's notices have their own directive.
        assert_eq!(shown("off"), Some(LevelFilter::WARN));
    }
}
