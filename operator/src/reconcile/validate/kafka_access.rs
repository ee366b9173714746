//! How the brokers are reached by TLS and SASL: by the operator, with the values, and by the pods, with references to them. Pure.

use std::collections::BTreeMap;

use super::secrets::{SecretValue, Secrets};
use crate::crd::{KafkaSpec, SecretKeyRef};
use crate::kafka::Connection;
use crate::reconcile::conditions::Problem;

/// What pods are told about TLS and SASL, by the services' variables. Empty: in the clear, without a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaAccess {
    pub settings: BTreeMap<&'static str, String>,
    pub secrets: Vec<(&'static str, SecretValue)>,
}

/// The operator's own connection, and the pods'.
pub(super) fn run(spec: &KafkaSpec, secrets: &Secrets<'_>) -> Result<(Connection, KafkaAccess), Problem> {
    let mut connection = Connection::from(spec.bootstrap_servers.clone());
    let mut access = KafkaAccess::default();
    let protocol = match (&spec.tls, &spec.sasl) {
        (None, None) => return Ok((connection, access)),
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    let mut say = |property, variable, value: &str| {
        connection.security.insert(property, value.to_owned());
        access.settings.insert(variable, value.to_owned());
    };
    say("security.protocol", "WALLEX_KAFKA_SECURITY_PROTOCOL", protocol);
    if let Some(sasl) = &spec.sasl {
        say(
            "sasl.mechanism",
            "WALLEX_KAFKA_SASL_MECHANISM",
            sasl.mechanism.as_str(),
        );
    }
    let mut add = |property, variable, name: &str, key: &str| -> Result<(), Problem> {
        let reference = SecretKeyRef {
            name: name.to_owned(),
            key: key.to_owned(),
        };
        let (value, text) = secrets.value(&reference)?;
        connection.security.insert(property, text);
        access.secrets.push((variable, value));
        Ok(())
    };
    if let Some(tls) = &spec.tls {
        if let Some(ca) = &tls.ca_secret_ref {
            add("ssl.ca.pem", "WALLEX_KAFKA_CA", &ca.name, &ca.key)?;
        }
        if let Some(certificate) = &tls.certificate_secret_ref {
            let name = &certificate.name;
            add("ssl.certificate.pem", "WALLEX_KAFKA_CERTIFICATE", name, "tls.crt")?;
            add("ssl.key.pem", "WALLEX_KAFKA_CERTIFICATE_KEY", name, "tls.key")?;
        }
    }
    if let Some(sasl) = &spec.sasl {
        let credentials = &sasl.secret_ref;
        let name = &credentials.name;
        add(
            "sasl.username",
            "WALLEX_KAFKA_SASL_USERNAME",
            name,
            &credentials.username_key,
        )?;
        add(
            "sasl.password",
            "WALLEX_KAFKA_SASL_PASSWORD",
            name,
            &credentials.password_key,
        )?;
    }
    Ok((connection, access))
}
