//! The promise of v1alpha1: no field and no enum value that was ever there disappears or changes its type.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;
use wallex_crd::crd_yaml;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crd/golden/api-v1alpha1.txt");

/// A line per field, `path type`, and a line per enum value, `path = value`.
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
    let promised: BTreeSet<String> = std::fs::read_to_string(GOLDEN)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    let now = now();
    let gone: Vec<&String> = promised.difference(&now).collect();
    assert!(
        gone.is_empty(),
        "these lines of {GOLDEN} are no longer true. v1alpha1 only grows: stored objects use them, so bring them back; \
         never edit or remove a line\n{gone:#?}"
    );
    let new: Vec<&String> = now.difference(&promised).collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() && !new.is_empty() {
        let text: String = now.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(GOLDEN, text).unwrap();
        return;
    }
    assert!(
        new.is_empty(),
        "add these lines to {GOLDEN} (UPDATE_GOLDEN=1 does, and only adds), and no others; from then on they are promised\n{new:#?}"
    );
}
