//! What to change to bring a topic to its desired state. Pure.

use std::collections::BTreeMap;

use super::{Asked, Missing};

/// One topic as the brokers describe it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub partitions: i32,
    pub replication_factor: i32,
    /// Every setting's effective value.
    pub effective: BTreeMap<String, String>,
    /// The settings that were set on this topic itself (not the brokers' defaults).
    pub own: BTreeMap<String, String>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    /// All of the topic's own settings. The protocol's request replaces the whole set, so settings we don't manage are
    /// repeated.
    Configure(BTreeMap<String, String>),
    /// The new total number of partitions.
    GrowTo(i32),
}

/// What to do about a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order. Empty when the topic is as wanted, or larger: topics never shrink.
    pub actions: Vec<Action>,
    /// What is missing and left that way for now: a loss is reported before anything is recreated.
    pub missing: Option<Missing>,
}

/// The changes that bring a topic to the requested state.
pub fn plan(asked: &Asked, found: Option<&Found>) -> Plan {
    let (wanted, known) = (&asked.wanted, asked.known);
    let anew = asked.refill && known.is_none_or(|known| known.missing);
    let mut plan = Plan::default();
    let Some(found) = found else {
        if known.is_none() || anew {
            plan.actions.push(Action::Create);
        } else {
            plan.missing = Some(Missing::Gone);
        }
        return plan;
    };
    let drifted = wanted
        .config
        .iter()
        .any(|(key, value)| found.effective.get(key) != Some(value));
    if drifted {
        let mut config = found.own.clone();
        config.extend(wanted.config.clone());
        plan.actions.push(Action::Configure(config));
    }
    if found.partitions < wanted.partitions {
        // Fewer than it had: this is another topic with the same name. Fewer than wanted now: it grows.
        let lost = known.is_some_and(|known| known.missing || known.partitions >= wanted.partitions);
        if lost && !anew {
            plan.missing = Some(Missing::Partitions(found.partitions));
        } else {
            plan.actions.push(Action::GrowTo(wanted.partitions));
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{Known, Wanted};

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

    fn asked(known: Option<Known>, refill: bool) -> Asked {
        Asked {
            wanted: wanted(),
            known,
            refill,
        }
    }

    fn actions(found: Option<&Found>) -> Vec<Action> {
        plan(&asked(None, true), found).actions
    }

    fn seen(missing: bool) -> Option<Known> {
        Some(Known {
            partitions: 10,
            missing,
            created: true,
        })
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
        assert_eq!(actions(None), [Action::Create]);
    }

    #[test]
    fn a_topic_as_wanted_is_left_alone() {
        assert_eq!(actions(Some(&as_wanted())), []);
    }

    #[test]
    fn drift_is_mended_and_foreign_settings_are_kept() {
        let mut found = as_wanted();
        found.effective.insert("retention.ms".to_owned(), "5".to_owned());
        found.own = config(&[("retention.ms", "5"), ("segment.bytes", "7")]);
        assert_eq!(
            actions(Some(&found)),
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
        assert_eq!(actions(Some(&found)), [Action::GrowTo(10)]);
        found.partitions = 20;
        assert_eq!(actions(Some(&found)), []);
    }

    #[test]
    fn a_topic_that_is_gone_is_reported_first_and_made_anew_only_by_leave() {
        let reported = plan(&asked(seen(false), true), None);
        assert_eq!(
            (reported.actions, reported.missing),
            (vec![], Some(Missing::Gone))
        );
        let held = plan(&asked(seen(true), false), None);
        assert_eq!((held.actions, held.missing), (vec![], Some(Missing::Gone)));
        let anew = plan(&asked(seen(true), true), None);
        assert_eq!((anew.actions, anew.missing), (vec![Action::Create], None));
    }

    #[test]
    fn a_topic_with_fewer_partitions_than_it_had_is_another_one() {
        let mut found = as_wanted();
        found.partitions = 3;
        let reported = plan(&asked(seen(false), true), Some(&found));
        assert_eq!(
            (reported.actions, reported.missing),
            (vec![], Some(Missing::Partitions(3)))
        );
        let anew = plan(&asked(seen(true), true), Some(&found));
        assert_eq!((anew.actions, anew.missing), (vec![Action::GrowTo(10)], None));
    }

    #[test]
    fn a_topic_that_had_fewer_partitions_than_are_wanted_now_just_grows() {
        let mut found = as_wanted();
        found.partitions = 4;
        let known = Some(Known {
            partitions: 4,
            missing: false,
            created: true,
        });
        let grown = plan(&asked(known, false), Some(&found));
        assert_eq!((grown.actions, grown.missing), (vec![Action::GrowTo(10)], None));
    }
}
