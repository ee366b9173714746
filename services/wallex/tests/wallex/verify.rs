//! `wallex verify` on a platform: its output and exit code.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::{AssertSqlSafe, FromRow as _, PgPool, Row as _};
use wallex_journal::append::Answer;
use wallex_testing::TestDatabase;

use crate::api::{Api, Write};
use crate::platform::text;
use crate::process::{Process, free_port, wallex};

/// A database in which `wallex dev` has run.
struct Books {
    database: TestDatabase,
    db: PgPool,
}

impl Books {
    async fn new() -> Self {
        let database = TestDatabase::empty().await;
        let port = free_port();
        let arguments = ["dev", "--port", &port.to_string()];
        let mut dev = Process::start(&arguments, port, &[("DATABASE_URL", database.url())]);
        dev.ready().await;
        let api = Api::new([port, port]);
        let mut positions = Vec::new();
        for n in 0..3 {
            let write = Write {
                method: http::Method::POST,
                path: "/v1/wallets".to_owned(),
                key: format!("create-{n}"),
                if_match: None,
                body: json!({"currency": "EUR", "initial_balance": 100 + n, "owner": "Ada"}),
            };
            let reply = api.write(0, &write).await.unwrap();
            assert_eq!(reply.status, 201, "{reply:?}");
            positions.push(reply.position.unwrap());
        }
        for route in ["/v1/wallets?owner=Ada", "/v1/ledger/trial-balance"] {
            let read = api.read(0, route, &positions.join(",")).await.unwrap();
            assert_eq!(read.status, 200, "{read:?}");
        }
        dev.signal("-INT");
        assert!(dev.ended().await.success(), "{}", dev.log());
        Self {
            db: database.pool().await,
            database,
        }
    }

    fn check(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut verify = wallex();
        verify
            .arg("verify")
            .args(arguments)
            .env("WALLEX_DATABASE_URL", self.database.url());
        verify
    }

    async fn execute(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&self.db)
            .await
            .unwrap();
    }

    /// Stores all answers as schema versions before 11 did, in a form that SQL can change.
    async fn unpack_answers(&self) {
        let rows =
            sqlx::query("SELECT key, status, packed, body, etag, position, location FROM journal.answer");
        for row in rows.fetch_all(&self.db).await.unwrap() {
            let answer = Answer::from_row(&row).unwrap();
            sqlx::query(
                "UPDATE journal.answer SET packed = NULL, body = $2, etag = $3, position = $4, location = $5
                  WHERE key = $1",
            )
            .bind(row.get::<String, _>("key"))
            .bind(&answer.body[..])
            .bind(answer.etag)
            .bind(answer.position)
            .bind(answer.location)
            .execute(&self.db)
            .await
            .unwrap();
        }
    }
}

