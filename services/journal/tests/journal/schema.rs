//! Migrations, the platform's id, and what the schema itself refuses.

use sqlx::Connection as _;
use wallex_domain::Currencies;
use wallex_domain::PlatformId;
use wallex_journal::currency;
use wallex_journal::platform_id::{self, PlatformIdError};
use wallex_journal::schema;
use wallex_postgres::schema::SchemaError;
use wallex_testing::TestDatabase;

use crate::harness::*;

#[tokio::test]
async fn migrating_twice_changes_nothing_and_partitions_never_shrink() {
    let database = TestDatabase::empty().await;
    let mut db = database.connection().await;
    assert!(matches!(
        schema::check(&mut db).await,
        Err(SchemaError::TooOld { found: 0, .. })
    ));
    for (asked, there) in [(4, 4), (4, 4), (6, 6), (2, 6)] {
        schema::migrate(&mut db, &platform(), false).await.unwrap();
        assert_eq!(schema::add_partitions(&mut db, asked).await.unwrap(), there);
    }
    schema::check(&mut db).await.unwrap();
    let publications: i64 = sqlx::query_scalar("SELECT count(*) FROM journal.publication")
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert_eq!(publications, 6);
    db.close().await.unwrap();
}

#[tokio::test]
async fn another_platforms_journal_is_refused_by_both_names_until_adopted() {
    let journal = Journal::new().await;
    let other = PlatformId {
        name: "other".to_owned(),
        ..platform()
    };
    platform_id::check(&journal.pool, &platform()).await.unwrap();
    let refused = platform_id::check(&journal.pool, &other).await.unwrap_err();
    assert!(matches!(refused, PlatformIdError::BelongsToAnother { .. }));
    let line = refused.to_string();
    assert!(
        line.contains("c1/tests/journal") && line.contains("c1/tests/other"),
        "{line}"
    );

    let mut db = journal.database.connection().await;
    assert!(schema::migrate(&mut db, &other, false).await.is_err());
    platform_id::check(&journal.pool, &platform()).await.unwrap();
    schema::migrate(&mut db, &other, true).await.unwrap();
    platform_id::check(&journal.pool, &other).await.unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_worked_on_only_when_it_says_so() {
    let journal = Journal::new().await;
    journal
        .execute("INSERT INTO journal.compatibility VALUES (900, 1)")
        .await;
    schema::check(&journal.pool).await.unwrap();
    journal
        .execute("INSERT INTO journal.compatibility VALUES (901, 901)")
        .await;
    assert!(matches!(
        schema::check(&journal.pool).await,
        Err(SchemaError::TooNew { .. })
    ));
}

#[tokio::test]
async fn events_are_never_changed_removed_or_truncated() {
    let journal = Journal::new().await;
    run_one(&mut journal.writer(), create("c", wallet(1), 1)).await;
    for statement in [
        "UPDATE journal.event SET actor = 'me'",
        "DELETE FROM journal.event",
        "TRUNCATE journal.event",
        "TRUNCATE journal.event CASCADE",
    ] {
        let refused = sqlx::raw_sql(statement).execute(&journal.pool).await.unwrap_err();
        assert!(
            refused.to_string().contains("append-only"),
            "{statement}: {refused}"
        );
    }
    journal.assert_whole().await;
}

#[tokio::test]
async fn the_schema_itself_refuses_an_overdrawn_wallet() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    let (a, _) = two_partitions(&mut writer, &journal).await;
    for (statement, constraint) in [
        (
            format!("UPDATE journal.head SET balance = -1 WHERE wallet_id = '{a}'"),
            "head_check",
        ),
        (
            format!("UPDATE journal.head SET held = 2000 WHERE wallet_id = '{a}'"),
            "head_check",
        ),
    ] {
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&journal.pool)
            .await
            .unwrap_err();
        let named = refused
            .as_database_error()
            .and_then(|error| error.constraint().map(str::to_owned));
        assert_eq!(named.as_deref(), Some(constraint));
    }
}

#[tokio::test]
async fn a_currency_keeps_the_digits_it_had_first() {
    let journal = Journal::new().await;
    let claim = async |list: &str| {
        let currencies = Currencies::with_own(list).unwrap();
        currency::claim(&journal.pool, &currencies)
            .await
            .map_err(|error| error.to_string())
    };
    assert_eq!(claim("").await, Ok(()));
    // Replicas that start together, with the same digits and with different ones: one of the two succeeds.
    let (one, two) = tokio::join!(claim("POINTS:0,GOLD:3"), claim("GOLD:2,POINTS:0"));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let gold = if one.is_ok() { "GOLD:3" } else { "GOLD:2" };
    let refused = claim("POINTS:1").await.unwrap_err();
    assert!(
        refused.contains("POINTS with 1 decimal digits, and this journal has it with 0"),
        "{refused}"
    );
    // Removed from the list, and listed again.
    assert_eq!(claim("MILES:0").await, Ok(()));
    assert_eq!(claim(&format!("MILES:0,{gold}")).await, Ok(()));
    assert!(claim("MILES:2").await.is_err());
}
