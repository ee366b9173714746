//! Erasure of one side while another replica writes the other: two transactions, in either order.

use serde_json::json;
use uuid::Uuid;
use wallex_books::wallet;
use wallex_domain::{EventData, WalletId};
use wallex_projections::Projected;
use wallex_testing::eventually;

use crate::harness::DEADLINE;
use crate::replica::{projected, replica};
use crate::story::{At, Pace, Story, story};

const A: At = (0, 1);
const B: At = (1, 1);

/// One replica has applied but not committed when the other begins, so the other waits.
async fn race(story: &Story, first: &[Projected], second: &[Projected]) {
    let tx = replica(story, first).await;
    let waits = async {
        eventually(DEADLINE, "the second one to wait for the first", async || {
            let waiting = story
                .setup
                .number(
                    "SELECT count(*) FROM pg_stat_activity
                      WHERE datname = current_database() AND wait_event_type = 'Lock' AND wait_event = 'advisory'",
                )
                .await;
            (waiting == 1).then_some(())
        })
        .await;
        tx.commit().await.unwrap();
    };
    let (second, ()) = tokio::join!(replica(story, second), waits);
    second.commit().await.unwrap();
}

/// A has paid B: A's side has it, B's does not yet. Then A is erased.
struct Dealing {
    story: Story,
    credited: Vec<Projected>,
    erased: Vec<Projected>,
}

async fn dealing() -> Dealing {
    let mut story = story(2, Pace::AtOnce).await;
    story.personal = Some(json!({"description": "for A", "metadata": {"a": 1}}));
    let created = [story.create(A, 100).await, story.create(B, 0).await];
    let [debited, credited] = story.transfer(A, B, 10).await;
    let erased = story.erase(A).await;
    let known = projected(&story, &[&created[0], &debited, &created[1]]).await;
    replica(&story, &known).await.commit().await.unwrap();
    Dealing {
        credited: projected(&story, &[&credited]).await,
        erased: projected(&story, &[&erased]).await,
        story,
    }
}

/// Both legs of the transfer exist, and neither has the data.
async fn assert_erased(story: &Story) {
    let legs: Vec<(String, Option<String>, bool)> = story
        .rows(
            "SELECT type, description, metadata IS NULL FROM read_model.entry e
              WHERE transaction_id = (SELECT transaction_id FROM read_model.entry WHERE type = 'transfer_out')
              ORDER BY type",
        )
        .await;
    assert_eq!(
        legs,
        [
            ("transfer_in".to_owned(), None, true),
            ("transfer_out".to_owned(), None, true)
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_waits_for_the_other_side_that_is_being_written() {
    let Dealing {
        story,
        credited,
        erased,
    } = dealing().await;
    race(&story, &credited, &erased).await;
    assert_erased(&story).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_side_waits_for_an_erasure_that_is_being_applied() {
    let Dealing {
        story,
        credited,
        erased,
    } = dealing().await;
    race(&story, &erased, &credited).await;
    assert_erased(&story).await;
}

/// The other side's batch, with so many other counterparties that they are not locked individually.
fn with_many_counterparties(mut credited: Vec<Projected>) -> Vec<Projected> {
    for n in 1..=300 {
        let mut other = credited[0].clone();
        other.event.event_id = Uuid::now_v7();
        other.event.transaction_id = Uuid::now_v7();
        other.event.version += n;
        other.event.seq += n;
        let EventData::TransferCredited(leg) = &mut other.data else {
            panic!("a credit");
        };
        leg.counterparty = WalletId(Uuid::now_v7());
        credited.push(other);
    }
    credited
}

#[tokio::test(flavor = "multi_thread")]
async fn many_counterparties_at_once_are_kept_apart_from_erasures_too() {
    for erasure_first in [true, false] {
        let Dealing {
            story,
            credited,
            erased,
        } = dealing().await;
        let credited = with_many_counterparties(credited);
        if erasure_first {
            race(&story, &erased, &credited).await;
        } else {
            race(&story, &credited, &erased).await;
        }
        assert_erased(&story).await;
        let kept = story
            .setup
            .number("SELECT count(*) FROM read_model.entry WHERE type = 'transfer_in' AND description IS NOT NULL")
            .await;
        assert_eq!(kept, 300);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_erasures_of_wallets_that_dealt_with_each_other_come_one_after_the_other() {
    let Dealing {
        mut story,
        credited,
        erased,
    } = dealing().await;
    replica(&story, &credited).await.commit().await.unwrap();
    let other = story.erase(B).await;
    let other = projected(&story, &[&other]).await;
    race(&story, &erased, &other).await;
    assert_erased(&story).await;
    let left = story
        .setup
        .number("SELECT count(*) FROM read_model.entry WHERE description IS NOT NULL OR metadata IS NOT NULL")
        .await;
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_side_may_come_long_after_an_erasure() {
    let Dealing {
        mut story,
        credited,
        erased,
    } = dealing().await;
    let [debited, later] = story.transfer(A, B, 1).await;
    let a = [erased, projected(&story, &[&debited]).await].concat();
    replica(&story, &a).await.commit().await.unwrap();
    // What A said after its erasure stays, even next to what it had said before.
    let b = [credited, projected(&story, &[&later]).await].concat();
    replica(&story, &b).await.commit().await.unwrap();
    let described: Vec<(Uuid, i64, Option<String>)> = story
        .rows(
            "SELECT wallet_id, -amount, description FROM read_model.entry WHERE counterparty IS NOT NULL
              ORDER BY wallet_id, version",
        )
        .await;
    let kept = || Some("for A".to_owned());
    assert_eq!(
        described,
        [
            (wallet(0, 1), 10, None),
            (wallet(0, 1), 1, kept()),
            (wallet(1, 1), -10, None),
            (wallet(1, 1), -1, kept()),
        ]
    );
}
