//! The TriggerAuthentication, when the brokers want TLS or a password: KEDA reads the same Secrets as the pods, by reference.
//!
//! Its resource is KEDA's. The type holds what is stated here and no more; server-side apply leaves the rest alone.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

use super::metadata;
use crate::names;
use crate::reconcile::validate::{USERNAME, ValidatedPlatform};

/// The part of a TriggerAuthentication's spec that the operator states.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "keda.sh",
    version = "v1alpha1",
    kind = "TriggerAuthentication",
    plural = "triggerauthentications",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct TriggerAuthenticationSpec {
    #[serde(default)]
    pub secret_target_ref: Vec<SecretTarget>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config_map_target_ref: Vec<SecretTarget>,
}

/// A parameter of KEDA's Kafka trigger, and the value of a Secret or ConfigMap that it has.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretTarget {
    #[serde(default)]
    pub parameter: String,
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub key: String,
}

/// KEDA's names for what the pods know by a variable.
const PARAMETERS: [(&str, &str); 5] = [
    ("WALLEX_KAFKA_CA", "ca"),
    ("WALLEX_KAFKA_CERTIFICATE", "cert"),
    ("WALLEX_KAFKA_CERTIFICATE_KEY", "key"),
    ("WALLEX_KAFKA_SASL_USERNAME", "username"),
    ("WALLEX_KAFKA_SASL_PASSWORD", "password"),
];

/// None: nothing of it is secret.
pub(super) fn build(platform: &ValidatedPlatform) -> Option<TriggerAuthentication> {
    let secrets: Vec<SecretTarget> = platform
        .kafka_access
        .secrets
        .iter()
        .filter_map(|(variable, value)| {
            let (_, parameter) = PARAMETERS.iter().find(|(known, _)| known == variable)?;
            Some(SecretTarget {
                parameter: (*parameter).to_owned(),
                name: value.secret.clone(),
                key: value.key.clone(),
            })
        })
        .collect();
    // A name that is no Secret's value stands in the settings.
    let name = platform
        .kafka_access
        .settings
        .contains_key(USERNAME)
        .then(|| SecretTarget {
            parameter: "username".to_owned(),
            name: names::config_map(&platform.name),
            key: USERNAME.to_owned(),
        });
    (!secrets.is_empty()).then(|| TriggerAuthentication {
        metadata: metadata(platform, names::trigger_authentication(&platform.name), None),
        spec: TriggerAuthenticationSpec {
            secret_target_ref: secrets,
            config_map_target_ref: name.into_iter().collect(),
        },
    })
}

/// What is no secret of it, as settings of the trigger.
pub(super) fn settings(platform: &ValidatedPlatform) -> impl Iterator<Item = (String, String)> {
    let said = |variable: &str| platform.kafka_access.settings.get(variable).map(String::as_str);
    let tls = matches!(said("WALLEX_KAFKA_SECURITY_PROTOCOL"), Some("ssl" | "sasl_ssl"))
        .then_some(("tls", "enable"));
    let sasl = said("WALLEX_KAFKA_SASL_MECHANISM").map(|mechanism| {
        let known = match mechanism {
            "SCRAM-SHA-512" => "scram_sha512",
            "SCRAM-SHA-256" => "scram_sha256",
            _ => "plaintext",
        };
        ("sasl", known)
    });
    [tls, sasl]
        .into_iter()
        .flatten()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
}
