//! The projections on a real PostgreSQL and Kafka.

#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::time::Duration;

use bytes::Bytes;
use harness::{DEADLINE, setup, setup_with_topic};
use wallex_journal::Event;
use wallex_journal::cloud_event::Message;
use wallex_projections::Name;
use wallex_projector::Feed;
use wallex_runtime::CancellationToken;
use wallex_runtime::health::Health;
use wallex_runtime::metrics;
use wallex_runtime::redis::Accelerator;
use wallex_runtime::settings::Gather;
use wallex_testing::eventually;

fn counted(name: &str) -> u64 {
    metrics::counter_vec(name, "As the projector has it.", &["projection"])
        .with_label_values(&["read-model"])
        .get()
}

#[tokio::test(flavor = "multi_thread")]
async fn repetitions_disorder_and_holes_change_nothing() {
    let mut setup = setup_with_topic(2).await;
    setup.write(10).await;
    let filled = counted("wallex_projection_filled_events_total");
    let ledger = setup.start(Name::Ledger, Feed::Kafka);
    let read_model = setup.start(Name::ReadModel, Feed::Kafka);
    ledger.ready().await;
    read_model.ready().await;
    let events = setup.journal.events.clone();
    for (i, event) in events.iter().enumerate() {
        match i % 7 {
            // Never sent: only the journal has it.
            3 => {}
            4 => {
                setup.send(event).await;
                setup.send(event).await;
            }
            // Late: after the next one.
            5 => setup.send(&events[(i + 1).min(events.len() - 1)]).await,
            6 => setup.send(&events[i - 1]).await,
            _ => setup.send(event).await,
        }
        if i % 10 == 9 {
            for again in &events[i - 9..i] {
                setup.send(again).await;
            }
        }
    }
    for partition in 0..2 {
        let last = events
            .iter()
            .rfind(|event| event.partition.0 == partition)
            .unwrap();
        setup.send(last).await;
    }
    setup.all_applied_smoothly("ledger", &ledger).await;
    setup.all_applied_smoothly("read_model", &read_model).await;
    setup.assert_ledger().await;
    setup.assert_read_model().await;
    // Counted only after the commit that makes the rows visible.
    eventually(DEADLINE, "filled events to be counted", async || {
        (counted("wallex_projection_filled_events_total") > filled).then_some(())
    })
    .await;
    ledger.stop().await;
    read_model.stop().await;
}

