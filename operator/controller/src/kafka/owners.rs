//! Who owns a topic, recorded in Kafka itself: one record per topic and platform on the compacted topic [`TOPIC`]. So platforms
//! of different operators and Kubernetes clusters see each other, whatever address they use for the brokers.
//!
//! Invariant: of all platforms that claim a topic, the one with the earliest record owns it; a platform that finds an earlier
//! record than its own withdraws. Two that claim at the same time both write and then both read, so exactly one of them stays.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// The topic that holds the claims: one partition, compacted.
pub const TOPIC: &str = "wallex-topic-owners";

/// One platform's claim to a topic: the value of a record.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub topic: String,
    /// The platform's id: cluster, namespace, name.
    pub platform: String,
    /// The operator created the topic for it; otherwise the topic already existed.
    pub created: bool,
}

impl Claim {
    /// The record's key. Neither part contains a space.
    pub fn key(&self) -> String {
        key(&self.topic, &self.platform)
    }
}

/// The key of `platform`'s claim to `topic`.
pub fn key(topic: &str, platform: &str) -> String {
    format!("{topic} {platform}")
}

/// All claims, the earliest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims(Vec<Claim>);

impl Claims {
    /// From the records of [`TOPIC`] in order: key, and value or tombstone. A value that can't be parsed is not ours.
    pub fn read<'a>(records: impl IntoIterator<Item = (&'a [u8], Option<&'a [u8]>)>) -> Self {
        let mut last: HashMap<Vec<u8>, (usize, Claim)> = HashMap::new();
        for (at, (key, value)) in records.into_iter().enumerate() {
            let claim = value.and_then(|value| serde_json::from_slice::<Claim>(value).ok());
            match claim.filter(|claim| claim.key().as_bytes() == key) {
                Some(claim) => drop(last.insert(key.to_vec(), (at, claim))),
                None => drop(last.remove(key)),
            }
        }
        let mut claims: Vec<(usize, Claim)> = last.into_values().collect();
        claims.sort_by_key(|(at, _)| *at);
        Self(claims.into_iter().map(|(_, claim)| claim).collect())
    }

    /// The owner of `topic`.
    pub fn owner(&self, topic: &str) -> Option<&Claim> {
        self.0.iter().find(|claim| claim.topic == topic)
    }

    /// All claims to `topic`.
    pub fn of<'a>(&'a self, topic: &str) -> impl Iterator<Item = &'a Claim> {
        self.0.iter().filter(move |claim| claim.topic == topic)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn claim(platform: &str, created: bool) -> (Vec<u8>, Option<Vec<u8>>) {
        let claim = Claim {
            topic: "events".to_owned(),
            platform: platform.to_owned(),
            created,
        };
        let value = serde_json::to_vec(&claim).unwrap();
        (claim.key().into_bytes(), Some(value))
    }

    fn withdrawn(platform: &str) -> (Vec<u8>, Option<Vec<u8>>) {
        (key("events", platform).into_bytes(), None)
    }

    fn owner(records: &[(Vec<u8>, Option<Vec<u8>>)]) -> Option<String> {
        let records = records
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()));
        let claims = Claims::read(records);
        claims.owner("events").map(|claim| claim.platform.clone())
    }

    #[test]
    fn the_earliest_claim_that_stands_has_the_topic() {
        let (a, b) = (claim("c/n/a", true), claim("c/n/b", false));
        assert_eq!(owner(&[]), None);
        assert_eq!(owner(&[a.clone(), b.clone()]).as_deref(), Some("c/n/a"));
        assert_eq!(
            owner(&[a.clone(), b, withdrawn("c/n/a")]).as_deref(),
            Some("c/n/b")
        );
        assert_eq!(owner(&[a.clone(), withdrawn("c/n/a")]), None);
        assert_eq!(
            owner(&[a, withdrawn("c/n/a"), claim("c/n/a", true)]).as_deref(),
            Some("c/n/a")
        );
    }

    #[test]
    fn what_is_no_claim_is_passed_over() {
        let (key, _) = claim("c/n/a", true);
        let (_, value) = claim("c/n/b", true);
        let strange = [
            (key.clone(), Some(b"not json".to_vec())),
            // Stored under another claim's key.
            (key, value),
            (b"events".to_vec(), Some(b"{}".to_vec())),
        ];
        assert_eq!(owner(&strange), None);
    }
}
