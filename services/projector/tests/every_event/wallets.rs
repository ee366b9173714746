//! What a wallet is: its status and its overdraft limit.

use crate::story::{At, Pace, Story, story};

const A: At = (0, 1);

/// Status, overdraft limit.
async fn wallet(story: &Story) -> (String, i64) {
    let rows: Vec<(String, i64)> = story
        .rows("SELECT status, overdraft_limit FROM read_model.wallet")
        .await;
    rows.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_is_frozen_unfrozen_and_closed() {
    for pace in [Pace::AtOnce, Pace::StepByStep] {
        let mut story = story(1, pace).await;
        story.create(A, 0).await;
        story.change(A, "wallet.frozen").await;
        story.credit(A, 1).await;
        story.ends().await;
        assert_eq!(wallet(&story).await.0, "frozen");
        story.change(A, "wallet.unfrozen").await;
        story.debit(A, 1).await;
        story.ends().await;
        assert_eq!(wallet(&story).await.0, "active");
        story.change(A, "wallet.frozen").await;
        story.change(A, "wallet.unfrozen").await;
        story.change(A, "wallet.closed").await;
        story.ends().await;
        assert_eq!(wallet(&story).await.0, "closed");
        let types: Vec<(String, i64, i64)> = story
            .rows("SELECT type, amount, held_change FROM read_model.entry ORDER BY version")
            .await;
        let expected = [
            ("create", 0),
            ("freeze", 0),
            ("credit", 1),
            ("unfreeze", 0),
            ("debit", -1),
            ("freeze", 0),
            ("unfreeze", 0),
            ("close", 0),
        ]
        .map(|(kind, amount)| (kind.to_owned(), amount, 0));
        assert_eq!(types, expected);
        assert_eq!(story.postings().await.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overdraft_limit_is_kept_until_the_next_one() {
    for pace in [Pace::AtOnce, Pace::StepByStep] {
        let mut story = story(1, pace).await;
        story.create(A, 5).await;
        story.limit(A, 70).await;
        story.limit(A, 50).await;
        story.credit(A, 1).await;
        story.ends().await;
        assert_eq!(wallet(&story).await, ("active".to_owned(), 50));
        story.change(A, "wallet.frozen").await;
        story.ends().await;
        assert_eq!(wallet(&story).await, ("frozen".to_owned(), 50));
        story.limit(A, 0).await;
        story.ends().await;
        assert_eq!(wallet(&story).await, ("frozen".to_owned(), 0));
        let entries: Vec<(String, Option<i64>)> = story
            .rows("SELECT type, overdraft_limit FROM read_model.entry ORDER BY version")
            .await;
        let expected = [
            ("create", None),
            ("overdraft_limit", Some(70)),
            ("overdraft_limit", Some(50)),
            ("credit", None),
            ("freeze", None),
            ("overdraft_limit", Some(0)),
        ]
        .map(|(kind, limit)| (kind.to_owned(), limit));
        assert_eq!(entries, expected);
    }
}
