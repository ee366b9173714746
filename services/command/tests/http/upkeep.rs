//! What happens without a request: holds expire, erased data is removed.

use serde_json::json;
use tokio_util::sync::CancellationToken;
use wallex_testing::eventually;

use crate::app::*;

#[tokio::test]
async fn a_hold_that_nobody_touches_expires_by_itself_also_under_two_replicas() {
    let app = App::new().await;
    let id = app.wallet("a", 100).await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(700);
    for n in 0..3 {
        let placed = app
            .post(
                &format!("/v1/wallets/{id}/holds"),
                &format!("h{n}"),
                json!({"amount": 10, "expires_at": soon.to_string()}),
            )
            .await;
        assert_eq!(placed.status, 201, "{}", placed.body);
    }
    let shutdown = CancellationToken::new();
    let (_other, writers) = replica(&app.database, &config());
    let running: Vec<_> = [app.batcher.enqueue(), writers.enqueue()]
        .into_iter()
        .map(|queue| {
            tokio::spawn(wallex_command::upkeep::run(
                app.pool.clone(),
                queue,
                shutdown.clone(),
            ))
        })
        .collect();
    eventually(wallex_testing::DEADLINE, "the expiry", async || {
        let held: i64 = sqlx::query_scalar("SELECT held FROM journal.head WHERE wallet_id = $1::uuid")
            .bind(&id)
            .fetch_one(&app.pool)
            .await
            .unwrap();
        (held == 0).then_some(())
    })
    .await;
    shutdown.cancel();
    for task in running {
        task.await.unwrap();
    }
    let expired: i64 = sqlx::query_scalar("SELECT count(*) FROM journal.event WHERE type = 'hold.expired'")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(expired, 3, "each once");
}

#[tokio::test]
async fn when_an_erasure_is_answered_the_data_is_gone() {
    let app = App::new().await;
    let ada = app
        .post(
            "/v1/wallets",
            "a",
            json!({"currency": "EUR", "owner": "Ada", "metadata": {"phone": "555"}, "initial_balance": 50}),
        )
        .await;
    let ada = ada.body["wallet"]["id"].as_str().unwrap();
    let bob = app.wallet("b", 0).await;
    let described = json!({"from": ada, "to": bob, "amount": 1, "description": "rent of Ada"});
    app.post("/v1/transfers", "t", described.clone()).await;
    let erased = app
        .post(&format!("/v1/wallets/{ada}/erase"), "e", json!({}))
        .await;
    assert_eq!(
        (erased.status.as_u16(), &erased.body["type"]),
        (201, &json!("erase"))
    );
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM journal.personal")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
    // No stored answer contains it either.
    let dump = app.stored_answers().await;
    assert!(!dump.is_empty());
    assert!(dump.iter().all(|body| !body.contains("Ada")), "{dump:?}");
    let again = app.post("/v1/transfers", "t", described).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    app.post(&format!("/v1/wallets/{ada}/erase"), "x", json!({"why": 1}))
        .await
        .assert_problem(422, "validation_failed");
    let report = wallex_journal::verify::verify(&app.pool).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
}
