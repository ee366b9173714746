//! Projections: tables derived from the journal's events, exactly once.
//!
//! Why exactly once: a projection keeps a cursor (seq and hash) per partition in the same database as its rows. One
//! transaction locks the cursor, drops the events it has passed, applies those that follow without a gap and
//! continue the hash chain, and moves the cursor. Whatever happens to the process, to Kafka's offsets or to the
//! assignment of partitions, rows and cursor agree. Two replicas that believe they own the same partition
//! queue at the cursor, and the second finds its events already applied.
//!
//! Events from Kafka are trusted because the journal has them: the last event of each run is compared with
//! the journal's before it is applied, and the hash chain covers all before it. Everything else (holes, damage,
//! another journal's leftovers in the topic) is replaced by the journal's events. The source only says
//! where to look, so the projections work the same way without Kafka.
#![forbid(unsafe_code)]

mod announce;
mod applier;
mod dead_letters;
mod inbox;
mod metrics;
mod overdue;
mod runner;
mod source;
mod stall;

use sqlx::PgPool;
use tokio::sync::watch;
use wallex_projections::{Name, consumer_group, with_projection};
use wallex_runtime::health::Health;
use wallex_runtime::redis::Accelerator;
use wallex_runtime::settings::{Settings, SettingsError};
use wallex_runtime::{CancellationToken, kafka};

use crate::announce::Announcer;
use crate::applier::Applier;
use crate::dead_letters::DeadLetters;
use crate::runner::Runner;
use crate::source::{JournalSource, KafkaSource, Source};

/// Where a projection hears about new events.
#[derive(Debug, Clone)]
pub enum Feed {
    /// The events topic, as a member of the projection's consumer group.
    Kafka,
    /// The journal itself, polled every `poll_interval`. This process owns all partitions.
    Journal,
    /// The same, also polled whenever this changes: the journal's writer is in this process.
    WokenJournal(watch::Receiver<()>),
}

#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("the Kafka consumer cannot be created: {0}")]
    Consumer(#[from] rdkafka::error::KafkaError),
}

/// Runs one projection until `shutdown`. `journal` and `read` may be the same pool; each transaction needs a
/// connection from each. Failures of PostgreSQL and Kafka are waited out; an error is always one of settings.
pub async fn run(
    name: Name,
    from: Feed,
    settings: &Settings,
    journal: PgPool,
    read: PgPool,
    health: &Health,
    shutdown: CancellationToken,
) -> Result<(), ProjectorError> {
    let check = health.check(name.as_str());
    let gather = settings.projector_gather_ms.0;
    let polled = || JournalSource::new(journal.clone(), settings.poll_interval(), gather);
    let (source, dead_letters) = match from {
        Feed::Journal => (Source::Journal(polled()), DeadLetters::none()),
        Feed::WokenJournal(woken) => (Source::Journal(polled().woken_by(woken)), DeadLetters::none()),
        Feed::Kafka => {
            match kafka::wait(settings, &check, &shutdown).await {
                Ok(()) => {}
                Err(kafka::WaitError::Settings(error)) => return Err(error.into()),
                Err(kafka::WaitError::ShutDown) => return Ok(()),
            }
            let group = consumer_group(name, &settings.platform);
            (
                Source::Kafka(Box::new(KafkaSource::join(settings, &group)?)),
                DeadLetters::to(settings, name.as_str())?,
            )
        }
    };
    // Only wallets have live updates.
    let announcer = if name == Name::ReadModel {
        Announcer::start(
            Accelerator::connect(settings),
            &settings.platform_id().to_string(),
        )
    } else {
        Announcer::none()
    };
    let limit = settings.projector_batch.max(1);
    with_projection!(name, projection => {
        let applier = Applier::new(projection, announcer, journal.clone(), read, limit);
        let runner = Runner::new(applier, source, dead_letters, journal, limit, check);
        runner.run(shutdown).await;
    });
    Ok(())
}
