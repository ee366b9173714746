//! A journal with events made up by the test.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, PgPool};
use uuid::Uuid;
use wallex_domain::{
    Currency, EventData, Hash, Hold, HoldId, Mark, Moved, Partition, PersonalData, PlatformId, Position,
    Status, TransferLeg, WalletId,
};
use wallex_journal::personal::Sealed;
use wallex_journal::{Event, schema};
use wallex_testing::TestDatabase;

use crate::rows;

/// A database with an empty journal with that many partitions, with the migrations of `more` applied too.
pub async fn database(
    partitions: i32,
    more: &str,
    also: impl AsyncFnOnce(&str) -> anyhow::Result<()>,
) -> TestDatabase {
    let migrations = schema::SCHEMA
        .migrations
        .iter()
        .map(|migration| migration.sql.as_str().as_bytes());
    let template = wallex_testing::template_name(more, migrations);
    let database = TestDatabase::create(&template, async |url: &str| {
        let mut connection = PgConnection::connect(url).await?;
        let platform = PlatformId {
            cluster: "local".to_owned(),
            namespace: "default".to_owned(),
            name: "test".to_owned(),
        };
        schema::migrate(&mut connection, &platform, false).await?;
        connection.close().await?;
        also(url).await
    })
    .await;
    let mut connection = database.connection().await;
    schema::add_partitions(&mut connection, partitions).await.unwrap();
    schema::open_partitions(&mut connection).await.unwrap();
    database
}

/// The id of wallet `n` in a partition.
pub fn wallet(partition: i32, n: u64) -> Uuid {
    Uuid::from_u64_pair(
        0x1000_0000_0000_4000 + u64::try_from(partition).unwrap(),
        0x8000_0000_0000_0000 + n,
    )
}

/// An event to write. Its version follows from the wallet's earlier events.
#[derive(Debug, Clone)]
pub struct New {
    pub partition: i32,
    pub wallet: Uuid,
    pub event_type: String,
    pub schema_version: i16,
    pub payload: Vec<u8>,
    /// Stored beside the event; the payload has its digest.
    pub personal: Option<Sealed>,
    /// The next one by default. A gap stands for events of other wallets.
    pub seq: Option<i64>,
    /// Microseconds since 1970 (UTC). By default, one more than the previous event's.
    pub recorded_at: Option<i64>,
    pub event_id: Uuid,
    pub transaction_id: Uuid,
    pub actor: String,
}

impl New {
    pub fn event(partition: i32, wallet: Uuid, data: &EventData) -> Self {
        Self {
            schema_version: data.schema_version(),
            ..Self::raw(partition, wallet, data.event_type(), data.encode().unwrap())
        }
    }

    /// Any event, even one that no release of Wallex would write.
    pub fn raw(partition: i32, wallet: Uuid, event_type: &str, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            partition,
            wallet,
            event_type: event_type.to_owned(),
            schema_version: 1,
            payload: payload.into(),
            personal: None,
            seq: None,
            recorded_at: None,
            event_id: Uuid::now_v7(),
            transaction_id: Uuid::now_v7(),
            actor: "tests".to_owned(),
        }
    }
}

/// A wallet's state after its events, whether they add up or not.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) partition: i32,
    pub(crate) version: i64,
    pub(crate) currency: Currency,
    pub(crate) balance: i64,
    pub(crate) held: i64,
    pub(crate) overdraft_limit: i64,
    pub(crate) status: Status,
    pub(crate) external_id: Option<String>,
}

impl Head {
    fn nothing(partition: i32) -> Self {
        Self {
            partition,
            version: 0,
            currency: "EUR".parse().unwrap(),
            balance: 0,
            held: 0,
            overdraft_limit: 0,
            status: Status::Active,
            external_id: None,
        }
    }

    fn after(mut self, event: &Event) -> Self {
        self.version = event.version;
        let Ok(data) = event.decode() else { return self };
        let effect = data.effect();
        if let Some(created) = data.created() {
            self.currency = created.currency;
            self.external_id.clone_from(&created.external_id);
        }
        self.balance = data.balance();
        self.held = self.held.saturating_add(effect.held).max(0);
        self.overdraft_limit = effect.overdraft_limit.unwrap_or(self.overdraft_limit);
        self.status = effect.status.unwrap_or(self.status);
        self
    }
}

