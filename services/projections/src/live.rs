//! Live updates through Redis: the channel and the messages in which the read-model projector names the wallets it has
//! just written. The roles that serve reads listen there.
//!
//! The invariant: a message is a list of 16-byte ids; anything else, including an empty message, means "look at all".

use std::collections::BTreeSet;

use uuid::Uuid;

/// A wallet's id in a message: its 16 bytes.
const ID: usize = 16;
/// The most wallets in one message. More are sent as "look at all", which is shorter.
const MAX_WALLETS: usize = 1_000;

/// `platform` is the platform's whole id, because several platforms may share one Redis.
pub fn channel(platform: &str) -> String {
    format!("wallex:{platform}:wallets")
}

/// Names each wallet once. If there are too many, names none.
pub fn message(wallets: &BTreeSet<Uuid>) -> Vec<u8> {
    if wallets.len() > MAX_WALLETS {
        return Vec::new();
    }
    wallets.iter().flat_map(|id| *id.as_bytes()).collect()
}

/// The wallets that a message names; `None` means look at all.
pub fn wallets(message: &[u8]) -> Option<impl Iterator<Item = Uuid>> {
    let whole = !message.is_empty() && message.len().is_multiple_of(ID);
    whole.then(|| {
        message
            .chunks_exact(ID)
            .map(|id| Uuid::from_slice(id).unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_each_wallet_once_and_too_many_by_naming_none() {
        let ids = |count: u128| (0..count).map(Uuid::from_u128).collect::<BTreeSet<_>>();
        assert_eq!(message(&ids(2))[16..], *Uuid::from_u128(1).as_bytes());
        assert_eq!(message(&ids(1_000)).len(), 16_000);
        assert!(message(&ids(1_001)).is_empty());
    }
}
