//! `kubectl wallex restart`: rolls the Deployments as `kubectl rollout restart` does, readers before writers, one at a time.
//!
//! The annotation on the pod template belongs to the plugin's own field manager. The operator applies only what it states, so it
//! leaves the annotation alone and does not see it as drift (a test of the operator checks that).

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, ResourceExt as _};
use serde_json::json;
use wallex_crd::{Component, names, rollout};

use super::access::Access;
use super::args::Restart;
use super::error::Error;
use super::{MANAGER, Outcome, Session, find, pods};

/// The annotation that kubectl uses.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

pub(super) async fn roll_all(session: &mut Session, args: &Restart) -> Result<Outcome, Error> {
    let platform = find::platform(session, &args.name).await?;
    if find::is_on(&platform, "suspended") {
        session.console.line(&format!(
            "{} is suspended and has no pods to restart; bring them back: kubectl wallex resume {}",
            args.name, args.name
        ))?;
        return Ok(Outcome::Fine);
    }
    let wanted: Vec<Component> = Component::ROLLOUT
        .into_iter()
        .filter(|component| args.components.is_empty() || args.components.contains(component))
        .collect();
    for (number, component) in wanted.iter().enumerate() {
        let not_begun = &wanted[number + 1..];
        let stop = session.stop.clone();
        let rolled = tokio::select! {
            biased;
            () = stop.cancelled() => return stopped(session, args, *component, not_begun),
            rolled = tokio::time::timeout(args.timeout, roll(session, &args.name, *component)) => rolled,
        };
        match rolled {
            Ok(rolled) => rolled?,
            Err(_) => {
                let why = why(session, &args.name, *component).await;
                return Err(Error::Hopeless(format!(
                    "{} is not restarted after {} s{why}\nIts old pods keep serving. Not started: {}",
                    component.name(),
                    args.timeout.as_secs(),
                    list(not_begun)
                )));
            }
        }
        session
            .console
            .line(&format!("{}: restarted", component.name()))?;
    }
    Ok(Outcome::Fine)
}

/// Lists the components, or says that there are none.
fn list(components: &[Component]) -> String {
    if components.is_empty() {
        return "nothing".to_owned();
    }
    let names: Vec<&str> = components.iter().map(|component| component.name()).collect();
    names.join(" ")
}

fn stopped(
    session: &mut Session,
    args: &Restart,
    on_its_way: Component,
    not_begun: &[Component],
) -> Result<Outcome, Error> {
    session.console.progress(&format!(
        "stopped waiting; Kubernetes continues with {}",
        on_its_way.name()
    ));
    session
        .console
        .progress(&format!("not started: {}", list(not_begun)));
    if !not_begun.is_empty() {
        session.console.progress(&format!(
            "continue with: kubectl wallex restart {} {}",
            args.name,
            list(not_begun)
        ));
    }
    Ok(Outcome::Stopped)
}

/// Restarts one component and waits for it.
async fn roll(session: &mut Session, platform: &str, component: Component) -> Result<(), Error> {
    let name = component.object(platform);
    session
        .console
        .progress(&format!("{}: restarting", component.name()));
    let generation = begin(session, &name).await?;
    finished(session, &name, component.name(), generation).await
}

/// Sets the annotation. Returns the generation that the rollout must have observed.
async fn begin(session: &Session, name: &str) -> Result<Option<i64>, Error> {
    let api = Api::<Deployment>::namespaced(session.client.clone(), &session.namespace);
    // Whole seconds, like kubectl.
    let now = (session.now)().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let patch = Patch::Merge(json!({
        "spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: now}}}},
    }));
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patched = api.patch(name, &params, &patch).await;
    let patched = patched.map_err(|error| match &error {
        kube::Error::Api(status) if status.is_not_found() => Error::Hopeless(format!(
            "there is no Deployment {name} yet; see why: kubectl wallex status"
        )),
        _ => Access::new("patch", "deployments.apps", &session.namespace).failed(&error),
    })?;
    Ok(patched.metadata.generation)
}

/// Waits until all pods have the new template and are ready, and reports progress.
async fn finished(
    session: &mut Session,
    name: &str,
    component: &str,
    generation: Option<i64>,
) -> Result<(), Error> {
    let api = Api::<Deployment>::namespaced(session.client.clone(), &session.namespace);
    let mut changes = watch_object(api, name).default_backoff().boxed();
    let namespace = session.namespace.clone();
    let watching = Access::new("watch", "deployments.apps", &namespace);
    let mut said = String::new();
    while let Some(change) = changes.next().await {
        let live = match change {
            Ok(Some(live)) => live,
            Ok(None) => {
                return Err(Error::Hopeless(format!(
                    "Deployment {name} was removed meanwhile"
                )));
            }
            Err(error) => match watching.ended(&error) {
                Some(error) => return Err(error),
                None => continue,
            },
        };
        let status = live.status.clone().unwrap_or_default();
        if status.observed_generation < generation {
            continue;
        }
        let desired = live.spec.replicas.unwrap_or(1);
        let ready = status.ready_replicas.unwrap_or_default();
        let updated = status.updated_replicas.unwrap_or_default();
        if rollout::replaced(&live) && ready >= desired {
            return Ok(());
        }
        let stalled = status.conditions.iter().flatten().any(|condition| {
            condition.type_.as_deref() == Some("Progressing")
                && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
        });
        if stalled {
            return Err(Error::Hopeless(format!(
                "{component} takes longer than Kubernetes allows; its old pods keep serving\nSee why: kubectl wallex status"
            )));
        }
        let now = format!("{component}: {updated} of {desired} pods new, {ready} ready");
        if now != said {
            session.console.progress(&now);
            said = now;
        }
    }
    Err(Error::Hopeless(format!("the watch of Deployment {name} ended")))
}

/// Why pods of a component are not ready, as the end of a sentence.
async fn why(session: &Session, platform: &str, component: Component) -> String {
    let api = Api::<Pod>::namespaced(session.client.clone(), &session.namespace);
    let labels = names::selector(platform, Some(component.name()))
        .iter()
        .map(|(label, value)| format!("{label}={value}"))
        .collect::<Vec<_>>()
        .join(",");
    let found = api.list(&ListParams::default().labels(&labels)).await;
    found
        .map(|list| list.items)
        .unwrap_or_default()
        .iter()
        .find_map(|pod| Some(format!(": pod {} {}", pod.name_any(), pods::trouble(pod)?)))
        .unwrap_or_default()
}
