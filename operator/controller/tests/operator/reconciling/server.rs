//! A small Kubernetes: an API server that stores what is applied, with the controllers that a platform's children need.
//! All writes are recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use wallex_crd::children;
use wallex_crd::names::{self, HANDOVER};
use wallex_crd::report::Answer;
use wallex_operator::kafka::Found;
use wallex_operator::kafka::owners::Claim;
use wallex_operator::lease::Fence;
use wallex_operator::metrics::Metrics;
use wallex_operator::reconcile::observe::lag::{Readings, Roles};
use wallex_operator::reconcile::stages::topics::TopicChecks;
use wallex_operator::reconcile::{Context, conditions};
use wallex_operator::scope::Scope;
use wallex_operator::writes::Writes;

use super::hands;
use super::scaling::Scaled;
use crate::fixture::CLUSTER;

/// The state of the world. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct World(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    /// Objects by path.
    pub(crate) objects: BTreeMap<String, Value>,
    /// Writes since the last query, as `METHOD path`.
    pub(crate) writes: Vec<String>,
    /// Every read of an object, with its (virtual) time.
    pub(crate) reads: Vec<(String, tokio::time::Instant)>,
    /// Reads with these path prefixes fail.
    pub(crate) failing: BTreeSet<String>,
    /// Requests with these prefixes are never answered.
    pub(crate) hanging: BTreeSet<String>,
    /// The processes' readiness reports, by address; a pod without an entry can't be reached.
    pub(crate) ready: BTreeMap<String, Value>,
    /// Topics by Kafka cluster and name.
    pub(crate) topics: BTreeMap<(String, String), Found>,
    /// The Kafka clusters behind addresses; by default, a cluster named like its address.
    pub(crate) clusters: BTreeMap<String, String>,
    /// The owners of topics.
    pub(crate) owners: BTreeMap<(String, String), Claim>,
    /// Topics with records of another program.
    pub(crate) in_use: BTreeSet<(String, String)>,
    /// Brokers that can't be reached.
    pub(crate) dead_brokers: BTreeSet<String>,
    /// Brokers that never answer.
    pub(crate) deaf_brokers: BTreeSet<String>,
    /// The roles' projection reports, by address; no lag by default.
    pub(crate) lags: BTreeMap<String, Result<Answer, String>>,
    /// Whether KEDA's resources are served.
    pub(crate) keda: bool,
    /// The statements of the Deployments' numbers of pods.
    pub(crate) scaled: Vec<Scaled>,
    /// A Deployment that is scaled just before its number of pods is handed over.
    pub(crate) race: Option<(String, i64)>,
    /// Number of writes that succeed before all others fail; none: unlimited.
    pub(crate) writes_left: Option<usize>,
    /// The status that a Job gets; none: it succeeds at once.
    pub(crate) job_status: Option<Value>,
    /// Objects that the server rejects, by path suffix, with its message.
    pub(crate) invalid: BTreeMap<String, String>,
    versions: u64,
}

