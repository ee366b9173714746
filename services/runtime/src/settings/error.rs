//! Errors of settings: each is one line that names the setting, its variable and the remedy. None ever contains the
//! value of a secret.

use std::path::PathBuf;

use super::{REFERENCE, Setting};

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{name} is not set: give {flag} or {variable}, for example {example}")]
    Missing {
        name: &'static str,
        flag: String,
        variable: &'static str,
        example: &'static str,
    },
    #[error("{name} is not valid: {reason} (from {origin}; set it with {flag} or {variable})")]
    Invalid {
        name: &'static str,
        reason: String,
        origin: String,
        flag: String,
        variable: &'static str,
    },
    #[error("cannot read the settings file {} (--config, WALLEX_CONFIG): {reason}", path.display())]
    File { path: PathBuf, reason: String },
    #[error("{} has no setting to put `{key}` into: did you mean `{nearest}`?", path.display())]
    UnknownKey {
        path: PathBuf,
        key: String,
        nearest: &'static str,
    },
    #[error("settings do not fit together: {0}")]
    Unreadable(String),
}

impl SettingsError {
    /// A required setting without a value.
    pub fn missing(name: &'static str) -> Self {
        let setting = find(name);
        let example = if setting.example.is_empty() {
            setting.default
        } else {
            setting.example
        };
        Self::Missing {
            name,
            flag: setting.flag(),
            variable: setting.variable,
            example,
        }
    }

    /// A setting with a value that its user cannot accept; `reason` must not contain a secret.
    pub fn invalid(name: &str, reason: impl Into<String>, origin: impl Into<String>) -> Self {
        let setting = find(name);
        Self::Invalid {
            name: setting.name,
            reason: reason.into(),
            origin: origin.into(),
            flag: setting.flag(),
            variable: setting.variable,
        }
    }
}

/// The setting of that name; an unknown name stands for itself, so that building an error message never fails.
fn find(name: &str) -> Setting {
    const UNKNOWN: Setting = Setting {
        name: "unknown",
        variable: "WALLEX_CONFIG",
        default: "",
        example: "",
        values: "",
        help: "",
    };
    REFERENCE
        .iter()
        .copied()
        .find(|setting| setting.name == name)
        .unwrap_or(UNKNOWN)
}
