//! What to change so that a topic becomes what is wanted. Pure.

use std::collections::BTreeMap;

use super::Wanted;

/// One topic as the brokers describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub partitions: i32,
    pub replication_factor: i32,
    /// Every setting's effective value.
    pub effective: BTreeMap<String, String>,
    /// The settings that were set on this very topic (not brokers' defaults).
    pub own: BTreeMap<String, String>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    /// All settings of the topic's own. The protocol's request replaces the whole set, so those we don't care for are repeated.
    Configure(BTreeMap<String, String>),
    /// The new total.
    GrowTo(i32),
}

/// The changes, in order. None when the topic is as wanted (or larger: it is never shrunk).
pub fn plan(wanted: &Wanted, found: Option<&Found>) -> Vec<Action> {
    let Some(found) = found else {
        return vec![Action::Create];
    };
    let mut actions = Vec::new();
    let drifted = wanted
        .config
        .iter()
        .any(|(key, value)| found.effective.get(key) != Some(value));
    if drifted {
        let mut config = found.own.clone();
        config.extend(wanted.config.clone());
        actions.push(Action::Configure(config));
    }
    if found.partitions < wanted.partitions {
        actions.push(Action::GrowTo(wanted.partitions));
    }
    actions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn wanted() -> Wanted {
        Wanted {
            name: "wallet-events".to_owned(),
            partitions: 10,
            replication_factor: 1,
            config: config(&[("retention.ms", "1000"), ("compression.type", "lz4")]),
        }
    }

    fn as_wanted() -> Found {
        Found {
            partitions: 10,
            replication_factor: 1,
            effective: config(&[
                ("retention.ms", "1000"),
                ("compression.type", "lz4"),
                ("segment.bytes", "7"),
            ]),
            own: config(&[("retention.ms", "1000"), ("compression.type", "lz4")]),
        }
    }

    #[test]
    fn a_missing_topic_is_created() {
        assert_eq!(plan(&wanted(), None), [Action::Create]);
    }

    #[test]
    fn a_topic_as_wanted_is_left_alone() {
        assert_eq!(plan(&wanted(), Some(&as_wanted())), []);
    }

    #[test]
    fn drift_is_mended_and_foreign_settings_are_kept() {
        let mut found = as_wanted();
        found.effective.insert("retention.ms".to_owned(), "5".to_owned());
        found.own = config(&[("retention.ms", "5"), ("segment.bytes", "7")]);
        assert_eq!(
            plan(&wanted(), Some(&found)),
            [Action::Configure(config(&[
                ("retention.ms", "1000"),
                ("compression.type", "lz4"),
                ("segment.bytes", "7")
            ]))]
        );
    }

    #[test]
    fn partitions_grow_and_never_shrink() {
        let mut found = as_wanted();
        found.partitions = 4;
        assert_eq!(plan(&wanted(), Some(&found)), [Action::GrowTo(10)]);
        found.partitions = 20;
        assert_eq!(plan(&wanted(), Some(&found)), []);
    }
}
