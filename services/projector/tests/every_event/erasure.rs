//! Erasure of personal data from everything written before it, on both sides.

use serde_json::json;
use wallex_books::wallet;

use crate::replica::{projected, replica};
use crate::story::{At, Pace, Story, story};

const A: At = (0, 1);
const B: At = (1, 1);
const C: At = (0, 2);

/// Type and description of a wallet's entries; metadata is present exactly when the description is.
async fn described(story: &Story, (partition, n): At) -> Vec<(String, Option<String>)> {
    let rows: Vec<(String, Option<String>, bool)> = sqlx::query_as(
        "SELECT type, description, metadata IS NOT NULL FROM read_model.entry WHERE wallet_id = $1 ORDER BY version",
    )
    .bind(wallet(partition, n))
    .fetch_all(&story.setup.db)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(kind, description, metadata)| {
            assert_eq!(description.is_some(), metadata, "{kind}");
            (kind, description)
        })
        .collect()
}

fn says(text: &str) -> Option<serde_json::Value> {
    Some(json!({"owner": text, "description": text, "metadata": {"note": text}}))
}

/// A deals with B and C in every way, is erased, and continues; B and C have business of their own.
async fn tell(story: &mut Story) {
    story.personal = says("before");
    for at in [A, B, C] {
        story.create(at, 100).await;
    }
    story.credit(A, 1).await;
    let [transfer, _] = story.transfer(A, B, 10).await;
    story.transfer(B, A, 5).await;
    story.transfer(A, C, 5).await;
    story.place(A, 1, 10).await;
    story.capture_to(A, B, 1, 4, 6).await;
    story.reverse_between(B, A, &transfer, 2).await;
    story.transfer(C, B, 3).await;
    story.erase(A).await;
    story.personal = says("after");
    story.debit(A, 1).await;
    story.transfer(A, B, 1).await;
    story.transfer(C, A, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn erasure_takes_personal_data_from_both_sides_and_leaves_what_comes_after() {
    for pace in [Pace::AtOnce, Pace::StepByStep] {
        let mut story = story(2, pace).await;
        tell(&mut story).await;
        story.ends().await;
        let entries = |entries: &[(&str, Option<&str>)]| {
            entries
                .iter()
                .map(|(kind, text)| ((*kind).to_owned(), text.map(str::to_owned)))
                .collect::<Vec<_>>()
        };
        let (before, after) = (Some("before"), Some("after"));
        assert_eq!(
            described(&story, A).await,
            entries(&[
                ("create", None),
                ("credit", None),
                ("transfer_out", None),
                ("transfer_in", None),
                ("transfer_out", None),
                ("hold", None),
                ("capture", None),
                ("reversal_in", None),
                ("erase", None),
                ("debit", after),
                ("transfer_out", after),
                ("transfer_in", after),
            ])
        );
        assert_eq!(
            described(&story, B).await,
            entries(&[
                ("create", before),
                ("transfer_in", None),
                ("transfer_out", None),
                ("transfer_in", None),
                ("reversal_out", None),
                ("transfer_in", before),
                ("transfer_in", after),
            ])
        );
        assert_eq!(
            described(&story, C).await,
            entries(&[
                ("create", before),
                ("transfer_in", None),
                ("transfer_out", before),
                ("transfer_out", after),
            ])
        );
        let wallets: Vec<(Option<String>, Option<String>, bool)> = story
            .rows("SELECT owner, description, metadata IS NULL FROM read_model.wallet ORDER BY wallet_id")
            .await;
        let text = || Some("before".to_owned());
        assert_eq!(
            wallets,
            [
                (None, None, true),
                (text(), text(), false),
                (text(), text(), false)
            ]
        );
    }
}

/// All rows of the read model, as text.
async fn everything(story: &Story) -> Vec<(String,)> {
    story
        .rows(
            "SELECT to_jsonb(t)::text FROM read_model.wallet t UNION ALL
             SELECT to_jsonb(t)::text FROM read_model.entry t UNION ALL
             SELECT to_jsonb(t)::text FROM read_model.hold t UNION ALL
             SELECT to_jsonb(t)::text FROM read_model.erasure t ORDER BY 1",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_model_filled_anew_after_an_erasure_has_the_same_rows() {
    let mut story = story(2, Pace::StepByStep).await;
    tell(&mut story).await;
    for _ in 0..2 {
        let before = everything(&story).await;
        // At first the journal still has the data, later only a part of it. It makes no difference whether the erasures
        // are deleted along with the rows.
        for gone in [
            "SELECT 1",
            "DELETE FROM journal.personal p USING journal.event e
              WHERE e.event_id = p.event_id AND e.partition = 0 AND e.version < 5
                AND e.wallet_id = (SELECT wallet_id FROM journal.event WHERE partition = 0 AND seq = 1)",
        ] {
            for emptied in [
                "TRUNCATE read_model.cursor, read_model.wallet, read_model.entry, read_model.hold, read_model.erasure",
                "TRUNCATE read_model.cursor, read_model.wallet, read_model.entry, read_model.hold",
            ] {
                for statement in [gone, emptied] {
                    sqlx::query(statement).execute(&story.setup.db).await.unwrap();
                }
                story.ends().await;
                assert_eq!(everything(&story).await, before, "{emptied}; {gone}");
            }
        }
        story.erase(A).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_with_more_entries_than_one_statement_takes_is_erased_whole() {
    let mut story = story(2, Pace::AtOnce).await;
    story.personal = says("before");
    story.create(A, 0).await;
    story.create(B, 0).await;
    story.apply().await;
    for statement in [
        "INSERT INTO read_model.entry
         SELECT own.wallet_id, v, own.partition, v, gen_random_uuid(), md5(v::text)::uuid, 'transfer_out', 0, 'EUR', 0,
                other.wallet_id, NULL, 'before', NULL, 0
           FROM generate_series(2, 12000) v, read_model.wallet own, read_model.wallet other
          WHERE own.wallet_id <> other.wallet_id",
        "UPDATE read_model.wallet SET version = 12000",
    ] {
        sqlx::query(statement).execute(&story.setup.db).await.unwrap();
    }
    let erased = story.erase(A).await;
    let mut erased = projected(&story, &[&erased]).await;
    erased[0].event.version = 12_001;
    replica(&story, &erased).await.commit().await.unwrap();
    let left: Vec<(i32, i64)> = story
        .rows("SELECT partition, version FROM read_model.entry WHERE description IS NOT NULL")
        .await;
    assert_eq!(left, [(1, 1)]);
}

/// A's history breaks off at an event that nobody can read, and A keeps dealing with B until it is erased.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_reaches_a_wallet_whose_events_are_parked() {
    for pace in [Pace::AtOnce, Pace::StepByStep] {
        let mut story = story(2, pace).await;
        story.personal = says("before");
        story.create(A, 100).await;
        story.create(B, 100).await;
        story.transfer(A, B, 1).await;
        let unreadable = json!({"amount": "much"});
        let journal = &mut story.setup.journal;
        journal.event(0, 1, "wallet.credited", unreadable).await;
        story.transfer(A, B, 2).await;
        story.transfer(B, A, 3).await;
        story.erase(A).await;
        story.apply().await;
        let wallets: Vec<(Option<String>, Option<String>, bool)> = story
            .rows("SELECT owner, description, metadata IS NULL FROM read_model.wallet ORDER BY wallet_id")
            .await;
        let before = || Some("before".to_owned());
        assert_eq!(
            wallets,
            [(None, None, true), (before(), before(), false)],
            "{pace:?}"
        );
        for (kind, description) in described(&story, A).await {
            assert_eq!(description, None, "{pace:?}: A's {kind}");
        }
        let of_b: Vec<_> = described(&story, B).await;
        assert_eq!(of_b.len(), 4, "{of_b:?}");
        for (kind, description) in of_b {
            let own = kind == "create";
            assert_eq!(description.is_some(), own, "{pace:?}: B's {kind}");
        }
    }
}
