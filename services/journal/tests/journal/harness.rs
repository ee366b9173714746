//! A migrated database for each test, writers on it, and shorthands for commands.

use std::str::FromStr as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{AssertSqlSafe, Connection as _};
use uuid::Uuid;
use wallex_domain::{
    Amount, CaptureHold, Change, ChangeWallet, Command, CreateWallet, ExtendHold, Hash, HoldId, Movement,
    Partition, PersonalData, PlaceHold, PlatformId, Positions, Rejection, ReleaseHold, Reverse, Transfer,
    WalletId,
};
use wallex_journal::append::{
    Answer, BatchOutcome, Committed, Config, Item, Render, Reply, Request, Work, Writer,
};
use wallex_journal::personal::Sealed;
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
        let migrations = schema::SCHEMA
            .migrations
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
        Writer::new(self.options(), routes, RENDER, config())
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

    /// Balance and held money.
    pub(crate) async fn held(&self, wallet: WalletId) -> (i64, i64) {
        let row = sqlx::query_as("SELECT balance, held FROM journal.head WHERE wallet_id = $1");
        row.bind(wallet.0).fetch_one(&self.pool).await.unwrap()
    }

    pub(crate) async fn hold_status(&self, n: u128) -> String {
        let row = sqlx::query_scalar("SELECT status FROM journal.hold WHERE hold_id = $1");
        row.bind(hold_id(n).0).fetch_one(&self.pool).await.unwrap()
    }

    pub(crate) async fn expires_at(&self, n: u128) -> Option<i64> {
        sqlx::query_scalar("SELECT expires_at FROM journal.hold WHERE hold_id = $1")
            .bind(hold_id(n).0)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    pub(crate) async fn now(&self) -> i64 {
        sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// The types of a wallet's events, in order.
    pub(crate) async fn history(&self, wallet: WalletId) -> Vec<String> {
        let rows = sqlx::query_scalar("SELECT type FROM journal.event WHERE wallet_id = $1 ORDER BY version");
        rows.bind(wallet.0).fetch_all(&self.pool).await.unwrap()
    }

    /// The transaction of a wallet's last event.
    pub(crate) async fn last_transaction(&self, wallet: WalletId) -> Uuid {
        sqlx::query_scalar(
            "SELECT transaction_id FROM journal.event WHERE wallet_id = $1 ORDER BY version DESC LIMIT 1",
        )
        .bind(wallet.0)
        .fetch_one(&self.pool)
        .await
        .unwrap()
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

    /// The full check: chain, density, versions, heads.
    pub(crate) async fn assert_whole(&self) {
        let report = verify::verify(&self.pool).await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
    }
}

/// `WALLEX_TEST_APPEND`: `one_trip` (where possible, the default), `locked` or `alternating`.
pub(crate) fn way() -> &'static str {
    static WAY: LazyLock<String> = LazyLock::new(|| std::env::var("WALLEX_TEST_APPEND").unwrap_or_default());
    &WAY
}

pub(crate) fn config() -> Config {
    Config {
        one_trip: way() != "locked",
        ..Config::default()
    }
}

/// Never in one trip.
pub(crate) fn locked_first() -> Config {
    Config {
        one_trip: false,
        ..Config::default()
    }
}

/// No healthy test reaches it.
pub(crate) fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

pub(crate) async fn run(writer: &mut Writer, requests: &[Request]) -> Vec<Reply> {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    if way() == "alternating" {
        writer.pause_one_trip(CALLS.fetch_add(1, Ordering::Relaxed).is_multiple_of(2));
    }
    writer.append(requests, deadline()).await
}

pub(crate) async fn run_one(writer: &mut Writer, request: Request) -> Reply {
    run(writer, &[request]).await.remove(0)
}

pub(crate) const RENDER: Render = Render {
    one: render,
    batch: render_batch,
};

/// The statuses of the answers, or the index of the command to blame.
fn render_batch(outcome: BatchOutcome<'_>) -> Answer {
    let (status, body) = match outcome {
        Ok(answers) => {
            let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
            (200, json!({"statuses": statuses}))
        }
        Err((index, _)) => (422, json!({"index": index})),
    };
    Answer {
        status,
        body: body.to_string().into(),
        etag: None,
        position: None,
        location: None,
    }
}

/// The simplest answer that tells what was decided, and which events it refers to.
fn render(command: &Command, decision: Result<&Committed, &Rejection>) -> Answer {
    let committed = match decision {
        Ok(committed) => committed,
        Err(rejection) => {
            return Answer {
                status: 422,
                body: json!({"rejected": rejection.to_string()}).to_string().into(),
                etag: None,
                position: None,
                location: None,
            };
        }
    };
    let wallets = committed.wallets.iter().map(|(wallet, position)| {
        let (id, balance, version) = (wallet.id, wallet.balance, wallet.version);
        json!({"id": id, "balance": balance, "version": version, "position": position})
    });
    let wallets: Vec<serde_json::Value> = wallets.collect();
    let transaction_id = committed.transaction_id;
    let body = json!({"kind": command.kind(), "transaction_id": transaction_id, "wallets": wallets});
    let positions = Positions(committed.wallets.iter().map(|(_, position)| *position).collect());
    let first = committed.wallets.first();
    Answer {
        status: 201,
        body: body.to_string().into(),
        etag: first.map(|(wallet, _)| format!("\"{}\"", wallet.version)),
        position: Some(positions.to_string()),
        location: Some(format!("/v1/transactions/{transaction_id}")),
    }
}

pub(crate) fn request(key: &str, command: Command) -> Request {
    work(key, Work::One(item(command)))
}

pub(crate) fn batch(key: &str, atomic: bool, commands: impl IntoIterator<Item = Command>) -> Request {
    let items = commands.into_iter().map(item).collect();
    let work_of_all = Work::Batch {
        items,
        refused: Vec::new(),
        atomic,
    };
    work(key, work_of_all)
}

/// A command without a key: nothing of it is stored but its events.
pub(crate) fn upkeep(command: Command) -> Request {
    Request {
        key: None,
        ..request("", command)
    }
}

/// The single command of a request, for changes.
pub(crate) fn item_of(request: &mut Request) -> &mut Item {
    match &mut request.work {
        Work::One(item) => item,
        Work::Batch { .. } => panic!("a batch"),
    }
}

/// Adds a description, sealed anew each time as the edge does.
pub(crate) fn described(mut request: Request, text: &str) -> Request {
    let data = PersonalData {
        description: Some(text.to_owned()),
        ..PersonalData::default()
    };
    let sealed = Sealed::new(&data, Uuid::now_v7().into_bytes()).unwrap().unwrap();
    let item = item_of(&mut request);
    let digest = Some(sealed.digest());
    match &mut item.command {
        Command::Create(create) => create.personal = digest,
        Command::Credit(movement) | Command::Debit(movement) => movement.personal = digest,
        Command::Transfer(transfer) => transfer.personal = digest,
        Command::CaptureHold(capture) => capture.personal = digest,
        Command::Reverse(reverse) => reverse.personal = digest,
        other => panic!("{other:?}"),
    }
    item.personal = Some(sealed);
    request
}

/// Adds a name of the caller's own.
pub(crate) fn named(mut request: Request, name: &str) -> Request {
    let item = item_of(&mut request);
    let external_id = match &mut item.command {
        Command::Credit(movement) | Command::Debit(movement) => &mut movement.external_id,
        Command::Transfer(transfer) => &mut transfer.external_id,
        Command::CaptureHold(capture) => &mut capture.external_id,
        Command::Reverse(reverse) => &mut reverse.external_id,
        other => panic!("{other:?}"),
    };
    *external_id = Some(name.to_owned());
    request
}

fn item(command: Command) -> Item {
    Item {
        command,
        personal: None,
    }
}

fn work(key: &str, work: Work) -> Request {
    let fingerprint = Hash(*blake3::hash(format!("{work:?}").as_bytes()).as_bytes());
    Request {
        caller: "tests".into(),
        key: Some(key.into()),
        fingerprint,
        work,
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
        external_id: None,
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
        external_id: None,
        personal: None,
        expected_version: None,
    };
    request(key, Command::Transfer(transfer))
}

pub(crate) fn hold_id(n: u128) -> HoldId {
    HoldId(Uuid::from_u128(n))
}

pub(crate) fn hold(key: &str, n: u128, id: WalletId, amount: i64, expires_at: Option<i64>) -> Request {
    request(key, place_hold(n, id, amount, expires_at))
}

pub(crate) fn place_hold(n: u128, id: WalletId, amount: i64, expires_at: Option<i64>) -> Command {
    Command::PlaceHold(PlaceHold {
        hold_id: hold_id(n),
        wallet_id: id,
        amount: Amount::new(amount).unwrap(),
        expires_at,
        reference: None,
        personal: None,
        expected_version: None,
    })
}

pub(crate) fn capture(key: &str, n: u128, amount: Option<i64>, to: Option<WalletId>) -> Request {
    request(key, capture_hold(n, amount, to))
}

pub(crate) fn capture_hold(n: u128, amount: Option<i64>, to: Option<WalletId>) -> Command {
    Command::CaptureHold(CaptureHold {
        hold_id: hold_id(n),
        amount: amount.map(|amount| Amount::new(amount).unwrap()),
        to,
        reference: None,
        external_id: None,
        personal: None,
        expected_version: None,
    })
}

pub(crate) fn release(key: &str, n: u128) -> Request {
    request(
        key,
        Command::ReleaseHold(ReleaseHold {
            hold_id: hold_id(n),
            reference: None,
            personal: None,
            expected_version: None,
        }),
    )
}

pub(crate) fn extend(key: &str, n: u128, expires_at: i64) -> Request {
    request(key, extend_hold(n, expires_at))
}

pub(crate) fn extend_hold(n: u128, expires_at: i64) -> Command {
    Command::ExtendHold(ExtendHold {
        hold_id: hold_id(n),
        expires_at,
        reference: None,
        personal: None,
        expected_version: None,
    })
}

pub(crate) fn reverse(key: &str, transaction_id: Uuid, amount: Option<i64>) -> Request {
    request(
        key,
        Command::Reverse(Reverse {
            transaction_id,
            amount: amount.map(|amount| Amount::new(amount).unwrap()),
            reference: None,
            external_id: None,
            personal: None,
            expected_version: None,
        }),
    )
}

pub(crate) fn change(key: &str, wallet_id: WalletId, change: Change) -> Request {
    request(
        key,
        Command::Change(ChangeWallet {
            wallet_id,
            change,
            personal: None,
            expected_version: None,
        }),
    )
}

/// The text of an answer's body.
pub(crate) fn body(reply: &Reply) -> String {
    match reply {
        Reply::Answered { answer, .. } | Reply::NotFound(answer) => {
            String::from_utf8(answer.body.to_vec()).unwrap()
        }
        other => panic!("no answer: {other:?}"),
    }
}

pub(crate) fn status(reply: &Reply) -> (u16, bool) {
    match reply {
        Reply::Answered { answer, replayed } => (answer.status, *replayed),
        other => panic!("no answer: {other:?}"),
    }
}

pub(crate) const DONE: (u16, bool) = (201, false);
pub(crate) const REJECTED: (u16, bool) = (422, false);

/// Two wallets in different partitions, with 1,000 each.
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