impl World {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        let world = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let world = world.clone();
            async move { Ok::<_, Infallible>(world.answer(request).await) }
        });
        Client::new(service, "wallex")
    }

    /// An operator that has just started and leads.
    pub(crate) fn operator(&self, scopes: Vec<Scope>) -> Arc<Context> {
        let fence = Fence::default();
        fence.raise(Instant::now() + Duration::from_secs(600));
        let metrics = Metrics::new().unwrap();
        Arc::new(Context {
            client: self.client(),
            writes: Writes::new(self.client(), fence, "test".to_owned(), metrics.clone()),
            metrics,
            topics: TopicChecks::new(Arc::new(self.clone())),
            projections: Readings::new(Arc::new(self.clone())),
            cluster: CLUSTER.to_owned(),
            scopes,
            rivals: wallex_operator::rivals::Rivals::default(),
            installation: "wallex-system".to_owned(),
        })
    }

    /// Adds a platform and the Secret it names.
    pub(crate) fn add_platform(&self, namespace: &str, name: &str, kafka: &Value) {
        let uid = format!("uid-{namespace}-{name}");
        let platform = json!({
            "apiVersion": "wallex.dev/v1alpha1", "kind": "WalletPlatform",
            "metadata": {"name": name, "namespace": namespace, "uid": uid, "generation": 1,
                         "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"image": "wallex:1", "database": {"secretRef": {"name": "database"}}, "kafka": kafka},
        });
        // postgres://u:p@db/x
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "database", "namespace": namespace},
            "data": {"url": "cG9zdGdyZXM6Ly91OnBAZGIveA=="},
        });
        self.state().put(&platform_path(namespace, name), platform);
        self.state().put(
            &format!("/api/v1/namespaces/{namespace}/secrets/database"),
            secret,
        );
    }

    /// Changes the spec of a platform, as a user would.
    pub(crate) fn change(&self, namespace: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let path = platform_path(namespace, name);
        let mut state = self.state();
        let mut platform = state.objects[&path].clone();
        change(&mut platform);
        let generation = platform["metadata"]["generation"].as_i64().unwrap() + 1;
        platform["metadata"]["generation"] = generation.into();
        state.put(&path, platform);
    }

    pub(crate) fn platform(&self, namespace: &str, name: &str) -> Option<Value> {
        self.state().objects.get(&platform_path(namespace, name)).cloned()
    }

    /// Status and reason of a condition.
    pub(crate) fn condition(&self, namespace: &str, name: &str, type_: &str) -> (String, String, String) {
        let platform = self.platform(namespace, name).unwrap_or_default();
        let conditions = platform["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let found = conditions.iter().find(|condition| condition["type"] == type_);
        let text = |field: &str| {
            let value = found
                .map(|condition| condition[field].clone())
                .unwrap_or_default();
            value.as_str().unwrap_or_default().to_owned()
        };
        (text("status"), text("reason"), text("message"))
    }

    pub(crate) fn is_ready(&self, namespace: &str, name: &str) -> bool {
        self.condition(namespace, name, conditions::types::READY).0 == "True"
    }

    /// Writes since the last call.
    pub(crate) fn written(&self) -> Vec<String> {
        std::mem::take(&mut self.state().writes)
    }

    /// Reasons of the Events reported so far.
    pub(crate) fn events(&self) -> Vec<String> {
        let state = self.state();
        let events = state.objects.values().filter(|object| object["kind"] == "Event");
        events
            .map(|event| event["reason"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let path = head.uri.path().to_owned();
        let query = head.uri.query().unwrap_or_default().to_owned();
        let hangs = {
            let state = self.state();
            state.hanging.iter().any(|hanging| path.starts_with(hanging)) || query.contains("watch=true")
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        let body = serde_json::from_slice(&body).unwrap_or_default();
        let (status, answer) = self.state().answer(&head.method, &path, &query, body);
        let bytes = match answer {
            Value::String(text) => text.into_bytes(),
            object => object.to_string().into_bytes(),
        };
        Response::builder()
            .status(status)
            .body(Body::from(bytes))
            .unwrap()
    }
}

pub(crate) fn platform_path(namespace: &str, name: &str) -> String {
    format!("/apis/wallex.dev/v1alpha1/namespaces/{namespace}/walletplatforms/{name}")
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, query: &str, body: Value) -> (u16, Value) {
        if *method == Method::GET {
            self.reads.push((path.to_owned(), tokio::time::Instant::now()));
            return self.read(path, query);
        }
        match &mut self.writes_left {
            Some(0) => return failure(500),
            Some(left) => *left -= 1,
            None => {}
        }
        self.writes.push(format!("{method} {path}"));
        match *method {
            Method::PATCH if path.ends_with("/status") => {
                let path = path.trim_end_matches("/status");
                let Some(mut object) = self.objects.get(path).cloned() else {
                    return failure(404);
                };
                object["status"] = body["status"].clone();
                (200, self.put(path, object))
            }
            Method::PATCH if self.wrong(path).is_some() => invalid(&self.wrong(path).unwrap_or_default()),
            Method::PATCH if body.is_array() => self.json_patch(path, &body),
            Method::PATCH if query.contains("fieldManager") => match self.apply(path, query, body) {
                Some(object) => match hands::contradiction(&object) {
                    Some(words) => invalid(&words),
                    None => (200, self.put(path, object)),
                },
                None => failure(409),
            },
            Method::PATCH => {
                let Some(mut object) = self.objects.get(path).cloned() else {
                    return failure(404);
                };
                if body["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
                    return failure(409);
                }
                object["metadata"]["finalizers"] = body["metadata"]["finalizers"].clone();
                let object = self.put(path, object);
                self.collect(path);
                (200, object)
            }
            Method::POST => {
                let number = self.versions;
                (201, self.put(&format!("{path}/{number}"), body))
            }
            Method::DELETE => {
                if let Some(mut object) = self.objects.get(path).cloned() {
                    object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
                    self.put(path, object);
                    self.collect(path);
                }
                (
                    200,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}),
                )
            }
            _ => failure(405),
        }
    }

    fn read(&self, path: &str, query: &str) -> (u16, Value) {
        if self.failing.iter().any(|failing| path.starts_with(failing)) {
            return failure(500);
        }
        if path.starts_with("/apis/keda.sh/") && !self.keda {
            return (404, Value::String("404 page not found\n".to_owned()));
        }
        assert!(!path.ends_with("/log"), "logs are for people: {path}");
        if let Some(object) = self.objects.get(path) {
            return (200, object.clone());
        }
        let kind = path.rsplit('/').next().unwrap_or_default();
        // A missing object, not the list of a kind.
        if !KINDS.contains(kind) {
            return failure(404);
        }
        let labels = wanted_labels(query);
        let (group, within) = match path.find("/namespaces/") {
            Some(at) => (&path[..at], &path[at..]),
            None => (path.trim_end_matches(kind).trim_end_matches('/'), ""),
        };
        let items: Vec<Value> = self
            .objects
            .iter()
            .filter(|(of, _)| {
                let parent = of.rsplit_once('/').map_or("", |(parent, _)| parent);
                let everywhere = within.is_empty() && parent.starts_with(group) && parent.ends_with(kind);
                parent == path || everywhere
            })
            .map(|(_, object)| object.clone())
            .filter(|object| {
                labels
                    .iter()
                    .all(|(key, value)| object["metadata"]["labels"][key] == **value)
            })
            .collect();
        let version = self.versions.to_string();
        (
            200,
            json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items}),
        )
    }

    /// Server-side apply of a child by its only manager (except for a number of pods), and the immediate reaction of its
    /// controller. None: refused.
    fn apply(&mut self, path: &str, query: &str, mut object: Value) -> Option<Value> {
        if query.contains(HANDOVER)
            && let Some((deployment, replicas)) = self.race.take()
        {
            self.scale(&deployment, replicas);
        }
        let before = self.objects.get(path).cloned().unwrap_or_default();
        if object["kind"] == "Deployment" {
            let said = |name: &str| {
                query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            };
            let force = said("force") == Some("true");
            object = self.apply_replicas(path, &before, object, said("fieldManager")?, force)?;
        }
        // What others wrote.
        for field in ["finalizers", "deletionTimestamp"] {
            if !before["metadata"][field].is_null() {
                object["metadata"][field] = before["metadata"][field].clone();
            }
        }
        if !before["status"].is_null() {
            object["status"] = before["status"].clone();
        }
        let generation = before["metadata"]["generation"].as_i64().unwrap_or_default();
        let changed = before["spec"] != object["spec"];
        object["metadata"]["generation"] = (generation + i64::from(changed)).into();
        object["metadata"]["uid"] = format!("uid-{path}").into();
        object["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
        let generation = object["metadata"]["generation"].clone();
        let replicas = object["spec"]["replicas"].clone();
        if object["kind"] == "Deployment" {
            object["status"] = json!({
                "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
                "readyReplicas": replicas,
            });
        }
        if object["kind"] == "Job" {
            let succeeded = json!({"conditions": [{"type": "Complete", "status": "True"}]});
            object["status"] = self.job_status.clone().unwrap_or(succeeded);
        }
        let mut object = hands::merged(&before, object);
        hands::with_defaults(&mut object);
        Some(object)
    }

    fn wrong(&self, path: &str) -> Option<String> {
        let found = self.invalid.iter().find(|(end, _)| path.ends_with(*end));
        found.map(|(_, words)| words.clone())
    }

    /// Applies a patch to the object version that it names.
    fn json_patch(&mut self, path: &str, operations: &Value) -> (u16, Value) {
        let Some(mut object) = self.objects.get(path).cloned() else {
            return failure(404);
        };
        for operation in operations.as_array().unwrap() {
            let pointer = operation["path"].as_str().unwrap();
            if pointer == "/metadata/resourceVersion" {
                if object.pointer(pointer) != Some(&operation["value"]) {
                    return failure(409);
                }
                continue;
            }
            if pointer == "/metadata/managedFields" {
                object["metadata"]["managedFields"] = operation["value"].clone();
                continue;
            }
            let part = pointer.trim_start_matches('/');
            if operation["op"] == "remove" {
                object.as_object_mut().unwrap().remove(part);
            } else {
                object[part] = operation["value"].clone();
            }
        }
        hands::with_defaults(&mut object);
        hands::prune(&mut object);
        hands::owned_defaults(&self.objects[path], &mut object);
        (200, self.put(path, object))
    }

    pub(crate) fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.versions += 1;
        object["metadata"]["resourceVersion"] = self.versions.to_string().into();
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    /// Removes an object that is being deleted once it has no finalizers.
    fn collect(&mut self, path: &str) {
        let object = &self.objects[path];
        let held = object["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|held| !held.is_empty());
        if !object["metadata"]["deletionTimestamp"].is_null() && !held {
            self.objects.remove(path);
        }
    }
}

/// Names of kinds in paths: those of children and of the objects around them.
static KINDS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let around = ["walletplatforms", "secrets", "pods", "events"].map(str::to_owned);
    let children = children::resources().into_iter().map(|resource| resource.plural);
    around.into_iter().chain(children).collect()
});

