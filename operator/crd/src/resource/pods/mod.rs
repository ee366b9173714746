//! The settings of any pod of a platform: resources, labels, scheduling, additional environment.
//!
//! The types are Kubernetes' own, so lines from a manifest can be copied here. Their schemas are Kubernetes' own too, but
//! shortened: with all their descriptions, six times over, the CRD would be larger than `kubectl apply` can store.

mod scheduling;
mod shorten;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvVar, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use kube::KubeSchema;
use schemars::{Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::shorten::{compact, put};
use super::rules;
use crate::names;

/// See [`rules::NAME`], as a pattern.
const OBJECT_NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// Pod fields that a variable may refer to.
const FIELD_PATH: &str = "^(metadata[.](name|namespace|uid|(labels|annotations)\\['[^']+'\\])|spec[.](nodeName|serviceAccountName)|status[.](hostIPs?|podIPs?))$";
/// Container resources that a variable may refer to.
const CONTAINER_RESOURCE: &str = "^(limits|requests)[.](cpu|memory|ephemeral-storage|hugepages-.+)$";

/// Settings of pods.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodsSpec {
    /// CPU and memory, as in any container. Default: requests of 20m CPU and 64Mi memory, a limit of 1Gi memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "resources_schema")]
    pub resources: Option<ResourceRequirements>,

    /// Further labels of the pods, besides those that the operator gives. Default: none. A change replaces the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels_schema")]
    pub pod_labels: BTreeMap<String, String>,

    /// Further annotations of the pods. Default: none. A change replaces the pods.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotations_schema")]
    pub pod_annotations: BTreeMap<String, String>,

    /// Labels that a node must have to take the pods. Default: none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "node_selector_schema")]
    pub node_selector: BTreeMap<String, String>,

    /// Which nodes and which neighbours the pods want, as in any pod: `kubectl explain pod.spec.affinity`. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "scheduling::affinity_schema")]
    pub affinity: Option<Affinity>,

    /// How pods are spread, as in any pod; one without a labelSelector counts the pods of this component. Default: over
    /// nodes, as a preference. An empty list means no spreading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "scheduling::spread_schema")]
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,

    /// Taints of nodes that the pods tolerate, as in any pod. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "scheduling::tolerations_schema")]
    pub tolerations: Vec<Toleration>,

    /// PriorityClass of the pods. Default: the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE))]
    pub priority_class_name: Option<String>,

    /// Further environment variables, as in any container, such as settings that have no field here. Those that the operator sets
    /// are refused. A change of a Secret named here replaces the pods; a change of a ConfigMap does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "env_schema")]
    pub extra_env: Vec<EnvVar>,
}

/// The part of Kubernetes' ResourceRequirements that makes sense here.
fn resources_schema(_: &mut SchemaGenerator) -> Schema {
    let quantities = |what: &str| {
        json!({
            "description": what,
            "type": "object",
            "maxProperties": 16,
            "additionalProperties": {
                "maxLength": 32,
                "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
                "x-kubernetes-int-or-string": true,
            },
            "x-kubernetes-validations": [
                {
                    "rule": format!(
                        "self.all(name, name in ['cpu', 'memory', 'ephemeral-storage'] || name.startsWith('hugepages-') || (name.contains('/') && name.matches('{}')))",
                        rules::QUALIFIED
                    ),
                    "message": "not a resource: write cpu, memory, ephemeral-storage, hugepages-<size>, or the name of an extended one (example.com/name)",
                },
                {
                    "rule": "self.all(name, !string(self[name]).startsWith('-'))",
                    "message": "an amount must not be negative",
                },
            ],
        })
    };
    schemars::json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {
            "requests": quantities("What the scheduler sets aside, such as {cpu: 100m, memory: 128Mi}."),
            "limits": quantities("What a container may use at most, such as {memory: 512Mi}."),
        },
        "x-kubernetes-validations": [{
            "rule": "!has(self.requests) || !has(self.limits) || self.requests.all(name, !(name in self.limits) || quantity(string(self.requests[name])).compareTo(quantity(string(self.limits[name]))) <= 0)",
            "message": "requests must not be above limits: lower the request, or raise the limit of the same name",
        }],
    })
}

/// A map of short strings. Bounded in size, to keep the API server's cost estimate for its rules within the budget.
fn map_schema(max_length: u32, rules: &Value) -> Schema {
    schemars::json_schema!({
        "type": "object",
        "additionalProperties": {"type": "string", "maxLength": max_length},
        "maxProperties": 64,
        "x-kubernetes-validations": rules,
    })
}

