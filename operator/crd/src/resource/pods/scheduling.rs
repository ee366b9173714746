//! On which nodes pods run: Kubernetes' own schemas, plus the checks that it would only make later.

use k8s_openapi::api::core::v1::{Affinity, Toleration, TopologySpreadConstraint};
use schemars::{Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::shorten::{compact, put, without_prose};
use crate::resource::rules;

pub(super) fn affinity_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = generator.subschema_for::<Affinity>();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut() {
            without_prose(property);
            selecting(property);
        }
    }
    schema.insert("nullable".to_owned(), true.into());
    schema
}

pub(super) fn spread_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut item = compact(generator.subschema_for::<TopologySpreadConstraint>());
    put(&mut item, "/properties/maxSkew/minimum", json!(1));
    put(
        &mut item,
        "/properties/whenUnsatisfiable/enum",
        json!(["DoNotSchedule", "ScheduleAnyway"]),
    );
    for policy in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
        put(
            &mut item,
            &format!("/properties/{policy}/enum"),
            json!(["Honor", "Ignore"]),
        );
    }
    put(&mut item, "/properties/minDomains/minimum", json!(1));
    if let Some(item) = item.as_object_mut() {
        item.values_mut().for_each(selecting);
    }
    item.insert(
        "x-kubernetes-validations".to_owned(),
        json!([{
            "rule": "!has(self.minDomains) || self.whenUnsatisfiable == 'DoNotSchedule'",
            "message": "minDomains needs whenUnsatisfiable DoNotSchedule",
        }]),
    );
    schemars::json_schema!({
        "type": "array",
        "nullable": true,
        "maxItems": 16,
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["topologyKey", "whenUnsatisfiable"],
    })
}

/// Limits node and pod selectors anywhere in a schema: operators, weights and keys that the API server would refuse later.
fn selecting(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let of_nodes =
                fields.keys().any(|key| key == "matchFields") || fields.contains_key("nodeSelectorTerms");
            if let Some(Value::Object(properties)) = fields.get_mut("properties") {
                let is_node_term = of_nodes || properties.contains_key("matchFields");
                for (name, property) in properties.iter_mut() {
                    limit(name, property, is_node_term);
                }
            }
            fields.values_mut().for_each(selecting);
        }
        Value::Array(elements) => elements.iter_mut().for_each(selecting),
        _ => {}
    }
}

/// Limits one field of a selector.
fn limit(name: &str, property: &mut Value, is_node_term: bool) {
    match name {
        "weight" => {
            property["minimum"] = json!(1);
            property["maximum"] = json!(100);
        }
        "topologyKey" => {
            property["minLength"] = json!(1);
            property["maxLength"] = json!(317);
            property["pattern"] = json!(rules::QUALIFIED);
        }
        "matchExpressions" => {
            let mut operators = vec!["In", "NotIn", "Exists", "DoesNotExist"];
            if is_node_term {
                operators.extend(["Gt", "Lt"]);
            }
            let item = &mut property["items"]["properties"];
            item["operator"]["enum"] = json!(operators);
            item["key"]["minLength"] = json!(1);
            item["key"]["maxLength"] = json!(317);
            item["key"]["pattern"] = json!(rules::QUALIFIED);
        }
        _ => {}
    }
}

pub(super) fn tolerations_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut item = compact(generator.subschema_for::<Toleration>());
    put(&mut item, "/properties/key/maxLength", json!(317));
    put(&mut item, "/properties/value/maxLength", json!(63));
    put(
        &mut item,
        "/properties/operator/enum",
        json!(["Equal", "Exists", ""]),
    );
    let effects = json!(["NoSchedule", "PreferNoSchedule", "NoExecute", ""]);
    put(&mut item, "/properties/effect/enum", effects);
    item.insert(
        "x-kubernetes-validations".to_owned(),
        json!([
            {
                "rule": "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
                "message": "a toleration with operator Exists tolerates every value: leave value out, or use operator Equal",
            },
            {
                "rule": "(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')",
                "message": "a toleration without a key tolerates every taint: that needs operator Exists",
            },
            {
                "rule": "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
                "message": "tolerationSeconds needs effect NoExecute",
            },
            {
                "rule": format!("!has(self.key) || self.key == '' || self.key.matches('{}')", rules::QUALIFIED),
                "message": rules::LABEL_KEY_MESSAGE,
            },
            {
                "rule": format!("!has(self.value) || self.value.matches('{}')", rules::LABEL_VALUE),
                "message": rules::LABEL_VALUE_MESSAGE,
            },
        ]),
    );
    schemars::json_schema!({"type": "array", "maxItems": 64, "items": item})
}
