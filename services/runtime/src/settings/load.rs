//! Merges the sources: defaults, file, environment, flags; the later wins. Knows where each value came from, so that
//! an error can say so.

use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::{Flags, InForce, Origin, REFERENCE, Settings, SettingsError};
use crate::telemetry;

impl Settings {
    /// Settings from defaults, the file named by `--config` or `WALLEX_CONFIG`, the environment and `flags`.
    pub fn load(flags: &Flags) -> Result<Self, SettingsError> {
        Self::load_from(flags, |variable| std::env::var(variable).ok())
    }

    /// Settings from defaults and `flags` alone: for tests and embedding, where the process's environment must not matter.
    pub fn from_flags(flags: &Flags) -> Result<Self, SettingsError> {
        Self::load_from(flags, |_| None)
    }

    /// [`Settings::load`], plus every value with its origin, safe to show.
    pub fn load_in_force(flags: &Flags) -> Result<(Self, Vec<InForce>), SettingsError> {
        Self::in_force_from(flags, |variable| std::env::var(variable).ok())
    }

    pub(super) fn load_from(
        flags: &Flags,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SettingsError> {
        Self::in_force_from(flags, variable).map(|(settings, _)| settings)
    }

    pub(super) fn in_force_from(
        flags: &Flags,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<(Self, Vec<InForce>), SettingsError> {
        // Kubernetes passes an optional value as an empty variable: that means unset, not an empty value.
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let mut sources = Figment::from(Source::new(
            Origin::Default.to_string(),
            REFERENCE
                .iter()
                .map(|setting| (setting.name, setting.default.into())),
        ));
        if let Some(path) = flags
            .config
            .clone()
            .or_else(|| variable("WALLEX_CONFIG").map(PathBuf::from))
        {
            sources = sources.merge(file(&path)?);
        }
        for setting in REFERENCE {
            if let Some(value) = variable(setting.variable) {
                sources = sources.merge(Source::new(setting.variable, [(setting.name, value.into())]));
            }
        }
        for (name, value) in flags.given() {
            let flag = format!("--{}", name.replace('_', "-"));
            sources = sources.merge(Source::new(flag, [(name, value.into())]));
        }
        let mut settings: Self = sources.extract().map_err(|error| explain(&error))?;
        if settings.instance.is_empty() {
            settings.instance = own_name();
        }
        settings.check(&sources)?;
        let in_force = InForce::all(&settings, |name| origin(&sources, name));
        Ok((settings, in_force))
    }

    /// Checks that types alone cannot express.
    fn check(&self, sources: &Figment) -> Result<(), SettingsError> {
        let invalid = |name: &str, reason: String| {
            Err(SettingsError::invalid(
                name,
                reason,
                origin(sources, name).to_string(),
            ))
        };
        for (name, value) in [
            ("cluster", &self.cluster),
            ("namespace", &self.namespace),
            ("platform", &self.platform),
        ] {
            if value.is_empty() || value.contains('/') || value.contains(char::is_whitespace) {
                return invalid(name, format!("`{value}` is empty or has a slash or a space"));
            }
        }
        for (name, topic) in [
            ("kafka_events_topic", &self.kafka_events_topic),
            ("kafka_dead_letters_topic", &self.kafka_dead_letters_topic),
        ] {
            if !is_topic_name(topic) {
                return invalid(
                    name,
                    format!("`{topic}` is not a topic's name (1 to 249 of a-z A-Z 0-9 . _ -)"),
                );
            }
        }
        if self.shutdown_grace_seconds >= self.drain() {
            let (grace, all) = (self.shutdown_grace_seconds.as_secs(), self.shutdown_seconds);
            return invalid(
                "shutdown_grace_seconds",
                format!("{grace} leaves nothing of the {all} of shutdown_seconds"),
            );
        }
        if let Some(endpoint) = &self.otlp_endpoint
            && !is_plain_http(endpoint)
        {
            return invalid(
                "otlp_endpoint",
                format!("`{endpoint}` is not http://host:port (a collector nearby may forward with TLS)"),
            );
        }
        if let Err(error) = telemetry::filter(&self.log) {
            return invalid("log", error);
        }
        Ok(())
    }
}

fn origin(sources: &Figment, name: &str) -> Origin {
    sources
        .find_metadata(name)
        .map_or(Origin::Default, |it| Origin::named(&it.name))
}

fn is_plain_http(url: &str) -> bool {
    url.parse::<http::Uri>().is_ok_and(|url| {
        url.scheme_str() == Some("http")
            && url.authority().is_some_and(|it| !it.as_str().contains('@'))
            && url.query().is_none()
    })
}

/// Kafka's rule for topic names.
fn is_topic_name(topic: &str) -> bool {
    (1..=249).contains(&topic.len())
        && topic != "."
        && topic != ".."
        && topic
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Values from one origin.
struct Source {
    origin: String,
    values: Dict,
}

impl Source {
    fn new<'a>(origin: impl Into<String>, values: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let values = values
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        Self {
            origin: origin.into(),
            values,
        }
    }
}

impl Provider for Source {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

fn file(path: &Path) -> Result<Source, SettingsError> {
    let unreadable = |reason: String| SettingsError::File {
        path: path.to_owned(),
        reason,
    };
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    // The full error would quote the offending line, and that line may hold a password.
    let values: Dict = Toml::from_str(&text).map_err(|error| {
        let before = error
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        unreadable(format!(
            "line {}: {}",
            before.matches('\n').count() + 1,
            error.message()
        ))
    })?;
    for key in values.keys() {
        if !REFERENCE.iter().any(|setting| setting.name == key) {
            return Err(SettingsError::UnknownKey {
                path: path.to_owned(),
                key: key.clone(),
                nearest: nearest(key),
            });
        }
    }
    Ok(Source {
        origin: path.display().to_string(),
        values,
    })
}

/// The setting whose name is most similar to `key`.
fn nearest(key: &str) -> &'static str {
    let likeness = |name: &str| strsim::jaro_winkler(&key.to_lowercase(), name);
    REFERENCE
        .iter()
        .map(|setting| setting.name)
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .unwrap_or_default()
}

/// Gives the setting, the reason and the origin of figment's error.
fn explain(error: &figment::Error) -> SettingsError {
    let origin = error
        .metadata
        .as_ref()
        .map_or_else(String::new, |it| it.name.to_string());
    match error.path.first() {
        Some(name) => SettingsError::invalid(name, error.kind.to_string(), origin),
        None => SettingsError::Unreadable(error.kind.to_string()),
    }
}

/// Host name and process id. Unique among the platform's processes in all but odd cases (containers with the same host
/// name); the operator gives pods their names.
fn own_name() -> String {
    let host = std::env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
        .unwrap_or_default();
    let host = host.trim();
    format!(
        "{}-{}",
        if host.is_empty() { "wallex" } else { host },
        std::process::id()
    )
}
