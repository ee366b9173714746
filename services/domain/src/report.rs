//! What a process of the platform reports about itself to the operator: what is wrong, in `/health/ready`, while it
//! runs, and its last words when it ends. Logs are for people; no program reads them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Why a process cannot work, by the name that the operator's conditions use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ailment {
    DatabaseUnreachable,
    /// The database belongs to another platform.
    DatabaseTaken,
    /// `wallex migrate` has not run yet, or not this version's.
    SchemaMissing,
    /// The journal lacks events that it once had.
    JournalRewound,
    KafkaUnreachable,
    /// A code of a newer version.
    #[serde(other)]
    Unknown,
}

impl Ailment {
    /// All that this version has a name for.
    pub const ALL: [Self; 5] = [
        Self::DatabaseUnreachable,
        Self::DatabaseTaken,
        Self::SchemaMissing,
        Self::JournalRewound,
        Self::KafkaUnreachable,
    ];
}

/// What a process writes to the `--termination-message` file as JSON; Kubernetes shows it as the container's message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum LastWords {
    Migrated(Migrated),
    Failed {
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<Ailment>,
        message: String,
    },
}

impl LastWords {
    /// Why a container ended, by its termination message: the ailment, and the text. `of_text` chooses from a message that is
    /// not in this form, such as the end of a sidecar's log.
    pub fn failure(message: &str, of_text: impl FnOnce(&str) -> &str) -> Option<(Option<Ailment>, String)> {
        let message = message.trim();
        match serde_json::from_str(message) {
            Ok(Self::Failed { code, message }) => Some((code, message)),
            Ok(Self::Migrated(_)) => None,
            Err(_) => Some((None, of_text(message).to_owned())),
        }
    }
}

/// The state that a migration has reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migrated {
    /// The version of each schema, by its name. Empty in the words of an image that named each schema in a field of its own.
    #[serde(default)]
    pub schemas: BTreeMap<String, i64>,
    /// Number of partitions in the journal.
    pub partitions: i32,
    /// When the journal was created, in microseconds since 1970; this identifies it.
    pub journal_id: i64,
    /// Number of events in it.
    pub events: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_these_bytes() {
        let migrated = LastWords::Migrated(Migrated {
            schemas: [("journal".to_owned(), 2), ("ledger".to_owned(), 1)].into(),
            partitions: 10,
            journal_id: 1_700_000_000_000_001,
            events: 7,
        });
        let failed = LastWords::Failed {
            code: Some(Ailment::DatabaseTaken),
            message: "why".to_owned(),
        };
        for (words, text) in [
            (
                migrated,
                r#"{"result":"migrated","schemas":{"journal":2,"ledger":1},"partitions":10,"journal_id":1700000000000001,"events":7}"#,
            ),
            (
                failed,
                r#"{"result":"failed","code":"DatabaseTaken","message":"why"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&words).ok().as_deref(), Some(text));
            assert_eq!(serde_json::from_str::<LastWords>(text).ok(), Some(words));
        }
    }

    #[test]
    fn a_migration_of_an_image_with_a_field_per_schema_still_tells_its_journal() {
        let words = r#"{"result":"migrated","journal":2,"ledger":1,"read_model":3,"partitions":10,"journal_id":5,"events":7}"#;
        let Ok(LastWords::Migrated(migrated)) = serde_json::from_str(words) else {
            panic!("{words}");
        };
        assert!(migrated.schemas.is_empty());
        assert_eq!(
            (migrated.partitions, migrated.journal_id, migrated.events),
            (10, 5, 7)
        );
    }

    #[test]
    fn an_ailment_of_a_newer_version_is_unknown() {
        let words = r#"{"result":"failed","code":"DiskFull","message":"why"}"#;
        let code = Some(Ailment::Unknown);
        let message = "why".to_owned();
        assert_eq!(
            serde_json::from_str(words).ok(),
            Some(LastWords::Failed { code, message })
        );
    }
}
