//! What the services' own words mean: a container's last message and the lines it logs. Pure.
//!
//! Invariant: a text that is not understood is shown as it is and means nothing; no decision but a reason rests on any of it. The
//! phrases are the services', and a test holds them to their source (tests/operator/failures.rs).

use serde_json::Value;
use wallex_crd::SchemaVersions;

use crate::reconcile::conditions::{Problem, Reason};

/// Bytes of a container's words that a condition shows.
const SHOWN: usize = 1024;

/// In the error of a role that finds another platform's id in its database (services/journal, platform_id.rs).
pub const TAKEN: &str = "this database belongs to platform";
/// What an error begins with that tells of a journal which lacks events (services/wallex, migrate.rs; services/publisher, start.rs;
/// services/projector, stall.rs).
pub const REWOUND: &str = "JournalRewound";
/// At the end of the line about a schema that a role waits for (services/journal and services/projector, schema.rs).
pub const UNMIGRATED: &str = ": run `wallex migrate`";
/// What such a line begins with, and the line that ends the waiting (services/wallex, journal.rs).
pub const WAITING: &str = "waiting: ";
pub const FITS: &str = "the database fits";
/// In the line about a server that can't be used (services/runtime, backoff.rs).
pub const OUTAGE: &str = "cannot be used yet, trying again";
/// In the line that ends an outage (the same).
pub const OVER: &str = " answers";

/// The migration's last line, which carries the versions it reached (services/wallex, migrate.rs).
pub const MIGRATED: &str = "the database is ready";

/// Servers as those lines call them, and the reason for each.
pub const SERVERS: [(&str, Reason); 6] = [
    ("PostgreSQL", Reason::DatabaseUnreachable),
    ("The journal", Reason::DatabaseUnreachable),
    ("The projection's database", Reason::DatabaseUnreachable),
    ("Kafka", Reason::KafkaUnreachable),
    ("The events topic", Reason::KafkaUnreachable),
    ("The events source", Reason::KafkaUnreachable),
];

/// The reason that an error's text gives away by itself.
pub fn reason(text: &str) -> Option<Reason> {
    if text.contains(TAKEN) {
        Some(Reason::DatabaseTaken)
    } else if text.contains(REWOUND) {
        Some(Reason::JournalRewound)
    } else {
        None
    }
}

/// The end of what a container said, from its error on when it says where that begins.
pub fn gist(text: &str) -> &str {
    let text = text.trim();
    let error = text
        .match_indices("error: ")
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || text[..*at].ends_with('\n'))
        .last();
    let from = error.unwrap_or_else(|| text.rfind('\n').map_or(0, |line| line + 1));
    last_bytes(&text[from..], SHOWN)
}

/// The server that a process waits for, by the last lines of its log: one that was reported away and did not answer since.
pub fn outage(log: &str) -> Option<Problem> {
    let mut away: Vec<(&str, Problem)> = Vec::new();
    for line in log.lines() {
        let line = Line::read(line);
        for (server, reason) in SERVERS {
            if line.message == format!("{server} {OUTAGE}") {
                away.retain(|(known, _)| *known != server);
                away.push((server, Problem::new(reason, line.said(server))));
            } else if line.message == format!("{server}{OVER}") {
                away.retain(|(known, _)| *known != server);
            }
        }
    }
    away.into_iter().next().map(|(_, problem)| problem)
}

/// The schema that a process waits for, by the last lines of its log.
pub fn unmigrated(log: &str) -> Option<Problem> {
    let mut waits = None;
    for line in log.lines() {
        let message = Line::read(line).message;
        match message.strip_prefix(WAITING) {
            Some(what) if what.ends_with(UNMIGRATED) => {
                waits = Some(Problem::new(
                    Reason::SchemaMissing,
                    what.trim_end_matches(UNMIGRATED),
                ));
            }
            Some(_) => {}
            None if message == FITS => waits = None,
            None => {}
        }
    }
    waits
}

/// What a publisher or projector says of a journal that lacks events, by the last lines of its log.
pub fn rewound(log: &str) -> Option<Problem> {
    let said = log.lines().rev().find_map(|line| {
        let line = Line::read(line);
        [line.reason, line.message]
            .into_iter()
            .find(|words| words.starts_with(REWOUND) && words.len() > REWOUND.len())
    })?;
    Some(Problem::new(Reason::JournalRewound, last_bytes(&said, SHOWN)))
}