fn wanted_labels(query: &str) -> Vec<(String, String)> {
    let selector = query
        .split('&')
        .find_map(|parameter| parameter.strip_prefix("labelSelector="))
        .unwrap_or_default()
        .replace("%3D", "=")
        .replace("%2C", ",")
        .replace("%2F", "/");
    let pairs = selector.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn invalid(words: &str) -> (u16, Value) {
    let (code, mut status) = failure(422);
    status["message"] = words.into();
    (code, status)
}

fn failure(code: u16) -> (u16, Value) {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": reason,
    });
    (code, status)
}

/// The roles of all platforms.
impl Roles for World {
    fn ask(&self, authority: String, path: &'static str) -> BoxFuture<'static, Result<Answer, String>> {
        if path == names::READY {
            let said = self.state().ready.get(&authority).map(ToString::to_string);
            let said = said.map(|body| (http::StatusCode::SERVICE_UNAVAILABLE, body.into_bytes()));
            return std::future::ready(said.ok_or_else(|| "no route".to_owned())).boxed();
        }
        let answer = self.state().lags.get(&authority).cloned();
        std::future::ready(answer.unwrap_or_else(|| Ok(lag(0, 0.0)))).boxed()
    }
}

/// A role's report of both projections.
pub(crate) fn lag(events: u64, seconds: f64) -> Answer {
    let row =
        |name: &str| json!({"name": name, "lag_events": events, "lag_seconds": seconds, "partitions": []});
    let report =
        json!({"measured_at": "2026-01-01T00:00:00Z", "projections": [row("ledger"), row("read-model")]});
    (http::StatusCode::OK, report.to_string().into_bytes())
}
