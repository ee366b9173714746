//! The plan trap: a statement planned while its table was empty must not keep scanning it whole as it grows.

use sqlx::{AssertSqlSafe, Row as _};
use wallex_domain::WalletId;

use crate::harness::*;

/// What a batch reads, counted by PostgreSQL itself, on a table that grew after the statements were planned.
#[tokio::test]
async fn batches_use_indexes_only_however_the_tables_grew() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run(&mut writer, &[create("c0", wallet(0), 100)]).await;
    // The trap is set: PostgreSQL knows that its tables are tiny, and a new session plans for that.
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
            credit(&format!("k{n}"), wallet(n), 1),
        ];
        run(&mut writer, &batch).await;
    }
    journal
        .execute(
            "INSERT INTO journal.head (wallet_id, partition, version, currency, balance, status)
             SELECT gen_random_uuid(), n % 4, 1, 'EUR', 0, 'active' FROM generate_series(1, 20000) n;
             INSERT INTO journal.answer (slot, caller, key, created_at, fingerprint, status, body)
             SELECT n % 3, 'tests', 'old' || n, n, sha256(n::text::bytea), 201, '' FROM generate_series(1, 20000) n",
        )
        .await;
    let scans = async || -> i64 {
        // The statistics of other sessions arrive when those end or are idle; this makes ours look now.
        sqlx::raw_sql("SELECT pg_stat_clear_snapshot()")
            .execute(&journal.pool)
            .await
            .unwrap();
        sqlx::query(
            "SELECT coalesce(sum(seq_tup_read), 0)::bigint AS read FROM pg_stat_user_tables
             WHERE schemaname = 'journal' AND relname ~ '^(head|answer|event)'",
        )
        .fetch_one(&journal.pool)
        .await
        .unwrap()
        .get("read")
    };
    journal.execute("SELECT pg_stat_force_next_flush()").await;
    let before = scans().await;
    for n in 0..20 {
        let id: WalletId = wallet(n % 10);
        let other = wallet((n + 1) % 10);
        let batch = [
            credit(&format!("g{n}"), id, 1),
            transfer(&format!("t{n}"), id, other, 1),
            debit("g0", other, 1),
        ];
        run(&mut writer, &batch).await;
    }
    writer.close().await;
    // A closed session has reported its statistics.
    let read = wallex_testing::eventually(std::time::Duration::from_secs(5), "statistics", async || {
        let inserted: i64 = sqlx::query_scalar(AssertSqlSafe(
            "SELECT n_tup_ins FROM pg_stat_user_tables WHERE schemaname = 'journal' AND relname = 'event'"
                .to_owned(),
        ))
        .fetch_one(&journal.pool)
        .await
        .unwrap();
        let read = scans().await;
        (inserted >= 20 + 20 * 3).then_some(read)
    })
    .await;
    assert!(
        read - before < 1_000,
        "{} rows were read by sequential scans",
        read - before
    );
}
