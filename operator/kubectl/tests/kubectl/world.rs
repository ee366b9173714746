//! A platform `demo` and its surroundings, as an API server returns them.
#![expect(
    clippy::needless_pass_by_value,
    reason = "json!(…) reads better without a reference"
)]

use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::cluster::{Cluster, NAMESPACE};

pub(crate) const PLATFORMS: &str = "/apis/wallex.dev/v1alpha1/namespaces/wallex/walletplatforms";
pub(crate) const DEMO: &str = "/apis/wallex.dev/v1alpha1/namespaces/wallex/walletplatforms/demo";
pub(crate) const ALL_PLATFORMS: &str = "/apis/wallex.dev/v1alpha1/walletplatforms";
pub(crate) const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/wallex/deployments";
pub(crate) const PODS: &str = "/api/v1/namespaces/wallex/pods";
pub(crate) const EVENTS: &str = "/api/v1/namespaces/wallex/events";
pub(crate) const JOBS: &str = "/apis/batch/v1/namespaces/wallex/jobs";
pub(crate) const MAINTAIN: &str = "/apis/batch/v1/namespaces/wallex/cronjobs/demo-maintain";
pub(crate) const LAG: &str = "/api/v1/namespaces/wallex/services/demo-command:http/proxy/health/projections";
pub(crate) const KAFKA: &str = "/api/v1/namespaces/wallex/services/demo-command:http/proxy/health/kafka";

pub(crate) fn condition(type_: &str, status: &str, reason: &str, since: &str, message: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": message,
        "observedGeneration": 4, "lastTransitionTime": since,
    })
}

/// The platform while its command crash-loops.
pub(crate) fn platform() -> Value {
    json!({
        "apiVersion": "wallex.dev/v1alpha1",
        "kind": "WalletPlatform",
        "metadata": {
            "name": "demo", "namespace": NAMESPACE, "uid": "22222222-2222-2222-2222-222222222222",
            "generation": 4, "resourceVersion": "7", "creationTimestamp": "2026-11-20T21:00:00Z",
        },
        "spec": {
            "image": "registry.example.com/wallex:1.1.0",
            "database": {"secretRef": {"name": "demo-database", "key": "url"}},
            "kafka": {"bootstrapServers": "kafka:9092"},
        },
        "status": {
            "observedGeneration": 4,
            "componentsReady": "4/5",
            "components": [
                {"name": "publisher", "desired": 1, "ready": 1, "updated": 1, "image": "registry.example.com/wallex:1.1.0"},
                {"name": "command", "desired": 2, "ready": 1, "updated": 2, "image": "registry.example.com/wallex:1.1.0"},
            ],
            "conditions": [
                condition("Ready", "False", "RollingOut", "2026-11-24T20:57:00Z", "command 1/2 ready"),
                condition("Progressing", "True", "RollingOut", "2026-11-24T20:57:00Z", "command 1/2 ready"),
                condition("Degraded", "False", "AsExpected", "2026-11-20T21:03:00Z", ""),
                condition("TopicsReady", "True", "AsExpected", "2026-11-20T21:01:00Z", ""),
                condition("SchemaReady", "True", "AsExpected", "2026-11-20T21:02:00Z", ""),
                condition("ProjectionsCurrent", "False", "Lagging", "2026-11-24T20:59:00Z", "read-model is 1250 events and 95 s behind"),
                condition("CommandAvailable", "True", "Available", "2026-11-20T21:03:00Z", ""),
            ],
            "topics": [
                {"name": "wallet-events", "partitions": 10, "replicationFactor": 3, "retentionHours": 168},
                {"name": "wallet-events-dlq", "partitions": 10, "replicationFactor": 3, "retentionHours": -1},
            ],
            "projections": [
                {"name": "ledger", "lagEvents": 0, "lagSeconds": 0}, {"name": "read-model", "lagEvents": 1250, "lagSeconds": 95},
            ],
            "lag": 1250,
            "schema": {
                "job": "demo-migrate-0123456789", "image": "registry.example.com/wallex:1.1.0", "partitions": 10,
                "version": {"journal": 2, "ledger": 1, "readModel": 3},
            },
            "endpoints": {
                "api": "http://demo-command.wallex.svc:8080", "query": "http://demo-query.wallex.svc:8080",
            },
        },
    })
}

pub(crate) fn deployment(component: &str, desired: i32, ready: i32) -> Value {
    json!({
        "metadata": {"name": format!("demo-{component}"), "namespace": NAMESPACE, "generation": 3, "resourceVersion": "8"},
        "spec": {
            "replicas": desired,
            "selector": {"matchLabels": {"app.kubernetes.io/component": component}},
            "template": {"spec": {"containers": [{"name": "wallex", "image": "registry.example.com/wallex:1.1.0"}]}},
        },
        "status": {
            "observedGeneration": 3, "replicas": desired, "updatedReplicas": desired, "readyReplicas": ready,
        },
    })
}

