//! What a platform's processes report to the operator: a container's last words, in its termination message, and `/health/ready`
//! of a running one. Pure.
//!
//! Invariant: text that is not understood, such as an older image's, is shown verbatim and has no meaning; it decides nothing
//! except a condition's reason.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use serde::Deserialize;
use wallex_crd::names;
use wallex_domain::{Ailment, LastWords, Migrated};

use crate::reconcile::conditions::{Problem, Reason};

/// Maximum bytes of a container's message in a condition.
const SHOWN: usize = 1024;

/// The reason for each ailment. If a process has several, the first is reported: the others may be its consequences.
const REASONS: [(Ailment, Reason); Ailment::ALL.len()] = [
    (Ailment::SchemaMissing, Reason::SchemaMissing),
    (Ailment::DatabaseUnreachable, Reason::DatabaseUnreachable),
    (Ailment::KafkaUnreachable, Reason::KafkaUnreachable),
    (Ailment::DatabaseTaken, Reason::DatabaseTaken),
    (Ailment::JournalRewound, Reason::JournalRewound),
];

fn reason(ailment: Ailment) -> Option<Reason> {
    let found = REASONS.iter().find(|(of, _)| *of == ailment);
    found.map(|(_, reason)| *reason)
}

/// Why a container ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// None: it has no name.
    pub reason: Option<Reason>,
    /// Empty: it did not say.
    pub text: String,
}

pub fn failure(end: &ContainerStateTerminated) -> Failure {
    let said = end.message.as_deref().unwrap_or_default();
    let Some((code, text)) = LastWords::failure(said, |text| last_bytes(text, SHOWN)) else {
        return Failure::default();
    };
    Failure {
        reason: code.and_then(reason),
        text: text[..text.floor_char_boundary(SHOWN)].to_owned(),
    }
}

/// What a migration achieved; none when its pod did not succeed, or has an older image.
pub fn migrated(pod: &Pod) -> Option<Migrated> {
    match serde_json::from_str(end(pod)?.message.as_deref()?).ok()? {
        LastWords::Migrated(migrated) => Some(migrated),
        LastWords::Failed { .. } => None,
    }
}

/// The termination state of a pod's own container.
pub fn end(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let mut containers = pod.status.as_ref()?.container_statuses.iter().flatten();
    let own = containers.find(|container| container.name == names::CONTAINER)?;
    own.state.as_ref()?.terminated.as_ref()
}

/// The relevant parts of the body of `/health/ready`.
#[derive(Deserialize)]
struct Readiness {
    checks: BTreeMap<String, Check>,
}

#[derive(Deserialize)]
struct Check {
    #[serde(default)]
    reason: String,
    code: Option<Ailment>,
}

/// A process's problem according to the body of its `/health/ready`; none if it reports no known ailment.
pub fn ailing(body: &[u8]) -> Option<Problem> {
    let readiness: Readiness = serde_json::from_slice(body).ok()?;
    REASONS.iter().find_map(|(ailment, reason)| {
        let mut checks = readiness.checks.values();
        let check = checks.find(|check| check.code == Some(*ailment))?;
        let text = &check.reason[..check.reason.floor_char_boundary(SHOWN)];
        Some(Problem::new(*reason, text))
    })
}

/// The end of a text, cut at a character boundary.
pub fn last_bytes(text: &str, limit: usize) -> &str {
    &text[text.ceil_char_boundary(text.len().saturating_sub(limit))..]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use serde_json::json;

    use super::*;

    fn ended(message: &str) -> Failure {
        failure(&ContainerStateTerminated {
            message: Some(message.to_owned()),
            ..ContainerStateTerminated::default()
        })
    }

    #[test]
    fn every_ailment_is_the_reason_of_its_name() {
        for ailment in Ailment::ALL {
            assert_eq!(json!(ailment), json!(reason(ailment).unwrap().as_str()));
        }
        assert_eq!(reason(Ailment::Unknown), None);
    }

    #[test]
    fn last_words_give_their_reason_and_any_other_text_gives_none() {
        let taken = ended(r#"{"result":"failed","code":"DatabaseTaken","message":"not yours"}"#);
        assert_eq!(
            (taken.reason, taken.text.as_str()),
            (Some(Reason::DatabaseTaken), "not yours")
        );
        for (words, text) in [
            (r#"{"result":"failed","message":"no port"}"#, "no port"),
            (
                r#"{"result":"failed","code":"OfANewerImage","message":"no port"}"#,
                "no port",
            ),
            (" error: DatabaseTaken\n", "error: DatabaseTaken"),
            (r#"{"code":"DatabaseTaken"}"#, r#"{"code":"DatabaseTaken"}"#),
            ("", ""),
        ] {
            let said = ended(words);
            assert_eq!((said.reason, said.text.as_str()), (None, text), "{words}");
        }
        let long = json!({"result": "failed", "message": "ä".repeat(2000)}).to_string();
        assert_eq!(ended(&long).text, "ä".repeat(512));
        assert_eq!(ended(&"x".repeat(2000)).text.len(), SHOWN);
    }

    #[test]
    fn a_process_is_ailing_by_the_codes_of_its_checks_alone() {
        let body = |checks: serde_json::Value| json!({"status": "unready", "checks": checks}).to_string();
        let of = |checks| ailing(body(checks).as_bytes());
        let kafka = json!({"status": "unready", "reason": "k:9092 is away", "code": "KafkaUnreachable"});
        let schema = json!({"status": "unready", "reason": "no schema", "code": "SchemaMissing"});
        let both = of(json!({"events topic": kafka, "read_side": schema, "x": {"status": "ready"}})).unwrap();
        assert_eq!(
            (both.reason, both.message.as_str()),
            (Reason::SchemaMissing, "no schema")
        );
        let texts = json!({"database": {"status": "unready", "reason": "DatabaseUnreachable"}});
        assert_eq!(of(texts), None);
        assert_eq!(
            of(json!({"a": {"status": "unready", "reason": "r", "code": "OfANewerImage"}})),
            None
        );
        for nonsense in ["", "{}", "404 page not found", r#"{"checks": 1}"#] {
            assert_eq!(ailing(nonsense.as_bytes()), None, "{nonsense}");
        }
    }

    #[test]
    fn a_long_text_is_cut_at_its_beginning_between_characters() {
        assert_eq!(last_bytes("abc", 10), "abc");
        assert_eq!(last_bytes("aä", 1), "");
        assert_eq!(last_bytes("xäb", 3), "äb");
    }
}
