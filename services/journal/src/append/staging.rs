//! A batch between load and write: decides its requests in arrival order on what was loaded, each seeing
//! what the ones before it did, and numbers and chains the events. No I/O.
//!
//! The invariant: a wallet is decided on only when its head's partition is among the locked ones.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::{NoContext, Timestamp, Uuid};
use wallex_domain::{
    Command, Decided, EventData, Hash, Partition, Position, Rejection, State, Wallet, WalletId, decide,
};

use super::request::{Answer, Committed, Render, Reply, Request};
use crate::{Event, personal::Sealed};

/// A locked partition row, as it stands after what has been staged.
#[derive(Debug, Clone)]
pub(super) struct LockedPartition {
    pub last_seq: i64,
    pub head_hash: Hash,
    pub last_recorded_at: i64,
    pub open: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Head {
    pub wallet: Wallet,
    pub partition: Partition,
    pub external_id: Option<String>,
    /// Version that the journal has; 0 for a wallet created in this batch.
    pub loaded_version: i64,
}

#[derive(Debug, Clone)]
pub(super) struct StoredAnswer {
    pub fingerprint: Hash,
    pub answer: Answer,
}

pub(super) type Key = (Arc<str>, Arc<str>);

/// What step 2 of the protocol brought.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub partitions: BTreeMap<Partition, LockedPartition>,
    pub heads: HashMap<WalletId, Head>,
    pub answers: HashMap<Key, StoredAnswer>,
    pub external_ids: HashMap<String, WalletId>,
    /// The database's clock, read after the locks. Microseconds.
    pub clock: i64,
}

/// How one request of the batch came out.
#[derive(Debug)]
pub(super) enum Staged {
    Reply(Reply),
    /// Routed to a partition that is not the wallet's: to be routed anew into a later batch.
    Misrouted(WalletId),
}

#[derive(Debug)]
pub(super) struct Staging {
    loaded: Loaded,
    /// The batch's time: what every event is recorded at.
    pub now: i64,
    pub events: Vec<Event>,
    pub personal: Vec<(Uuid, WalletId, Sealed)>,
    /// Answers decided in this batch, by key.
    pub new_answers: BTreeMap<Key, StoredAnswer>,
}

impl Staging {
    pub(super) fn new(loaded: Loaded) -> Self {
        let latest = loaded
            .partitions
            .values()
            .map(|partition| partition.last_recorded_at)
            .max();
        let now = loaded.clock.max(latest.unwrap_or(0));
        Self {
            loaded,
            now,
            events: Vec::new(),
            personal: Vec::new(),
            new_answers: BTreeMap::new(),
        }
    }

    /// Heads that the batch created or changed, by wallet id.
    pub(super) fn written_heads(&self) -> BTreeMap<WalletId, &Head> {
        let written = self
            .loaded
            .heads
            .iter()
            .filter(|(_, head)| head.wallet.version > head.loaded_version);
        written.map(|(id, head)| (*id, head)).collect()
    }

    /// Decides one request. `partition` is where it was routed to: a new wallet is created there.
    pub(super) fn stage(&mut self, request: &Request, partition: Partition, render: Render) -> Staged {
        let key = (request.caller.clone(), request.key.clone());
        if let Some(stored) = self
            .loaded
            .answers
            .get(&key)
            .or_else(|| self.new_answers.get(&key))
        {
            if stored.fingerprint != request.fingerprint {
                return Staged::Reply(Reply::KeyReused);
            }
            return Staged::Reply(Reply::Answered {
                answer: stored.answer.clone(),
                replayed: true,
            });
        }
        if let Some(misrouted) = self.misrouted(&request.command, partition) {
            return Staged::Misrouted(misrouted);
        }
        let answer = match decide(self, &request.command) {
            Err(Rejection::WalletNotFound(id)) => return Staged::Reply(Reply::WalletNotFound(id)),
            Err(rejection) => render(&request.command, Err(&rejection)),
            Ok(decided) => match self.record(request, partition, decided) {
                Ok(committed) => render(&request.command, Ok(&committed)),
                Err(error) => {
                    tracing::error!(%error, "a decided event does not apply");
                    return Staged::Reply(Reply::Failed);
                }
            },
        };
        let stored = StoredAnswer {
            fingerprint: request.fingerprint,
            answer: answer.clone(),
        };
        self.new_answers.insert(key, stored);
        Staged::Reply(Reply::Answered {
            answer,
            replayed: false,
        })
    }