/// Writes events. Each wallet in a partition is identified by a small number, or by its id.
pub struct Journal {
    pub db: PgPool,
    partitions: BTreeMap<i32, Mark>,
    wallets: BTreeMap<Uuid, Head>,
    holds: BTreeMap<HoldId, Hold>,
    personal: BTreeMap<Uuid, PersonalData>,
    clock: i64,
    /// Everything that was written, in order.
    pub events: Vec<Event>,
}

impl Journal {
    pub fn new(db: PgPool) -> Self {
        Self {
            db,
            partitions: BTreeMap::new(),
            wallets: BTreeMap::new(),
            holds: BTreeMap::new(),
            personal: BTreeMap::new(),
            clock: 1_700_000_000_000_000,
            events: Vec::new(),
        }
    }

    fn mark(&self, partition: i32) -> Mark {
        self.partitions.get(&partition).copied().unwrap_or(Mark {
            seq: 0,
            hash: Hash::GENESIS,
        })
    }

    pub fn last_seq(&self, partition: i32) -> i64 {
        self.mark(partition).seq
    }

    pub fn balance(&self, partition: i32, n: u64) -> i64 {
        self.wallets
            .get(&wallet(partition, n))
            .map_or(0, |head| head.balance)
    }

    /// How many events a wallet has.
    pub fn version(&self, wallet: Uuid) -> i64 {
        self.wallets.get(&wallet).map_or(0, |head| head.version)
    }

    /// The personal data stored beside an event.
    pub fn personal(&self, event: &Event) -> Option<PersonalData> {
        self.personal.get(&event.event_id).cloned()
    }

    /// The position of a partition's next event, or of the one `ahead` events later.
    pub fn next_position(&self, partition: i32, ahead: i64) -> Position {
        Position::at(partition, self.last_seq(partition) + 1 + ahead)
    }

    pub async fn create(&mut self, partition: i32, n: u64, balance: i64) -> Event {
        self.create_with(partition, n, balance, json!({})).await
    }

    /// `more` is added to the usual payload.
    pub async fn create_with(&mut self, partition: i32, n: u64, balance: i64, more: Value) -> Event {
        let mut payload = json!({"currency": "EUR", "initial_balance": balance, "balance": balance});
        if let (Some(payload), Value::Object(more)) = (payload.as_object_mut(), more) {
            payload.extend(more);
        }
        self.event(partition, n, "wallet.created", payload).await
    }

    pub async fn credit(&mut self, partition: i32, n: u64, amount: i64) -> Event {
        let data = EventData::WalletCredited(Moved {
            amount,
            currency: eur(),
            balance: self.balance(partition, n) + amount,
            reference: None,
            external_id: None,
            personal: None,
        });
        self.one(New::event(partition, wallet(partition, n), &data)).await
    }

    pub async fn debit(&mut self, partition: i32, n: u64, amount: i64) -> Event {
        let data = EventData::WalletDebited(Moved {
            amount,
            currency: eur(),
            balance: self.balance(partition, n) - amount,
            reference: Some("rent".to_owned()),
            external_id: None,
            personal: None,
        });
        self.one(New::event(partition, wallet(partition, n), &data)).await
    }

    pub async fn transfer(&mut self, from: (i32, u64), to: (i32, u64), amount: i64) -> (Event, Event) {
        let transaction_id = Uuid::now_v7();
        let out = self.next_position(from.0, 0);
        let into = self.next_position(to.0, i64::from(from.0 == to.0));
        let leg = |balance, other: (i32, u64), position, counterparty_position| TransferLeg {
            amount,
            currency: eur(),
            balance,
            counterparty: WalletId(wallet(other.0, other.1)),
            position,
            counterparty_position,
            reference: None,
            external_id: None,
            personal: None,
        };
        let debited = EventData::TransferDebited(leg(self.balance(from.0, from.1) - amount, to, out, into));
        let credited = EventData::TransferCredited(leg(self.balance(to.0, to.1) + amount, from, into, out));
        let new = |at: (i32, u64), data| New {
            transaction_id,
            ..New::event(at.0, wallet(at.0, at.1), data)
        };
        (
            self.one(new(from, &debited)).await,
            self.one(new(to, &credited)).await,
        )
    }

    /// An event of wallet `n`, see [`New::raw`].
    pub async fn event(&mut self, partition: i32, n: u64, event_type: &str, payload: Value) -> Event {
        let payload = payload.to_string();
        self.one(New::raw(partition, wallet(partition, n), event_type, payload))
            .await
    }

