//! Draws a platform, or a table of platforms. Pure: facts and the time in, text out.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use kube::api::DynamicObject;

use super::facts::{Facts, Known};
use super::text::{Cell, Drawing, Paint, age, first_line};
use super::{events, find, pods};
use crate::crd::WalletPlatformStatus;
use crate::names::{self, Component};
use crate::reconcile::apply;
use crate::reconcile::conditions::types;

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

/// A table of platforms, with their namespaces when `everywhere`.
pub(super) fn table(platforms: &[DynamicObject], everywhere: bool, now: Timestamp, colour: bool) -> String {
    let mut header = vec!["NAME", "READY", "REASON", "COMPONENTS", "AGE", "MESSAGE"];
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

fn ready(status: &WalletPlatformStatus) -> Option<&Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == types::READY)
}

/// Why it is as it is; the user's own switches come first.
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

/// The status of a condition, coloured by whether that is good.
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
            "no operator has looked at it yet. Is one running, and does it watch this namespace?".into(),
        ]),
    }
    let (wanted, seen) = (platform.metadata.generation, facts.status.observed_generation);
    if seen.is_some() && seen != wanted {
        let number = |generation: Option<i64>| generation.unwrap_or_default();
        drawing.line([Cell::new(
            Paint::Warn,
            format!(
                "Old: the operator has not seen the present spec yet (generation {}, seen {})",
                number(wanted),
                number(seen)
            ),
        )]);
    }
    let name = platform.name_any();
    if find::is_on(platform, "paused") {
        let text =
            format!("Paused: the operator changes nothing. `kubectl wallex resume {name}` lets it go on");
        drawing.line([Cell::new(Paint::Warn, text)]);
    }
    if find::is_on(platform, "suspended") {
        let text = format!("Suspended: no pods are wanted. `kubectl wallex resume {name}` brings them back");
        drawing.line([Cell::new(Paint::Warn, text)]);
    }
    if platform.metadata.deletion_timestamp.is_some() {
        drawing.line([Cell::new(
            Paint::Warn,
            "Deleted: it goes when its finalizers are done",
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

/// A component as its Deployment says, or the status when Deployments can't be read.
struct Row {
    name: String,
    desired: i32,
    ready: i32,
    updated: i32,
    image: String,
}

fn rows(facts: &Facts) -> Vec<Row> {
    let Ok(deployments) = &facts.deployments else {
        let stored = facts.status.components.iter();
        return stored
            .map(|component| Row {
                name: component.name.clone(),
                desired: component.desired,
                ready: component.ready,
                updated: component.updated,
                image: component.image.clone().unwrap_or_default(),
            })
            .collect();
    };
    let platform = facts.platform.name_any();
    Component::ROLLOUT
        .into_iter()
        .filter_map(|component| {
            let name = names::component_object(&platform, component);
            let live = deployments.iter().find(|live| live.name_any() == name)?;
            let status = live.status.clone().unwrap_or_default();
            Some(Row {
                name: component.name().to_owned(),
                desired: live.spec.replicas.unwrap_or(1),
                ready: status.ready_replicas.unwrap_or_default(),
                updated: status.updated_replicas.unwrap_or_default(),
                image: apply::image(live).unwrap_or_default().to_owned(),
            })
        })
        .collect()
}

fn components(drawing: &mut Drawing, facts: &Facts) {
    drawing.section("COMPONENTS");
    if let Err(why) = &facts.deployments {
        let text = format!("as the operator last saw them; what is now is not known: {why}");
        drawing.paragraph(2, Paint::Warn, &text);
    }
    let rows = rows(facts);
    if rows.is_empty() {
        drawing.paragraph(2, Paint::Plain, "none yet");
        return;
    }
    let of = |name: &str| -> Vec<&Pod> {
        let all = facts.pods.iter().flatten();
        all.filter(|pod| pods::component(pod) == Some(name)).collect()
    };
    let cells: Vec<Vec<Cell>> = rows
        .iter()
        .map(|row| {
            let paint = if row.ready >= row.desired {
                Paint::Good
            } else {
                Paint::Bad
            };
            let restarts: i32 = of(&row.name).iter().map(|pod| pods::restarts(pod)).sum();
            vec![
                row.name.clone().into(),
                Cell::new(paint, format!("{}/{}", row.ready, row.desired)),
                row.updated.to_string().into(),
                if facts.pods.is_ok() {
                    restarts.to_string()
                } else {
                    "?".to_owned()
                }
                .into(),
                row.image.clone().into(),
            ]
        })
        .collect();
    drawing.table(2, &["NAME", "READY", "UPDATED", "RESTARTS", "IMAGE"], &cells);
    unknown(drawing, "pods", &facts.pods);

    let troubled: Vec<Vec<Cell>> = facts
        .pods
        .iter()
        .flatten()
        .filter_map(|pod| {
            let why = pods::trouble(pod)?;
            let restarts = match pods::restarts(pod) {
                0 => String::new(),
                1 => " (1 restart)".to_owned(),
                count => format!(" ({count} restarts)"),
            };
            Some(vec![
                pod.name_any().into(),
                Cell::new(Paint::Bad, format!("{why}{restarts}")),
            ])
        })
        .collect();
    if !troubled.is_empty() {
        drawing.section("PODS THAT ARE NOT READY");
        drawing.table(2, &[], &troubled);
    }
}

/// Says that something is not known, and why.
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

fn lag(drawing: &mut Drawing, facts: &Facts) {
    drawing.section("LAG (events that a projection has not consumed)");
    match &facts.lag {
        Ok(groups) => {
            let rows: Vec<Vec<Cell>> = groups
                .iter()
                .map(|group| {
                    let lag = match group.lag {
                        Some(0) => Cell::new(Paint::Good, "0"),
                        Some(lag) => lag.to_string().into(),
                        None => Cell::new(Paint::Warn, "not known"),
                    };
                    vec![group.name.clone().into(), lag]
                })
                .collect();
            drawing.table(2, &[], &rows);
        }
        Err(why) => drawing.paragraph(2, Paint::Warn, &format!("not known: {why}")),
    }
}

fn schema(drawing: &mut Drawing, status: &WalletPlatformStatus) {
    let Some(schema) = &status.schema else { return };
    drawing.section("SCHEMA");
    let rows = vec![
        vec!["migrated by".into(), schema.image.clone().into()],
        vec!["job".into(), schema.job.clone().into()],
        vec!["partitions".into(), schema.partitions.to_string().into()],
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
        drawing.paragraph(
            2,
            Paint::Plain,
            "none (the cluster forgets them after an hour, mostly)",
        );
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
