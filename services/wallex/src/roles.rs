//! The long-running roles: each connects, starts its work, and serves HTTP until told to stop.

use anyhow::Context as _;
use axum::Router;
use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use wallex_command::{Batcher, BatcherConfig, CommandState, upkeep};
use wallex_journal::append::Config;
use wallex_journal::currency;
use wallex_journal::maintain::Retention;
use wallex_projections::Name;
use wallex_projector::{Feed, ProjectorError};
use wallex_query::QueryState;
use wallex_runtime::health::Health;
use wallex_runtime::http::{Ending, Limits};
use wallex_runtime::kafka::Overview;
use wallex_runtime::redis::Accelerator;
use wallex_runtime::{CancellationToken, Settings, database, http, kafka};

use crate::{api, journal, member};

/// Parses the name of a projection.
pub(crate) fn projection() -> impl TypedValueParser<Value = Name> {
    PossibleValuesParser::new(Name::ALL.map(Name::as_str)).try_map(|name| name.parse::<Name>())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SourceName {
    Kafka,
    Journal,
}

fn batcher_config(settings: &Settings) -> BatcherConfig {
    BatcherConfig {
        writers: settings.writers,
        queue_capacity: settings.queue_capacity,
        max_batch: settings.max_batch,
        timeout: settings.command_timeout(),
        journal: Config {
            retention: Retention::new(settings.idempotency_retention()),
            max_open_holds: settings.max_open_holds.into(),
            ..Config::default()
        },
    }
}

/// A role's health. If Kafka is configured, it is included, with the projections' progress; the connection is made on
/// request.
fn health(settings: &Settings) -> Health {
    let health = Health::new();
    let groups = Name::ALL.map(|name| wallex_projections::consumer_group(name, &settings.platform));
    health.show_kafka(Overview::new(settings, groups.into()));
    health
}

/// Where the platform's projectors get their events: from Kafka, through the publisher, if it is configured.
fn fed_by(settings: &Settings) -> SourceName {
    match settings.kafka_bootstrap_servers {
        Some(_) => SourceName::Kafka,
        None => SourceName::Journal,
    }
}

/// State for the read routes, for projections that take events from `source`; also measures their lag until the process
/// ends. Streams end with the process, too, without waiting for their clients.
pub(crate) fn reads(
    settings: &Settings,
    source: SourceName,
    read: &PgPool,
    journal: PgPool,
    shutdown: &CancellationToken,
) -> QueryState {
    let platform = settings.platform_id().to_string();
    let read = wallex_postgres::for_reads(read);
    database::show_pool("read", &read);
    let state = QueryState::new(read, journal)
        .with_currencies(settings.currencies.clone())
        .with_exports(settings.max_exports)
        .with_redis(Accelerator::connect(settings), &platform)
        .with_shutdown(shutdown.clone());
    let state = match source {
        SourceName::Kafka => state.with_publisher(),
        SourceName::Journal => state,
    };
    tokio::spawn(state.clone().keep_measuring(shutdown.clone()));
    state
}

/// State for the write routes, and their background work, which ends with the process.
pub(crate) async fn writes(
    settings: &Settings,
    journal: PgPool,
    shutdown: &CancellationToken,
) -> anyhow::Result<(Batcher, CommandState)> {
    currency::claim(&journal, &settings.currencies).await?;
    let batcher = Batcher::start(&journal::writer_options(settings)?, &batcher_config(settings))
        .context("start the journal's writers")?;
    let state = CommandState::new(batcher.enqueue(), settings.currencies.clone(), journal.clone());
    tokio::spawn(upkeep::run(journal, batcher.enqueue(), shutdown.clone()));
    Ok((batcher, state))
}

/// Serves HTTP until told to stop: health at once, and what `starting` makes when that is done.
pub(crate) async fn serve(
    settings: &Settings,
    starting: impl Future<Output = anyhow::Result<Router>>,
    health: &Health,
    shutdown: &CancellationToken,
    ending: Ending,
) -> anyhow::Result<()> {
    let (health, shutdown, limits) = (health.clone(), shutdown.clone(), Limits::of(settings));
    http::serve_starting(settings.listen, starting, health, shutdown, ending, limits).await
}

pub(crate) async fn command(settings: Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let health = health(&settings);
    let (mut batcher, mut member) = (None, None);
    let starting = async {
        let (journal, read) = journal::connect_to_write(&settings, "command", &health, &shutdown).await?;
        let (writing, state) = writes(&settings, journal.clone(), &shutdown).await?;
        member = member::join(&settings, &writing, &journal, &shutdown).await;
        batcher = Some(writing);
        let reads = reads(&settings, fed_by(&settings), &read, journal, &shutdown);
        anyhow::Ok(api::full(state, reads))
    };
    serve(&settings, starting, &health, &shutdown, Ending::of(&settings)).await?;
    // All requests are answered; this also finishes what clients gave up on, and what others have handed on.
    match (member, batcher) {
        (Some(member), Some(batcher)) => member.finish(batcher).await,
        (None, Some(batcher)) => batcher.finish().await,
        (_, None) => {}
    }
    Ok(())
}

pub(crate) async fn query(settings: Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let health = health(&settings);
    let starting = async {
        let (journal, read) = journal::connect_both(&settings, "query", &health, &shutdown).await?;
        anyhow::Ok(api::reads(reads(
            &settings,
            fed_by(&settings),
            &read,
            journal,
            &shutdown,
        )))
    };
    serve(&settings, starting, &health, &shutdown, Ending::of(&settings)).await
}

pub(crate) async fn publisher(settings: Settings, shutdown: CancellationToken) -> anyhow::Result<()> {
    let health = health(&settings);
    let starting = async {
        let config = wallex_publisher::Config::new(&settings)?;
        let journal = journal::connect(&settings, "publisher", &health, &shutdown).await?;
        let check = health.check(wallex_publisher::TOPIC_CHECK);
        kafka::wait(&settings, &check, &shutdown).await?;
        let redis = Accelerator::connect(&settings);
        let (health, shutdown) = (health.clone(), shutdown.clone());
        anyhow::Ok(tokio::spawn(async move {
            wallex_publisher::run(config, journal, redis, &health, shutdown.clone()).await;
            // If it ever ends on its own, the process ends too and is restarted.
            shutdown.cancel();
            anyhow::Ok(())
        }))
    };
    work(&settings, starting, &health, &shutdown).await
}

pub(crate) async fn projector(
    settings: Settings,
    projection: Name,
    source: SourceName,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let health = health(&settings);
    let starting = async {
        let (journal, read) = journal::connect_both(&settings, "projector", &health, &shutdown).await?;
        let feed = match source {
            SourceName::Kafka => Feed::Kafka,
            SourceName::Journal => Feed::Journal,
        };
        anyhow::Ok(spawn_projection(
            projection, feed, &settings, journal, read, &health, &shutdown,
        ))
    };
    work(&settings, starting, &health, &shutdown).await
}

/// Serves health while the work that `starting` begins goes on, and ends with the work.
async fn work<E: Into<anyhow::Error>>(
    settings: &Settings,
    starting: impl Future<Output = anyhow::Result<JoinHandle<Result<(), E>>>>,
    health: &Health,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let mut working = None;
    let starting = async {
        working = Some(starting.await?);
        anyhow::Ok(Router::new())
    };
    serve(
        settings,
        starting,
        health,
        shutdown,
        Ending::without_grace(settings),
    )
    .await?;
    match working {
        Some(working) => working.await?.map_err(Into::into),
        None => Ok(()),
    }
}

/// Starts a projection alongside the HTTP server. If it ends on its own, the process ends too.
pub(crate) fn spawn_projection(
    name: Name,
    feed: Feed,
    settings: &Settings,
    journal: PgPool,
    read: PgPool,
    health: &Health,
    shutdown: &CancellationToken,
) -> JoinHandle<Result<(), ProjectorError>> {
    let (settings, health, shutdown) = (settings.clone(), health.clone(), shutdown.clone());
    tokio::spawn(async move {
        let done =
            wallex_projector::run(name, feed, &settings, journal, read, &health, shutdown.clone()).await;
        shutdown.cancel();
        done
    })
}
