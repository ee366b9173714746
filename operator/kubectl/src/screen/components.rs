//! The components of a platform, and their pods that are not ready.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use wallex_crd::{Component, rollout};

use super::super::facts::Facts;
use super::super::pods;
use super::super::text::{Cell, Drawing, Paint};
use super::unknown;

/// A component according to its Deployment, or to the status if Deployments can't be read.
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
            let name = component.object(&platform);
            let live = deployments.iter().find(|live| live.name_any() == name)?;
            let status = live.status.clone().unwrap_or_default();
            Some(Row {
                name: component.name().to_owned(),
                desired: live.spec.replicas.unwrap_or(1),
                ready: status.ready_replicas.unwrap_or_default(),
                updated: status.updated_replicas.unwrap_or_default(),
                image: rollout::image(live).unwrap_or_default().to_owned(),
            })
        })
        .collect()
}

pub(super) fn components(drawing: &mut Drawing, facts: &Facts) {
    drawing.section("COMPONENTS");
    if let Err(why) = &facts.deployments {
        let text = format!("as the operator last saw them; the current state is not known: {why}");
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
