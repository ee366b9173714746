//! The part of the small Kubernetes for numbers of pods: who owns `spec.replicas` of a Deployment, what autoscalers do with it,
//! and KEDA.
//!
//! As in the real one, a field is reset when its only owner stops stating it; another owner's value can only be taken by force; a
//! write through `/scale` takes the field from all owners.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wallex_crd::names::MANAGER;

use super::server::{State, World};

/// One statement of a number of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scaled {
    pub(crate) deployment: String,
    pub(crate) replicas: i64,
    pub(crate) by: String,
}

/// Field manager of Kubernetes' own autoscaler.
pub(crate) const HPA: &str = "kube-controller-manager";

fn owners(object: &Value) -> BTreeSet<String> {
    let entries = object["metadata"]["managedFields"].as_array();
    let entries = entries.into_iter().flatten();
    entries
        .filter(|entry| !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null())
        .map(|entry| entry["manager"].as_str().unwrap().to_owned())
        .collect()
}

fn own(object: &mut Value, owners: &BTreeSet<String>) {
    let entry = |manager: &str, fields: Value| {
        let operation = if manager == HPA { "Update" } else { "Apply" };
        json!({"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": fields}})
    };
    let mut entries: Vec<Value> = owners
        .iter()
        .map(|manager| match manager.as_str() {
            MANAGER => entry(manager, json!({"f:replicas": {}, "f:template": {}})),
            _ => entry(manager, json!({"f:replicas": {}})),
        })
        .collect();
    if !owners.contains(MANAGER) {
        entries.push(entry(MANAGER, json!({"f:template": {}})));
    }
    entries.extend(super::hands::entries(object));
    object["metadata"]["managedFields"] = entries.into();
}

impl State {
    /// Sets the number of pods of a Deployment that `manager` applies. None: refused, because someone else owns another
    /// number.
    pub(super) fn apply_replicas(
        &mut self,
        path: &str,
        before: &Value,
        mut object: Value,
        manager: &str,
        force: bool,
    ) -> Option<Value> {
        let mut owners = owners(before);
        let (present, stated) = (&before["spec"]["replicas"], object["spec"]["replicas"].clone());
        if stated.is_null() {
            owners.remove(manager);
            let kept = if present.is_null() || (owners.is_empty() && self::owners(before).contains(manager)) {
                json!(1)
            } else {
                present.clone()
            };
            object["spec"]["replicas"] = kept;
        } else {
            let others = owners.iter().any(|owner| owner != manager);
            if *present != stated {
                if others && !force {
                    return None;
                }
                owners.clear();
            }
            owners.insert(manager.to_owned());
        }
        let now = object["spec"]["replicas"].clone();
        if manager != MANAGER {
            // It states only the number; the rest stays as it was.
            let mut whole = before.clone();
            whole["spec"]["replicas"] = now.clone();
            object = whole;
        }
        object["metadata"]["managedFields"] = before["metadata"]["managedFields"].clone();
        own(&mut object, &owners);
        if !stated.is_null() || now != *present {
            self.note(path, &now, manager);
        }
        Some(object)
    }

    /// What Kubernetes' autoscaler does.
    pub(super) fn scale(&mut self, deployment: &str, replicas: i64) {
        let path = path("deployments", deployment);
        let mut object = self.objects[&path].clone();
        object["spec"]["replicas"] = replicas.into();
        for field in ["replicas", "updatedReplicas", "readyReplicas"] {
            object["status"][field] = replicas.into();
        }
        own(&mut object, &BTreeSet::from([HPA.to_owned()]));
        self.note(&path, &replicas.into(), HPA);
        self.put(&path, object);
    }

    fn note(&mut self, path: &str, replicas: &Value, by: &str) {
        self.scaled.push(Scaled {
            deployment: path.rsplit('/').next().unwrap().to_owned(),
            replicas: replicas.as_i64().unwrap(),
            by: by.to_owned(),
        });
    }
}

fn path(kind: &str, name: &str) -> String {
    let group = match kind {
        "deployments" => "apps/v1",
        "horizontalpodautoscalers" => "autoscaling/v2",
        _ => "keda.sh/v1alpha1",
    };
    format!("/apis/{group}/namespaces/shop/{kind}/{name}")
}

impl World {
    /// What Kubernetes' autoscaler does.
    pub(crate) fn scale(&self, deployment: &str, replicas: i64) {
        self.state().scale(deployment, replicas);
    }

    pub(crate) fn replicas(&self, deployment: &str) -> i64 {
        self.state().objects[&path("deployments", deployment)]["spec"]["replicas"]
            .as_i64()
            .unwrap()
    }

    /// Who owns the number of pods.
    pub(crate) fn owners(&self, deployment: &str) -> Vec<String> {
        owners(&self.state().objects[&path("deployments", deployment)])
            .into_iter()
            .collect()
    }

    /// The statements of a Deployment's number of pods since the last call.
    pub(crate) fn scaled(&self, deployment: &str) -> Vec<(i64, String)> {
        let mut state = self.state();
        let all = std::mem::take(&mut state.scaled);
        let (of_it, others) = all.into_iter().partition(|said| said.deployment == deployment);
        state.scaled = others;
        let of_it: Vec<Scaled> = of_it;
        of_it.into_iter().map(|said| (said.replicas, said.by)).collect()
    }

    pub(crate) fn autoscaler(&self, kind: &str, name: &str) -> Option<Value> {
        self.state().objects.get(&path(kind, name)).cloned()
    }

    pub(crate) fn change_autoscaler(&self, kind: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let path = path(kind, name);
        let mut state = self.state();
        let mut object = state.objects[&path].clone();
        change(&mut object);
        state.put(&path, object);
    }

    pub(crate) fn delete_autoscaler(&self, kind: &str, name: &str) {
        self.state().objects.remove(&path(kind, name));
    }

    /// KEDA processes a ScaledObject: adds its finalizer, and creates an autoscaler with its labels.
    pub(crate) fn keda_adopts(&self, name: &str) {
        let mut labels = Value::Null;
        self.change_autoscaler("scaledobjects", name, |object| {
            object["metadata"]["finalizers"] = json!(["finalizer.keda.sh"]);
            object["status"] = json!({"conditions": [
                {"type": "Ready", "status": "True", "reason": "ScaledObjectReady", "message": ""},
                {"type": "Fallback", "status": "False", "reason": "NoFallbackFound", "message": ""},
            ]});
            labels = object["metadata"]["labels"].clone();
        });
        let made = format!("keda-hpa-{name}");
        let object = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": made, "namespace": "shop", "uid": format!("uid-{made}"), "labels": labels, "ownerReferences": [
                {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": name, "uid": "so", "controller": true},
            ]},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": name}, "maxReplicas": 10},
        });
        self.state().put(&path("horizontalpodautoscalers", &made), object);
    }

    /// Kubernetes processes an autoscaler.
    pub(crate) fn kubernetes_adopts(&self, name: &str) {
        self.change_autoscaler("horizontalpodautoscalers", name, |object| {
            object["status"] = json!({"desiredReplicas": 1, "conditions": [
                {"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale"},
                {"type": "ScalingActive", "status": "True", "reason": "ValidMetricFound"},
            ]});
        });
    }
}
