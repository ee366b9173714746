//! A migrated database of the test's own, writers on it, and short ways to say commands.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Connection as _};
use uuid::Uuid;
use wallex_domain::{
    Amount, Command, CreateWallet, Hash, Movement, Partition, Rejection, Transfer, WalletId,
};
use wallex_journal::append::{Answer, Committed, Config, Reply, Request, Writer};
use wallex_journal::platform_id::PlatformId;
use wallex_journal::route::Routes;
use wallex_journal::{Event, read, schema, verify};
use wallex_testing::{TestDatabase, template_name};

pub(crate) const PARTITIONS: i32 = 4;

pub(crate) fn platform() -> PlatformId {
    PlatformId {
        cluster: "c1".to_owned(),
        namespace: "tests".to_owned(),
        name: "journal".to_owned(),
    }
}

pub(crate) struct Journal {
    pub(crate) database: TestDatabase,
    pub(crate) pool: PgPool,
}

impl Journal {
    pub(crate) async fn new() -> Self {
        let migrations = schema::MIGRATIONS
            .iter()
            .map(|migration| migration.sql.as_str().as_bytes());
        let template = template_name("journal", migrations);
        let database = TestDatabase::create(&template, async |url| {
            let mut db = PgConnection::connect(url).await?;
            schema::migrate(&mut db, &platform(), false).await?;
            schema::add_partitions(&mut db, PARTITIONS).await?;
            schema::open_partitions(&mut db).await?;
            Ok(db.close().await?)
        })
        .await;
        let pool = database.pool().await;
        Self { database, pool }
    }

    pub(crate) fn options(&self) -> PgConnectOptions {
        PgConnectOptions::from_str(self.database.url()).unwrap()
    }

    pub(crate) fn writer(&self) -> Writer {
        self.writer_with(Arc::default())
    }

    pub(crate) fn writer_with(&self, routes: Arc<Routes>) -> Writer {
        Writer::new(self.options(), routes, render, Config::default())
    }

    pub(crate) async fn execute(&self, statement: &str) {
        sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
            .execute(&self.pool)
            .await
            .unwrap();
    }

    pub(crate) async fn balance(&self, wallet: WalletId) -> i64 {
        let balance = sqlx::query_scalar("SELECT balance FROM journal.head WHERE wallet_id = $1");
        balance.bind(wallet.0).fetch_one(&self.pool).await.unwrap()
    }

    /// All events of all partitions.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for partition in 0..PARTITIONS {
            events.extend(
                read::events(&self.pool, Partition(partition), 0, 100_000)
                    .await
                    .unwrap(),
            );
        }
        events
    }

    /// The whole check: chain, density, versions, heads.
    pub(crate) async fn assert_whole(&self) {
        let report = verify::verify(&self.pool).await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
    }
}

/// A deadline that no healthy test meets.
pub(crate) fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

pub(crate) async fn run(writer: &mut Writer, requests: &[Request]) -> Vec<Reply> {
    writer.append(requests, deadline()).await
}

pub(crate) async fn run_one(writer: &mut Writer, request: Request) -> Reply {
    run(writer, &[request]).await.remove(0)
}

/// The simplest answer that tells what was decided.
pub(crate) fn render(command: &Command, decision: Result<&Committed, &Rejection>) -> Answer {
    let (status, body) = match decision {
        Ok(committed) => {
            let balances: Vec<i64> = committed
                .wallets
                .iter()
                .map(|(wallet, _)| wallet.balance)
                .collect();
            (201, json!({"kind": command.kind(), "balances": balances}))
        }
        Err(rejection) => (422, json!({"rejected": rejection.to_string()})),
    };
    let position = decision.ok().map(|committed| committed.wallets[0].1.to_string());
    Answer {
        status,
        body: body.to_string().into(),
        etag: None,
        position,
        location: None,
    }
}

pub(crate) fn request(key: &str, command: Command) -> Request {
    let fingerprint = Hash(*blake3::hash(format!("{command:?}").as_bytes()).as_bytes());
    Request {
        caller: "tests".into(),
        key: key.into(),
        fingerprint,
        command,
        personal: None,
        traceparent: None,
    }
}

pub(crate) fn wallet(n: u128) -> WalletId {
    WalletId(Uuid::from_u128(n))
}

pub(crate) fn create(key: &str, id: WalletId, initial: i64) -> Request {
    request(
        key,
        Command::Create(CreateWallet {
            wallet_id: id,
            external_id: None,
            currency: "EUR".parse().unwrap(),
            initial_balance: Amount::new(initial).ok(),
            personal: None,
        }),
    )
}

pub(crate) fn movement(id: WalletId, amount: i64) -> Movement {
    Movement {
        wallet_id: id,
        amount: Amount::new(amount).unwrap(),
        reference: None,
        personal: None,
        expected_version: None,
    }
}

pub(crate) fn credit(key: &str, id: WalletId, amount: i64) -> Request {
    request(key, Command::Credit(movement(id, amount)))
}

pub(crate) fn debit(key: &str, id: WalletId, amount: i64) -> Request {
    request(key, Command::Debit(movement(id, amount)))
}

pub(crate) fn transfer(key: &str, from: WalletId, to: WalletId, amount: i64) -> Request {
    let amount = Amount::new(amount).unwrap();
    let transfer = Transfer {
        from,
        to,
        amount,
        reference: None,
        personal: None,
        expected_version: None,
    };
    request(key, Command::Transfer(transfer))
}

pub(crate) fn status(reply: &Reply) -> (u16, bool) {
    match reply {
        Reply::Answered { answer, replayed } => (answer.status, *replayed),
        other => panic!("no answer: {other:?}"),
    }
}

pub(crate) const DONE: (u16, bool) = (201, false);
pub(crate) const REJECTED: (u16, bool) = (422, false);

/// Two wallets that live in different partitions, with 1,000 each.
pub(crate) async fn two_partitions(writer: &mut Writer, journal: &Journal) -> (WalletId, WalletId) {
    let creates: Vec<Request> = (1..=20)
        .map(|n| create(&format!("w{n}"), wallet(n), 1_000))
        .collect();
    run(writer, &creates).await;
    let of = async |id: WalletId| -> i32 {
        sqlx::query_scalar("SELECT partition FROM journal.head WHERE wallet_id = $1")
            .bind(id.0)
            .fetch_one(&journal.pool)
            .await
            .unwrap()
    };
    let first = wallet(1);
    for n in 2..=20 {
        if of(wallet(n)).await != of(first).await {
            return (first, wallet(n));
        }
    }
    panic!("twenty wallets in one partition");
}
