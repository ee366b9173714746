//! Reads what goes into a bundle: manifests, Events, logs, versions. Performs reads only.
//!
//! Never reads the API or the databases of the platform: the journal's contents do not belong in a support bundle. The log of a
//! journal check is left out for the same reason: it names amounts when something is wrong.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, LogParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use wallex_crd::GROUP;
use wallex_crd::names;

use super::redact::{self, Redaction};
use super::secrets;
use crate::access::Access;
use crate::{Session, events, facts, find, pods, screen};

/// Lines per log, counted from its end.
pub(super) const LOG_LINES: i64 = 5000;

/// Kinds with the platform's labels that something other than the operator creates: group, version, kind.
const OTHERS: [(&str, &str, &str); 4] = [
    ("apps", "v1", "ReplicaSet"),
    ("", "v1", "Pod"),
    ("discovery.k8s.io", "v1", "EndpointSlice"),
    ("monitoring.coreos.com", "v1", "PrometheusRule"),
];

/// A text that may go into a bundle once it is redacted.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) text: String,
    /// A log or similar text, in which secrets are also recognized by the words before them.
    pub(super) prose: bool,
}

/// Everything for a bundle; only fields of manifests are redacted so far.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) entries: Vec<Entry>,
    /// What could not be read, and why.
    pub(super) missing: Vec<String>,
    pub(super) redaction: Redaction,
}

impl Collected {
    fn prose(&mut self, name: impl Into<String>, text: String) {
        let name = name.into();
        self.entries.push(Entry {
            name,
            text,
            prose: true,
        });
    }

    fn yaml(&mut self, name: impl Into<String>, value: &Value) {
        let name = name.into();
        match serde_yaml_ng::to_string(value) {
            Ok(text) => self.entries.push(Entry {
                name,
                text,
                prose: false,
            }),
            Err(error) => self.missing.push(format!("{name}: {error}")),
        }
    }
}

/// Reads everything. Anything that can't be read is listed instead.
pub(super) async fn everything(session: &mut Session, platform: &DynamicObject) -> Collected {
    let name = platform.name_any();
    let mut collected = Collected::default();
    let mut names = Names::default();

    session.console.progress("reading manifests");
    let mut manifest = serde_json::to_value(platform).unwrap_or_default();
    names.of(&manifest);
    redact::manifest(&mut manifest);
    collected.yaml("platform.yaml", &manifest);
    let others = OTHERS
        .map(|(group, version, kind)| ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)));
    for resource in wallex_crd::children::resources().iter().chain(&others) {
        children(session, &name, resource, &mut names, &mut collected).await;
    }
    let secrets = secrets::read(session, &names.secrets).await;
    collected.yaml("secrets.yaml", &Value::Array(secrets.listing));
    collected.missing.extend(secrets.missing);
    collected.redaction = Redaction::new(&secrets.values, &names.public);

    session.console.progress("reading status and events");
    status(session, &name, &mut collected).await;
    events(session, &name, &mut collected).await;

    session.console.progress("reading logs");
    let pods = found::<Pod>(
        find::labelled(session, &name, "pods").await,
        "logs of the platform's pods",
        &mut collected,
    );
    for pod in &pods {
        if pod.name_any().starts_with(&format!("{name}-verify-")) {
            continue;
        }
        logs(session, pod, "logs", &mut collected).await;
    }
    let operators = operators(session, &mut collected).await;
    for pod in &operators {
        logs(session, pod, "operator-logs", &mut collected).await;
    }
    versions(session, platform, &pods, &operators, &mut collected).await;
    collected
}

/// Names that occur in manifests.
#[derive(Default)]
struct Names {
    secrets: BTreeSet<String>,
    /// Names of objects and namespaces: not secret, even if a user name equals one of them.
    public: BTreeSet<String>,
}

impl Names {
    fn of(&mut self, manifest: &Value) {
        secrets::referred(manifest, &mut self.secrets);
        for field in ["name", "namespace"] {
            let name = manifest["metadata"][field].as_str();
            self.public.extend(name.map(str::to_owned));
        }
    }
}

fn found<T>(read: Result<Vec<T>, crate::Error>, what: &str, collected: &mut Collected) -> Vec<T> {
    read.unwrap_or_else(|error| {
        collected.missing.push(format!("{what}: {}", error.short()));
        Vec::new()
    })
}

async fn children(
    session: &Session,
    platform: &str,
    resource: &ApiResource,
    names: &mut Names,
    collected: &mut Collected,
) {
    let api = Api::<DynamicObject>::namespaced_with(session.client.clone(), &session.namespace, resource);
    let listed = api
        .list(&ListParams::default().labels(&find::selector(platform)))
        .await;
    let objects = match listed {
        Ok(list) => list.items,
        // The cluster has no such kind, and says so in plain text, without a `reason`.
        Err(kube::Error::Api(status)) if status.code == 404 => return,
        Err(error) => {
            let plural = match resource.group.as_str() {
                "" => resource.plural.clone(),
                group => format!("{}.{group}", resource.plural),
            };
            let why = Access::new("list", &plural, &session.namespace)
                .failed(&error)
                .short();
            collected.missing.push(format!("{plural}: {why}"));
            return;
        }
    };
    for object in objects {
        let name = object.name_any();
        let mut manifest = serde_json::to_value(object).unwrap_or_default();
        // Lists omit it.
        manifest["apiVersion"] = resource.api_version.clone().into();
        manifest["kind"] = resource.kind.clone().into();
        names.of(&manifest);
        redact::manifest(&mut manifest);
        collected.yaml(
            format!("children/{}/{name}.yaml", resource.kind.to_lowercase()),
            &manifest,
        );
    }
}

