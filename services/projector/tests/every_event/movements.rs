//! Holds and reversals: what they move, in the ledger and in the wallets' histories.

use uuid::Uuid;
use wallex_books::wallet;
use wallex_projections::Name;
use wallex_projector::Feed;

use crate::story::{At, Pace, account, entry, hold, posting, story};

const A: At = (0, 1);
const B: At = (1, 1);
const EXTERNAL: &str = "external:EUR";

/// Id, status, amount, captured, and whether it has changed since it was placed.
type Hold = (Uuid, String, i64, i64, bool);

const HOLDS: &str = "SELECT hold_id, status, amount, captured, updated_at > created_at FROM read_model.hold
                      ORDER BY hold_id";

fn hold_account(n: u64) -> String {
    format!("hold:{}", hold(n))
}

fn hold_row(n: u64, status: &str, amount: i64, captured: i64) -> Hold {
    (hold(n), status.to_owned(), amount, captured, status != "open")
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_are_accounts_of_their_own_and_all_totals_sum_to_zero() {
    let mut story = story(2, Pace::AtOnce).await;
    story.create(A, 100).await;
    let placed = story.place(A, 1, 30).await;
    story.place(A, 2, 20).await;
    story.give_back(A, "hold.released", 2, 20).await;
    story.ends().await;
    let balances = [
        (account(A), 70),
        (hold_account(1), 30),
        (hold_account(2), 0),
        (EXTERNAL.to_owned(), -100),
    ];
    for (account, balance) in balances {
        assert_eq!(story.setup.account(&account).await, balance, "{account}");
    }
    assert_eq!(
        story.postings().await,
        [
            posting(EXTERNAL, &account(A), 100, 1),
            posting(&account(A), &hold_account(1), 30, 1),
            posting(&account(A), &hold_account(2), 20, 1),
            posting(&hold_account(2), &account(A), 20, 1),
        ]
    );
    type Row = (Uuid, Option<i64>, Option<String>, i64, i64, String);
    let rows: Vec<Row> = story
        .rows(
            "SELECT wallet_id, expires_at, reference, version, created_at, currency FROM read_model.hold
              ORDER BY version LIMIT 1",
        )
        .await;
    let reference = Some("order 1".to_owned());
    assert_eq!(
        rows,
        [(
            wallet(0, 1),
            Some(5),
            reference,
            2,
            placed.recorded_at,
            "EUR".to_owned()
        )]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partial_capture_gives_the_rest_back() {
    for pace in [Pace::AtOnce, Pace::StepByStep] {
        let mut story = story(1, pace).await;
        story.create(A, 100).await;
        story.place(A, 1, 30).await;
        story.capture(A, 1, 12, 18).await;
        story.ends().await;
        assert_eq!(
            story.postings().await[2..],
            [
                posting(&hold_account(1), EXTERNAL, 12, 1),
                posting(&hold_account(1), &account(A), 18, 2),
            ]
        );
        assert_eq!(
            story.entries(A).await[1..],
            [entry("hold", 0, 100, 30, 30), entry("capture", -12, 88, -30, 0)]
        );
        assert_eq!(story.rows::<Hold>(HOLDS).await, [hold_row(1, "captured", 30, 12)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_given_back_makes_no_posting() {
    let mut story = story(1, Pace::AtOnce).await;
    story.create(A, 100).await;
    story.create((0, 2), 0).await;
    story.place(A, 1, 30).await;
    story.capture(A, 1, 30, 0).await;
    story.ends().await;
    assert_eq!(
        story.postings().await,
        [
            posting(EXTERNAL, &account(A), 100, 1),
            posting(&account(A), &hold_account(1), 30, 1),
            posting(&hold_account(1), EXTERNAL, 30, 1),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_captured_to_another_wallet_is_posted_by_the_wallet_that_pays() {
    for pace in [Pace::AtOnce, Pace::StepByStep] {
        let mut story = story(2, pace).await;
        story.create(A, 100).await;
        story.create(B, 0).await;
        story.place(A, 1, 30).await;
        let [captured, _] = story.capture_to(A, B, 1, 25, 5).await;
        story.ends().await;
        assert_eq!(
            story.postings().await[2..],
            [
                posting(&hold_account(1), &account(B), 25, 1),
                posting(&hold_account(1), &account(A), 5, 2),
            ]
        );
        assert_eq!(story.entries(B).await[1..], [entry("transfer_in", 25, 25, 0, 0)]);
        type Row = (Uuid, Option<Uuid>, Option<Uuid>);
        let legs: Vec<Row> = story
            .rows(
                "SELECT transaction_id, counterparty, hold_id FROM read_model.entry WHERE counterparty IS NOT NULL
                  ORDER BY partition",
            )
            .await;
        assert_eq!(
            legs,
            [
                (captured.transaction_id, Some(wallet(1, 1)), Some(hold(1))),
                (captured.transaction_id, Some(wallet(0, 1)), None),
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_hold_is_available_again() {
    for pace in [Pace::AtOnce, Pace::StepByStep] {
        let mut story = story(1, pace).await;
        story.create(A, 100).await;
        story.place(A, 1, 30).await;
        story.give_back(A, "hold.expired", 1, 30).await;
        story.ends().await;
        assert_eq!(
            story.postings().await[1..],
            [
                posting(&account(A), &hold_account(1), 30, 1),
                posting(&hold_account(1), &account(A), 30, 1),
            ]
        );
        assert_eq!(story.entries(A).await[2..], [entry("expire", 0, 100, -30, 0)]);
        assert_eq!(story.rows::<Hold>(HOLDS).await, [hold_row(1, "expired", 30, 0)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extended_hold_expires_later_and_moves_nothing() {
    for pace in [Pace::AtOnce, Pace::StepByStep] {
        let mut story = story(1, pace).await;
        story.create(A, 100).await;
        story.place(A, 1, 30).await;
        story.place(A, 2, 10).await;
        // From here on they already exist.
        story.apply().await;
        story.extend(A, 1, 6).await;
        let last = story.extend(A, 1, 7).await;
        story.extend(A, 2, 8).await;
        story.capture(A, 2, 4, 6).await;
        story.place(A, 3, 5).await;
        story.extend(A, 3, 9).await;
        story.ends().await;
        let extended = entry("extend", 0, 100, 0, 40);
        assert_eq!(
            story.entries(A).await[3..6],
            [extended.clone(), extended.clone(), extended]
        );
        let postings = story.postings().await;
        assert_eq!(postings.len(), 6, "{postings:?}");
        let rows: Vec<(Option<i64>, String, i64)> = story
            .rows("SELECT expires_at, status, captured FROM read_model.hold ORDER BY hold_id")
            .await;
        assert_eq!(
            rows,
            [
                (Some(7), "open".to_owned(), 0),
                (Some(8), "captured".to_owned(), 4),
                (Some(9), "open".to_owned(), 0),
            ]
        );
        let updated: Vec<(i64,)> = story
            .rows("SELECT updated_at FROM read_model.hold ORDER BY hold_id LIMIT 1")
            .await;
        assert_eq!(updated, [(last.recorded_at,)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reversals_take_money_back_the_way_it_came() {
    for pace in [Pace::AtOnce, Pace::StepByStep] {
        let mut story = story(2, pace).await;
        story.create(A, 100).await;
        story.create(B, 0).await;
        let credit = story.credit(A, 50).await;
        let debit = story.debit(A, 40).await;
        let [transfer, _] = story.transfer(A, B, 30).await;
        story.reverse(A, &credit, 20).await;
        story.reverse(A, &debit, 40).await;
        story.reverse_between(B, A, &transfer, 10).await;
        story.ends().await;
        assert_eq!(
            story.postings().await[4..],
            [
                posting(&account(A), EXTERNAL, 20, 1),
                posting(EXTERNAL, &account(A), 40, 1),
                posting(&account(B), &account(A), 10, 1),
            ]
        );
        assert_eq!(
            story.entries(A).await[4..],
            [
                entry("reversal_out", -20, 60, 0, 0),
                entry("reversal_in", 40, 100, 0, 0),
                entry("reversal_in", 10, 110, 0, 0),
            ]
        );
        assert_eq!(
            story.entries(B).await[2..],
            [entry("reversal_out", -10, 20, 0, 0)]
        );
        let reversed: Vec<(Uuid, Option<Uuid>)> = story
            .rows(
                "SELECT reverses, counterparty FROM read_model.entry WHERE reverses IS NOT NULL ORDER BY recorded_at",
            )
            .await;
        assert_eq!(
            reversed,
            [
                (credit.transaction_id, None),
                (debit.transaction_id, None),
                (transfer.transaction_id, Some(wallet(0, 1))),
                (transfer.transaction_id, Some(wallet(1, 1))),
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_entry_says_what_was_held_after_it() {
    for pace in [Pace::AtOnce, Pace::StepByStep] {
        let mut story = story(1, pace).await;
        story.create(A, 100).await;
        story.place(A, 1, 10).await;
        // From here on the wallet already exists.
        story.apply().await;
        story.credit(A, 5).await;
        story.place(A, 2, 20).await;
        story.debit(A, 1).await;
        story.capture(A, 1, 4, 6).await;
        story.credit(A, 1).await;
        story.give_back(A, "hold.released", 2, 20).await;
        story.place(A, 3, 7).await;
        story.ends().await;
        assert_eq!(
            story.entries(A).await,
            [
                entry("create", 100, 100, 0, 0),
                entry("hold", 0, 100, 10, 10),
                entry("credit", 5, 105, 0, 10),
                entry("hold", 0, 105, 20, 30),
                entry("debit", -1, 104, 0, 30),
                entry("capture", -4, 100, -10, 20),
                entry("credit", 1, 101, 0, 20),
                entry("release", 0, 101, -20, 0),
                entry("hold", 0, 101, 7, 7),
            ]
        );
        assert_eq!(
            story.rows::<Hold>(HOLDS).await,
            [
                hold_row(1, "captured", 10, 4),
                hold_row(2, "released", 20, 0),
                hold_row(3, "open", 7, 0),
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_finds_no_open_hold_stops_the_partition() {
    let mut story = story(2, Pace::AtOnce).await;
    story.create(A, 100).await;
    story.place(A, 1, 10).await;
    story.place(A, 2, 10).await;
    story.apply().await;
    story
        .setup
        .number("WITH done AS (UPDATE read_model.hold SET status = 'expired' RETURNING 1) SELECT count(*) FROM done")
        .await;
    story.give_back(A, "hold.released", 1, 10).await;
    story.create(B, 1).await;
    let read_model = story.setup.start(Name::ReadModel, Feed::Journal);
    story.setup.applied("read_model", 1, 1).await;
    read_model.unready().await;
    assert_eq!(story.setup.cursors("read_model").await[&0], 3);
    read_model.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_carry_the_external_id_of_their_movement() {
    let mut story = story(2, Pace::AtOnce).await;
    story.create(A, 100).await;
    story.create(B, 0).await;
    story.credit(A, 1).await;
    story.external_id = Some("psp-1".to_owned());
    story.credit(A, 2).await;
    story.external_id = Some("psp-2".to_owned());
    story.transfer(A, B, 3).await;
    story.external_id = None;
    story.debit(A, 4).await;
    story.ends().await;
    let named: Vec<(String, String)> = story
        .rows("SELECT external_id, type FROM read_model.entry WHERE external_id IS NOT NULL ORDER BY 1, 2")
        .await;
    let expected = [
        ("psp-1", "credit"),
        ("psp-2", "transfer_in"),
        ("psp-2", "transfer_out"),
    ];
    assert_eq!(named, expected.map(|(id, kind)| (id.to_owned(), kind.to_owned())));
}
