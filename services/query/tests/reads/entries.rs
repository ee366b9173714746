//! Entries of histories, described by the events that make them: written to the journal, and projected.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use uuid::Uuid;
use wallex_books::New;
use wallex_domain::{
    Changed, Created, Currency, Details, DetailsChanged, EventData, Hash, HoldCaptured, HoldEnded,
    HoldExtended, HoldId, HoldPlaced, Moved, OtherLeg, OverdraftLimitSet, PersonalData, Position,
    ReversalLeg, TransferLeg, WalletId,
};
use wallex_journal::Event;
use wallex_journal::personal::Sealed;
use wallex_projections::Name;

use crate::api::{Api, B, NOON};

/// An entry, in the terms of its answer. Fields that a type does not have are ignored.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) wallet: Uuid,
    pub(crate) version: i64,
    pub(crate) partition: i32,
    /// Defaults to the partition's next one.
    pub(crate) seq: Option<i64>,
    pub(crate) transaction: Uuid,
    pub(crate) kind: &'static str,
    pub(crate) currency: &'static str,
    /// Change of the balance.
    pub(crate) amount: i64,
    pub(crate) balance: i64,
    pub(crate) held_change: i64,
    pub(crate) overdraft_limit: i64,
    pub(crate) counterparty: Option<Uuid>,
    pub(crate) hold: Uuid,
    pub(crate) expires_at: Option<i64>,
    pub(crate) reverses: Uuid,
    pub(crate) reference: Option<&'static str>,
    pub(crate) external_id: Option<String>,
    pub(crate) owner: Option<String>,
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
            seq: None,
            transaction: Uuid::now_v7(),
            kind,
            currency: "EUR",
            amount,
            balance,
            held_change: i64::from(kind == "hold"),
            overdraft_limit: 0,
            counterparty: None,
            hold: Uuid::now_v7(),
            expires_at: None,
            reverses: Uuid::nil(),
            reference: None,
            external_id: None,
            owner: None,
            description: None,
            metadata: None,
            at: version,
        }
    }

    pub(crate) fn event_id(&self) -> Uuid {
        Uuid::from_u128(self.wallet.as_u128() << 32 | u128::try_from(self.version).unwrap())
    }

    fn sealed(&self) -> Option<Sealed> {
        let data = PersonalData {
            owner: self.owner.clone(),
            description: self.description.map(str::to_owned),
            metadata: self
                .metadata
                .as_ref()
                .map(|value| value.as_object().unwrap().clone()),
        };
        Sealed::new(&data, [7; 16]).unwrap()
    }

    /// The event as written to the journal.
    pub(crate) fn event(&self) -> New {
        let personal = self.sealed();
        let data = self.data(personal.as_ref().map(Sealed::digest));
        New {
            personal,
            seq: self.seq,
            recorded_at: Some(NOON + self.at),
            event_id: self.event_id(),
            transaction_id: self.transaction,
            actor: "default".to_owned(),
            ..New::event(self.partition, self.wallet, &data)
        }
    }

    fn data(&self, personal: Option<Hash>) -> EventData {
        let (amount, balance) = (self.amount.abs(), self.balance);
        let currency: Currency = self.currency.parse().unwrap();
        let reference = self.reference.map(str::to_owned);
        let external_id = self.external_id.clone();
        let hold_id = HoldId(self.hold);
        // Reads do not care where the other leg is.
        let position = |seq| Position::at(self.partition, seq);
        let other = self.counterparty.map(|id| OtherLeg {
            wallet_id: WalletId(id),
            position: position(2),
        });
        let moved = || Moved {
            amount,
            currency,
            balance,
            reference: reference.clone(),
            external_id: external_id.clone(),
            personal,
        };
        let transfer = || TransferLeg {
            amount,
            currency,
            balance,
            counterparty: WalletId(self.counterparty.unwrap_or(B)),
            position: position(1),
            counterparty_position: position(2),
            reference: reference.clone(),
            external_id: external_id.clone(),
            personal,
        };
        let reversal = || ReversalLeg {
            reverses: self.reverses,
            amount,
            currency,
            balance,
            other,
            reference: reference.clone(),
            external_id: external_id.clone(),
            personal,
        };
        let ended = || HoldEnded {
            hold_id,
            amount: -self.held_change,
            currency,
            balance,
            reference: reference.clone(),
            personal,
        };
        let changed = Changed {
            currency,
            balance,
            personal,
        };
        match self.kind {
            "create" => EventData::WalletCreated(Created {
                currency,
                external_id,
                initial_balance: self.amount,
                balance,
                personal,
            }),
            "credit" => EventData::WalletCredited(moved()),
            "debit" => EventData::WalletDebited(moved()),
            "transfer_out" => EventData::TransferDebited(transfer()),
            "transfer_in" => EventData::TransferCredited(transfer()),
            "hold" => EventData::HoldPlaced(HoldPlaced {
                hold_id,
                amount: self.held_change,
                currency,
                balance,
                expires_at: self.expires_at,
                reference,
                personal,
            }),
            "capture" => EventData::HoldCaptured(HoldCaptured {
                hold_id,
                amount,
                released: -self.held_change - amount,
                currency,
                balance,
                other,
                reference,
                external_id,
                personal,
            }),
            "release" => EventData::HoldReleased(ended()),
            "expire" => EventData::HoldExpired(ended()),
            "extend" => EventData::HoldExtended(HoldExtended {
                hold_id,
                expires_at: self.expires_at.unwrap(),
                currency,
                balance,
                reference,
                personal,
            }),
            "reversal_out" => EventData::ReversalDebited(reversal()),
            "reversal_in" => EventData::ReversalCredited(reversal()),
            "freeze" => EventData::WalletFrozen(changed),
            "unfreeze" => EventData::WalletUnfrozen(changed),
            "close" => EventData::WalletClosed(changed),
            "change" => EventData::WalletChanged(DetailsChanged {
                details: Details::ALL,
                currency,
                balance,
                personal,
            }),
            "erase" => EventData::PersonalDataErased(changed),
            "overdraft_limit" => EventData::OverdraftLimitSet(OverdraftLimitSet {
                overdraft_limit: self.overdraft_limit,
                currency,
                balance,
                personal,
            }),
            other => panic!("no event makes an entry {other}"),
        }
    }
}

