//! What happens when rows or cursors of a projection are deleted on otherwise idle partitions.

#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use harness::{DEADLINE, Running, Setup, setup, setup_with_topic};
use sqlx::AssertSqlSafe;
use wallex_journal::read;
use wallex_projections::{Name, reset, schema};
use wallex_projector::Feed;
use wallex_testing::eventually;

/// Each leaves the projection with rows or cursors that contradict the journal.
const LEDGER: &[&str] = &[
    "TRUNCATE ledger.cursor, ledger.posting, ledger.account_total, ledger.parked",
    "TRUNCATE ledger.posting, ledger.account_total",
    "TRUNCATE ledger.account_total",
    "DELETE FROM ledger.cursor",
    "DELETE FROM ledger.cursor WHERE partition = 1",
    "DELETE FROM ledger.posting WHERE partition = 0 AND seq > 5",
    "DELETE FROM ledger.account_total WHERE account LIKE 'external:%'",
    "UPDATE ledger.cursor SET seq = 0, hash = decode(repeat('00', 32), 'hex') WHERE partition = 0",
    "UPDATE ledger.cursor c SET seq = e.seq, hash = e.hash FROM journal.event e
      WHERE e.partition = c.partition AND e.seq = 4",
];
const READ_MODEL: &[&str] = &[
    "TRUNCATE read_model.cursor, read_model.wallet, read_model.entry, read_model.hold, read_model.erasure,
              read_model.parked",
    "TRUNCATE read_model.wallet, read_model.entry",
    "TRUNCATE read_model.entry",
    "TRUNCATE read_model.erasure",
    "DELETE FROM read_model.cursor",
    "DELETE FROM read_model.cursor WHERE partition = 1",
    "DELETE FROM read_model.wallet WHERE partition = 0",
    "DELETE FROM read_model.entry WHERE version = 2",
    "UPDATE read_model.cursor SET seq = 0, hash = decode(repeat('00', 32), 'hex') WHERE partition = 0",
    "UPDATE read_model.cursor c SET seq = e.seq, hash = e.hash FROM journal.event e
      WHERE e.partition = c.partition AND e.seq = 4",
];

/// Both projections level with the journal, and nothing more to come.
async fn idle(feed: Feed) -> (Setup, [Running; 2]) {
    let mut setup = match feed {
        Feed::Journal | Feed::WokenJournal(_) => setup(2).await,
        Feed::Kafka => setup_with_topic(2).await,
    };
    setup.write(5).await;
    if matches!(feed, Feed::Kafka) {
        for event in &setup.journal.events {
            setup.send(event).await;
        }
    }
    let running = [Name::Ledger, Name::ReadModel].map(|name| setup.start(name, feed.clone()));
    level(&setup, &running).await;
    (setup, running)
}

async fn level(setup: &Setup, running: &[Running]) {
    setup.all_applied("ledger").await;
    setup.all_applied("read_model").await;
    for one in running {
        one.ready().await;
    }
    setup.assert_ledger().await;
    setup.assert_read_model().await;
}

async fn execute(setup: &Setup, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(&setup.db)
        .await
        .unwrap();
}

