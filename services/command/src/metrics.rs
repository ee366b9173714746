//! Metrics of the writes. Depends on the journal's replies; decides nothing.
//!
//! The invariant: each command, admitted or turned away, is counted once, when it is answered, under labels from
//! closed sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use wallex_journal::append::{Answer, Conflict, Path, Reply, Stages};
use wallex_runtime::metrics::{self, Histogram, HistogramVec, IntCounterVec};

use crate::handing::view::View;

pub(crate) struct CommandMetrics {
    commands: IntCounterVec,
    rejections: IntCounterVec,
    conflicts: IntCounterVec,
    paths: IntCounterVec,
    handed_on: IntCounterVec,
    pub(crate) batch_size: Histogram,
    stages: HistogramVec,
}

wallex_domain::words! {
    /// What became of a command that another process should write. All but the first and the last are written here.
    pub(crate) enum HandingOutcome {
        Answered = "answered",
        /// Its queue is full, or it has too many of this process's requests.
        Refused = "refused",
        Unreachable = "unreachable",
        /// The connection ended.
        Broken = "broken",
        /// It answered nothing for a second.
        Slow = "slow",
        /// It failed a moment ago and was not asked.
        Avoided = "avoided",
        /// The caller's time was over.
        Late = "late",
    }
}

impl CommandMetrics {
    /// `waiting` counts the commands in the queue.
    pub(crate) fn new(waiting: &Arc<AtomicUsize>) -> Self {
        let waiting = Arc::clone(waiting);
        metrics::gauges_when_asked(
            "wallex_command_queue_depth",
            "Commands waiting for a writer. Near the capacity: commands are about to get a 503.",
            &[],
            move || vec![(Vec::new(), waiting.load(Ordering::Relaxed) as f64)],
        );
        let conflicts = metrics::counter_vec(
            "wallex_batch_conflicts_total",
            "Times that a batch, or a part of it, had to run again, by cause. Nothing is lost. lock_timeout, \
             statement_timeout, connection, commit_unknown: check PostgreSQL. clock: its clock is minutes ahead of this \
             process's; correct the one that is wrong. constraint: clients race for one id. \
             serialization, content, divided: rare; steadily growing, one wallet's writes are refused repeatedly, \
             and the log says which statement.",
            &["cause"],
        );
        // Created up front, so that the first one shows as an increase.
        for conflict in Conflict::ALL {
            conflicts.with_label_values(&[conflict.cause()]);
        }
        let paths = metrics::counter_vec(
            "wallex_append_path_total",
            "Batches by the way they were written: in one trip to PostgreSQL, or under locks that are taken first, with \
             the reason. stale: another process writes to the same partitions, which slows both down. again: \
             see wallex_batch_conflicts_total. holds, cold, answered: what the one trip leaves to the other way. \
             clock: this process stood still, or clocks were set.",
            &["path", "why"],
        );
        for path in Path::ALL {
            paths.with_label_values(&path.labels());
        }
        let handed_on = metrics::counter_vec(
            "wallex_append_handed_on_total",
            "Requests that another command process should write, by what became of them. answered is the normal case, \
             and none at all with one process. The others are written by this process, more slowly, and nothing is \
             lost. unreachable, broken, slow and then avoided: the other process is gone or stands still, or port and \
             address of WALLEX_INTERNAL_LISTEN do not lead to it. refused: it has too much to do. late: see \
             wallex_commands_total.",
            &["outcome"],
        );
        for outcome in HandingOutcome::ALL {
            handed_on.with_label_values(&[outcome.as_str()]);
        }
        Self {
            commands: metrics::counter_vec(
                "wallex_commands_total",
                "Commands by kind and outcome. unavailable, outcome_unknown or failed rising: PostgreSQL is in \
                 trouble, see /health/ready. queue_full rising: add command replicas or a faster disk. replayed are \
                 retries that got the first answer again, by their idempotency key. key_reused: a client uses one key \
                 for different requests, which is a bug in the client.",
                &["command", "outcome"],
            ),
            rejections: metrics::counter_vec(
                "wallex_command_rejections_total",
                "Commands that were rejected or named something unknown, by kind and the code of the answer; each code \
                 has a page in docs/errors. A batch counts once, by its own answer. If a code jumps up, ask what the \
                 clients changed.",
                &["command", "code"],
            ),
            conflicts,
            paths,
            handed_on,
            batch_size: metrics::histogram(
                "wallex_batch_commands",
                "Commands per batch. Large batches mean load, not trouble.",
                metrics::SIZES,
            ),
            stages: metrics::histogram_vec(
                "wallex_batch_stage_duration_seconds",
                "Time per stage of a batch that was committed. append: one trip to \
                 PostgreSQL that locks, writes and commits. lock: other writers hold the partitions. commit: the disk.",
                &["stage"],
                metrics::SECONDS,
            ),
        }
    }

