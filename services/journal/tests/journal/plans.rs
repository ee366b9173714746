//! The plan trap: a statement planned while its table was empty must not keep scanning it whole as it grows.

use sqlx::{AssertSqlSafe, Row as _};
use wallex_domain::{Change, WalletId};

use crate::harness::*;

/// What a batch reads, as counted by PostgreSQL, on tables that grew after the statements were planned.
#[tokio::test]
async fn batches_use_indexes_only_however_the_tables_grew() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run(&mut writer, &[create("c0", wallet(0), 100)]).await;
    // Sets the trap: PostgreSQL knows that its tables are tiny, and a new session plans accordingly.
    journal
        .execute(
            "ALTER TABLE journal.head SET (autovacuum_enabled = off);
             ANALYZE journal.head, journal.answer, journal.event, journal.partition",
        )
        .await;
    writer.close().await;
    let mut writer = journal.writer();
    for n in 0..10 {
        let batch = [
            create(&format!("c{n}"), wallet(n), 100),
            credit(&format!("k{n}"), wallet(n), 50),
        ];
        run(&mut writer, &batch).await;
    }
    journal
        .execute(
            "WITH grown AS (
                 INSERT INTO journal.head (wallet_id, partition, version, currency, balance, status)
                 SELECT gen_random_uuid(), n % 4, 1, 'EUR', 0, 'active' FROM generate_series(1, 20000) n
                 RETURNING wallet_id)
             INSERT INTO journal.hold (hold_id, wallet_id, amount, expires_at, status)
             SELECT gen_random_uuid(), wallet_id, 1, 9000000000000000, 'open' FROM grown;
             INSERT INTO journal.answer (slot, caller, key, created_at, fingerprint, status, body)
             SELECT n % 3, 'tests', 'old' || n, n, sha256(n::text::bytea), 201, '' FROM generate_series(1, 20000) n;
             INSERT INTO journal.reversed SELECT gen_random_uuid(), 1 FROM generate_series(1, 20000);
             INSERT INTO journal.personal (event_id, wallet_id, salt, data)
             SELECT gen_random_uuid(), gen_random_uuid(), decode(md5(''), 'hex'), '' FROM generate_series(1, 20000);
             INSERT INTO journal.movement (external_id, transaction_id, event_id, content, has_personal, status, body)
             SELECT 'old' || n, gen_random_uuid(), gen_random_uuid(), sha256(''), true, 201, ''
             FROM generate_series(1, 20000) n",
        )
        .await;
    let scans = async || -> i64 {
        // Other sessions report their statistics when they end or are idle; this makes our session read them again.
        sqlx::raw_sql("SELECT pg_stat_clear_snapshot()")
            .execute(&journal.pool)
            .await
            .unwrap();
        sqlx::query(
            "SELECT coalesce(sum(seq_tup_read), 0)::bigint AS read FROM pg_stat_user_tables
             WHERE schemaname = 'journal' AND relname ~ '^(head|answer|event|hold|reversed|personal|movement)'",
        )
        .fetch_one(&journal.pool)
        .await
        .unwrap()
        .get("read")
    };
    let transaction = journal.last_transaction(wallet(9)).await;
    let mut due = wallex_journal::hold::DueWallets::default();
    journal.execute("SELECT pg_stat_force_next_flush()").await;
    let before = scans().await;
    for n in 0..20 {
        let id: WalletId = wallet(n % 10);
        let other = wallet((n + 1) % 10);
        let batch = [
            named(credit(&format!("g{n}"), id, 1), &format!("name {n}")),
            transfer(&format!("t{n}"), id, other, 1),
            debit("g0", other, 1),
            hold(&format!("h{n}"), n, id, 1, None),
            change(&format!("e{n}"), id, Change::ErasePersonalData),
        ];
        run(&mut writer, &batch).await;
        // What is found by the id of a hold or of a transaction, and what is queried outside batches.
        let batch = [
            capture(&format!("x{n}"), n, None, None),
            reverse(&format!("r{n}"), transaction, Some(1)),
        ];
        for reply in run(&mut writer, &batch).await {
            assert_eq!(status(&reply), DONE, "{reply:?}");
        }
        due.find(&journal.pool, 100).await.unwrap();
        wallex_journal::erasure::finish(&journal.pool, None)
            .await
            .unwrap();
    }
    writer.close().await;
    // A closed session has reported its statistics.
    let read = wallex_testing::eventually(wallex_testing::DEADLINE, "statistics", async || {
        let inserted: i64 = sqlx::query_scalar(AssertSqlSafe(
            "SELECT n_tup_ins FROM pg_stat_user_tables WHERE schemaname = 'journal' AND relname = 'event'"
                .to_owned(),
        ))
        .fetch_one(&journal.pool)
        .await
        .unwrap();
        let read = scans().await;
        (inserted >= 20 + 20 * 7).then_some(read)
    })
    .await;
    assert!(
        read - before < 1_000,
        "{} rows were read by sequential scans",
        read - before
    );
}