    /// The event that would be written.
    pub(crate) fn next(&self, new: New) -> Event {
        let mark = self.mark(new.partition);
        let mut event = Event {
            event_id: new.event_id,
            transaction_id: new.transaction_id,
            partition: Partition(new.partition),
            seq: new.seq.unwrap_or(mark.seq + 1),
            wallet_id: WalletId(new.wallet),
            version: self.version(new.wallet) + 1,
            event_type: new.event_type,
            schema_version: new.schema_version,
            recorded_at: new.recorded_at.unwrap_or(self.clock + 1),
            actor: new.actor,
            traceparent: None,
            payload: new.payload.into(),
            prev_hash: mark.hash,
            hash: Hash::GENESIS,
        };
        event.hash = event.compute_hash();
        event
    }

    pub async fn one(&mut self, new: New) -> Event {
        self.write(vec![new]).await.remove(0)
    }

    /// Writes events in one transaction, with the rows derived from them.
    pub async fn write(&mut self, events: Vec<New>) -> Vec<Event> {
        let mut written = Vec::with_capacity(events.len());
        let mut personal = Vec::new();
        for mut new in events {
            let sealed = new.personal.take();
            let event = self.next(new);
            self.clock = self.clock.max(event.recorded_at);
            self.take(&event);
            if let Some(sealed) = sealed {
                if let Ok(data) = serde_json::from_slice(&sealed.data) {
                    self.personal.insert(event.event_id, data);
                }
                personal.push((event.event_id, event.wallet_id, sealed));
            }
            written.push(event);
        }
        self.insert(&written, &personal).await;
        self.events.extend_from_slice(&written);
        written
    }

    /// Updates the known state after an event.
    fn take(&mut self, event: &Event) {
        let (partition, wallet) = (event.partition.0, event.wallet_id.0);
        self.partitions.insert(partition, event.mark());
        let head = self.wallets.remove(&wallet);
        let head = head.unwrap_or_else(|| Head::nothing(partition)).after(event);
        self.wallets.insert(wallet, head);
        let Ok(data) = event.decode() else { return };
        if let Some(change) = data.effect().hold {
            let before = self.holds.remove(&change.id);
            if let Some(hold) = Hold::evolve(before, event.wallet_id, &data) {
                self.holds.insert(change.id, hold);
            }
        }
    }

    async fn insert(&self, events: &[Event], personal: &[(Uuid, WalletId, Sealed)]) {
        let heads: BTreeMap<Uuid, &Head> = events
            .iter()
            .map(|event| (event.wallet_id.0, &self.wallets[&event.wallet_id.0]))
            .collect();
        let holds: BTreeMap<HoldId, &Hold> = events
            .iter()
            .filter_map(|event| event.decode().ok()?.effect().hold)
            .filter_map(|change| Some((change.id, self.holds.get(&change.id)?)))
            .collect();
        // Nothing that a test makes up has to survive a crash.
        let mut tx = wallex_postgres::begin(&self.db, "BEGIN; SET LOCAL synchronous_commit = off")
            .await
            .unwrap();
        rows::partitions(&mut tx, events).await;
        rows::heads(&mut tx, &heads).await;
        rows::events(&mut tx, events).await;
        rows::holds(&mut tx, &holds).await;
        rows::personal(&mut tx, personal).await;
        rows::erasures(&mut tx, events).await;
        tx.commit().await.unwrap();
    }

    /// Restores what [`Journal::rewind`] removed, in order.
    pub async fn restore(&mut self, events: &[Event]) {
        self.insert(events, &[]).await;
        for event in events {
            self.partitions.insert(event.partition.0, event.mark());
            self.events.push(event.clone());
        }
    }

    /// Drops the last `n` events of a partition, as a failover to an asynchronous standby would.
    pub async fn rewind(&mut self, partition: i32, n: i64) {
        let seq = self.last_seq(partition) - n;
        let kept = self
            .events
            .iter()
            .rfind(|event| event.partition.0 == partition && event.seq == seq);
        let mark = Mark {
            seq,
            hash: kept.map_or(Hash::GENESIS, |event| event.hash),
        };
        rows::forget_after(&self.db, partition, mark).await;
        self.partitions.insert(partition, mark);
        self.events
            .retain(|event| event.partition.0 != partition || event.seq <= seq);
    }
}

fn eur() -> Currency {
    "EUR".parse().unwrap()
}
