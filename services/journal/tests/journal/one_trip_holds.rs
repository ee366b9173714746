//! Holds in one trip: remembered like wallets, and due in time.

use std::sync::Arc;

use wallex_journal::append::{Config, Path, Reply, Request, WhyLocked, Writer};
use wallex_testing::{DEADLINE, eventually};

use crate::harness::*;

const HOLDS: Path = Path::Locked(WhyLocked::Holds);

fn writer(journal: &Journal) -> Writer {
    Writer::new(journal.options(), Arc::default(), RENDER, Config::default())
}

async fn append(writer: &mut Writer, requests: &[Request]) -> Vec<Reply> {
    writer.append(requests, deadline()).await
}

/// A writer that knows a wallet with 1,000, and one with nothing.
async fn warm(journal: &Journal) -> Writer {
    let mut writer = writer(journal);
    append(
        &mut writer,
        &[create("c1", wallet(1), 1_000), create("c2", wallet(2), 0)],
    )
    .await;
    writer.paths.clear();
    writer
}

#[tokio::test]
async fn holds_are_placed_and_ended_in_one_trip() {
    let journal = Journal::new().await;
    let mut writer = warm(&journal).await;
    let later = journal.now().await + 3_600_000_000;
    let batches = [
        vec![
            hold("h1", 1, wallet(1), 300, None),
            hold("h2", 2, wallet(1), 200, Some(later)),
        ],
        vec![
            capture("x1", 1, Some(250), Some(wallet(2))),
            extend("e2", 2, later + 1),
        ],
        vec![
            hold("h3", 3, wallet(1), 100, None),
            capture("x3", 3, None, None),
            release("r2", 2),
        ],
        vec![debit("d", wallet(1), 651), capture("again", 1, None, None)],
    ];
    let mut seen = Vec::new();
    for batch in batches {
        seen.push(
            append(&mut writer, &batch)
                .await
                .iter()
                .map(status)
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(seen[..3].concat(), [DONE; 7]);
    assert_eq!(
        seen[3],
        [REJECTED, REJECTED],
        "650 are left, and the first hold is over"
    );
    assert_eq!(writer.paths, [Path::OneTrip; 4]);
    assert_eq!(
        (journal.held(wallet(1)).await, journal.balance(wallet(2)).await),
        ((650, 0), 250)
    );
    journal.assert_whole().await;
}

/// Nothing else happens to a wallet before its due holds have ended; memory says when that is.
#[tokio::test]
async fn a_hold_that_becomes_due_ends_first_though_nobody_reads_it_again() {
    let journal = Journal::new().await;
    let mut writer = warm(&journal).await;
    let soon = journal.now().await + 1_500_000;
    append(&mut writer, &[hold("h1", 1, wallet(1), 900, Some(soon))]).await;
    let early = append(&mut writer, &[debit("early", wallet(1), 1_000)]).await;
    assert_eq!(
        (status(&early[0]), &writer.paths[..]),
        (REJECTED, &[Path::OneTrip; 2][..])
    );
    eventually(DEADLINE, "the hold's time", async || {
        (journal.now().await > soon).then_some(())
    })
    .await;
    let replies = append(
        &mut writer,
        &[capture("late", 1, None, None), debit("all", wallet(1), 1_000)],
    )
    .await;
    assert_eq!((status(&replies[0]), status(&replies[1])), (REJECTED, DONE));
    assert!(
        [HOLDS, Path::Locked(WhyLocked::Clock)].contains(&writer.paths[2]),
        "{:?}",
        writer.paths
    );
    assert_eq!(
        journal.history(wallet(1)).await[2..],
        ["hold.expired", "wallet.debited"]
    );
    // From then on it has none.
    append(&mut writer, &[credit("more", wallet(1), 1)]).await;
    assert_eq!(writer.paths[3], Path::OneTrip);
    journal.assert_whole().await;
}

/// A repeated request reads the wallet with its due holds, and decides nothing on it.
#[tokio::test]
async fn due_holds_that_were_seen_and_not_ended_are_not_forgotten() {
    let journal = Journal::new().await;
    let mut writer = warm(&journal).await;
    let soon = journal.now().await + 700_000;
    let placed = [
        hold("h1", 1, wallet(1), 900, Some(soon)),
        credit("k", wallet(1), 1),
    ];
    append(&mut writer, &placed).await;
    eventually(DEADLINE, "the hold's time", async || {
        (journal.now().await > soon).then_some(())
    })
    .await;
    // A batch under locks, in which something is written to another wallet.
    let mut fresh = self::writer(&journal);
    let replies = append(
        &mut fresh,
        &[credit("k", wallet(1), 1), credit("beside", wallet(2), 1)],
    )
    .await;
    assert_eq!((status(&replies[0]), status(&replies[1])), ((201, true), DONE));
    let replies = append(
        &mut fresh,
        &[capture("late", 1, None, None), debit("all", wallet(1), 1_001)],
    )
    .await;
    assert_eq!((status(&replies[0]), status(&replies[1])), (REJECTED, DONE));
    journal.assert_whole().await;
}

#[tokio::test]
async fn a_hold_that_another_writer_ended_is_not_ended_again() {
    let journal = Journal::new().await;
    let mut one = warm(&journal).await;
    let mut two = writer(&journal);
    append(
        &mut one,
        &[
            hold("h1", 1, wallet(1), 300, None),
            hold("h2", 2, wallet(1), 300, None),
        ],
    )
    .await;
    let captured = append(&mut two, &[capture("x", 1, None, None)]).await;
    assert_eq!(status(&captured[0]), DONE);
    let replies = append(&mut one, &[capture("y", 1, None, None), release("z", 2)]).await;
    assert_eq!((status(&replies[0]), status(&replies[1])), (REJECTED, DONE));
    assert_eq!(journal.held(wallet(1)).await, (700, 0));
    journal.assert_whole().await;
}

/// A rejected hold writes nothing that would collide with the one that has its id.
#[tokio::test]
async fn a_hold_whose_id_is_taken_is_told_so_and_nothing_else() {
    let journal = Journal::new().await;
    let mut other = warm(&journal).await;
    append(&mut other, &[hold("h", 7, wallet(1), 1, None)]).await;
    let mut writer = writer(&journal);
    append(&mut writer, &[credit("warm", wallet(2), 10)]).await;
    writer.paths.clear();
    let replies = append(&mut writer, &[hold("taken", 7, wallet(2), 5_000, None)]).await;
    let locked = writer_says(&journal, hold("locked", 7, wallet(2), 5_000, None)).await;
    assert_eq!(body(&replies[0]), locked);
    assert_eq!(writer.paths, [Path::Locked(WhyLocked::Answered)]);
}

/// What a writer answers that never goes in one trip.
async fn writer_says(journal: &Journal, request: Request) -> String {
    let mut writer = Writer::new(journal.options(), Arc::default(), RENDER, locked_first());
    body(&writer.append(&[request], deadline()).await[0])
}
