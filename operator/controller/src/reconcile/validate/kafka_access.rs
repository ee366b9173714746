//! TLS and SASL for the brokers: values for the operator, references for the pods. Pure.

use std::collections::BTreeMap;

use wallex_crd::names;
use wallex_crd::{CredentialsRef, KafkaSpec, KafkaTlsSpec, SecretKeyRef};

use super::secrets::{Authorities, Holder, SecretValue, Secrets};
use crate::kafka::Connection;
use crate::reconcile::conditions::Problem;

/// The pods' TLS and SASL settings, by the services' variables. Empty: unencrypted and anonymous.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KafkaAccess {
    pub settings: BTreeMap<&'static str, String>,
    pub secrets: Vec<(&'static str, SecretValue)>,
    /// CA certificates that pods get as a file. Others are among the secrets, because earlier images do not support the
    /// file.
    pub authorities: Option<Authorities>,
}

/// Maximum bytes of a variable, below the 128 KiB that Linux allows.
const LARGEST_VARIABLE: usize = 120_000;

/// The services' variable for the user name.
const USERNAME: &str = "WALLEX_KAFKA_SASL_USERNAME";

/// Whether the Secret is a Strimzi user's: it holds a password, and the user is named like the Secret.
fn is_named_after_its_secret(credentials: &CredentialsRef, secrets: &Secrets<'_>) -> bool {
    credentials.username_key == CredentialsRef::USERNAME_KEY
        && !secrets.has(&credentials.name, &credentials.username_key)
        && secrets.has(&credentials.name, &credentials.password_key)
}

/// The connections of the operator and of the pods.
pub(super) fn validated(
    spec: &KafkaSpec,
    secrets: &Secrets<'_>,
) -> Result<(Connection, KafkaAccess), Problem> {
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
    if let Some(tls) = &spec.tls {
        trust(tls, secrets, &mut connection, &mut access)?;
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
    let shown = spec
        .tls
        .as_ref()
        .and_then(|tls| tls.certificate_secret_ref.as_ref());
    if let Some(certificate) = shown {
        let name = &certificate.name;
        let (certificate, key) = if secrets.has(name, "user.crt") && !secrets.has(name, "tls.crt") {
            ("user.crt", "user.key")
        } else {
            ("tls.crt", "tls.key")
        };
        add(
            "ssl.certificate.pem",
            "WALLEX_KAFKA_CERTIFICATE",
            name,
            certificate,
        )?;
        add("ssl.key.pem", "WALLEX_KAFKA_CERTIFICATE_KEY", name, key)?;
    }
    if let Some(sasl) = &spec.sasl {
        let credentials = &sasl.secret_ref;
        let name = &credentials.name;
        let is_strimzis = is_named_after_its_secret(credentials, secrets);
        if !is_strimzis {
            add("sasl.username", USERNAME, name, &credentials.username_key)?;
        }
        add(
            "sasl.password",
            "WALLEX_KAFKA_SASL_PASSWORD",
            name,
            &credentials.password_key,
        )?;
        if is_strimzis {
            connection.security.insert("sasl.username", name.clone());
            access.settings.insert(USERNAME, name.clone());
        }
    }
    Ok((connection, access))
}

/// The CAs that the operator and the pods trust; by default, those of their images.
fn trust(
    tls: &KafkaTlsSpec,
    secrets: &Secrets<'_>,
    connection: &mut Connection,
    access: &mut KafkaAccess,
) -> Result<(), Problem> {
    let found = secrets.authorities(tls.ca_secret_ref.as_ref(), tls.ca_config_map_ref.as_ref())?;
    let Some((authorities, text)) = found else {
        return Ok(());
    };
    if authorities.holder == Holder::Secret && text.len() <= LARGEST_VARIABLE {
        let value = SecretValue {
            secret: authorities.name,
            key: authorities.key,
            hash: authorities.hash,
        };
        access.secrets.push((names::KAFKA_AUTHORITIES, value));
    } else {
        access.authorities = Some(authorities);
    }
    connection.security.insert("ssl.ca.pem", text);
    Ok(())
}
