//! The promise of v1alpha1: no field or enum value that ever existed disappears or changes its type.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;
use wallex_crd::crd_yaml;

/// The promised API: a snapshot that only grows.
const PROMISED: &str = include_str!("snapshots/crd__api__v1alpha1.snap");

/// One line per field, `path type`, and one per enum value, `path = value`.
fn lines(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    let mut line = format!("{path} ");
    if schema["x-kubernetes-int-or-string"] == true {
        line.push_str("int-or-string");
    } else {
        line.push_str(schema["type"].as_str().unwrap());
    }
    if let Some(format) = schema["format"].as_str() {
        write!(line, " ({format})").unwrap();
    }
    found.insert(line);
    for value in schema["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        found.insert(format!("{path} = {value}"));
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        lines(&format!("{path}.{name}"), property, found);
    }
    if schema["items"].is_object() {
        lines(&format!("{path}[]"), &schema["items"], found);
    }
    if schema["additionalProperties"].is_object() {
        lines(&format!("{path}.*"), &schema["additionalProperties"], found);
    }
}

fn now() -> BTreeSet<String> {
    let crd: Value = serde_yaml_ng::from_str(&crd_yaml().unwrap()).unwrap();
    let version = &crd["spec"]["versions"][0];
    assert_eq!(version["name"], "v1alpha1");
    let schema = &version["schema"]["openAPIV3Schema"]["properties"];
    let mut found = BTreeSet::new();
    for part in ["spec", "status"] {
        lines(part, &schema[part], &mut found);
    }
    found
}

#[test]
fn nothing_that_was_promised_disappears_or_changes_its_type() {
    let promised = PROMISED.splitn(3, "---\n").last().unwrap().lines();
    let now = now();
    let gone: Vec<&str> = promised.filter(|line| !now.contains(*line)).collect();
    assert!(
        gone.is_empty(),
        "these lines of snapshots/crd__api__v1alpha1.snap are no longer true. v1alpha1 only grows: stored objects use them, so bring \
         them back; never edit or remove a line\n{gone:#?}"
    );
    // A new line is promised from now on.
    let lines: Vec<&str> = now.iter().map(String::as_str).collect();
    insta::assert_snapshot!("v1alpha1", lines.join("\n"));
}
