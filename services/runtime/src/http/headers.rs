//! Names of Wallex's own headers, and of those that no library names. Written for people: HTTP ignores case.

/// On a write: one per intent, the same for every retry.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// On a write's answer: `true` if it is the replay of an earlier answer.
pub const IDEMPOTENCY_REPLAYED: &str = "Idempotency-Replayed";

/// On a write's answer: where its events are in the journal, as `PARTITION:SEQ`, several separated by commas.
pub const POSITION: &str = "Wallex-Position";

/// On a read: what its answer must contain, in the form of [`POSITION`].
pub const MIN_POSITION: &str = "Wallex-Min-Position";

/// On an exported file: `true` if rows may be missing. Other answers say so in their body.
pub const STALE: &str = "Wallex-Stale";