pub(crate) fn pod(name: &str, component: &str, status: Value) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": NAMESPACE, "resourceVersion": "9",
            "labels": {"app.kubernetes.io/instance": "demo", "app.kubernetes.io/component": component},
        },
        "spec": {"containers": [{"name": "wallex", "image": "registry.example.com/wallex:1.1.0"}]},
        "status": status,
    })
}

/// The status of a pod's only container.
pub(crate) fn container(state: Value, last_state: Value, restarts: i32) -> Value {
    json!({"name": "wallex", "image": "registry.example.com/wallex:1.1.0", "imageID": "sha256:12", "ready": false,
        "restartCount": restarts, "state": state, "lastState": last_state})
}

pub(crate) fn running_pod(name: &str, component: &str) -> Value {
    let running = container(
        json!({"running": {"startedAt": "2026-11-24T20:00:00Z"}}),
        json!({}),
        0,
    );
    let ready = json!([{"type": "Ready", "status": "True"}]);
    pod(
        name,
        component,
        json!({"phase": "Running", "conditions": ready, "containerStatuses": [running]}),
    )
}

pub(crate) fn looping_pod() -> Value {
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}});
    let ended = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": r#"{"result":"failed","message":"the database refuses the password"}"#}});
    pod(
        "demo-command-7c9d-b",
        "command",
        json!({"phase": "Running", "containerStatuses": [container(waiting, ended, 7)]}),
    )
}

pub(crate) fn event(kind: &str, name: &str, at: &str, type_: &str, reason: &str, message: &str) -> Value {
    json!({
        "metadata": {"name": format!("{name}.{reason}"), "namespace": NAMESPACE},
        "involvedObject": {"kind": kind, "name": name, "namespace": NAMESPACE},
        "type": type_, "reason": reason, "message": message, "lastTimestamp": at, "count": 3,
    })
}

pub(crate) fn components() -> Vec<Value> {
    vec![
        deployment("command", 2, 1),
        deployment("ledger-projector", 1, 1),
        deployment("publisher", 1, 1),
        deployment("query", 1, 1),
        deployment("read-model-projector", 1, 1),
    ]
}

/// The cluster with `demo` in it, everything readable.
pub(crate) fn cluster() -> Cluster {
    let cluster = Cluster::default();
    cluster
        .get(DEMO, &platform())
        .list(PLATFORMS, &[platform()])
        .list(DEPLOYMENTS, &components())
        .list(
            PODS,
            &[
                running_pod("demo-command-7c9d-a", "command"),
                looping_pod(),
                running_pod("demo-publisher-1f2e-c", "publisher"),
            ],
        )
        .list(
            EVENTS,
            &[
                event(
                    "WalletPlatform",
                    "demo",
                    "2026-11-24T20:57:00Z",
                    "Warning",
                    "RollingOut",
                    "command 1/2 ready",
                ),
                event(
                    "Pod",
                    "demo-command-7c9d-b",
                    "2026-11-24T20:59:30Z",
                    "Warning",
                    "BackOff",
                    "Back-off restarting failed container",
                ),
                event(
                    "Pod",
                    "elsewhere-7c9d-b",
                    "2026-11-24T20:59:59Z",
                    "Warning",
                    "BackOff",
                    "not ours",
                ),
                event(
                    "WalletPlatform",
                    "demo",
                    "2026-11-24T18:30:00Z",
                    "Normal",
                    "Ready",
                    "all components are ready",
                ),
            ],
        )
        .get(
            LAG,
            &json!({"measured_at": "2026-11-24T21:00:00Z", "projections": [
                {"name": "ledger", "lag_events": 0, "lag_seconds": 0.0, "partitions": []},
                {"name": "read-model", "lag_events": 1250, "lag_seconds": 95.4, "partitions": []},
            ]}),
        )
        .get(MAINTAIN, &maintenance());
    cluster
}

/// What the operator creates for a platform, without Deployments: the snapshot of its own tests.
const MANIFESTS: &str =
    include_str!("../../../controller/tests/operator/snapshots/operator__manifests__others.snap");

/// The CronJob that the operator makes.
pub(crate) fn maintenance() -> Value {
    let mut manifests = serde_yaml_ng::Deserializer::from_str(MANIFESTS)
        .map(|document| Value::deserialize(document).unwrap());
    manifests.find(|manifest| manifest["kind"] == "CronJob").unwrap()
}
