//! What goes into a batch and what comes out of it.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;
use wallex_domain::{Command, Hash, Position, Rejection, Wallet, WalletId};

use crate::personal::Sealed;

/// One HTTP request: an indivisible unit. It is decided whole, in one transaction.
#[derive(Debug, Clone)]
pub struct Request {
    /// The stable principal that the idempotency key belongs to, never its credential.
    pub caller: Arc<str>,
    pub key: Arc<str>,
    /// Of method, path, query, `If-Match` and canonical body: the same key with another one is refused.
    pub fingerprint: Hash,
    pub command: Command,
    pub personal: Option<Sealed>,
    /// W3C trace context, kept with the events.
    pub traceparent: Option<String>,
}

/// The stored form of an HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
    pub etag: Option<String>,
    pub position: Option<String>,
    pub location: Option<String>,
}

/// What a successful command did, for the answer to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    pub transaction_id: Uuid,
    /// Microseconds since 1970 (UTC).
    pub recorded_at: i64,
    /// The touched wallets after the command, each with the position of its event; the source first.
    pub wallets: Vec<(Wallet, Position)>,
}

/// Turns a decision into the answer that is stored and sent. Pure: it runs under the partitions' locks.
pub type Render = fn(&Command, Result<&Committed, &Rejection>) -> Answer;

/// What the caller gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The decision's answer, committed. `replayed` when an earlier request with this key made it.
    Answered { answer: Answer, replayed: bool },
    /// The key was used for another request. Nothing is stored.
    KeyReused,
    /// A wallet the command names does not exist. Nothing is stored: it may exist later.
    WalletNotFound(WalletId),
    /// Nothing was written: the database could not be reached, or no partition takes new wallets.
    Unavailable,
    /// The database went away around a commit. A retry with the same key tells what happened.
    OutcomeUnknown,
    /// The command failed in a way that is a defect; it is logged. Nothing was written.
    Failed,
}