/// What a migration tells when it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    pub versions: SchemaVersions,
    /// Partitions that the journal has.
    pub partitions: i32,
    /// What the journal is known by; none: an older image.
    pub journal: Option<String>,
    /// Events that it has.
    pub events: i64,
}

/// What a migration's log tells; none when it does not: an older image, or a level that leaves the line out.
pub fn migrated(log: &str) -> Option<Migrated> {
    log.lines().rev().find_map(|line| {
        let versions = SchemaVersions {
            journal: number(line, "journal")?,
            ledger: number(line, "ledger")?,
            read_model: number(line, "read_model")?,
        };
        Some(Migrated {
            versions,
            partitions: number(line, "partitions")?.try_into().ok()?,
            journal: number(line, "journal_id").map(|id| id.to_string()),
            events: number(line, "events").unwrap_or_default(),
        })
    })
}

/// The whole number in a field of the migration's last line; none when it is another line.
fn number(line: &str, field: &str) -> Option<i64> {
    if let Ok(Value::Object(fields)) = serde_json::from_str(line) {
        let is_it = fields.get("message").and_then(Value::as_str) == Some(MIGRATED);
        return fields.get(field).filter(|_| is_it)?.as_i64();
    }
    // Text: `TIME LEVEL target: MESSAGE name=1 …`.
    let (_, fields) = line.split_once(&format!(": {MIGRATED} "))?;
    let mut fields = fields.split(' ').filter_map(|field| field.split_once('='));
    fields.find(|(name, _)| *name == field)?.1.parse().ok()
}