/// The values of a list in a CEL expression.
fn cel_list(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
    format!("[{}]", quoted.join(", "))
}

pub(super) fn labels_schema(_: &mut SchemaGenerator) -> Schema {
    let owned = cel_list(&names::OWNED_LABELS);
    map_schema(
        63,
        &json!([
            {
                "rule": format!("self.all(key, !(key in {owned}))"),
                "message": "the labels app.kubernetes.io/{name,instance,component,managed-by,part-of} and pod-template-hash select the pods and can't be changed: use labels of your own",
            },
            qualified_keys(),
            label_values(),
        ]),
    )
}

/// Map keys that Kubernetes accepts.
fn qualified_keys() -> Value {
    json!({
        "rule": format!("self.all(key, key.size() <= 317 && key.matches('{}'))", rules::QUALIFIED),
        "message": rules::LABEL_KEY_MESSAGE,
    })
}

/// Label values that Kubernetes accepts.
fn label_values() -> Value {
    json!({
        "rule": format!("self.all(key, self[key].matches('{}'))", rules::LABEL_VALUE),
        "message": rules::LABEL_VALUE_MESSAGE,
    })
}

fn annotations_schema(_: &mut SchemaGenerator) -> Schema {
    map_schema(
        16_384,
        &json!([
            {
                "rule": "self.all(key, !key.startsWith('wallex.dev/'))",
                "message": "annotations that begin with wallex.dev/ are the operator's: use annotations of your own",
            },
            qualified_keys(),
        ]),
    )
}

fn node_selector_schema(_: &mut SchemaGenerator) -> Schema {
    map_schema(63, &json!([qualified_keys(), label_values()]))
}

fn env_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut item = compact(generator.subschema_for::<EnvVar>());
    put(&mut item, "/properties/name/minLength", json!(1));
    put(&mut item, "/properties/name/maxLength", json!(253));
    put(&mut item, "/properties/value/maxLength", json!(32_768));
    // Needs a volume, and there is none to refer to.
    if let Some(sources) = item
        .pointer_mut("/properties/valueFrom/properties")
        .and_then(Value::as_object_mut)
    {
        sources.remove("fileKeyRef");
        for reference in ["configMapKeyRef", "secretKeyRef"] {
            let Some(reference) = sources.get_mut(reference) else {
                continue;
            };
            reference["required"] = json!(["name", "key"]);
            reference["properties"]["name"]["minLength"] = json!(1);
            reference["properties"]["name"]["maxLength"] = json!(253);
            reference["properties"]["name"]["pattern"] = json!(OBJECT_NAME);
            reference["properties"]["key"]["maxLength"] = json!(253);
            reference["properties"]["key"]["pattern"] = json!("^[-._a-zA-Z0-9]+$");
        }
        if let Some(path) = sources.get_mut("fieldRef") {
            path["properties"]["fieldPath"]["pattern"] = json!(FIELD_PATH);
        }
        if let Some(resource) = sources.get_mut("resourceFieldRef") {
            resource["properties"]["resource"]["pattern"] = json!(CONTAINER_RESOURCE);
        }
    }
    item.insert(
        "x-kubernetes-validations".to_owned(),
        json!([
            {
                "rule": format!("!(self.name in {})", cel_list(&names::OWNED_VARIABLES)),
                "message": "the operator sets this variable: use its field in spec instead (docs/operator.md has the list), or leave it out",
            },
            {
                "rule": "!has(self.valueFrom) || !has(self.value) || self.value == ''",
                "message": "a variable has either value or valueFrom: leave one of them out",
            },
            {
                "rule": "self.name.matches('^[-._a-zA-Z][-._a-zA-Z0-9]*$')",
                "message": "the name of a variable has letters, digits, '_', '-' and '.', and does not begin with a digit",
            },
            {
                "rule": "!has(self.valueFrom) || [has(self.valueFrom.configMapKeyRef), has(self.valueFrom.fieldRef), has(self.valueFrom.resourceFieldRef), has(self.valueFrom.secretKeyRef)].filter(named, named).size() == 1",
                "message": "valueFrom names one source: configMapKeyRef, fieldRef, resourceFieldRef or secretKeyRef",
            },
        ]),
    );
    schemars::json_schema!({
        "type": "array",
        "maxItems": 64,
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    })
}
