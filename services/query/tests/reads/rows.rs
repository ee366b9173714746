//! Rows as the projector would write them.

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::api::{Api, NOON};

/// A row of `read_model.entry`; by default a credit.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) wallet: Uuid,
    pub(crate) version: i64,
    pub(crate) partition: i32,
    pub(crate) seq: i64,
    pub(crate) transaction: Uuid,
    pub(crate) kind: &'static str,
    pub(crate) amount: i64,
    pub(crate) balance: i64,
    pub(crate) held_change: i64,
    pub(crate) held: i64,
    pub(crate) overdraft_limit: Option<i64>,
    pub(crate) counterparty: Option<Uuid>,
    pub(crate) hold: Option<Uuid>,
    pub(crate) reverses: Option<Uuid>,
    pub(crate) reference: Option<&'static str>,
    pub(crate) external_id: Option<&'static str>,
    pub(crate) description: Option<&'static str>,
    pub(crate) metadata: Option<Value>,
    /// Microseconds after noon.
    pub(crate) at: i64,
}

impl Entry {
    pub(crate) fn new(wallet: Uuid, version: i64, kind: &'static str, amount: i64, balance: i64) -> Self {
        Self {
            wallet,
            version,
            partition: 3,
            seq: version,
            transaction: Uuid::now_v7(),
            kind,
            amount,
            balance,
            held_change: 0,
            held: 0,
            overdraft_limit: None,
            counterparty: None,
            hold: None,
            reverses: None,
            reference: None,
            external_id: None,
            description: None,
            metadata: None,
            at: version,
        }
    }

    pub(crate) fn event_id(&self) -> Uuid {
        Uuid::from_u128(self.wallet.as_u128() << 32 | u128::try_from(self.version).unwrap())
    }

    async fn write(&self, db: &mut PgConnection) {
        sqlx::query(
            "INSERT INTO read_model.entry (wallet_id, version, partition, seq, event_id, transaction_id, type, amount,
                 currency, balance_after, counterparty, reference, description, metadata, recorded_at, held_change,
                 held_after, overdraft_limit, hold_id, reverses, external_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'EUR', $9, $10, $11, $12, $13::jsonb, $14, $15, $16, $17, $18, $19,
                 $20)",
        )
        .bind(self.wallet)
        .bind(self.version)
        .bind(self.partition)
        .bind(self.seq)
        .bind(self.event_id())
        .bind(self.transaction)
        .bind(self.kind)
        .bind(self.amount)
        .bind(self.balance)
        .bind(self.counterparty)
        .bind(self.reference)
        .bind(self.description)
        .bind(self.metadata.as_ref().map(Value::to_string))
        .bind(NOON + self.at)
        .bind(self.held_change)
        .bind(self.held)
        .bind(self.overdraft_limit)
        .bind(self.hold)
        .bind(self.reverses)
        .bind(self.external_id)
        .execute(db)
        .await
        .unwrap();
    }
}

async fn write_wallet(
    db: &mut PgConnection,
    id: Uuid,
    partition: i32,
    seq: i64,
    version: i64,
    balance: i64,
    held: i64,
) {
    sqlx::query(
        "INSERT INTO read_model.wallet (wallet_id, partition, seq, version, currency, balance, held, overdraft_limit,
             status, created_at, updated_at)
         VALUES ($1, $2, $3, $4, 'EUR', $5, $6, 0, 'active', $7, $7)
         ON CONFLICT (wallet_id) DO UPDATE SET seq = excluded.seq, version = excluded.version,
             balance = excluded.balance, held = excluded.held",
    )
    .bind(id)
    .bind(partition)
    .bind(seq)
    .bind(version)
    .bind(balance)
    .bind(held)
    .bind(NOON)
    .execute(db)
    .await
    .unwrap();
}

impl Api {
    /// A row of `read_model.wallet`.
    pub(crate) async fn wallet(
        &self,
        id: Uuid,
        partition: i32,
        seq: i64,
        version: i64,
        balance: i64,
        held: i64,
    ) {
        let mut db = self.pool.acquire().await.unwrap();
        write_wallet(&mut db, id, partition, seq, version, balance, held).await;
    }

    /// The entry alone, as when its wallet's row is not of interest.
    pub(crate) async fn entry(&self, entry: &Entry) {
        entry.write(&mut self.pool.acquire().await.unwrap()).await;
    }

    /// The entry, and its wallet brought to it, both in one transaction.
    pub(crate) async fn happens(&self, entry: Entry) {
        let mut db = self.pool.begin().await.unwrap();
        entry.write(&mut db).await;
        write_wallet(
            &mut db,
            entry.wallet,
            entry.partition,
            entry.seq,
            entry.version,
            entry.balance,
            entry.held,
        )
        .await;
        db.commit().await.unwrap();
    }

    /// A wallet with one creation and `version - 1` credits of 10.
    pub(crate) async fn history(&self, id: Uuid, version: i64) {
        self.happens(Entry::new(id, 1, "create", 0, 0)).await;
        self.credits(id, 2, version).await;
    }

    /// The wallet's next versions `from ..= to`, after [`Self::history`].
    pub(crate) async fn credits(&self, id: Uuid, from: i64, to: i64) {
        for v in from..=to {
            self.happens(Entry::new(id, v, "credit", 10, (v - 1) * 10)).await;
        }
    }

    /// As [`Self::history`], made at once.
    pub(crate) async fn long_history(&self, id: Uuid, version: i64) {
        sqlx::query(
            "INSERT INTO read_model.entry (wallet_id, version, partition, seq, event_id, transaction_id, type, amount,
                 currency, balance_after, recorded_at)
             SELECT $1, v, 3, v, md5(v::text)::uuid, md5(v::text)::uuid, CASE v WHEN 1 THEN 'create' ELSE 'credit' END,
                 CASE v WHEN 1 THEN 0 ELSE 10 END, 'EUR', (v - 1) * 10, $3 + v FROM generate_series(1, $2) v",
        )
        .bind(id)
        .bind(version)
        .bind(NOON)
        .execute(&self.pool)
        .await
        .unwrap();
        self.wallet(id, 3, version, version, (version - 1) * 10, 0).await;
    }

    /// How far the projection of `schema` is in a partition.
    pub(crate) async fn cursor(&self, schema: &str, partition: i32, seq: i64) {
        sqlx::query(AssertSqlSafe(format!(
            "INSERT INTO {schema}.cursor VALUES ($1, $2, decode(repeat('00', 32), 'hex'))
             ON CONFLICT (partition) DO UPDATE SET seq = excluded.seq"
        )))
        .bind(partition)
        .bind(seq)
        .execute(&self.pool)
        .await
        .unwrap();
    }

    pub(crate) async fn park(&self, wallet: Uuid) {
        sqlx::query("INSERT INTO read_model.parked VALUES (3, 99, $1, 'corrupt')")
            .bind(wallet)
            .execute(&self.pool)
            .await
            .unwrap();
    }
}