/// The first entry of a wallet's history.
fn creation(wallet: Uuid, partition: i32) -> Entry {
    Entry {
        partition,
        ..Entry::new(wallet, 1, "create", 0, 0)
    }
}

/// Version `v` of a wallet with one creation and `v - 1` credits of 10.
fn tenth(wallet: Uuid, v: i64) -> Entry {
    match v {
        1 => creation(wallet, 3),
        _ => Entry::new(wallet, v, "credit", 10, (v - 1) * 10),
    }
}

impl Api {
    /// Writes the journal, and brings both projections up to it. A wallet that does not exist is created first.
    pub(crate) async fn happens(&self, entry: Entry) -> Event {
        self.all_happen([entry]).await.remove(0)
    }

    /// Like [`Self::happens`], for several at once.
    pub(crate) async fn all_happen(&self, entries: impl IntoIterator<Item = Entry>) -> Vec<Event> {
        let events = self.record(entries).await;
        self.project().await;
        events
    }

    /// Writes only the journal: the projections are behind.
    pub(crate) async fn record(&self, entries: impl IntoIterator<Item = Entry>) -> Vec<Event> {
        let mut books = self.books.lock().await;
        let (mut new, mut versions, mut made_up) = (Vec::new(), HashMap::new(), HashSet::new());
        for entry in entries {
            let version = versions
                .entry(entry.wallet)
                .or_insert_with(|| books.journal.version(entry.wallet));
            if *version == 0 && entry.version == 2 {
                let creation = creation(entry.wallet, entry.partition).event();
                made_up.insert(creation.event_id);
                new.push(creation);
                *version += 1;
            }
            *version += 1;
            assert_eq!(*version, entry.version, "{} of {}", entry.kind, entry.wallet);
            new.push(entry.event());
        }
        let mut events = books.journal.write(new).await;
        events.retain(|event| !made_up.contains(&event.event_id));
        events
    }

    /// Brings both projections to the end of the journal.
    pub(crate) async fn project(&self) {
        let mut books = self.books.lock().await;
        books.project(Name::Ledger).await;
        books.project(Name::ReadModel).await;
    }

    /// A wallet with one creation and `version - 1` credits of 10.
    pub(crate) async fn history(&self, id: Uuid, version: i64) {
        self.credits(id, 1, version).await;
    }

    /// The wallet's next versions `from ..= to`, after [`Self::history`].
    pub(crate) async fn credits(&self, id: Uuid, from: i64, to: i64) {
        self.all_happen((from..=to).map(|v| tenth(id, v))).await;
    }

    /// A history altered by `shape`.
    pub(crate) async fn shaped_history(&self, id: Uuid, version: i64, shape: impl Fn(Entry) -> Entry) {
        self.all_happen((1..=version).map(|v| shape(tenth(id, v)))).await;
    }

    /// Brings a wallet of partition 3 to a version and a balance, with its last event at `seq`.
    pub(crate) async fn stands(&self, id: Uuid, seq: i64, version: i64, balance: i64) {
        let before = self.books.lock().await.journal.version(id);
        let entries = (before + 1..=version).map(|v| match v {
            _ if v < version => tenth(id, v),
            1 => Entry {
                seq: Some(seq),
                ..Entry::new(id, 1, "create", balance, balance)
            },
            _ => Entry {
                seq: Some(seq),
                ..Entry::new(id, v, "credit", 1, balance)
            },
        });
        self.all_happen(entries).await;
    }

    /// Advances a projection in a partition, by events of other wallets.
    pub(crate) async fn cursor(&self, name: Name, partition: i32, seq: i64) {
        self.books.lock().await.stand(name, partition, seq).await;
    }

    /// The version of a wallet's next entry. A wallet that does not exist is created first.
    pub(crate) async fn next(&self, wallet: Uuid) -> i64 {
        self.books.lock().await.journal.version(wallet).max(1) + 1
    }

    /// The next event of a wallet in a partition. Balances don't matter here.
    pub(crate) async fn moves(
        &self,
        wallet: Uuid,
        partition: i32,
        currency: &'static str,
        kind: &'static str,
        amount: i64,
    ) {
        let next = self.next(wallet).await;
        self.happens(Entry {
            partition,
            currency,
            ..Entry::new(wallet, next, kind, amount, 0)
        })
        .await;
    }

    /// Parks an event of a wallet in the read model, so that its rows are behind.
    pub(crate) async fn park(&self, wallet: Uuid) {
        self.park_in(Name::ReadModel, wallet).await;
    }

    pub(crate) async fn park_in(&self, name: Name, wallet: Uuid) {
        let event = New::raw(3, wallet, "wallet.credited", "{}");
        self.books.lock().await.park(name, event).await;
    }
}
