//! The report of `/health/projections`: a platform's lag as reported by a role. Pure.
//!
//! Invariant: a role's report is not trusted to fit the status: a report with anything odd is rejected.

use std::collections::HashSet;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use crate::resource::ProjectionStatus;

/// The path of the report, on the roles that serve reads.
pub const PATH: &str = "/health/projections";

/// Maximum projections in a report; there are fewer.
const ROWS: usize = 16;
/// Maximum characters of a role's own text that a condition repeats.
const SHOWN: usize = 200;

/// A role's answer: status and body.
pub type Answer = (StatusCode, Vec<u8>);

/// A role's report on its platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub rows: Vec<ProjectionStatus>,
    /// Lower bound of the journal's events.
    pub events: i64,
}

#[derive(Deserialize)]
struct Said {
    projections: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    name: String,
    lag_events: u64,
    lag_seconds: f64,
    #[serde(default)]
    partitions: Vec<Part>,
}

/// One partition of a projection; values that an image does not report are 0.
#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    published: u64,
    #[serde(default)]
    applied: u64,
}

/// The report in an answer, or why there is none.
///
/// # Errors
/// The reason, worded so that it does not change from one reading to the next.
pub fn read((status, body): &Answer) -> Result<Report, String> {
    if *status == StatusCode::NOT_FOUND {
        return Err(format!("it does not serve {PATH}; an image of this release does"));
    }
    if !status.is_success() {
        return Err(refusal(*status, body));
    }
    let said: Said =
        serde_json::from_slice(body).map_err(|_| "its answer is not a report of the lag".to_owned())?;
    let events = said.projections.iter().map(events).max().unwrap_or_default();
    let rows: Option<Vec<ProjectionStatus>> = said.projections.into_iter().map(row).collect();
    let rows = rows.filter(|rows| {
        let names: HashSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        (1..=ROWS).contains(&rows.len()) && names.len() == rows.len()
    });
    match rows {
        Some(rows) => Ok(Report { rows, events }),
        None => Err("its report of the lag is inconsistent".to_owned()),
    }
}

/// The journal's events that a projection has been given or has applied: the sum over its partitions.
fn events(row: &Row) -> i64 {
    let of = |part: &Part| i64::try_from(part.published.max(part.applied)).unwrap_or_default();
    row.partitions.iter().map(of).fold(0, i64::saturating_add)
}

fn row(row: Row) -> Option<ProjectionStatus> {
    let plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_".contains(letter);
    let named = (1..=63).contains(&row.name.len()) && row.name.chars().all(plain);
    let seconds = Duration::try_from_secs_f64(row.lag_seconds).ok()?.as_secs();
    named.then_some(ProjectionStatus {
        name: row.name,
        lag_events: i64::try_from(row.lag_events).ok()?,
        lag_seconds: i64::try_from(seconds).ok()?,
    })
}

/// A role's own problem text (RFC 9457), or its status.
fn refusal(status: StatusCode, body: &[u8]) -> String {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let said = problem["detail"].as_str().or_else(|| problem["title"].as_str());
    match said {
        Some(said) => said.chars().take(SHOWN).collect(),
        None => format!("it answered {status}"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use serde_json::json;

    use super::*;

    fn answered(body: &serde_json::Value) -> Result<Report, String> {
        read(&(StatusCode::OK, body.to_string().into_bytes()))
    }

    #[test]
    fn a_report_becomes_rows_in_whole_seconds() {
        let report = json!({"measured_at": "2026-01-01T00:00:00Z", "projections": [
            {"name": "ledger", "lag_events": 0, "lag_seconds": 0.0, "partitions": []},
            {"name": "read-model", "lag_events": 12, "lag_seconds": 61.9, "partitions": [
                {"partition": 0, "published": 20, "applied": 8, "lag_events": 12, "lag_seconds": 61.9},
            ]},
        ]});
        let row = |name: &str, lag_events, lag_seconds| ProjectionStatus {
            name: name.to_owned(),
            lag_events,
            lag_seconds,
        };
        let report = answered(&report).unwrap();
        assert_eq!(report.rows, [row("ledger", 0, 0), row("read-model", 12, 61)]);
        assert_eq!(report.events, 20);
    }

    #[test]
    fn what_does_not_fit_the_status_is_no_report() {
        let good = json!({"name": "ledger", "lag_events": 1, "lag_seconds": 1.0});
        let with = |field: &str, value: serde_json::Value| {
            let mut row = good.clone();
            row[field] = value;
            answered(&json!({"projections": [row]}))
        };
        assert!(with("lag_events", 2.into()).is_ok());
        for (field, value) in [
            ("name", json!("Ledger\u{1b}[2J")),
            ("name", json!("")),
            ("lag_events", json!(-1)),
            ("lag_events", json!(u64::MAX)),
            ("lag_seconds", json!(-0.5)),
            ("lag_seconds", json!(1e300)),
            ("lag_seconds", json!(null)),
        ] {
            assert!(with(field, value.clone()).is_err(), "{field} {value}");
        }
        assert!(answered(&json!({"projections": []})).is_err());
        assert!(
            answered(&json!({"projections": [good, good]})).is_err(),
            "a name twice"
        );
        assert!(answered(&json!({"projections": vec![good; 17]})).is_err());
        assert!(read(&(StatusCode::OK, b"<html>".to_vec())).is_err());
    }

    #[test]
    fn a_role_that_does_not_know_says_why_in_its_own_words() {
        let problem = json!({"title": "unavailable", "detail": "no reading yet", "status": 503});
        let said = read(&(StatusCode::SERVICE_UNAVAILABLE, problem.to_string().into_bytes()));
        assert_eq!(said.unwrap_err(), "no reading yet");
        let said = read(&(StatusCode::BAD_GATEWAY, b"<html>".to_vec())).unwrap_err();
        assert_eq!(said, "it answered 502 Bad Gateway");
        let old = read(&(StatusCode::NOT_FOUND, b"{}".to_vec())).unwrap_err();
        assert!(old.contains("does not serve"), "{old}");
    }
}