    /// A touched wallet that lives in a partition this batch has not locked.
    fn misrouted(&self, command: &Command, partition: Partition) -> Option<WalletId> {
        let locked = |partition: &Partition| self.loaded.partitions.contains_key(partition);
        let new = match command {
            Command::Create(create) => Some(create.wallet_id),
            Command::Credit(_) | Command::Debit(_) | Command::Transfer(_) => None,
        };
        command.wallets().find(|id| match self.loaded.heads.get(id) {
            Some(head) => !locked(&head.partition),
            None if new == Some(*id) => !self
                .loaded
                .partitions
                .get(&partition)
                .is_some_and(|partition| partition.open),
            None => false,
        })
    }

    /// Numbers, chains and applies the events of one command. All or nothing: what can fail comes first.
    fn record(
        &mut self,
        request: &Request,
        partition: Partition,
        decided: Vec<Decided>,
    ) -> Result<Committed, String> {
        let mut staged = Vec::with_capacity(decided.len());
        for Decided { wallet_id, event } in decided {
            let before = self.loaded.heads.get(&wallet_id);
            let (partition, loaded_version) =
                before.map_or((partition, 0), |head| (head.partition, head.loaded_version));
            let external_id = match &event {
                EventData::WalletCreated(created) => created.external_id.clone(),
                _ => None,
            };
            let wallet = Wallet::evolve(before.map(|head| head.wallet.clone()), wallet_id, &event)
                .ok_or_else(|| format!("{} on wallet {wallet_id}", event.event_type()))?;
            let payload = event.encode().map_err(|error| error.to_string())?;
            staged.push((
                Head {
                    wallet,
                    partition,
                    external_id,
                    loaded_version,
                },
                event,
                payload,
            ));
        }
        let time = Timestamp::from_unix(
            NoContext,
            u64::try_from(self.now / 1_000_000).unwrap_or(0),
            // Below 10^9.
            ((self.now % 1_000_000) * 1_000) as u32,
        );
        let transaction_id = Uuid::new_v7(time);
        let mut wallets = Vec::with_capacity(staged.len());
        for (head, data, payload) in staged {
            let Some(row) = self.loaded.partitions.get_mut(&head.partition) else {
                return Err(format!("partition {} is not locked", head.partition));
            };
            let mut event = Event {
                event_id: Uuid::new_v7(time),
                transaction_id,
                partition: head.partition,
                seq: row.last_seq + 1,
                wallet_id: head.wallet.id,
                version: head.wallet.version,
                event_type: data.event_type().to_owned(),
                schema_version: data.schema_version(),
                recorded_at: self.now,
                actor: request.caller.to_string(),
                traceparent: request.traceparent.clone(),
                payload: payload.into(),
                prev_hash: row.head_hash,
                hash: Hash::GENESIS,
            };
            event.hash = event.compute_hash();
            (row.last_seq, row.head_hash, row.last_recorded_at) = (event.seq, event.hash, self.now);
            if let Some(sealed) = &request.personal {
                self.personal
                    .push((event.event_id, event.wallet_id, sealed.clone()));
            }
            wallets.push((head.wallet.clone(), event.position()));
            self.events.push(event);
            if let (0, Some(external_id)) = (head.loaded_version, &head.external_id) {
                self.loaded
                    .external_ids
                    .insert(external_id.clone(), head.wallet.id);
            }
            let external_id = self
                .loaded
                .heads
                .remove(&head.wallet.id)
                .and_then(|before| before.external_id);
            let head = Head {
                external_id: head.external_id.or(external_id),
                ..head
            };
            self.loaded.heads.insert(head.wallet.id, head);
        }
        Ok(Committed {
            transaction_id,
            recorded_at: self.now,
            wallets,
        })
    }
}

impl State for Staging {
    fn wallet(&self, id: WalletId) -> Option<&Wallet> {
        self.loaded.heads.get(&id).map(|head| &head.wallet)
    }

    fn external_id_holder(&self, external_id: &str) -> Option<WalletId> {
        self.loaded.external_ids.get(external_id).copied()
    }

    fn next_positions(&self, first: WalletId, second: WalletId) -> (Position, Position) {
        let next = |id, offset| {
            let partition = self
                .loaded
                .heads
                .get(&id)
                .map_or(Partition(-1), |head| head.partition);
            let last_seq = self
                .loaded
                .partitions
                .get(&partition)
                .map_or(0, |row| row.last_seq);
            Position {
                partition,
                seq: last_seq + offset,
            }
        };
        let first = next(first, 1);
        let second = next(second, 1);
        if first.partition == second.partition {
            return (
                first,
                Position {
                    seq: second.seq + 1,
                    ..second
                },
            );
        }
        (first, second)
    }
}
