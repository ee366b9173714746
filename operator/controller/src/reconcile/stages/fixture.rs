//! A Deployment for the stages' tests.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

pub(super) fn deployment(image: &str, updated: i32, all: i32) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "demo-query", "generation": 3},
        "spec": {
            "replicas": 2,
            "selector": {},
            "template": {"spec": {"containers": [{"name": "wallex", "image": image}]}},
        },
        "status": {"observedGeneration": 3, "updatedReplicas": updated, "replicas": all},
    }))
    .unwrap()
}
