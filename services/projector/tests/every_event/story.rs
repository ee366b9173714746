//! Writes events of every type to the journal, and reads what the projections made of them.

#![allow(unreachable_pub, reason = "tests")]

use serde_json::{Value, json};
use sqlx::FromRow;
use sqlx::postgres::PgRow;
use uuid::Uuid;
use wallex_books::{New, wallet};
use wallex_domain::Position;
use wallex_journal::Event;
use wallex_journal::personal::Sealed;
use wallex_projections::Name;
use wallex_projector::Feed;

use crate::harness::{Setup, setup};

/// Wallet `n` of a partition.
pub type At = (i32, u64);

/// When the projections apply the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All in one transaction.
    AtOnce,
    /// Each journal transaction separately.
    StepByStep,
}

pub struct Story {
    pub setup: Setup,
    pace: Pace,
    /// Attached to every event from now on.
    pub personal: Option<Value>,
    /// The name of every movement from now on.
    pub external_id: Option<String>,
}

pub fn hold(n: u64) -> Uuid {
    Uuid::from_u64_pair(0x2000_0000_0000_4000, 0x8000_0000_0000_0000 + n)
}

pub async fn story(partitions: i32, pace: Pace) -> Story {
    Story {
        setup: setup(partitions).await,
        pace,
        personal: None,
        external_id: None,
    }
}

impl Story {
    /// Applies the events written so far.
    pub async fn apply(&self) {
        let running = [Name::Ledger, Name::ReadModel].map(|name| self.setup.start(name, Feed::Journal));
        self.setup.all_applied("ledger").await;
        self.setup.all_applied("read_model").await;
        for one in running {
            one.stop().await;
        }
    }

    /// Call this at the end: everything is applied and consistent.
    pub async fn ends(&self) {
        self.apply().await;
        self.setup.assert_ledger().await;
        self.setup.assert_read_model().await;
    }

    async fn told(&self) {
        match self.pace {
            Pace::AtOnce => {}
            Pace::StepByStep => self.apply().await,
        }
    }

    async fn event(
        &mut self,
        (partition, n): At,
        event_type: &str,
        change: i64,
        mut payload: Value,
        transaction: Uuid,
    ) -> Event {
        payload["currency"] = json!("EUR");
        payload["balance"] = json!(self.setup.journal.balance(partition, n) + change);
        if let Some(external_id) = &self.external_id {
            payload["external_id"] = json!(external_id);
        }
        let sealed = self.personal.as_ref().map(|data| Sealed {
            salt: [0; 16],
            data: serde_json::to_vec(data).unwrap().into(),
        });
        if let Some(sealed) = &sealed {
            payload["personal"] = json!(sealed.digest());
        }
        let new = New {
            personal: sealed,
            transaction_id: transaction,
            ..New::raw(partition, wallet(partition, n), event_type, payload.to_string())
        };
        self.setup.journal.one(new).await
    }

    async fn alone(&mut self, at: At, event_type: &str, change: i64, payload: Value) -> Event {
        let event = self.event(at, event_type, change, payload, Uuid::now_v7()).await;
        self.told().await;
        event
    }

    /// Where the next events of both wallets will be.
    fn positions(&self, first: At, second: At) -> (Position, Position) {
        let next = |at: At, ahead| self.setup.journal.next_position(at.0, ahead);
        (next(first, 0), next(second, i64::from(first.0 == second.0)))
    }

    pub async fn create(&mut self, at: At, balance: i64) -> Event {
        self.alone(at, "wallet.created", balance, json!({"initial_balance": balance}))
            .await
    }

    pub async fn credit(&mut self, at: At, amount: i64) -> Event {
        self.alone(at, "wallet.credited", amount, json!({"amount": amount}))
            .await
    }

    pub async fn debit(&mut self, at: At, amount: i64) -> Event {
        self.alone(at, "wallet.debited", -amount, json!({"amount": amount}))
            .await
    }

    pub async fn transfer(&mut self, from: At, to: At, amount: i64) -> [Event; 2] {
        let (out, into) = self.positions(from, to);
        let leg = |other: At, position: Position, other_position: Position| {
            json!({"amount": amount, "counterparty": wallet(other.0, other.1), "position": position,
                   "counterparty_position": other_position})
        };
        let transaction = Uuid::now_v7();
        let events = [
            self.event(from, "transfer.debited", -amount, leg(to, out, into), transaction)
                .await,
            self.event(to, "transfer.credited", amount, leg(from, into, out), transaction)
                .await,
        ];
        self.told().await;
        events
    }

    pub async fn place(&mut self, at: At, n: u64, amount: i64) -> Event {
        let payload =
            json!({"hold_id": hold(n), "amount": amount, "expires_at": 5, "reference": format!("order {n}")});
        self.alone(at, "hold.placed", 0, payload).await
    }

    pub async fn capture(&mut self, at: At, n: u64, amount: i64, released: i64) -> Event {
        let payload = json!({"hold_id": hold(n), "amount": amount, "released": released});
        self.alone(at, "hold.captured", -amount, payload).await
    }

