use crate::Hash;

/// A place in a partition's chain: an event, identified by its seq; its hash tells it from an event of another history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// 0 before the first event.
    pub seq: i64,
    pub hash: Hash,
}

impl Mark {
    /// Before the first event.
    pub const BEGINNING: Self = Self {
        seq: 0,
        hash: Hash::GENESIS,
    };
}
