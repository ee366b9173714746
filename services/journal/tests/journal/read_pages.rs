//! Pages of several partitions in one statement: each is what a read of its partition alone would find.

use std::collections::BTreeMap;

use wallex_domain::{Hash, Partition};
use wallex_journal::Event;
use wallex_journal::read::{self, Page};

use crate::harness::*;

/// Seq, the predecessor's hash and the hash of each event of a partition, straight from the table.
async fn chain(journal: &Journal, partition: i32) -> Vec<(i64, Hash, Hash)> {
    let rows: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT seq, hash FROM journal.event WHERE partition = $1 ORDER BY seq")
            .bind(partition)
            .fetch_all(&journal.pool)
            .await
            .unwrap();
    let mut before = Hash::GENESIS;
    let link = |(seq, hash): (i64, Vec<u8>)| {
        let hash = Hash::try_from(&hash[..]).unwrap();
        (seq, std::mem::replace(&mut before, hash), hash)
    };
    rows.into_iter().map(link).collect()
}

fn links(events: &[Event]) -> Vec<(i64, Hash, Hash)> {
    let link = |event: &Event| (event.seq, event.prev_hash, event.hash);
    events.iter().map(link).collect()
}

fn page(partition: i32, after_seq: i64, limit: i64) -> Page {
    Page {
        partition: Partition(partition),
        after_seq,
        limit,
    }
}

#[tokio::test]
async fn pages_of_several_partitions_are_each_whole_and_in_order() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let mut requests: Vec<_> = (1..=24)
        .map(|n| create(&format!("c{n}"), wallet(n), 100))
        .collect();
    requests.extend((0..240).map(|n| credit(&format!("d{n}"), wallet(n % 24 + 1), 1)));
    run(&mut writer, &requests).await;
    let mut chains = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let chain = chain(&journal, partition).await;
        assert!(chain.len() > 20, "partition {partition} has {}", chain.len());
        chains.insert(partition, chain);
    }
    let of = |partition: i32, after: usize, limit: usize| -> Vec<(i64, Hash, Hash)> {
        chains[&partition]
            .iter()
            .skip(after)
            .take(limit)
            .copied()
            .collect()
    };
    let end = |partition: i32| chains[&partition].len();

    // In no particular order; from the beginning, the middle and near the end; shorter and longer than what is there.
    let asked = [
        page(3, 5, 1_000),
        page(0, 0, 7),
        page(2, end(2) as i64 - 1, 4),
        page(1, 3, 1),
    ];
    let found = read::pages(&journal.pool, &asked).await.unwrap();
    let expected = [of(0, 0, 7), of(1, 3, 1), of(2, end(2) - 1, 4), of(3, 5, end(3))];
    assert_eq!(found.len(), 4);
    for (partition, expected) in (0..).zip(expected) {
        assert_eq!(
            links(&found[&Partition(partition)]),
            expected,
            "partition {partition}"
        );
        assert!(!expected.is_empty());
    }
    for events in found.values().flatten() {
        assert_eq!(events.compute_hash(), events.hash, "{}", events.position());
    }

    // At the end, beyond it, and where there is no such partition.
    let asked = [
        page(0, end(0) as i64, 5),
        page(1, end(1) as i64 + 9, 5),
        page(99, 0, 5),
        page(2, 0, 1),
    ];
    let found = read::pages(&journal.pool, &asked).await.unwrap();
    assert_eq!(found.into_keys().collect::<Vec<_>>(), [Partition(2)]);
    assert!(read::pages(&journal.pool, &[]).await.unwrap().is_empty());
}

/// The publisher recognizes by this hash that the journal has lost or replaced what was published.
#[tokio::test]
async fn the_first_event_of_a_page_names_its_own_predecessor() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let mut requests: Vec<_> = (1..=24)
        .map(|n| create(&format!("c{n}"), wallet(n), 100))
        .collect();
    requests.extend((0..24).map(|n| credit(&format!("d{n}"), wallet(n + 1), 1)));
    run(&mut writer, &requests).await;
    let another = "UPDATE journal.event SET hash = sha256('another') WHERE seq = 2 AND partition = 1";
    let lost = "DELETE FROM journal.event WHERE seq = 2 AND partition = 2";
    let triggers = "SET session_replication_role = replica";
    journal
        .execute(&format!(
            "{triggers}; {another}; {lost}; RESET session_replication_role"
        ))
        .await;

    let asked = [page(0, 2, 1), page(1, 2, 1), page(2, 2, 1)];
    let found = read::pages(&journal.pool, &asked).await.unwrap();
    let before = |partition: i32| found[&Partition(partition)][0].prev_hash;
    assert_eq!(before(0), chain(&journal, 0).await[1].2);
    assert_eq!(before(1), chain(&journal, 1).await[1].2);
    assert_eq!(before(2), Hash::GENESIS, "not another partition's");
}