/// Each message is acknowledged before the next is sent, so none of them is there when the first is.
#[tokio::test(flavor = "multi_thread")]
async fn while_messages_keep_coming_they_are_applied_together() {
    let mut setup = setup_with_topic(1).await;
    let mut settings = setup.settings();
    settings.projector_gather_ms = Gather(Duration::from_secs(1));
    let read_model = setup.start_with(Name::ReadModel, Feed::Kafka, settings);
    let first = setup.journal.create(0, 1, 100).await;
    setup.send(&first).await;
    // After a pause nothing is waited for.
    setup.all_applied("read_model").await;
    for _ in 0..60 {
        let event = setup.journal.credit(0, 1, 1).await;
        setup.send(&event).await;
    }
    setup.all_applied("read_model").await;
    setup.assert_read_model().await;
    let transactions = setup
        .number("SELECT count(DISTINCT xmin::text) FROM read_model.entry")
        .await;
    assert!(transactions <= 12, "{transactions} transactions for 61 events");
    read_model.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_message_is_replaced_by_the_journals_event() {
    let mut setup = setup_with_topic(1).await;
    setup.write(3).await;
    let refused = counted("wallex_projection_refused_messages_total");
    let read_model = setup.start(Name::ReadModel, Feed::Kafka);
    read_model.ready().await;
    let events = setup.journal.events.clone();
    for (i, event) in events.iter().enumerate() {
        match i % 4 {
            1 => {
                let damage = |message: &mut Message| message.payload = Bytes::from_static(b"{}");
                setup.send_changed(event, damage).await;
            }
            2 => setup.send_changed(event, |message| message.headers.clear()).await,
            _ => setup.send(event).await,
        }
    }
    // The last event is damaged, and no later one would reveal the hole.
    let last = setup.journal.credit(0, 1, 1).await;
    setup.send_changed(&last, |message| message.key.push('x')).await;
    setup.all_applied_smoothly("read_model", &read_model).await;
    setup.assert_read_model().await;
    assert!(counted("wallex_projection_refused_messages_total") > refused);
    read_model.stop().await;
}

/// The leftovers of a platform with the same name whose journal is gone.
#[tokio::test(flavor = "multi_thread")]
async fn events_of_another_journal_are_never_applied() {
    let mut other = setup(2).await;
    other.write(5).await;
    let mut setup = setup_with_topic(2).await;
    setup.write(1).await;
    let read_model = setup.start(Name::ReadModel, Feed::Kafka);
    read_model.ready().await;
    for event in &other.journal.events {
        setup.send(event).await;
    }
    // It has all of them, and the journal does not.
    read_model.unready().await;
    let foreign =
        "SELECT count(*) FROM read_model.entry WHERE event_id NOT IN (SELECT event_id FROM journal.event)";
    assert_eq!(setup.number(foreign).await, 0);
    read_model.stop().await;
    // The remedy.
    wallex_testing::create_topic(&format!("{}_new", setup.topic), 2).await;
    setup.topic += "_new";
    for event in &setup.journal.events {
        setup.send(event).await;
    }
    let read_model = setup.start(Name::ReadModel, Feed::Kafka);
    setup.all_applied("read_model").await;
    setup.assert_read_model().await;
    read_model.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_the_journal_lacks_stop_the_partition_until_it_is_restored() {
    let mut setup = setup_with_topic(2).await;
    setup.write(2).await;
    let lost: Vec<Event> = vec![
        setup.journal.credit(0, 1, 1).await,
        setup.journal.credit(0, 1, 2).await,
    ];
    let events = setup.journal.events.clone();
    setup.journal.rewind(0, 2).await;
    let read_model = setup.start(Name::ReadModel, Feed::Kafka);
    read_model.ready().await;
    for event in &events {
        setup.send(event).await;
    }
    setup.applied("read_model", 1, setup.journal.last_seq(1)).await;
    read_model.unready().await;
    assert!(setup.cursors("read_model").await[&0] < lost[0].seq);
    setup.journal.restore(&lost).await;
    setup.all_applied("read_model").await;
    setup.assert_read_model().await;
    read_model.ready().await;
    read_model.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_but_does_not_come_is_taken_from_the_journal() {
    let mut setup = setup_with_topic(1).await;
    setup.write(5).await;
    // Retention removed it, or the group's offsets are ahead of a restored database.
    sqlx::query("UPDATE journal.publication SET checkpoint_seq = $1")
        .bind(setup.journal.last_seq(0))
        .execute(&setup.db)
        .await
        .unwrap();
    let read_model = setup.start(Name::ReadModel, Feed::Kafka);
    setup.all_applied("read_model").await;
    setup.assert_read_model().await;
    read_model.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_events_are_copied_to_the_dead_letters() {
    let mut setup = setup_with_topic(1).await;
    let dead_letters = format!("{}_dlq", setup.topic);
    wallex_testing::create_topic(&dead_letters, 1).await;
    setup.write(1).await;
    let unusable = setup
        .journal
        .event(0, 1, "wallet.credited", serde_json::json!({"amount": "much"}))
        .await;
    let read_model = setup.start(Name::ReadModel, Feed::Kafka);
    for event in &setup.journal.events {
        setup.send(event).await;
    }
    setup.all_applied("read_model").await;
    assert_eq!(setup.parked("read_model").await, [(0, unusable.seq)]);
    eventually(DEADLINE, "the copy", async || {
        use rdkafka::consumer::{BaseConsumer, Consumer as _};
        let dead_letters = dead_letters.clone();
        tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = rdkafka::ClientConfig::new()
                .set("bootstrap.servers", wallex_testing::kafka())
                .create()
                .ok()?;
            let (_, high) = consumer.fetch_watermarks(&dead_letters, 0, DEADLINE).ok()?;
            (high == 1).then_some(())
        })
        .await
        .unwrap()
    })
    .await;
    read_model.stop().await;
}

/// The whole pipeline, while projectors start, stop and crash.
#[tokio::test(flavor = "multi_thread")]
async fn rebalances_and_crashes_on_the_way_lose_and_repeat_nothing() {
    let mut setup = setup_with_topic(4).await;
    let settings = setup.settings();
    let (health, shutdown) = (Health::new(), CancellationToken::new());
    let publisher = tokio::spawn({
        let (db, health, shutdown) = (setup.db.clone(), health.clone(), shutdown.clone());
        let config = wallex_publisher::Config::new(&settings).unwrap();
        async move { wallex_publisher::run(config, db, Accelerator::none(), &health, shutdown).await }
    });
    setup.write(5).await;
    let first = setup.start(Name::ReadModel, Feed::Kafka);
    let ledger = setup.start(Name::Ledger, Feed::Kafka);
    setup.all_applied("read_model").await;

    setup.write(10).await;
    let second = setup.start(Name::ReadModel, Feed::Kafka);
    let second_ledger = setup.start(Name::Ledger, Feed::Kafka);
    for _ in 0..20 {
        setup.write(2).await;
    }
    setup.all_applied("read_model").await;
    first.kill().await;
    for _ in 0..10 {
        setup.write(2).await;
    }
    let third = setup.start(Name::ReadModel, Feed::Kafka);
    ledger.stop().await;
    setup.write(10).await;
    setup.all_applied("read_model").await;
    setup.all_applied("ledger").await;
    setup.assert_read_model().await;
    setup.assert_ledger().await;
    assert_eq!(
        setup
            .number("SELECT count(*) FROM journal.publication WHERE checkpoint_seq > 0")
            .await,
        4
    );
    for one in [second, second_ledger, third] {
        one.stop().await;
    }
    shutdown.cancel();
    publisher.await.unwrap();
}
