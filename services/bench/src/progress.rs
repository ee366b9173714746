//! The progress of a phase: a bar on a terminal, otherwise a line every few seconds. Always on stderr, so that stdout
//! holds only the result.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::pin::pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::{Instant, interval};

const REDRAW: Duration = Duration::from_millis(200);
/// Interval between lines without a terminal.
const LINE: Duration = Duration::from_secs(5);

/// Writes a line to stderr.
pub(crate) fn say(line: &str) {
    // If stderr is closed, there is no one to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

pub(crate) struct Progress {
    label: &'static str,
    total: u64,
    done: AtomicU64,
    /// The projections' lag in events; negative if it is not measured.
    lag: AtomicI64,
}

impl Progress {
    pub(crate) fn new(label: &'static str, total: usize) -> Self {
        Self {
            label,
            total: total as u64,
            done: AtomicU64::new(0),
            lag: AtomicI64::new(-1),
        }
    }

    pub(crate) fn advance(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn set_lag(&self, events: i64) {
        self.lag.store(events, Ordering::Relaxed);
    }

    /// Shows the progress until `work` is done.
    pub(crate) async fn show<F: Future>(&self, work: F) -> F::Output {
        let terminal = std::io::stderr().is_terminal();
        let bar = self.bar(terminal);
        let begin = Instant::now();
        let mut ticks = interval(if terminal { REDRAW } else { LINE });
        ticks.tick().await;
        let mut work = pin!(work);
        loop {
            let finished = tokio::select! {
                output = &mut work => Some(output),
                _ = ticks.tick() => None,
            };
            let done = self.done.load(Ordering::Relaxed);
            let figures = self.figures(done, begin.elapsed());
            bar.set_position(done);
            bar.set_message(figures.clone());
            if let Some(output) = finished {
                bar.abandon();
                self.line(terminal, done, &figures);
                return output;
            }
            self.line(terminal, done, &figures);
        }
    }

    fn bar(&self, terminal: bool) -> ProgressBar {
        let target = if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(self.total), target);
        if let Ok(style) = ProgressStyle::with_template("{prefix:<10} [{bar:30}] {pos}/{len} {msg} eta {eta}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(self.label);
        bar
    }

    fn line(&self, terminal: bool, done: u64, figures: &str) {
        if !terminal {
            say(&format!("{:<10} {done}/{} {figures}", self.label, self.total));
        }
    }

    fn figures(&self, done: u64, elapsed: Duration) -> String {
        let per_second = done as f64 / elapsed.as_secs_f64().max(0.001);
        match self.lag.load(Ordering::Relaxed) {
            lag @ 0.. => format!("{per_second:.0}/s lag {lag}"),
            _ => format!("{per_second:.0}/s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lag_shows_once_it_is_measured() {
        let progress = Progress::new("operations", 10);
        assert_eq!(progress.figures(50, Duration::from_secs(2)), "25/s");
        progress.set_lag(0);
        assert_eq!(progress.figures(50, Duration::from_secs(2)), "25/s lag 0");
    }
}
