//! The settings in force, as `wallex config` shows them: each with its value and where that came from. No secret
//! gets this far: values come from [`Settings::shown`].

use std::fmt;

use super::{REFERENCE, Setting, Settings};

/// A setting of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InForce {
    pub name: &'static str,
    /// As TOML writes it, secrets redacted. `None`: not set.
    pub value: Option<String>,
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// Path of the settings file.
    File(String),
    /// Name of the variable.
    Variable(String),
    /// The flag with its dashes.
    Flag(String),
}

impl Origin {
    /// From the name that errors use for the source.
    pub(super) fn named(name: &str) -> Self {
        let is = |known: &dyn Fn(&Setting) -> bool| REFERENCE.iter().any(known);
        if name == Self::Default.to_string() {
            Self::Default
        } else if is(&|setting| setting.variable == name) {
            Self::Variable(name.to_owned())
        } else if is(&|setting| setting.flag() == name) {
            Self::Flag(name.to_owned())
        } else {
            Self::File(name.to_owned())
        }
    }
}

/// The name that errors use for the source.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::File(name) | Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

impl InForce {
    pub(super) fn all(settings: &Settings, origin: impl Fn(&str) -> Origin) -> Vec<Self> {
        settings
            .shown()
            .into_iter()
            .map(|(name, value)| Self {
                name,
                value,
                origin: origin(name),
            })
            .collect()
    }
}

/// A line of TOML with its origin as a comment; a setting without a value is commented out. Together the lines are a
/// settings file again, except for the secrets.
impl fmt::Display for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, origin } = self;
        match value {
            Some(value) => {
                let line = format!("{name} = {value}");
                write!(f, "{line:<COLUMN$} # {}", words(origin))
            }
            None => {
                let line = format!("# {name} is not set");
                write!(f, "{line:<COLUMN$} # {}", words(origin))
            }
        }
    }
}

/// Where the comments begin; most lines are shorter.
const COLUMN: usize = 48;

fn words(origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        Origin::File(path) => format!("file {}", path.escape_debug()),
        Origin::Variable(name) => format!("variable {name}"),
        Origin::Flag(flag) => format!("flag {flag}"),
    }
}
