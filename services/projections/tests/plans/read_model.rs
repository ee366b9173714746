//! The plans of the read model's statements.

use wallex_postgres::SNAPSHOT;
use wallex_projections::read_model::read::{history, holds, parked, transactions, wallets};
use wallex_projections::schema::READ_MODEL;
use wallex_testing::plans::{Planned, database, prepare, reads_less, run, stay_on_their_indexes};

const STATEMENTS: [Planned; 23] = [
    (
        "followed",
        wallets::VERSIONS,
        "uuid[]",
        "array[md5('7')::uuid, md5('0')::uuid]",
        &["wallet_pkey"],
    ),
    (
        "after",
        history::AFTER,
        "uuid, bigint, bigint",
        "md5('0')::uuid, 15000, 50",
        &["entry_pkey"],
    ),
    (
        "wallet",
        wallets::WALLET,
        "uuid",
        "md5('7')::uuid",
        &["wallet_pkey", "parked_wallet", "cursor_pkey"],
    ),
    (
        "parked",
        parked::PARKED,
        "uuid",
        "md5('7')::uuid",
        &["parked_wallet"],
    ),
    (
        "version",
        history::VERSION,
        "uuid",
        "md5('7')::uuid",
        &["wallet_pkey"],
    ),
    (
        "by_external_id",
        wallets::BY_EXTERNAL_ID,
        "text",
        "'x7'",
        &["wallet_external_id_key", "parked_wallet", "cursor_pkey"],
    ),
    (
        "by_owner",
        wallets::BY_OWNER,
        "text, uuid, bigint",
        "'Ada', md5('7')::uuid, 51",
        &["wallet_owner", "parked_wallet", "cursor_pkey"],
    ),
    (
        "state_at",
        wallets::STATE_AT,
        "uuid, bigint",
        "md5('0')::uuid, 15000",
        &["entry_time", "entry_type"],
    ),
    (
        "has_come",
        wallets::HAS_COME,
        "uuid, bigint",
        "md5('0')::uuid, 15000",
        &["entry_time"],
    ),
    (
        "span",
        history::SPAN,
        "uuid, bigint, bigint",
        "md5('0')::uuid, 10000, 20000",
        &["wallet_pkey", "entry_time", "parked_wallet", "cursor_pkey"],
    ),
    (
        "history",
        history::HISTORY,
        "uuid, bigint, bigint, bigint",
        "md5('0')::uuid, 1, 15000, 51",
        &["entry_pkey"],
    ),
    (
        "newest",
        history::NEWEST,
        "uuid, bigint, bigint",
        "md5('0')::uuid, 15000, 51",
        &["wallet_pkey", "entry_pkey", "parked_wallet", "cursor_pkey"],
    ),
    (
        "forward",
        history::FORWARD,
        "uuid, bigint, bigint, bigint",
        "md5('0')::uuid, 15000, 30000, 51",
        &["entry_pkey"],
    ),
    (
        "by_type",
        history::BY_TYPE,
        "uuid, bigint, bigint, bigint, text[]",
        "md5('0')::uuid, 1, 30001, 51, '{debit,erase}'",
        &["entry_type"],
    ),
    (
        "by_reference",
        history::BY_REFERENCE,
        "uuid, bigint, bigint, text, bigint, text[], uuid",
        "md5('0')::uuid, 1, 30001, 'r7', 100, NULL, NULL",
        &["entry_reference"],
    ),
    (
        "by_counterparty",
        history::BY_COUNTERPARTY,
        "uuid, bigint, bigint, uuid, bigint, text[]",
        "md5('0')::uuid, 1, 30001, md5('3')::uuid, 100, NULL",
        &["entry_counterparty"],
    ),
    (
        "by_versions",
        history::BY_VERSIONS,
        "uuid, bigint[]",
        "md5('0')::uuid, '{7,9,30000}'",
        &["entry_pkey"],
    ),
    (
        "stale",
        parked::STALE,
        "uuid",
        "md5('1')::uuid",
        &["wallet_pkey", "parked_wallet", "cursor_pkey"],
    ),
    (
        "transaction",
        transactions::TRANSACTION,
        "uuid",
        "md5('t7')::uuid",
        &["entry_transaction", "parked_wallet"],
    ),
    (
        "by_movement",
        transactions::BY_MOVEMENT,
        "text",
        "'m7'",
        &["entry_external_id", "parked_wallet"],
    ),
    (
        "hold",
        holds::HOLD,
        "uuid",
        "md5('h7')::uuid",
        &["hold_pkey", "parked_wallet"],
    ),
    (
        "holds",
        holds::HOLDS,
        "uuid, bigint, bigint",
        "md5('0')::uuid, 15000, 51",
        &["hold_wallet", "parked_wallet"],
    ),
    (
        "holds_by_status",
        holds::HOLDS_BY_STATUS,
        "uuid, bigint, bigint, text",
        "md5('0')::uuid, 15000, 51, 'open'",
        &["hold_status", "parked_wallet"],
    ),
];

