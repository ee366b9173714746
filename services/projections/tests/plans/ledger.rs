//! The plans of the ledger's statements.

use wallex_postgres::SNAPSHOT;
use wallex_projections::ledger::read::{ACCOUNT_POSTINGS, PARKED, TOTALS, TRANSACTION_POSTINGS};
use wallex_projections::schema::LEDGER;
use wallex_testing::plans::{Planned, database, prepare, reads_less, run, stay_on_their_indexes};

const STATEMENTS: [Planned; 4] = [
    (
        "totals",
        TOTALS,
        "text",
        "'external:EUR'",
        &["account_total_pkey"],
    ),
    ("parked", PARKED, "uuid", "md5('7')::uuid", &["parked_wallet"]),
    (
        "postings",
        ACCOUNT_POSTINGS,
        "text, bigint, bigint, int, bigint, smallint, bigint",
        "'external:EUR', 0, 9223372036854775807, 0, 0, 0::smallint, 51",
        &["posting_source", "posting_destination"],
    ),
    (
        "of_transaction",
        TRANSACTION_POSTINGS,
        "uuid",
        "md5('t7')::uuid",
        &["posting_transaction"],
    ),
];

/// One account that is on one side or the other of every posting.
const GROW: &str = "
    INSERT INTO ledger.posting (partition, seq, transaction_id, source, destination, amount, currency, recorded_at)
    SELECT s % 10, s, md5('t' || s)::uuid,
           CASE s % 2 WHEN 0 THEN 'external:EUR' ELSE 'wallet:' || md5((s / 15)::text)::uuid END,
           CASE s % 2 WHEN 1 THEN 'external:EUR' ELSE 'wallet:' || md5((s / 15)::text)::uuid END, 1, 'EUR', s / 7
    FROM generate_series(1, 60000) s;
    INSERT INTO ledger.account_total
    SELECT 'wallet:' || md5(a::text)::uuid, 'EUR', a % 10, 1, 1 FROM generate_series(1, 20000) a;
    INSERT INTO ledger.account_total SELECT 'external:EUR', 'EUR', p, 1, 1 FROM generate_series(0, 9) p;";

const ANALYZE: &str = "ANALYZE ledger.posting, ledger.account_total";

#[tokio::test]
async fn every_read_of_the_ledger_stays_on_its_indexes_as_the_tables_grow() {
    let database = database("ledger", &LEDGER.migrations).await;
    let mut db = database.connection().await;
    let stages = [
        ("empty", ""),
        ("analyzed while empty", ANALYZE),
        ("grown", GROW),
        ("grown and analyzed", ANALYZE),
    ];
    stay_on_their_indexes(&mut db, SNAPSHOT, &STATEMENTS, stages).await;
}

/// However many postings an account has, and wherever in them the page lies.
#[tokio::test]
async fn a_page_of_postings_reads_no_more_than_the_page_from_either_side() {
    let database = database("ledger", &LEDGER.migrations).await;
    let mut db = database.connection().await;
    run(&mut db, GROW).await;
    run(&mut db, "VACUUM ANALYZE ledger.posting").await;
    prepare(&mut db, &STATEMENTS).await;
    for below in ["9223372036854775807", "4000", "3"] {
        let values = format!("'external:EUR', 0, {below}, 0, 0, 0::smallint, 51");
        reads_less(&mut db, SNAPSHOT, "postings", &values, 250).await;
    }
}
