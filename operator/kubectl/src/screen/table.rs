//! Several platforms, one line each.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use kube::api::DynamicObject;

use super::super::find;
use super::super::text::{Cell, Drawing, age, first_line};
use super::{ready, verdict};

/// A table of platforms, with their namespaces when `everywhere`.
pub(in super::super) fn table(
    platforms: &[DynamicObject],
    everywhere: bool,
    now: Timestamp,
    colour: bool,
) -> String {
    let mut header = vec!["NAME", "READY", "REASON", "COMPONENTS", "LAG", "AGE", "MESSAGE"];
    if everywhere {
        header.insert(0, "NAMESPACE");
    }
    let rows: Vec<Vec<Cell>> = platforms
        .iter()
        .map(|platform| {
            let status = find::status_of(platform);
            let ready = ready(&status);
            let born = platform.creation_timestamp().map_or(now, |time| time.0);
            let mut row: Vec<Cell> = vec![
                platform.name_any().into(),
                ready.map_or("-".into(), verdict),
                reason(platform, ready).into(),
                status.components_ready.as_deref().unwrap_or("-").into(),
                status
                    .lag
                    .map_or_else(|| "-".to_owned(), |lag| lag.to_string())
                    .into(),
                age(born, now).into(),
                ready
                    .map(|ready| first_line(&ready.message))
                    .unwrap_or_default()
                    .into(),
            ];
            if everywhere {
                row.insert(0, platform.namespace().unwrap_or_default().into());
            }
            row
        })
        .collect();
    let mut drawing = Drawing::new(colour);
    drawing.table(0, &header, &rows);
    drawing.finish()
}

/// The reason for its state; the user's own switches come first.
fn reason(platform: &DynamicObject, ready: Option<&Condition>) -> String {
    let switched: Vec<&str> = ["suspended", "paused"]
        .into_iter()
        .filter(|switch| find::is_on(platform, switch))
        .collect();
    match ready {
        Some(ready) if switched.is_empty() || switched.contains(&ready.reason.to_lowercase().as_str()) => {
            ready.reason.clone()
        }
        Some(ready) => format!("{} ({})", ready.reason, switched.join(", ")),
        None => "not seen by an operator".to_owned(),
    }
}
