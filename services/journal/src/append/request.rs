//! What goes into a batch and what comes out of it. Requests and replies also travel between command replicas, in their
//! `serde` form, which is stored nowhere.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use wallex_domain::{Command, Hash, Hold, Position, Rejection, Wallet};

use crate::personal::Sealed;
use crate::shared;

/// One HTTP request: an indivisible unit, decided as a whole in one transaction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The stable principal that the idempotency key belongs to, never its credential.
    #[serde(with = "shared::text")]
    pub caller: Arc<str>,
    /// Without a key, nothing is looked up and no answer is stored: for upkeep, which may be repeated at will.
    #[serde(with = "shared::optional_text")]
    pub key: Option<Arc<str>>,
    /// Digest of method, path, query, `If-Match` and canonical body: the same key with another fingerprint is refused.
    pub fingerprint: Hash,
    pub work: Work,
    /// W3C trace context, kept with the events.
    pub traceparent: Option<String>,
}

/// What a request asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Work {
    One(Item),
    /// Many commands under one key, decided in order, each seeing what the ones before it did.
    Batch {
        items: Vec<Item>,
        /// Answers to commands that are not decided, by their places among all commands of the batch (the first is 0),
        /// in ascending order. They are part of the stored answer.
        refused: Vec<(usize, Answer)>,
        /// All or none. Otherwise a rejected command does not affect the others.
        atomic: bool,
    },
}

/// A command with its personal data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Item {
    pub command: Command,
    pub personal: Option<Sealed>,
}

impl Work {
    pub fn items(&self) -> &[Item] {
        match self {
            Self::One(item) => std::slice::from_ref(item),
            Self::Batch { items, .. } => items,
        }
    }
}

/// The stored form of an HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub status: u16,
    #[serde(with = "shared::bytes")]
    pub body: Bytes,
    pub etag: Option<String>,
    pub position: Option<String>,
    pub location: Option<String>,
}

/// What a successful command did, for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub transaction_id: Uuid,
    /// Microseconds since 1970 (UTC).
    pub recorded_at: i64,
    /// The amount in minor units, even if the command did not state one.
    pub amount: i64,
    /// The touched wallets after the command, each with the position of its event; the payer first.
    pub wallets: Vec<(Wallet, Position)>,
    /// The hold that was placed, captured or released, in its new state.
    pub hold: Option<Hold>,
}

/// Turns decisions into the answers that are stored and sent. Pure: it runs under the partitions' locks.
#[derive(Debug, Clone, Copy)]
pub struct Render {
    pub one: fn(&Command, Result<&Committed, &Rejection>) -> Answer,
    pub batch: fn(BatchOutcome<'_>) -> Answer,
}

/// The answers to the commands of a batch, in order; or, if an atomic one was rejected, the index and the answer of the
/// command to blame.
pub type BatchOutcome<'a> = Result<&'a [Answer], (usize, &'a Answer)>;

/// What the caller gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The decision's answer, committed. `replayed` if an earlier request with this key produced it.
    Answered { answer: Answer, replayed: bool },
    /// The key was used for another request. Nothing is stored.
    KeyReused,
    /// A wallet, hold or transaction that the command is about does not exist. Nothing is stored: it may exist later.
    NotFound(Answer),
    /// Nothing was written: the database could not be reached, or no partition takes new wallets.
    Unavailable,
    /// The database went away during a commit. A retry with the same key tells what happened.
    OutcomeUnknown,
    /// The command failed because of a defect, which is logged. Nothing was written.
    Failed,
}
