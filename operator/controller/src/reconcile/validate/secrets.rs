//! The values in the Secrets and ConfigMaps that a platform refers to: whether they exist and are well-formed. Pure.
//!
//! Invariant: only a value's salted hash and the address in a URL leave this module; no message contains a value.

use wallex_crd::names;
use wallex_crd::{CaConfigMapRef, CaSecretRef, SecretKeyRef};

use crate::reconcile::conditions::{Problem, Reason};
use crate::reconcile::dereference::Dereferenced;

/// Reference to a Secret value that is known to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretValue {
    pub secret: String,
    pub key: String,
    /// Hash of the value, salted with the platform's uid.
    pub hash: String,
}

/// CA certificates that are known to exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorities {
    pub holder: Holder,
    /// The name of the Secret or ConfigMap.
    pub name: String,
    pub key: String,
    /// Hash of the value, salted with the platform's uid.
    pub hash: String,
}

/// What holds CA certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    Secret,
    ConfigMap,
}

impl Holder {
    fn kind(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// The Secrets and ConfigMaps of one platform.
pub(super) struct Secrets<'a> {
    pub(super) found: &'a Dereferenced,
    pub(super) namespace: &'a str,
    pub(super) uid: &'a str,
}

impl Secrets<'_> {
    /// The value that a reference points to, and its text.
    pub(super) fn value(&self, reference: &SecretKeyRef) -> Result<(SecretValue, String), Problem> {
        let (hash, text) = self.entry(Holder::Secret, &reference.name, &reference.key)?;
        let value = SecretValue {
            secret: reference.name.clone(),
            key: reference.key.clone(),
            hash,
        };
        Ok((value, text))
    }

    /// The hash of a value, and its text.
    fn entry(&self, holder: Holder, name: &str, key: &str) -> Result<(String, String), Problem> {
        let place = format!("{} {}/{name}", holder.kind(), self.namespace);
        let (values, not_found, key_missing) = match holder {
            Holder::Secret => (
                self.found.secrets.get(name).map(|values| &values.0),
                Reason::SecretNotFound,
                Reason::SecretKeyMissing,
            ),
            Holder::ConfigMap => (
                self.found.config_maps.get(name),
                Reason::ConfigMapNotFound,
                Reason::ConfigMapKeyMissing,
            ),
        };
        let values = values.ok_or_else(|| Problem::new(not_found, format!("{place} does not exist")))?;
        let value = values
            .get(key)
            .ok_or_else(|| Problem::new(key_missing, format!("{place} has no key {key:?}")))?;
        let hash = names::short_hash([self.uid.as_bytes(), value], 16);
        Ok((hash, String::from_utf8_lossy(value).trim().to_owned()))
    }

    /// Whether a Secret exists and has a key.
    pub(super) fn has(&self, name: &str, key: &str) -> bool {
        self.found
            .secrets
            .get(name)
            .is_some_and(|values| values.0.contains_key(key))
    }

    /// CA certificates, with their text. `None`: neither reference is set. The schema allows only one of the two.
    pub(super) fn authorities(
        &self,
        secret: Option<&CaSecretRef>,
        config_map: Option<&CaConfigMapRef>,
    ) -> Result<Option<(Authorities, String)>, Problem> {
        let (holder, name, key, invalid) = match (config_map, secret) {
            (Some(CaConfigMapRef { name, key }), _) => {
                (Holder::ConfigMap, name, key, Reason::ConfigMapInvalid)
            }
            (None, Some(CaSecretRef { name, key })) => (Holder::Secret, name, key, Reason::SecretInvalid),
            (None, None) => return Ok(None),
        };
        let (hash, text) = self.entry(holder, name, key)?;
        if !text.contains("-----BEGIN CERTIFICATE-----") {
            return Err(Problem::new(
                invalid,
                format!(
                    "key {key:?} of {} {}/{name} must hold certificates as PEM (-----BEGIN CERTIFICATE-----)",
                    holder.kind(),
                    self.namespace
                ),
            ));
        }
        let authorities = Authorities {
            holder,
            name: name.clone(),
            key: key.clone(),
            hash,
        };
        Ok(Some((authorities, text)))
    }

    /// [`Self::value`] for a value that must be a URL with one of `schemes`.
    pub(super) fn url(
        &self,
        reference: &SecretKeyRef,
        schemes: &[&str],
    ) -> Result<(SecretValue, String), Problem> {
        let (value, text) = self.value(reference)?;
        let fits = |scheme: &&str| text.starts_with(&format!("{scheme}://"));
        if schemes.iter().any(fits) {
            Ok((value, text))
        } else {
            Err(self.not_a_url(&value, schemes))
        }
    }

    /// The same for a PostgreSQL URL, with its location in the middle.
    pub(super) fn postgres(
        &self,
        reference: &SecretKeyRef,
    ) -> Result<(SecretValue, String, String), Problem> {
        let schemes = ["postgres", "postgresql"];
        let (value, text) = self.url(reference, &schemes)?;
        let location = database_location(&text).ok_or_else(|| self.not_a_url(&value, &schemes))?;
        Ok((value, location, text))
    }

    /// Never shows the value, which contains a password.
    fn not_a_url(&self, value: &SecretValue, schemes: &[&str]) -> Problem {
        let schemes = schemes
            .iter()
            .map(|scheme| format!("{scheme}://"))
            .collect::<Vec<_>>()
            .join(" or ");
        Problem::new(
            Reason::SecretInvalid,
            format!(
                "key {:?} of Secret {}/{} must be a URL that starts with {schemes}",
                value.key, self.namespace, value.secret
            ),
        )
    }
}

/// `host:port/database` of a PostgreSQL URL, including the equivalent query parameters. Neither user nor password.
fn database_location(url: &str) -> Option<String> {
    let rest = url
        .strip_prefix("postgres://")
        .or_else(|| url.strip_prefix("postgresql://"))?;
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A password may hold '@' or '/' unescaped, so the last '@' ends the credentials.
    let address = address.rsplit_once('@').map_or(address, |(_, address)| address);
    let mut location = address.trim_end_matches('/').to_owned();
    for parameter in query.split('&') {
        if let Some(("host" | "hostaddr" | "port" | "dbname", _)) = parameter.split_once('=') {
            location.push(';');
            location.push_str(parameter);
        }
    }
    Some(location)
}
