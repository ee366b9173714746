//! The rights that the operator's chart grants.

use std::collections::BTreeSet;

use serde::Deserialize as _;
use serde_json::Value;
use wallex_crd::children;

/// The chart without Helm, rendered; `make charts` compares it with the chart.
const PLAIN: &str = include_str!("../../../../charts/plain/wallex-operator.yaml");

/// What is done with children.
const VERBS: [&str; 6] = ["get", "list", "watch", "create", "patch", "delete"];

#[test]
fn the_chart_grants_the_rights_to_every_kind_of_child_and_to_no_other() {
    let mut documents =
        serde_yaml_ng::Deserializer::from_str(PLAIN).map(|document| Value::deserialize(document).unwrap());
    let role = documents
        .find(|document| {
            document["kind"] == "ClusterRole" && document["metadata"]["name"] == "wallex-operator"
        })
        .unwrap();
    let texts = |list: &Value| -> Vec<String> {
        let list = list.as_array().into_iter().flatten();
        list.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let granted: BTreeSet<(String, String)> = role["rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|rule| rule["verbs"].as_array().unwrap().iter().eq(VERBS.iter()))
        .flat_map(|rule| {
            let groups = texts(&rule["apiGroups"]);
            texts(&rule["resources"])
                .into_iter()
                .map(move |resource| (groups.join(","), resource))
        })
        .collect();
    let needed: BTreeSet<(String, String)> = children::resources()
        .into_iter()
        .map(|resource| (resource.group, resource.plural))
        .collect();
    assert_eq!(granted, needed);
}