async fn filled_again(feed: Feed) {
    let (setup, running) = idle(feed).await;
    for statement in LEDGER.iter().chain(READ_MODEL) {
        println!("{statement}");
        execute(&setup, statement).await;
        level(&setup, &running).await;
    }
    for one in running {
        one.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_is_filled_again_though_kafka_brings_nothing() {
    filled_again(Feed::Kafka).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_is_filled_again_from_the_journal() {
    filled_again(Feed::Journal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_away_while_no_projector_ran_is_filled_by_the_next() {
    for statement in LEDGER.iter().chain(READ_MODEL) {
        let (setup, running) = idle(Feed::Journal).await;
        for one in running {
            one.stop().await;
        }
        execute(&setup, statement).await;
        let running = [Name::Ledger, Name::ReadModel].map(|name| setup.start(name, Feed::Journal));
        level(&setup, &running).await;
        for one in running {
            one.stop().await;
        }
    }
}

/// Copies a projection's tables, or puts the copies back, in one transaction and without triggers.
async fn copy(setup: &Setup, back: bool) {
    let mut statements = "BEGIN; SET LOCAL session_replication_role = replica;".to_owned();
    for schema in ["ledger", "read_model"] {
        let tables: Vec<String> =
            sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = $1")
                .bind(schema)
                .fetch_all(&setup.db)
                .await
                .unwrap();
        for table in tables {
            let (table, copy) = (format!("{schema}.{table}"), format!("public.{schema}_{table}"));
            statements += &if back {
                format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM {copy};")
            } else {
                format!("CREATE TABLE {copy} AS TABLE {table};")
            };
        }
    }
    execute(setup, &(statements + "COMMIT")).await;
}

/// A crash of PostgreSQL takes back the last transactions of a projection, which do not wait for the disk: rows and cursor
/// alike, though the group's offsets have passed them and Kafka brings them no more.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_of_postgresql_took_back_is_applied_again() {
    for stopped in [false, true] {
        let (mut setup, mut running) = idle(Feed::Kafka).await;
        copy(&setup, false).await;
        let known = setup.journal.events.len();
        setup.write(5).await;
        for event in &setup.journal.events[known..] {
            setup.send(event).await;
        }
        level(&setup, &running).await;
        // What the publisher has saved is durable.
        execute(
            &setup,
            "UPDATE journal.publication p SET checkpoint_seq =
                (SELECT max(seq) FROM journal.event e WHERE e.partition = p.partition)",
        )
        .await;
        eventually(DEADLINE, "offsets behind the last event", async || {
            let offsets = [committed(&setup, 0).await, committed(&setup, 1).await];
            let ends = [0, 1].map(|partition| Some(setup.journal.last_seq(partition)));
            (offsets == ends).then_some(())
        })
        .await;
        if stopped {
            for one in running {
                one.stop().await;
            }
            copy(&setup, true).await;
            running = [Name::Ledger, Name::ReadModel].map(|name| setup.start(name, Feed::Kafka));
        } else {
            copy(&setup, true).await;
        }
        level(&setup, &running).await;
        for one in running {
            one.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_schema_is_filled_again_once_it_was_migrated() {
    let (setup, running) = idle(Feed::Kafka).await;
    execute(
        &setup,
        "DROP SCHEMA ledger CASCADE; DROP SCHEMA read_model CASCADE",
    )
    .await;
    for one in &running {
        one.unready().await;
    }
    let mut db = setup.db.acquire().await.unwrap();
    schema::migrate(&mut db).await.unwrap();
    schema::add_cursors(&mut db, 2).await.unwrap();
    level(&setup, &running).await;
    for one in running {
        one.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn until_it_is_filled_again_a_projection_is_not_ready() {
    let (setup, running) = idle(Feed::Kafka).await;
    // The journal withholds its events for a while.
    let mut held = setup.db.begin().await.unwrap();
    sqlx::query("LOCK TABLE journal.event")
        .execute(&mut *held)
        .await
        .unwrap();
    execute(&setup, "TRUNCATE ledger.posting; TRUNCATE read_model.wallet").await;
    for one in &running {
        one.unready().await;
    }
    held.commit().await.unwrap();
    level(&setup, &running).await;
    for one in running {
        one.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_between_the_steps_of_running_projectors_loses_and_repeats_nothing() {
    let (mut setup, running) = idle(Feed::Journal).await;
    for _ in 0..5 {
        let mut db = setup.db.acquire().await.unwrap();
        let heads = read::partitions(&mut *db).await.unwrap();
        let (done, ()) = tokio::join!(
            async {
                reset(Name::Ledger, &mut db, &heads).await?;
                reset(Name::ReadModel, &mut db, &heads).await
            },
            setup.write(10)
        );
        done.unwrap();
        level(&setup, &running).await;
    }
    for one in running {
        one.stop().await;
    }
}

/// A leftover from another history, or from somebody else who writes to the topic.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_ahead_of_the_journal_holds_nothing_up_once_the_journal_goes_on() {
    let mut setup = setup_with_topic(1).await;
    setup.write(2).await;
    for event in &setup.journal.events {
        setup.send(event).await;
    }
    let read_model = setup.start(Name::ReadModel, Feed::Kafka);
    setup.all_applied("read_model").await;
    read_model.ready().await;
    let ahead = [
        setup.journal.credit(0, 1, 1).await,
        setup.journal.credit(0, 1, 2).await,
    ];
    setup.journal.rewind(0, 2).await;
    for event in &ahead {
        setup.send(event).await;
    }
    read_model.unready().await;
    let own = setup.journal.credit(0, 2, 3).await;
    setup.send(&own).await;
    setup.all_applied("read_model").await;
    read_model.ready().await;
    setup.assert_read_model().await;
    read_model.stop().await;
}

/// The offset by which autoscalers compute a group's lag.
async fn committed(setup: &Setup, partition: i32) -> Option<i64> {
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
    let (topic, group) = (
        setup.topic.clone(),
        wallex_projections::consumer_group(Name::ReadModel, &setup.settings().platform),
    );
    let asked = move || {
        let consumer: BaseConsumer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", wallex_testing::kafka())
            .set("group.id", group)
            .create()
            .ok()?;
        let mut list = TopicPartitionList::new();
        list.add_partition(&topic, partition);
        let list = consumer.committed_offsets(list, DEADLINE).ok()?;
        match list.find_partition(&topic, partition)?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    };
    tokio::task::spawn_blocking(asked).await.unwrap()
}

/// As after offsets expired, or for a topic whose records are gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_without_offsets_takes_its_place_at_the_end_of_what_is_applied() {
    let mut setup = setup_with_topic(2).await;
    // Applied from the journal alone: the group has never had an offset. The second partition is empty.
    setup.journal.create(0, 1, 5).await;
    for _ in 0..20 {
        setup.journal.credit(0, 1, 1).await;
    }
    let first = setup.start(Name::ReadModel, Feed::Journal);
    setup.all_applied("read_model").await;
    first.stop().await;
    for event in &setup.journal.events {
        setup.send(event).await;
    }
    let read_model = setup.start(Name::ReadModel, Feed::Kafka);
    eventually(DEADLINE, "places at the ends", async || {
        let places = (committed(&setup, 0).await, committed(&setup, 1).await);
        (places == (Some(21), Some(0))).then_some(())
    })
    .await;
    // And nothing after that is missed.
    let more = setup.journal.credit(0, 1, 1).await;
    setup.send(&more).await;
    let other = setup.journal.create(1, 1, 5).await;
    setup.send(&other).await;
    setup.all_applied("read_model").await;
    setup.assert_read_model().await;
    read_model.stop().await;
}