#[tokio::test]
async fn the_projections_are_compared_unless_they_are_left_out() {
    let books = Books::new().await;
    let whole = books.check(&[]);
    let said = text(&whole);
    assert!(whole.status.success() && said.contains("all whole"), "{said}");
    assert!(
        said.contains("read model: 3 events compared, 0 not applied yet"),
        "{said}"
    );

    books.execute("UPDATE read_model.wallet SET balance = 777").await;
    let changed = books.check(&[]);
    let said = text(&changed);
    assert_eq!(changed.status.code(), Some(1), "{said}");
    assert_eq!(said.matches("is not the fold of its events").count(), 3, "{said}");
    assert!(said.contains("3 problems"), "{said}");
    let journal = books.check(&["--journal-only"]);
    assert!(journal.status.success(), "{}", text(&journal));

    // The reader may stop reading; the verdict stands.
    let mut unread = books
        .command(&[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(unread.stdout.take());
    let unread = unread.wait_with_output().unwrap();
    assert_eq!(unread.status.code(), Some(1));
    assert!(!text(&unread).contains("pipe"), "{}", text(&unread));
}

/// A pattern in the body of a stored answer, and its replacement.
const ANSWERS: &[(&str, &str)] = &[
    ("\"balance\":\\d+", "\"balance\":123456789"),
    ("\"version\":\\d+", "\"version\":99"),
    ("\"amount\":\\d+", "\"amount\":98765"),
    ("\"currency\":\"EUR\"", "\"currency\":\"USD\""),
    (
        "\"transaction_id\":\"[^\"]+\"",
        "\"transaction_id\":\"00000000-0000-0000-0000-000000000001\"",
    ),
    (
        "\"id\":\"[^\"]+\"",
        "\"id\":\"00000000-0000-0000-0000-000000000001\"",
    ),
    (
        "\"recorded_at\":\"[^\"]+\"",
        "\"recorded_at\":\"2001-01-01T00:00:00.000000Z\"",
    ),
    ("\"position\":\"(\\d+):\\d+\"", "\"position\":\"\\1:99\""),
];

#[tokio::test]
async fn a_stored_answer_that_says_something_else_than_its_event_is_named() {
    let books = Books::new().await;
    books.unpack_answers().await;
    books.execute("CREATE TABLE kept AS TABLE journal.answer").await;
    for (pattern, replacement) in ANSWERS {
        let changed = format!(
            "UPDATE journal.answer SET body = convert_to(
                 regexp_replace(convert_from(body, 'UTF8'), '{pattern}', '{replacement}', 'g'), 'UTF8')"
        );
        books.execute(&changed).await;
        let checked = books.check(&["--journal-only"]);
        let said = text(&checked);
        assert_eq!(checked.status.code(), Some(1), "{pattern}: {said}");
        assert_eq!(
            said.matches("the answer stored for key").count(),
            3,
            "{pattern}: {said}"
        );
        books
            .execute("TRUNCATE journal.answer; INSERT INTO journal.answer SELECT * FROM kept")
            .await;
    }
    assert!(books.check(&[]).status.success());
}

/// A problem that waiting does not fix is reported at once.
#[tokio::test]
async fn a_refused_user_or_a_missing_database_is_named_at_once() {
    let url = wallex_testing::postgres();
    let (scheme, rest) = url.split_once("://").unwrap();
    let (_, place) = rest.rsplit_once('@').unwrap();
    let (server, _) = place.split_once('/').unwrap();
    let (nobody, nowhere) = (
        format!("{scheme}://nobody:hunter2@{place}"),
        format!("{}/nowhere", url.rsplit_once('/').unwrap().0),
    );
    for (url, expected) in [
        (&nobody, "user or password refused"),
        (&nowhere, "the database does not exist"),
    ] {
        for tool in [
            &["verify"][..],
            &["maintain"],
            &["projection", "reset", "ledger", "--yes"],
        ] {
            let started = Instant::now();
            let ended = wallex()
                .args(tool)
                .env("WALLEX_DATABASE_URL", url)
                .output()
                .unwrap();
            let said = text(&ended);
            assert_eq!(ended.status.code(), Some(1), "{said}");
            assert!(said.contains(expected) && said.contains(server), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "{:?}",
                started.elapsed()
            );
        }
    }
}

/// A tool that waits forever looks like one that works.
#[tokio::test]
async fn a_database_that_is_not_there_or_not_migrated_is_named_after_a_while() {
    let empty = TestDatabase::empty().await;
    let start = |tool: &str, url: &str| {
        let mut command = wallex();
        command.arg(tool).env("WALLEX_DATABASE_URL", url);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let nowhere = "postgres://wallex:hunter2@127.0.0.1:1/wallex";
    let expected = "error: PostgreSQL at 127.0.0.1:1/wallex (database_url) cannot be used: ";
    let running = [
        (start("verify", nowhere), expected),
        (start("maintain", nowhere), expected),
        (start("verify", empty.url()), "run `wallex migrate`"),
    ];
    for (child, expected) in running {
        let output = child.wait_with_output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(expected) && !said.contains("hunter2"), "{said}");
    }
}
