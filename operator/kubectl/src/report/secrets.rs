//! The Secrets that manifests refer to: names and keys for the bundle, values only for redaction.
//!
//! Invariant: a value leaves this module only in [`Secrets::values`], which goes to `redact` and nowhere else.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::Session;
use crate::access::Access;

/// What is known about the Secrets.
#[derive(Default)]
pub(super) struct Secrets {
    /// For the bundle: name, type and key names, or why a Secret could not be read.
    pub(super) listing: Vec<Value>,
    pub(super) values: Vec<Vec<u8>>,
    /// Those that could not be read, and why. Their values are recognized only by pattern.
    pub(super) missing: Vec<String>,
}

/// Reads the Secrets with these names.
pub(super) async fn read(session: &Session, names: &BTreeSet<String>) -> Secrets {
    let api = Api::<Secret>::namespaced(session.client.clone(), &session.namespace);
    let mut secrets = Secrets::default();
    for name in names {
        match api.get_opt(name).await {
            Ok(Some(secret)) => {
                let kind = secret.type_.clone();
                let (mut keys, data) = (Vec::new(), secret.data.clone().unwrap_or_default());
                for (key, value) in data {
                    keys.push(key);
                    secrets.values.push(value.0);
                }
                let created = secret.creation_timestamp().map(|time| time.0.to_string());
                secrets
                    .listing
                    .push(json!({"name": name, "type": kind, "keys": keys, "created": created}));
            }
            Ok(None) => secrets
                .listing
                .push(json!({"name": name, "problem": "does not exist"})),
            Err(error) => {
                let why = Access::new("get", "secrets", &session.namespace)
                    .failed(&error)
                    .short();
                secrets.listing.push(json!({"name": name, "problem": why}));
                secrets.missing.push(format!("keys of Secret {name}: {why}"));
            }
        }
    }
    secrets
}

/// Adds the names of all Secrets that a manifest refers to anywhere.
pub(super) fn referred(manifest: &Value, to: &mut BTreeSet<String>) {
    match manifest {
        Value::Object(object) => {
            for (field, value) in object {
                let name = match field.as_str() {
                    // Volumes, ingress and certificates.
                    "secretName" => value.as_str(),
                    // Variables, projected volumes, and our own spec: databaseSecretRef and the like.
                    "secret" => value["name"].as_str(),
                    field if field.to_lowercase().ends_with("secretref") || field == "secretKeyRef" => {
                        value["name"].as_str()
                    }
                    _ => None,
                };
                to.extend(name.map(str::to_owned));
                if field == "imagePullSecrets" {
                    let names = value.as_array().into_iter().flatten();
                    to.extend(names.filter_map(|entry| entry["name"].as_str().map(str::to_owned)));
                }
                referred(value, to);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| referred(item, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_reference_is_found() {
        let manifest = json!({
            "database": {"secretRef": {"name": "a", "key": "url"}},
            "kafka": {"tls": {"caSecretRef": {"name": "b"}}},
            "env": [{"valueFrom": {"secretKeyRef": {"name": "c"}}}],
            "envFrom": [{"secretRef": {"name": "d"}}],
            "volumes": [{"secret": {"secretName": "e"}}, {"projected": {"sources": [{"secret": {"name": "f"}}]}}],
            "imagePullSecrets": [{"name": "g"}],
            "configMapRef": {"name": "no"},
        });
        let mut names = BTreeSet::new();
        referred(&manifest, &mut names);
        assert_eq!(names.into_iter().collect::<String>(), "abcdefg");
    }
}
