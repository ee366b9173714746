//! Names of the headers that are Wallex's own, or that no library names. As people write them: HTTP does not tell capitals
//! from small letters.

/// Of a write: one per intent, the same for every retry.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Of a write's answer: `true` when it is an earlier answer given again.
pub const IDEMPOTENCY_REPLAYED: &str = "Idempotency-Replayed";

/// Of a write's answer: where its events stand in the journal, as `PARTITION:SEQ`, of several separated by commas.
pub const POSITION: &str = "Wallex-Position";

/// Of a read: what its answer must contain, in the form of [`POSITION`].
pub const MIN_POSITION: &str = "Wallex-Min-Position";

/// Of a file's answer: `true` when rows may be missing. Other answers say so in their body.
pub const STALE: &str = "Wallex-Stale";