    pub async fn capture_to(&mut self, at: At, to: At, n: u64, amount: i64, released: i64) -> [Event; 2] {
        let (out, into) = self.positions(at, to);
        let transaction = Uuid::now_v7();
        let captured = json!({"hold_id": hold(n), "amount": amount, "released": released,
                              "other": {"wallet_id": wallet(to.0, to.1), "position": into}});
        let credited = json!({"amount": amount, "counterparty": wallet(at.0, at.1), "position": into,
                              "counterparty_position": out});
        let events = [
            self.event(at, "hold.captured", -amount, captured, transaction)
                .await,
            self.event(to, "transfer.credited", amount, credited, transaction)
                .await,
        ];
        self.told().await;
        events
    }

    /// `hold.released` or `hold.expired`.
    pub async fn give_back(&mut self, at: At, event_type: &str, n: u64, amount: i64) -> Event {
        let payload = json!({"hold_id": hold(n), "amount": amount});
        self.alone(at, event_type, 0, payload).await
    }

    pub async fn extend(&mut self, at: At, n: u64, expires_at: i64) -> Event {
        let payload = json!({"hold_id": hold(n), "expires_at": expires_at});
        self.alone(at, "hold.extended", 0, payload).await
    }

    /// Takes back `amount` of what `event` moved between the wallet and the outside.
    pub async fn reverse(&mut self, at: At, event: &Event, amount: i64) -> Event {
        let payload = json!({"reverses": event.transaction_id, "amount": amount});
        if event.event_type == "wallet.debited" {
            self.alone(at, "reversal.credited", amount, payload).await
        } else {
            self.alone(at, "reversal.debited", -amount, payload).await
        }
    }

    /// Takes back `amount` of a movement between wallets; `from` pays now.
    pub async fn reverse_between(&mut self, from: At, to: At, event: &Event, amount: i64) -> [Event; 2] {
        let (out, into) = self.positions(from, to);
        let leg = |other: At, position: Position| {
            json!({"reverses": event.transaction_id, "amount": amount,
                   "other": {"wallet_id": wallet(other.0, other.1), "position": position}})
        };
        let transaction = Uuid::now_v7();
        let events = [
            self.event(from, "reversal.debited", -amount, leg(to, into), transaction)
                .await,
            self.event(to, "reversal.credited", amount, leg(from, out), transaction)
                .await,
        ];
        self.told().await;
        events
    }

    /// An event whose type says everything.
    pub async fn change(&mut self, at: At, event_type: &str) -> Event {
        self.alone(at, event_type, 0, json!({})).await
    }

    /// `said` is attached to the event.
    pub async fn say(&mut self, at: At, details: &[&str], said: Value) -> Event {
        let before = self.personal.replace(said);
        let event = self
            .alone(at, "wallet.changed", 0, json!({"details": details}))
            .await;
        self.personal = before;
        event
    }

    pub async fn erase(&mut self, at: At) -> Event {
        let personal = self.personal.take();
        let event = self.change(at, "wallet.personal_data_erased").await;
        self.personal = personal;
        event
    }

    pub async fn limit(&mut self, at: At, limit: i64) -> Event {
        let payload = json!({"overdraft_limit": limit});
        self.alone(at, "wallet.overdraft_limit_set", 0, payload).await
    }

    pub async fn rows<T>(&self, statement: &'static str) -> Vec<T>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        sqlx::query_as(statement).fetch_all(&self.setup.db).await.unwrap()
    }

    /// The postings as from, to and amount, with position and line.
    pub async fn postings(&self) -> Vec<(String, String, i64, i16)> {
        self.rows(
            "SELECT source, destination, amount, line FROM ledger.posting ORDER BY recorded_at, partition, seq, line",
        )
        .await
    }

    /// A wallet's entries: type, changes of balance and held, and both afterwards.
    pub async fn entries(&self, (partition, n): At) -> Vec<(String, i64, i64, i64, i64)> {
        sqlx::query_as(
            "SELECT type, amount, balance_after, held_change, held_after FROM read_model.entry
              WHERE wallet_id = $1 ORDER BY version",
        )
        .bind(wallet(partition, n))
        .fetch_all(&self.setup.db)
        .await
        .unwrap()
    }
}

/// The wallet's name in the ledger.
pub fn account((partition, n): At) -> String {
    format!("wallet:{}", wallet(partition, n))
}

/// An entry as [`Story::entries`] returns it.
pub fn entry(
    kind: &str,
    amount: i64,
    after: i64,
    held: i64,
    held_after: i64,
) -> (String, i64, i64, i64, i64) {
    (kind.to_owned(), amount, after, held, held_after)
}

/// A posting as [`Story::postings`] returns it.
pub fn posting(source: &str, destination: &str, amount: i64, line: i16) -> (String, String, i64, i16) {
    (source.to_owned(), destination.to_owned(), amount, line)
}