    pub(crate) fn turned_away(&self, kind: &str) {
        self.commands.with_label_values(&[kind, "queue_full"]).inc();
    }

    pub(crate) fn answered(&self, kind: &str, reply: &Reply) {
        self.commands.with_label_values(&[kind, outcome(reply)]).inc();
        if let Some(code) = rejection(reply) {
            self.rejections.with_label_values(&[kind, code]).inc();
        }
    }

    /// Observes committed transactions.
    pub(crate) fn observe(&self, committed: impl Iterator<Item = Stages>) {
        for (stage, took) in committed.flat_map(Stages::named) {
            self.stages
                .with_label_values(&[stage])
                .observe(took.as_secs_f64());
        }
    }

    pub(crate) fn written(&self, paths: impl Iterator<Item = Path>) {
        for path in paths {
            self.paths.with_label_values(&path.labels()).inc();
        }
    }

    pub(crate) fn handed_on(&self, outcome: HandingOutcome) {
        self.handed_on.with_label_values(&[outcome.as_str()]).inc();
    }

    pub(crate) fn ran_again(&self, conflicts: impl Iterator<Item = Conflict>) {
        for conflict in conflicts {
            self.conflicts.with_label_values(&[conflict.cause()]).inc();
        }
    }
}

/// Shows who writes, as this process sees it.
pub(crate) fn show_writers(view: &Arc<View>) {
    let seen = Arc::clone(view);
    metrics::gauges_when_asked(
        "wallex_command_preferred_writer",
        "1 if this process writes what it is asked, 0 if it hands that on to another one. Not exactly as many processes \
         with 1 as WALLEX_PREFERRED_WRITERS says, for longer than a moment: they do not see each other in the journal, \
         or are of several builds.",
        &[],
        move || vec![(Vec::new(), f64::from(u8::from(seen.counts().0)))],
    );
    let seen = Arc::clone(view);
    metrics::gauges_when_asked(
        "wallex_command_live_writers",
        "Command processes of this build that take requests from each other, including this one. Fewer than there are \
         replicas: some are not ready, cannot reach the database, or are of another build.",
        &[],
        move || vec![(Vec::new(), seen.counts().1 as f64)],
    );
}

pub(crate) fn outcome(reply: &Reply) -> &'static str {
    match reply {
        Reply::Answered { replayed: true, .. } => "replayed",
        Reply::Answered { answer, .. } if answer.status < 400 => "committed",
        Reply::Answered { .. } => "rejected",
        Reply::KeyReused => "key_reused",
        Reply::NotFound(_) => "not_found",
        Reply::Unavailable => "unavailable",
        Reply::OutcomeUnknown => "outcome_unknown",
        Reply::Failed => "failed",
    }
}

/// The code of a rejection that was decided just now. This program wrote the JSON itself, so the codes are a closed set.
fn rejection(reply: &Reply) -> Option<&str> {
    #[derive(Deserialize)]
    struct Coded<'a> {
        code: &'a str,
    }
    let answer: &Answer = match reply {
        Reply::Answered {
            answer,
            replayed: false,
        } if answer.status >= 400 => answer,
        Reply::NotFound(answer) => answer,
        Reply::Answered { .. }
        | Reply::KeyReused
        | Reply::Unavailable
        | Reply::OutcomeUnknown
        | Reply::Failed => return None,
    };
    let coded: Coded<'_> = serde_json::from_slice(&answer.body).ok()?;
    Some(coded.code)
}
