//! The part of the small Kubernetes for manual edits: who owns which fields, and what an apply leaves of others' fields.
//!
//! As in the real one, an apply merges with what others own, by the names of list elements; if the result contradicts itself, it
//! is refused.

use serde_json::{Map, Value, json};
use wallex_crd::names::{HANDOVER, MANAGER};

use super::scaling::HPA;
use super::server::World;

/// The fields of an object that people and their tools own.
pub(super) fn entries(object: &Value) -> Vec<Value> {
    let entries = object["metadata"]["managedFields"].as_array();
    let by_hand = |entry: &&Value| {
        let manager = entry["manager"].as_str().unwrap();
        ![MANAGER, HANDOVER, HPA].contains(&manager) || (manager == MANAGER && entry["operation"] == "Update")
    };
    entries.into_iter().flatten().filter(by_hand).cloned().collect()
}

/// The object after applying `applied`.
pub(super) fn merged(before: &Value, mut applied: Value) -> Value {
    let entries = entries(before);
    if entries.is_empty() {
        return applied;
    }
    for part in ["spec", "data"] {
        if !applied[part].is_null() {
            applied[part] = merge(&before[part], &applied[part]);
        }
    }
    if applied["metadata"]["managedFields"].is_null() {
        applied["metadata"]["managedFields"] = entries.into();
    }
    applied
}

fn merge(before: &Value, applied: &Value) -> Value {
    match (before, applied) {
        (Value::Object(before), Value::Object(applied)) => {
            let mut merged = before.clone();
            for (key, value) in applied {
                let was = before.get(key).cloned().unwrap_or_default();
                merged.insert(key.clone(), merge(&was, value));
            }
            merged.into()
        }
        (Value::Array(before), Value::Array(applied))
            if applied.iter().all(|one| one["name"].is_string()) =>
        {
            let of = |list: &[Value], name: &Value| list.iter().find(|one| one["name"] == *name).cloned();
            let ours = applied
                .iter()
                .map(|one| merge(&of(before, &one["name"]).unwrap_or_default(), one));
            let theirs = before
                .iter()
                .filter(|one| of(applied, &one["name"]).is_none())
                .cloned();
            ours.chain(theirs).collect()
        }
        _ => applied.clone(),
    }
}

/// The API server's error for a variable with two values.
pub(super) fn contradiction(object: &Value) -> Option<String> {
    let containers = object.pointer("/spec/template/spec/containers")?.as_array()?;
    let variables = containers
        .iter()
        .flat_map(|container| container["env"].as_array().into_iter().flatten());
    let mut both =
        variables.filter(|variable| variable["value"].is_string() && variable["valueFrom"].is_object());
    both.next()
        .map(|_| "env[0].valueFrom: Invalid value: may not be specified when `value` is not empty".to_owned())
}

/// Fills in the API server's defaults.
pub(super) fn with_defaults(object: &mut Value) {
    for probe in probes(object) {
        if probe["httpGet"].is_object() && probe["httpGet"]["scheme"].is_null() {
            probe["httpGet"]["scheme"] = json!("HTTP");
        }
    }
}

/// Records defaults caused by an operator's patch as written by the operator, as the real one does.
pub(super) fn owned_defaults(before: &Value, after: &mut Value) {
    let schemes = |object: &Value| -> Vec<Value> {
        let mut object = object.clone();
        probes(&mut object)
            .into_iter()
            .map(|probe| probe["httpGet"]["scheme"].take())
            .collect()
    };
    if object_kind(after) != "Deployment" || schemes(before) == schemes(after) {
        return;
    }
    let scheme = json!({"f:httpGet": {"f:path": {}, "f:port": {}, "f:scheme": {}}});
    let container = json!({"f:livenessProbe": scheme});
    let pods = json!({"f:spec": {"f:containers": {"k:{\"name\":\"wallex\"}": container}}});
    let entry = json!({
        "manager": MANAGER, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:template": pods}},
    });
    let entries = after["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    after["metadata"]["managedFields"] = entries.into_iter().chain([entry]).collect();
}

fn object_kind(object: &Value) -> &str {
    object["kind"].as_str().unwrap_or_default()
}

fn probes(object: &mut Value) -> Vec<&mut Value> {
    let containers = object.pointer_mut("/spec/template/spec/containers");
    let containers = containers.and_then(Value::as_array_mut).into_iter().flatten();
    containers
        .filter_map(|container| container.get_mut("livenessProbe"))
        .collect()
}

/// Missing fields have no owner.
pub(super) fn prune(object: &mut Value) {
    fn pruned(fields: &Value, value: &Value) -> Option<Value> {
        let fields = fields.as_object()?;
        if fields.is_empty() {
            return Some(json!({}));
        }
        let mut left = Map::new();
        for (key, inner) in fields {
            let found = if let Some(name) = key.strip_prefix("f:") {
                value.get(name)
            } else if let Some(known) = key.strip_prefix("k:") {
                let known: Value = serde_json::from_str(known).unwrap();
                let mut elements = value.as_array().into_iter().flatten();
                elements.find(|element| element["name"] == known["name"])
            } else {
                continue;
            };
            if let Some(inner) = found.and_then(|found| pruned(inner, found)) {
                left.insert(key.clone(), inner);
            }
        }
        (!left.is_empty()).then(|| left.into())
    }
    let entries = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let kept: Vec<Value> = entries
        .into_iter()
        .filter_map(|mut entry| {
            entry["fieldsV1"] = pruned(&entry["fieldsV1"], object)?;
            Some(entry)
        })
        .collect();
    object["metadata"]["managedFields"] = kept.into();
}

impl World {
    /// Someone changes an object and owns these fields from then on.
    #[expect(clippy::needless_pass_by_value, reason = "json!(…) reads better in place")]
    pub(crate) fn edit(&self, path: &str, manager: &str, fields: Value, change: impl FnOnce(&mut Value)) {
        let mut state = self.state();
        let mut object = state.objects[path].clone();
        change(&mut object);
        let entry =
            json!({"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields});
        let entries = object["metadata"]["managedFields"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        object["metadata"]["managedFields"] = entries.into_iter().chain([entry]).collect();
        let generation = object["metadata"]["generation"].as_i64().unwrap_or_default() + 1;
        object["metadata"]["generation"] = generation.into();
        object["status"]["observedGeneration"] = generation.into();
        state.put(path, object);
    }

    pub(crate) fn object(&self, path: &str) -> Value {
        self.state().objects[path].clone()
    }

    /// The notes of the Events reported so far for a reason.
    pub(crate) fn notes(&self, reason: &str) -> Vec<String> {
        let state = self.state();
        let events = state
            .objects
            .values()
            .filter(|object| object["kind"] == "Event" && object["reason"] == reason);
        events
            .map(|event| event["note"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}
