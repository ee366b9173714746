//! Draws a platform, or a table of platforms. Pure: facts and the time in, text out.

mod components;
mod lag;
mod table;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use wallex_crd::WalletPlatformStatus;
use wallex_crd::vocabulary::types;

use super::facts::{Facts, Known};
use super::text::{Cell, Drawing, Paint, age, first_line};
use super::{events, find};
use components::components;
use lag::lag;

pub(super) use table::table;

/// Events that the screen shows.
const EVENTS: usize = 5;

/// A platform on one screen.
pub(super) fn platform(facts: &Facts, now: Timestamp, colour: bool) -> String {
    let mut drawing = Drawing::new(colour);
    head(&mut drawing, facts, now);
    conditions(&mut drawing, &facts.status.conditions, now);
    components(&mut drawing, facts);
    topics(&mut drawing, &facts.status);
    lag(&mut drawing, facts);
    schema(&mut drawing, &facts.status);
    endpoints(&mut drawing, &facts.status);
    last_events(&mut drawing, facts, now);
    drawing.finish()
}

fn ready(status: &WalletPlatformStatus) -> Option<&Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == types::READY)
}

/// The status of a condition, coloured good or bad.
fn verdict(condition: &Condition) -> Cell {
    let wished = match condition.type_.as_str() {
        types::DEGRADED | types::PROGRESSING => "False",
        _ => "True",
    };
    let paint = match condition.status.as_str() {
        status if status == wished => Paint::Good,
        "Unknown" => Paint::Warn,
        _ if condition.type_ == types::PROGRESSING => Paint::Warn,
        _ => Paint::Bad,
    };
    Cell::new(paint, condition.status.clone())
}

fn head(drawing: &mut Drawing, facts: &Facts, now: Timestamp) {
    let platform = &facts.platform;
    let namespace = platform.namespace().unwrap_or_default();
    drawing.line([
        Cell::new(Paint::Title, platform.name_any()),
        format!("in namespace {namespace}").into(),
    ]);
    match ready(&facts.status) {
        Some(condition) => {
            drawing.line([
                "Ready:".into(),
                verdict(condition),
                format!(
                    "{} for {}",
                    condition.reason,
                    age(condition.last_transition_time.0, now)
                )
                .into(),
            ]);
            drawing.paragraph(2, Paint::Plain, &condition.message);
        }
        None => drawing.line([
            "Ready:".into(),
            Cell::new(Paint::Bad, "not known:"),
            "no operator has processed it yet. Is one running, and does it watch this namespace?".into(),
        ]),
    }
    let (wanted, seen) = (platform.metadata.generation, facts.status.observed_generation);
    if seen.is_some() && seen != wanted {
        let number = |generation: Option<i64>| generation.unwrap_or_default();
        drawing.line([Cell::new(
            Paint::Warn,
            format!(
                "Outdated: the operator has not seen the current spec yet (generation {}, seen {})",
                number(wanted),
                number(seen)
            ),
        )]);
    }
    let name = platform.name_any();
    if find::is_on(platform, "paused") {
        let text = format!("Paused: the operator changes nothing. `kubectl wallex resume {name}` undoes it");
        drawing.line([Cell::new(Paint::Warn, text)]);
    }
    if find::is_on(platform, "suspended") {
        let text =
            format!("Suspended: all pods are stopped. `kubectl wallex resume {name}` brings them back");
        drawing.line([Cell::new(Paint::Warn, text)]);
    }
    if platform.metadata.deletion_timestamp.is_some() {
        drawing.line([Cell::new(
            Paint::Warn,
            "Deleted: it is removed once its finalizers are done",
        )]);
    }
    let image = platform.data["spec"]["image"].as_str().unwrap_or_default();
    drawing.line(["Image:".into(), image.into()]);
}

fn conditions(drawing: &mut Drawing, conditions: &[Condition], now: Timestamp) {
    if conditions.is_empty() {
        return;
    }
    drawing.section("CONDITIONS");
    let rows: Vec<Vec<Cell>> = conditions
        .iter()
        .map(|condition| {
            vec![
                condition.type_.clone().into(),
                verdict(condition),
                condition.reason.clone().into(),
                age(condition.last_transition_time.0, now).into(),
                first_line(&condition.message).into(),
            ]
        })
        .collect();
    drawing.table(2, &["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"], &rows);
}

/// Shows that something is unknown, and why.
fn unknown<T>(drawing: &mut Drawing, what: &str, known: &Known<T>) {
    if let Err(why) = known {
        drawing.paragraph(2, Paint::Warn, &format!("{what} not known: {why}"));
    }
}

fn topics(drawing: &mut Drawing, status: &WalletPlatformStatus) {
    if status.topics.is_empty() {
        return;
    }
    drawing.section("TOPICS");
    let rows: Vec<Vec<Cell>> = status
        .topics
        .iter()
        .map(|topic| {
            vec![
                topic.name.clone().into(),
                topic.partitions.to_string().into(),
                topic.replication_factor.to_string().into(),
                match topic.retention_hours {
                    ..0 => "for ever".to_owned(),
                    hours if hours % 24 == 0 => format!("{}d", hours / 24),
                    hours => format!("{hours}h"),
                }
                .into(),
            ]
        })
        .collect();
    drawing.table(2, &["NAME", "PARTITIONS", "COPIES", "KEPT"], &rows);
}

fn schema(drawing: &mut Drawing, status: &WalletPlatformStatus) {
    let Some(schema) = &status.schema else { return };
    drawing.section("SCHEMA");
    let rows = vec![
        vec!["migrated by".into(), schema.image.clone().into()],
        vec!["job".into(), schema.job.clone().into()],
        vec!["partitions".into(), schema.partitions.to_string().into()],
        vec![
            "versions".into(),
            match &schema.version {
                Some(version) => version.sentence(),
                None => "not known".to_owned(),
            }
            .into(),
        ],
    ];
    drawing.table(2, &[], &rows);
}

fn endpoints(drawing: &mut Drawing, status: &WalletPlatformStatus) {
    let Some(endpoints) = &status.endpoints else {
        return;
    };
    drawing.section("ENDPOINTS (within the cluster)");
    let rows = vec![
        vec!["api".into(), endpoints.api.clone().into()],
        vec!["reads".into(), endpoints.query.clone().into()],
    ];
    drawing.table(2, &[], &rows);
}

fn last_events(drawing: &mut Drawing, facts: &Facts, now: Timestamp) {
    drawing.section("LAST EVENTS");
    unknown(drawing, "events", &facts.events);
    let Ok(all) = &facts.events else { return };
    if all.is_empty() {
        drawing.paragraph(2, Paint::Plain, "none (most clusters keep them for an hour)");
        return;
    }
    let rows: Vec<Vec<Cell>> = all[all.len().saturating_sub(EVENTS)..]
        .iter()
        .map(|event| {
            let warning = event.type_.as_deref() == Some("Warning");
            let object = &event.involved_object;
            vec![
                events::last_seen(event)
                    .map_or_else(String::new, |seen| age(seen, now))
                    .into(),
                Cell::new(
                    if warning { Paint::Bad } else { Paint::Plain },
                    event.reason.clone().unwrap_or_default(),
                ),
                format!(
                    "{} {}",
                    object.kind.as_deref().unwrap_or_default(),
                    object.name.as_deref().unwrap_or_default()
                )
                .into(),
                first_line(event.message.as_deref().unwrap_or_default()).into(),
            ]
        })
        .collect();
    drawing.table(2, &[], &rows);
}
