//! The publisher on a real PostgreSQL, Kafka and Redis.

#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::collections::BTreeMap;

use harness::{DEADLINE, admin, delete_topic, limit_messages, setup, setup_without_topic};
use rdkafka::admin::{AdminOptions, NewPartitions};
use wallex_testing::{create_topic, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_published_once_in_order() {
    let mut setup = setup(3).await;
    setup.write(20).await;
    let publisher = setup.start("one");
    setup.all_published().await;
    setup.write(20).await;
    setup.all_published().await;
    assert!(publisher.health.is_ready());
    publisher.stop().await;

    let topic = setup.topic_events().await;
    for partition in 0..3 {
        let seqs: Vec<i64> = topic[&partition].iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=41).collect::<Vec<_>>());
    }
    assert!(
        setup.owners().await.is_empty(),
        "a publisher that stops releases its partitions"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_publishers_share_and_hand_over() {
    let mut setup = setup(4).await;
    setup.write(5).await;
    let one = setup.start("one");
    setup.all_published().await;
    assert_eq!(setup.owners().await, BTreeMap::from([("one".to_owned(), 4)]));

    let two = setup.start("two");
    let shared = BTreeMap::from([("one".to_owned(), 2), ("two".to_owned(), 2)]);
    eventually(DEADLINE, "equal shares", async || {
        setup.write(3).await;
        (setup.owners().await == shared).then_some(())
    })
    .await;
    one.stop().await;
    setup.write(5).await;
    setup.all_published().await;
    eventually(DEADLINE, "one owner", async || {
        (setup.owners().await == BTreeMap::from([("two".to_owned(), 4)])).then_some(())
    })
    .await;
    two.stop().await;
    setup.assert_complete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_was_replaced_writes_no_checkpoint() {
    let mut setup = setup(2).await;
    setup.write(5).await;
    let publisher = setup.start("one");
    setup.all_published().await;
    // Another owner takes partition 0 while this one still believes it owns it.
    sqlx::query(
        "UPDATE journal.publication SET owner = 'two', epoch = epoch + 1,
                expires_at = clock_timestamp() + interval '1 hour' WHERE partition = 0",
    )
    .execute(&setup.db)
    .await
    .unwrap();
    let before = setup.checkpoint(0).await;
    setup.write(5).await;
    setup.published(1, setup.journal.last_seq(1)).await;
    assert_eq!(setup.checkpoint(0).await, before);
    // It has noticed, and sends nothing more from partition 0.
    let sent = setup.topic_events().await[&0].len();
    setup.write(5).await;
    setup.published(1, setup.journal.last_seq(1)).await;
    assert_eq!(setup.topic_events().await[&0].len(), sent);
    assert_eq!(setup.checkpoint(0).await, before);
    publisher.stop().await;
    assert_eq!(setup.owners().await, BTreeMap::from([("two".to_owned(), 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_instance_takes_its_partitions_again_under_a_new_epoch() {
    let mut setup = setup(1).await;
    setup.write(5).await;
    let publisher = setup.start_with("one", 600_000, false);
    setup.all_published().await;
    publisher.kill();
    setup.write(5).await;
    let publisher = setup.start_with("one", 600_000, false);
    setup.all_published().await;
    publisher.stop().await;
    setup.assert_complete().await;
    let epoch: i64 = sqlx::query_scalar("SELECT epoch FROM journal.publication")
        .fetch_one(&setup.db)
        .await
        .unwrap();
    assert_eq!(epoch, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_makes_the_take_over_from_a_dead_publisher_quick() {
    let mut setup = setup(2).await;
    setup.write(5).await;
    // A lease this long cannot run out during the test.
    let one = setup.start_with("one", 600_000, true);
    setup.all_published().await;
    let two = setup.start_with("two", 600_000, true);
    eventually(DEADLINE, "equal shares", async || {
        (setup.owners().await.len() == 2).then_some(())
    })
    .await;
    one.kill();
    setup.write(5).await;
    setup.all_published().await;
    two.stop().await;
    setup.assert_complete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_topic_is_filled_from_the_first_event() {
    let mut setup = setup(2).await;
    setup.write(30).await;
    let publisher = setup.start("one");
    setup.all_published().await;
    publisher.stop().await;
    delete_topic(&setup.topic).await;
    create_topic(&setup.topic, 2).await;

    let publisher = setup.start("one");
    eventually(DEADLINE, "a full topic", async || {
        let topic = setup.topic_events().await;
        (topic[&0].len() == 31 && topic[&1].len() == 31).then_some(())
    })
    .await;
    setup.write(1).await;
    setup.all_published().await;
    publisher.stop().await;
    setup.assert_complete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_recreated_while_it_is_published_is_filled_from_the_first_event() {
    let mut setup = setup(1).await;
    setup.write(30).await;
    let publisher = setup.start("one");
    setup.all_published().await;
    delete_topic(&setup.topic).await;
    create_topic(&setup.topic, 1).await;
    setup.write(1).await;
    eventually(DEADLINE, "a full topic", async || {
        let topic = setup.topic_events().await;
        topic[&0].iter().any(|event| event.seq == 32).then_some(())
    })
    .await;
    setup.all_published().await;
    publisher.stop().await;
    // The first message found the topic empty; the earlier events follow it.
    let mut seqs: Vec<i64> = setup.topic_events().await[&0]
        .iter()
        .map(|event| event.seq)
        .collect();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs, (1..=32).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_lost_its_end_stops_the_partition_and_only_that() {
    let mut setup = setup(2).await;
    setup.write(10).await;
    let publisher = setup.start("one");
    setup.all_published().await;
    setup.journal.rewind(0, 3).await;
    eventually(DEADLINE, "readiness to say so", async || {
        (!publisher.health.is_ready()).then_some(())
    })
    .await;
    // New events under old numbers stay out of the topic.
    for _ in 0..5 {
        setup.journal.credit(0, 1, 1).await;
    }
    setup.write(2).await;
    setup.published(1, setup.journal.last_seq(1)).await;
    assert_eq!(setup.topic_events().await[&0].len(), 11);
    publisher.stop().await;

    // A freshly started publisher does not continue either.
    let publisher = setup.start("two");
    setup.write(2).await;
    setup.published(1, setup.journal.last_seq(1)).await;
    eventually(DEADLINE, "readiness to say so", async || {
        (!publisher.health.is_ready()).then_some(())
    })
    .await;
    assert_eq!(setup.topic_events().await[&0].len(), 11);
    publisher.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_took_the_checkpoint_back_too_is_told_by_the_topic() {
    let mut setup = setup(2).await;
    setup.write(10).await;
    let publisher = setup.start("one");
    setup.all_published().await;
    publisher.stop().await;
    setup.journal.rewind(0, 3).await;
    sqlx::query(
        "UPDATE journal.publication SET checkpoint_seq = last_seq, checkpoint_hash = head_hash
           FROM journal.partition WHERE id = publication.partition AND id = 0",
    )
    .execute(&setup.db)
    .await
    .unwrap();
    for _ in 0..5 {
        setup.journal.credit(0, 1, 1).await;
    }
    let publisher = setup.start("one");
    setup.write(1).await;
    setup.published(1, setup.journal.last_seq(1)).await;
    eventually(DEADLINE, "readiness to say so", async || {
        (!publisher.health.is_ready()).then_some(())
    })
    .await;
    publisher.stop().await;
    assert_eq!(setup.topic_events().await[&0].len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_too_few_partitions_is_waited_for() {
    let mut setup = setup_without_topic(2).await;
    setup.write(5).await;
    let publisher = setup.start("one");
    create_topic(&setup.topic, 1).await;
    assert!(!publisher.health.is_ready());
    assert!(setup.owners().await.is_empty());
    admin()
        .create_partitions(&[NewPartitions::new(&setup.topic, 2)], &AdminOptions::new())
        .await
        .unwrap();
    setup.all_published().await;
    publisher.stop().await;
    setup.assert_complete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_refused_message_publishing_starts_again_from_the_checkpoint() {
    let mut setup = setup(1).await;
    setup.write(5).await;
    let publisher = setup.start("one");
    setup.all_published().await;
    limit_messages(&setup.topic, "100").await;
    let restarts = wallex_runtime::metrics::counter("wallex_publisher_restarts_total", "As it is there.");
    let before = restarts.get();
    // The broker needs a moment to apply the limit.
    eventually(DEADLINE, "a restart", async || {
        setup.write(5).await;
        (restarts.get() > before).then_some(())
    })
    .await;
    assert!(setup.checkpoint(0).await < setup.journal.last_seq(0));
    limit_messages(&setup.topic, "1000000").await;
    setup.all_published().await;
    publisher.stop().await;
    setup.assert_complete().await;
}
