//! From text to the type of a setting. Every source brings text (a TOML file also numbers and booleans), so one rule
//! reads them all: `WALLEX_PLATFORM=007` stays `007`.

use std::fmt;
use std::net::SocketAddr;

use serde::de::{Deserializer, Error, Visitor};

use crate::Secret;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// A type that a setting can have. The error is the reason alone and holds no secret.
pub(super) trait FromText: Sized {
    fn from_text(text: &str) -> Result<Self, String>;
}

impl FromText for String {
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
}

impl FromText for Secret {
    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Secret::new(text))
    }
}

/// Empty means unset: Kubernetes hands optional values over that way.
impl<T: FromText> FromText for Option<T> {
    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Ok(None)
        } else {
            T::from_text(text).map(Some)
        }
    }
}

impl FromText for SocketAddr {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("`{text}` is not an address such as 0.0.0.0:8080"))
    }
}

impl FromText for LogFormat {
    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{text}` is neither text nor json")),
        }
    }
}

/// Numbers of settings count something; none makes sense as 0.
macro_rules! positive {
    ($($type:ty),+) => {$(
        impl FromText for $type {
            fn from_text(text: &str) -> Result<Self, String> {
                match text.parse() {
                    Ok(0) | Err(_) => Err(format!("`{text}` is not a whole number from 1 to {}", <$type>::MAX)),
                    Ok(number) => Ok(number),
                }
            }
        }
    )+};
}
positive!(u32, u64, usize);

/// Reads a setting's value, whatever scalar its source holds.
pub(super) fn parsed<'de, D: Deserializer<'de>, T: FromText>(deserializer: D) -> Result<T, D::Error> {
    struct Scalar;
    impl Visitor<'_> for Scalar {
        type Value = String;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("one value")
        }
        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
        fn visit_bool<E: Error>(self, value: bool) -> Result<String, E> {
            Ok(value.to_string())
        }
        fn visit_i64<E: Error>(self, value: i64) -> Result<String, E> {
            Ok(value.to_string())
        }
        fn visit_u64<E: Error>(self, value: u64) -> Result<String, E> {
            Ok(value.to_string())
        }
        fn visit_f64<E: Error>(self, value: f64) -> Result<String, E> {
            Ok(value.to_string())
        }
    }
    let text = deserializer.deserialize_any(Scalar)?;
    T::from_text(&text).map_err(Error::custom)
}

/// Help of a flag: what it sets, its variable, its default.
pub(super) fn flag_help(help: &str, variable: &str, default: &str) -> String {
    let help = help.trim_ascii();
    if default.is_empty() {
        format!("{help} [{variable}]")
    } else {
        format!("{help} [{variable}, default {default}]")
    }
}