/// 2,000 wallets with 15 entries each, and one hot wallet with as many as all others together. A time, a type, a
/// reference and a counterparty each select a small part of it.
const GROW: &str = "
    INSERT INTO read_model.wallet
    SELECT md5(w::text)::uuid, 0, w, 15, 'x' || w, 'EUR', 0, 0, 0, 'active', CASE w % 2 WHEN 0 THEN 'Ada' END, NULL,
           NULL, 0, 0
    FROM generate_series(0, 2000) w;
    INSERT INTO read_model.entry (wallet_id, version, partition, seq, event_id, transaction_id, type, amount, currency,
                                  balance_after, recorded_at, reference, counterparty, external_id)
    SELECT md5(w::text)::uuid, v, 0, w * 100000 + v, md5('e' || w || '-' || v)::uuid, md5('t' || w * 15 + v)::uuid,
           CASE WHEN v % 500 = 0 THEN 'debit' ELSE 'credit' END, 1, 'EUR', v, v,
           CASE WHEN v % 3 = 0 THEN 'r' || v / 30 WHEN v % 3 = 1 THEN 'busy' END,
           CASE WHEN v % 4 = 0 THEN md5((v % 700)::text)::uuid WHEN v % 4 = 1 THEN md5('busy')::uuid END,
           CASE WHEN v % 2 = 0 THEN 'm' || w * 100000 + v END
    FROM generate_series(0, 2000) w, LATERAL generate_series(1, CASE w WHEN 0 THEN 30000 ELSE 15 END) v;
    INSERT INTO read_model.hold (hold_id, wallet_id, amount, currency, status, version, created_at, updated_at)
    SELECT md5('h' || v)::uuid, md5((v % 2 * v)::text)::uuid, 1, 'EUR',
           CASE WHEN v % 1000 < 2 THEN 'open' ELSE 'released' END, v, 0, 0
    FROM generate_series(1, 30000) v;";

#[tokio::test]
async fn every_read_stays_on_its_index_as_the_tables_grow() {
    let database = database("read_model", &READ_MODEL.migrations).await;
    let mut db = database.connection().await;
    let stages = [
        ("empty", ""),
        (
            "analyzed while tiny",
            "INSERT INTO read_model.wallet
             SELECT md5('x')::uuid, 0, 1, 1, NULL, 'EUR', 0, 0, 0, 'active', NULL, NULL, NULL, 0, 0;
             ANALYZE read_model.wallet, read_model.entry, read_model.hold, read_model.parked",
        ),
        ("grown", GROW),
        (
            "grown and analyzed",
            "ANALYZE read_model.wallet, read_model.entry, read_model.hold",
        ),
    ];
    stay_on_their_indexes(&mut db, SNAPSHOT, &STATEMENTS, stages).await;
}

/// A page costs only its own rows, even in a history of 30,000 entries, whatever the filter.
#[tokio::test]
async fn a_page_reads_no_more_than_the_page() {
    let database = database("read_model", &READ_MODEL.migrations).await;
    let mut db = database.connection().await;
    run(&mut db, GROW).await;
    run(
        &mut db,
        "VACUUM ANALYZE read_model.entry, read_model.wallet, read_model.hold",
    )
    .await;
    prepare(&mut db, &STATEMENTS).await;
    let hot = |rest: &str| format!("md5('0')::uuid, {rest}");
    let pages = [
        ("history", hot("1, 9223372036854775807, 51")),
        ("history", hot("1, 15000, 51")),
        ("history", hot("1, 2, 51")),
        ("forward", hot("29000, 30001, 51")),
        ("span", hot("10000, 20000")),
        ("state_at", hot("15000")),
        ("by_type", hot("1, 30001, 51, '{credit,debit,erase}'")),
        ("by_type", hot("1, 3000, 51, '{debit}'")),
        ("by_reference", hot("1, 30001, 'r700', 51, NULL, NULL")),
        ("by_counterparty", hot("1, 20000, md5('8')::uuid, 51, NULL")),
        // A further filter examines this many entries, however few pass.
        (
            "by_counterparty",
            hot("1, 20001, md5('busy')::uuid, 100, '{erase}'"),
        ),
        ("by_reference", hot("1, 20001, 'busy', 100, '{erase}', NULL")),
        ("by_reference", hot("1, 20001, 'busy', 100, NULL, md5('8')::uuid")),
        ("by_versions", hot("'{1000,2000,3000,29999}'")),
        ("holds", hot("15000, 51")),
        ("holds_by_status", hot("30001, 51, 'open'")),
        ("by_owner", "'Ada', md5('70')::uuid, 51".to_owned()),
    ];
    for (name, values) in pages {
        // By type: 51 rows for each of two types. By owner: a look into `parked` for each row.
        reads_less(&mut db, SNAPSHOT, name, &values, 170).await;
    }
}