/// The end of a text, whole characters.
pub fn last_bytes(text: &str, limit: usize) -> &str {
    let mut start = text.len().saturating_sub(limit);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

/// One log line of a service, in either of its formats.
#[derive(Default)]
struct Line {
    message: String,
    server: String,
    cause: String,
    reason: String,
}

impl Line {
    fn read(line: &str) -> Self {
        if let Ok(Value::Object(fields)) = serde_json::from_str(line) {
            let field = |name| fields.get(name).and_then(Value::as_str).unwrap_or_default();
            return Self {
                message: field("message").to_owned(),
                server: field("server").to_owned(),
                cause: field("cause").to_owned(),
                reason: field("reason").to_owned(),
            };
        }
        // Text: `TIME LEVEL target: MESSAGE name="value" …`.
        let rest = line.split_once(": ").map_or("", |(_, rest)| rest);
        let message = rest.split(" server=\"").next().unwrap_or_default();
        Self {
            message: message.to_owned(),
            server: quoted(rest, "server"),
            cause: quoted(rest, "cause"),
            reason: quoted(rest, "reason"),
        }
    }

    fn said(&self, server: &str) -> String {
        format!("{server} ({}) can't be used: {}", self.server, self.cause)
    }
}

/// The value of ` name="value"`, with its escapes undone.
fn quoted(text: &str, name: &str) -> String {
    let Some((_, rest)) = text.split_once(&format!(" {name}=\"")) else {
        return String::new();
    };
    let mut value = String::new();
    let mut characters = rest.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            other => value.push(other),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const JSON: &str = r#"{"timestamp":"t","level":"WARN","server":"10.0.0.1:5432/demo","setting":"database_url","cause":"connection refused","message":"PostgreSQL cannot be used yet, trying again","target":"x"}"#;
    const TEXT: &str = r#"2026-01-01T00:00:00Z  WARN wallex_runtime::backoff: Kafka cannot be used yet, trying again server="k:9092" setting="kafka_bootstrap_servers" cause="no \"answer\"""#;

    #[test]
    fn a_server_that_is_away_is_named_with_its_cause_in_either_format() {
        let database = outage(&format!("{{}}\n{JSON}\nnoise")).unwrap();
        assert_eq!(database.reason, Reason::DatabaseUnreachable);
        assert_eq!(
            database.message,
            "PostgreSQL (10.0.0.1:5432/demo) can't be used: connection refused"
        );
        let kafka = outage(TEXT).unwrap();
        assert_eq!(kafka.reason, Reason::KafkaUnreachable);
        assert_eq!(kafka.message, "Kafka (k:9092) can't be used: no \"answer\"");
    }

    #[test]
    fn a_server_that_answered_since_is_not_the_reason() {
        let over = r#"{"level":"INFO","server":"10.0.0.1:5432/demo","message":"PostgreSQL answers"}"#;
        assert_eq!(outage(&format!("{JSON}\n{over}")), None);
        assert!(outage(&format!("{JSON}\n{over}\n{JSON}")).is_some());
    }

    #[test]
    fn the_versions_that_a_migration_reached_are_read_in_either_format() {
        let expected = SchemaVersions {
            journal: 2,
            ledger: 1,
            read_model: 3,
        };
        let json = r#"{"level":"INFO","platform":"a/b/c","partitions":10,"journal":2,"ledger":1,"read_model":3,"message":"the database is ready"}"#;
        let text = "2026-01-01T00:00:00Z  INFO wallex::migrate: the database is ready platform=a/b/c partitions=10 journal=2 ledger=1 read_model=3";
        for line in [json, text] {
            let told = migrated(&format!("noise\n{line}\n{{}}\n")).unwrap();
            assert_eq!((&told.versions, told.partitions), (&expected, 10));
            assert_eq!((told.journal, told.events), (None, 0), "an older image's words");
        }
        let text = "2026-01-01T00:00:00Z  INFO wallex::migrate: the database is ready platform=a/b/c partitions=10 events=7 \
                    journal_id=1700000000000001 journal=2 ledger=1 read_model=3";
        let told = migrated(text).unwrap();
        assert_eq!(
            (told.journal.as_deref(), told.events),
            (Some("1700000000000001"), 7)
        );
    }

    #[test]
    fn a_schema_that_a_role_waits_for_is_known_until_it_fits() {
        let waits = r#"{"level":"WARN","message":"waiting: the schema ledger is at version 0, this build needs 1: run `wallex migrate`"}"#;
        let fits = r#"{"level":"INFO","message":"the database fits"}"#;
        let text = "2026-01-01T00:00:00Z  WARN wallex::journal: waiting: the journal's schema is at version 0, this build needs 2: run `wallex migrate`";
        let problem = unmigrated(&format!("{fits}\n{waits}\nnoise")).unwrap();
        assert_eq!(problem.reason, Reason::SchemaMissing);
        assert_eq!(
            problem.message,
            "the schema ledger is at version 0, this build needs 1"
        );
        assert!(unmigrated(text).is_some());
        assert_eq!(unmigrated(&format!("{waits}\n{fits}")), None);
        let newer =
            r#"{"message":"waiting: the journal's schema tolerates builds from 3 on: upgrade this role"}"#;
        assert_eq!(unmigrated(newer), None, "no migration helps");
    }

    #[test]
    fn a_journal_that_lacks_events_is_known_in_the_words_of_publisher_and_projector() {
        let publisher = r#"{"level":"ERROR","partition":"3","reason":"JournalRewound: the topic ends with event 3:9","message":"partition stopped"}"#;
        let projector = r#"{"level":"ERROR","projection":"ledger","reason":"JournalRewound","message":"JournalRewound in partition 3: lost"}"#;
        let text = r#"2026-01-01T00:00:00Z ERROR wallex_publisher: partition stopped partition=3 reason="JournalRewound: the topic ends with event 3:9""#;
        for (line, words) in [
            (publisher, "JournalRewound: the topic ends with event 3:9"),
            (projector, "JournalRewound in partition 3: lost"),
            (text, "JournalRewound: the topic ends with event 3:9"),
        ] {
            let problem = rewound(&format!("{line}\nnoise")).unwrap();
            assert_eq!(
                (problem.reason, problem.message.as_str()),
                (Reason::JournalRewound, words)
            );
        }
        assert_eq!(rewound("noise"), None);
    }

    #[test]
    fn a_log_that_lacks_a_version_tells_of_none() {
        for line in [
            "",
            "2026-01-01T00:00:00Z  INFO wallex::migrate: the database is ready platform=a/b/c partitions=10",
            r#"{"journal":2,"ledger":1,"read_model":3,"message":"something else"}"#,
            r#"{"journal":2,"ledger":"1","read_model":3,"message":"the database is ready"}"#,
            "x: the database is ready journal=two ledger=1 read_model=3",
        ] {
            assert_eq!(migrated(line), None, "{line}");
        }
    }

    #[test]
    fn the_gist_is_the_error_or_the_last_line() {
        assert_eq!(
            gist("starting\nerror: no port\n  cause: taken\n"),
            "error: no port\n  cause: taken"
        );
        assert_eq!(gist("one\ntwo\n"), "two");
        assert_eq!(gist("  "), "");
    }

    #[test]
    fn a_long_text_is_cut_at_its_beginning_between_characters() {
        assert_eq!(last_bytes("abc", 10), "abc");
        assert_eq!(last_bytes("aä", 1), "");
        assert_eq!(last_bytes("xäb", 3), "äb");
    }
}
