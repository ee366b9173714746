//! An event as the journal keeps it: payload, envelope and its link in the hash chain.
//!
//! The byte layout that is hashed is a promise to auditors and other programs (docs/journal.md); it never changes for
//! an existing layout version.

use bytes::Bytes;
use uuid::Uuid;
use wallex_domain::{DecodeError, EventData, Hash, Mark, Partition, Position, WalletId};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub event_id: Uuid,
    /// The same for all events of one command; a transfer has two.
    pub transaction_id: Uuid,
    pub partition: Partition,
    /// 1, 2, 3, … within the partition, without gaps.
    pub seq: i64,
    pub wallet_id: WalletId,
    /// 1, 2, 3, … within the wallet, without gaps.
    pub version: i64,
    pub event_type: String,
    pub schema_version: i16,
    /// Microseconds since 1970 (UTC), by the database's clock; never decreases within a partition.
    pub recorded_at: i64,
    pub actor: String,
    /// W3C trace context of the request. Not hashed.
    pub traceparent: Option<String>,
    /// JSON, byte for byte as it was hashed.
    pub payload: Bytes,
    /// `hash` of the event before it in the partition; [`Hash::GENESIS`] for the first.
    pub prev_hash: Hash,
    pub hash: Hash,
}

impl Event {
    /// Its place in the chain.
    pub fn mark(&self) -> Mark {
        Mark {
            seq: self.seq,
            hash: self.hash,
        }
    }

    /// Whether it directly follows `mark`.
    pub fn follows(&self, mark: Mark) -> bool {
        self.seq == mark.seq + 1 && self.prev_hash == mark.hash
    }
}

/// First byte of the hashed bytes, so that the layout can change one day.
const LAYOUT_VERSION: u8 = 1;

impl Event {
    /// BLAKE3 over the previous hash and the event's bytes. Integers are big-endian; each text and the payload is
    /// preceded by its length in bytes as 32 bits.
    pub fn compute_hash(&self) -> Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.prev_hash.0);
        hasher.update(&[LAYOUT_VERSION]);
        hasher.update(self.event_id.as_bytes());
        hasher.update(self.transaction_id.as_bytes());
        hasher.update(&self.partition.0.to_be_bytes());
        hasher.update(&self.seq.to_be_bytes());
        hasher.update(self.wallet_id.0.as_bytes());
        hasher.update(&self.version.to_be_bytes());
        for field in [self.event_type.as_bytes(), self.actor.as_bytes(), &self.payload] {
            // The edge bounds all fields far below 4 GiB.
            hasher.update(&(field.len() as u32).to_be_bytes());
            hasher.update(field);
        }
        hasher.update(&self.schema_version.to_be_bytes());
        hasher.update(&self.recorded_at.to_be_bytes());
        Hash(*hasher.finalize().as_bytes())
    }

    /// Whether the event matches its hash.
    pub fn is_authentic(&self) -> bool {
        self.compute_hash() == self.hash
    }

    pub fn decode(&self) -> Result<EventData, DecodeError> {
        EventData::decode(&self.event_type, self.schema_version, &self.payload)
    }

    pub fn position(&self) -> Position {
        Position {
            partition: self.partition,
            seq: self.seq,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let mut event = Event {
            event_id: Uuid::from_u128(1),
            transaction_id: Uuid::from_u128(2),
            partition: Partition(3),
            seq: 4,
            wallet_id: WalletId(Uuid::from_u128(5)),
            version: 6,
            event_type: "wallet.credited".to_owned(),
            schema_version: 1,
            recorded_at: 1_700_000_000_000_000,
            actor: "default".to_owned(),
            traceparent: None,
            payload: Bytes::from_static(b"{\"amount\":1,\"currency\":\"EUR\",\"balance\":1}"),
            prev_hash: Hash::GENESIS,
            hash: Hash::GENESIS,
        };
        event.hash = event.compute_hash();
        event
    }

    /// Other programs must be able to recompute hashes for ever: this value never changes.
    #[test]
    fn the_hashed_byte_layout_is_fixed() {
        assert_eq!(
            event().hash.to_string(),
            "4cd809c6e66512c3d37a4360052bddb246b5b4587cf81cea122759ce7cf3f132"
        );
    }

    #[test]
    fn a_change_of_any_hashed_field_is_seen() {
        let changes: [fn(&mut Event); 12] = [
            |e| e.event_id = Uuid::nil(),
            |e| e.transaction_id = Uuid::nil(),
            |e| e.partition.0 += 1,
            |e| e.seq += 1,
            |e| e.wallet_id.0 = Uuid::nil(),
            |e| e.version += 1,
            |e| e.event_type.push('x'),
            |e| e.schema_version += 1,
            |e| e.recorded_at += 1,
            |e| e.actor.push('x'),
            |e| e.payload = Bytes::from_static(b"{}"),
            |e| e.prev_hash.0[0] ^= 1,
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut changed = event();
            change(&mut changed);
            assert!(!changed.is_authentic(), "change {i}");
        }
        let mut traced = event();
        traced.traceparent = Some("00-…".to_owned());
        assert!(
            traced.is_authentic(),
            "the trace context is no part of the record"
        );
    }
}
