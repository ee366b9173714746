//! Answers in the form that schema versions before 11 stored them in.

use sqlx::AssertSqlSafe;
use wallex_journal::append::Answer;

use crate::harness::*;

/// Stores the answer with this key, or of the movement with this name, as schema versions before 11 did.
pub(crate) async fn unpack(journal: &Journal, table: &str, key: &str) {
    let name = if table == "answer" { "key" } else { "external_id" };
    let mut db = journal.pool.acquire().await.unwrap();
    let answer: Answer = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT status, packed, body, etag, position, location FROM journal.{table} WHERE {name} = $1"
    )))
    .bind(key)
    .fetch_one(&mut *db)
    .await
    .unwrap();
    // Names of movements are append-only.
    sqlx::raw_sql("SET session_replication_role = replica")
        .execute(&mut *db)
        .await
        .unwrap();
    sqlx::query(AssertSqlSafe(format!(
        "UPDATE journal.{table} SET packed = NULL, body = $2, etag = $3, position = $4, location = $5
          WHERE {name} = $1"
    )))
    .bind(key)
    .bind(&answer.body[..])
    .bind(&answer.etag)
    .bind(&answer.position)
    .bind(&answer.location)
    .execute(&mut *db)
    .await
    .unwrap();
    sqlx::raw_sql("SET session_replication_role = DEFAULT")
        .execute(&mut *db)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_answer_in_the_old_form_is_given_again() {
    let journal = Journal::new().await;
    let mut writer = journal.writer();
    run_one(&mut writer, create("c", wallet(1), 10)).await;
    let first = run_one(&mut writer, named(credit("k", wallet(1), 5), "rent")).await;
    for (table, key) in [("answer", "k"), ("movement", "rent")] {
        unpack(&journal, table, key).await;
        // By its key, and under another one by its name.
        for key in ["k", &format!("other {table}")] {
            let again = run_one(&mut writer, named(credit(key, wallet(1), 5), "rent")).await;
            assert_eq!(
                (status(&again), body(&again)),
                ((201, true), body(&first)),
                "{table}"
            );
        }
    }
    assert_eq!(journal.balance(wallet(1)).await, 15);
    journal.assert_whole().await;
}

/// The form of a row is never a matter of guessing.
#[tokio::test]
async fn a_row_has_one_form() {
    let journal = Journal::new().await;
    run_one(&mut journal.writer(), create("c", wallet(1), 10)).await;
    for change in ["packed = NULL", "body = ''"] {
        let changed = sqlx::query(AssertSqlSafe(format!("UPDATE journal.answer SET {change}")))
            .execute(&journal.pool)
            .await;
        let refused = changed.unwrap_err();
        let refused = refused.as_database_error().and_then(|error| error.constraint());
        assert_eq!(refused, Some("answer_has_one_form"));
    }
}
