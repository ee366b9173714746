//! The properties of a wallet: status, overdraft limit, and its owner, description and metadata.

use serde_json::json;
use wallex_projections::verify::{self, Report};

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

/// Owner, description, metadata.
async fn said(story: &Story) -> [Option<String>; 3] {
    let rows: Vec<(Option<String>, Option<String>, Option<String>)> = story
        .rows("SELECT owner, description, metadata::text FROM read_model.wallet")
        .await;
    let (owner, description, metadata) = rows.into_iter().next().unwrap();
    [owner, description, metadata]
}

async fn is_whole(story: &mut Story) {
    story.ends().await;
    let mut report = Report::default();
    let db = &story.setup.db;
    verify::compare(db, db, &mut report).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_that_was_said_of_a_wallet_counts() {
    let texts = |said: [Option<&str>; 3]| said.map(|text| text.map(str::to_owned));
    for pace in [Pace::AtOnce, Pace::StepByStep] {
        let mut story = story(1, pace).await;
        story.personal = Some(json!({"owner": "Ada", "description": "first", "metadata": {"n": 1}}));
        story.create(A, 5).await;
        story.personal = Some(json!({"description": "of the movement"}));
        story.credit(A, 1).await;
        story.say(A, &["owner"], json!({"owner": "Bob"})).await;
        is_whole(&mut story).await;
        assert_eq!(
            said(&story).await,
            texts([Some("Bob"), Some("first"), Some("{\"n\": 1}")])
        );
        story.say(A, &["metadata"], json!({"metadata": {"m": 2}})).await;
        story
            .say(A, &["description", "owner"], json!({"owner": "Eve"}))
            .await;
        is_whole(&mut story).await;
        assert_eq!(said(&story).await, texts([Some("Eve"), None, Some("{\"m\": 2}")]));
        story
            .say(A, &["description"], json!({"description": "before"}))
            .await;
        story.erase(A).await;
        story.say(A, &["owner"], json!({"owner": "Zoe"})).await;
        is_whole(&mut story).await;
        assert_eq!(said(&story).await, texts([Some("Zoe"), None, None]), "{pace:?}");
        story.erase(A).await;
        is_whole(&mut story).await;
        assert_eq!(said(&story).await, [None, None, None]);
        let entries: Vec<(String, Option<String>)> = story
            .rows("SELECT type, description FROM read_model.entry ORDER BY version")
            .await;
        assert_eq!(entries[2], ("change".to_owned(), None));
        assert_eq!(entries.len(), 9);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_created_erased_and_spoken_of_at_once_keeps_what_came_last() {
    let mut story = story(1, Pace::AtOnce).await;
    story.personal = Some(json!({"owner": "Ada", "description": "first", "metadata": {"n": 1}}));
    story.create(A, 5).await;
    story.erase(A).await;
    story
        .say(A, &["description"], json!({"description": "last"}))
        .await;
    is_whole(&mut story).await;
    assert_eq!(said(&story).await, [None, Some("last".to_owned()), None]);
    let change = "UPDATE read_model.wallet SET description = 'forged'";
    sqlx::raw_sql(change).execute(&story.setup.db).await.unwrap();
    let mut report = Report::default();
    let db = &story.setup.db;
    verify::compare(db, db, &mut report).await.unwrap();
    assert!(
        report
            .problems
            .iter()
            .any(|line| line.contains("has other personal data")),
        "{:?}",
        report.problems
    );
}
