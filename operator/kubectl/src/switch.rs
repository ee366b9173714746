//! `kubectl wallex pause`, `suspend` and `resume`: the switches of the spec.
//!
//! Merge patches with strict field validation: an API server with an older CRD that does not know a switch refuses it instead of
//! silently dropping it.

use kube::api::{DynamicObject, Patch, PatchParams, ValidationDirective};
use serde_json::{Map, Value, json};

use super::access::Access;
use super::error::Error;
use super::find::{self, PLATFORMS};
use super::{MANAGER, Outcome, Session};

pub(super) async fn pause(session: &mut Session, name: &str) -> Result<Outcome, Error> {
    turn_on(
        session,
        name,
        "paused",
        "is paused: the operator changes nothing, running pods are not affected",
    )
    .await
}

pub(super) async fn suspend(session: &mut Session, name: &str) -> Result<Outcome, Error> {
    turn_on(
        session,
        name,
        "suspended",
        "is suspended: its pods are being stopped, topics and data stay",
    )
    .await
}

async fn turn_on(
    session: &mut Session,
    name: &str,
    switch: &'static str,
    done: &str,
) -> Result<Outcome, Error> {
    let platform = find::platform(session, name).await?;
    if find::is_on(&platform, switch) {
        session.console.line(&format!("{name} is already {switch}"))?;
        return Ok(Outcome::Fine);
    }
    let changed = patch(session, name, &[(switch, true)]).await?;
    session
        .console
        .line(&format!("{name} {done}\nundo: kubectl wallex resume {name}").replace('\n', "; "))?;
    if switch == "suspended" && find::is_on(&changed, "paused") {
        session
            .console
            .line("it is paused too, so the operator stops no pod before `resume`")?;
    }
    Ok(Outcome::Fine)
}

pub(super) async fn resume(session: &mut Session, name: &str) -> Result<Outcome, Error> {
    let platform = find::platform(session, name).await?;
    let switches: Vec<(&str, bool)> = ["paused", "suspended"]
        .into_iter()
        .filter(|switch| find::is_on(&platform, switch))
        .map(|switch| (switch, false))
        .collect();
    if switches.is_empty() {
        session
            .console
            .line(&format!("{name} is neither paused nor suspended"))?;
        return Ok(Outcome::Fine);
    }
    patch(session, name, &switches).await?;
    let was: Vec<&str> = switches.iter().map(|(switch, _)| *switch).collect();
    session.console.line(&format!(
        "{name} was {} and is resumed; watch it: kubectl wallex status {name} --watch",
        was.join(" and ")
    ))?;
    Ok(Outcome::Fine)
}

async fn patch(session: &Session, name: &str, switches: &[(&str, bool)]) -> Result<DynamicObject, Error> {
    let spec: Map<String, Value> = switches
        .iter()
        .map(|(switch, on)| ((*switch).to_owned(), Value::Bool(*on)))
        .collect();
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
        ..PatchParams::default()
    };
    let body = Patch::Merge(json!({"spec": spec}));
    match find::api(session).patch(name, &params, &body).await {
        Ok(changed) => Ok(changed),
        Err(kube::Error::Api(status)) if status.message.contains("unknown field") => {
            Err(Error::Hopeless(format!(
                "the CRD of this cluster is older than this plugin and does not know it: {}\nUpgrade the operator and its CRD first.",
                status.message
            )))
        }
        Err(error) => Err(Access::new("patch", PLATFORMS, &session.namespace).failed(&error)),
    }
}
