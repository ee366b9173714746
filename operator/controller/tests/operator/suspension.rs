//! The order in which a suspended platform stops, against a small API server that stores what is applied.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::api::batch::v1::CronJob;
use kube::client::Body;
use kube::{Client, ResourceExt as _};
use serde_json::Value;
use wallex_crd::Component;
use wallex_crd::children::Children;
use wallex_crd::rollout::has_no_pods;
use wallex_operator::lease::Fence;
use wallex_operator::reconcile::build;
use wallex_operator::reconcile::stages::child::Applier;
use wallex_operator::writes::Writes;

use crate::fixture::{changed, platform, validated, world};

#[derive(Default)]
struct State {
    /// By path.
    objects: BTreeMap<String, Value>,
    /// Paths, in order.
    written: Vec<String>,
}

#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

impl Server {
    fn client(&self) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let server = server.clone();
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        Client::new(service, "wallex")
    }

    async fn answer(&self, request: http::Request<Body>) -> http::Response<Body> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let body = body.collect_bytes().await.unwrap();
        let mut state = self.0.lock().unwrap();
        let (status, answer) = if head.method == http::Method::PATCH {
            let mut object: Value = serde_json::from_slice(&body).unwrap();
            object["metadata"]["generation"] = (state.written.len() + 1).into();
            if let Some(status) = state.objects.get(&path).and_then(|before| before.get("status")) {
                object["status"] = status.clone();
            }
            state.objects.insert(path.clone(), object.clone());
            state.written.push(path);
            (200, object)
        } else {
            let missing = serde_json::json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
                "message": "not found",
            });
            (404, missing)
        };
        http::Response::builder()
            .status(status)
            .body(Body::from(answer.to_string().into_bytes()))
            .unwrap()
    }

    fn all<K: serde::de::DeserializeOwned>(&self, kind: &str) -> Vec<K> {
        let state = self.0.lock().unwrap();
        let of_kind = state.objects.values().filter(|object| object["kind"] == kind);
        of_kind
            .map(|object| serde_json::from_value(object.clone()).unwrap())
            .collect()
    }

    /// Acts as the Deployment controller: each Deployment gets the stated number of pods.
    fn settle(&self) {
        let mut state = self.0.lock().unwrap();
        for object in state
            .objects
            .values_mut()
            .filter(|object| object["kind"] == "Deployment")
        {
            let deployment: Deployment = serde_json::from_value(object.clone()).unwrap();
            let pods = deployment.spec.replicas;
            let status = DeploymentStatus {
                observed_generation: deployment.metadata.generation,
                replicas: pods,
                updated_replicas: pods,
                ready_replicas: pods,
                ..DeploymentStatus::default()
            };
            object["status"] = serde_json::to_value(status).unwrap();
        }
    }

    fn children(&self) -> Children {
        Children {
            deployments: self.all("Deployment"),
            cron_jobs: self.all::<CronJob>("CronJob"),
            config_maps: self.all("ConfigMap"),
            ..Children::default()
        }
    }

    /// The last parts of the paths written since the last call.
    fn written(&self) -> Vec<String> {
        let mut state = self.0.lock().unwrap();
        let names = state
            .written
            .iter()
            .map(|path| path.rsplit('/').next().unwrap().to_owned());
        let names = names.collect();
        state.written.clear();
        names
    }
}

#[tokio::test]
async fn a_suspended_platform_stops_its_writer_first_its_readers_last_and_comes_back() {
    let server = Server::default();
    let fence = Fence::default();
    fence.raise(Instant::now() + Duration::from_secs(600));
    let client = server.client();
    let metrics = wallex_operator::metrics::Metrics::new().unwrap();
    let writes = Writes::new(client.clone(), fence, "test".to_owned(), metrics);
    let running = validated(&platform(), &world());
    let suspended = validated(&changed(|platform| platform.spec.suspended = true), &world());
    let apply = async |platform| {
        let children = server.children();
        let applier = Applier {
            client: &client,
            writes: &writes,
            platform,
            children: &children,
            report: std::sync::Mutex::default(),
        };
        let manifests = build::manifests(platform);
        if platform.suspended {
            applier.stop(&manifests).await;
        } else {
            applier.workloads(&manifests).await;
        }
        assert!(applier.report.into_inner().unwrap().errors.is_empty());
    };

    apply(&running).await;
    server.settle();
    server.written();

    apply(&suspended).await;
    assert_eq!(server.written(), ["demo-maintain", "demo-command"]);
    // The command's pods still exist: no other component is touched.
    apply(&suspended).await;
    assert_eq!(server.written(), [""; 0]);
    for component in &Component::STOP[1..] {
        server.settle();
        apply(&suspended).await;
        assert_eq!(server.written(), [format!("demo-{}", component.name())]);
    }
    server.settle();
    apply(&suspended).await;
    assert_eq!(server.written(), [""; 0], "a fixed point");
    assert!(server.children().deployments.iter().all(has_no_pods));

    apply(&running).await;
    server.settle();
    let replicas: Vec<_> = server
        .children()
        .deployments
        .iter()
        .map(|deployment| (deployment.name_any(), deployment.spec.replicas))
        .collect();
    assert!(
        replicas.iter().all(|(_, replicas)| *replicas == Some(1)),
        "{replicas:?}"
    );
    let back = server.written();
    let command = back.iter().position(|name| name == "demo-command");
    assert_eq!(
        command,
        Some(back.len() - 1),
        "readers before the command: {back:?}"
    );
}