/// The screen of `kubectl wallex status`.
async fn status(session: &Session, platform: &str, collected: &mut Collected) {
    match facts::of(session, platform).await {
        Ok(facts) => collected.prose("status.txt", screen::platform(&facts, (session.now)(), false)),
        Err(error) => collected.missing.push(format!("status.txt: {}", error.short())),
    }
}

async fn events(session: &Session, platform: &str, collected: &mut Collected) {
    let read = events::of(session, platform).await;
    if read.is_err() {
        found(read, "events", collected);
        return;
    }
    let mut lines = String::new();
    for event in read.into_iter().flatten() {
        let seen = events::last_seen(&event)
            .map(|time| time.to_string())
            .unwrap_or_default();
        let object = &event.involved_object;
        let count = event
            .series
            .as_ref()
            .and_then(|series| series.count)
            .or(event.count);
        lines.push_str(&format!(
            "{seen} {} {} {} {} ×{}: {}\n",
            event.type_.as_deref().unwrap_or_default(),
            event.reason.as_deref().unwrap_or_default(),
            object.kind.as_deref().unwrap_or_default(),
            object.name.as_deref().unwrap_or_default(),
            count.unwrap_or(1),
            event.message.as_deref().unwrap_or_default().trim()
        ));
    }
    collected.prose("events.txt", lines);
}

/// The logs of all containers of a pod: the present one and, if there was one, the previous.
async fn logs(session: &Session, pod: &Pod, folder: &str, collected: &mut Collected) {
    let name = pod.name_any();
    let namespace = pod.namespace().unwrap_or_else(|| session.namespace.clone());
    for status in pods::statuses(pod) {
        let state = status.state.as_ref();
        let began = state.is_some_and(|state| state.running.is_some() || state.terminated.is_some());
        let before = status
            .last_state
            .as_ref()
            .is_some_and(|state| state.terminated.is_some());
        for (wanted, previous, suffix) in [(began, false, ""), (before, true, ".previous")] {
            if !wanted {
                continue;
            }
            let file = format!("{folder}/{name}/{}{suffix}.log", status.name);
            match log(session, &namespace, &name, &status.name, previous).await {
                Ok(text) => collected.prose(file, text),
                Err(why) => collected.missing.push(format!("{file}: {why}")),
            }
        }
    }
}

async fn log(
    session: &Session,
    namespace: &str,
    pod: &str,
    container: &str,
    previous: bool,
) -> Result<String, String> {
    let params = LogParams {
        container: Some(container.to_owned()),
        previous,
        tail_lines: Some(LOG_LINES),
        timestamps: true,
        ..LogParams::default()
    };
    let access = Access::new("get", "pods/log", namespace);
    Api::<Pod>::namespaced(session.client.clone(), namespace)
        .logs(pod, &params)
        .await
        .map_err(|error| access.failed(&error).short())
}

/// The pods of operators, wherever they run.
async fn operators(session: &Session, collected: &mut Collected) -> Vec<Pod> {
    let labels = format!("app.kubernetes.io/name={}", names::MANAGER);
    let read = Api::<Pod>::all(session.client.clone())
        .list(&ListParams::default().labels(&labels))
        .await
        .map(|list| list.items)
        .map_err(|error| Access::everywhere("list", "pods").failed(&error));
    found(read, "the operator's version and logs", collected)
}

async fn versions(
    session: &Session,
    platform: &DynamicObject,
    pods: &[Pod],
    operators: &[Pod],
    collected: &mut Collected,
) {
    let cluster = match session.client.apiserver_version().await {
        Ok(version) => json!({"version": version.git_version, "platform": version.platform}),
        Err(error) => {
            let error = Access::everywhere("get", "/version").failed(&error).short();
            collected.missing.push(format!("version of the cluster: {error}"));
            Value::Null
        }
    };
    let images = |pods: &[Pod]| -> Vec<Value> {
        pods.iter()
            .flat_map(|pod| {
                pods::statuses(pod).map(move |status| {
                    json!({
                        "namespace": pod.namespace(), "pod": pod.name_any(), "container": status.name,
                        "image": status.image, "imageID": status.image_id, "restarts": status.restart_count,
                    })
                })
            })
            .collect()
    };
    let served = match find::platforms(session, false).await {
        Ok(_) => format!("{GROUP}/v1alpha1"),
        Err(error) => error.short(),
    };
    let versions = json!({
        "plugin": env!("CARGO_PKG_VERSION"),
        "cluster": cluster,
        "walletPlatforms": served,
        "image": platform.data["spec"]["image"],
        "pods": images(pods),
        "operators": images(operators),
    });
    collected.yaml("versions.yaml", &versions);
}
