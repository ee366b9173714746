//! Converts text to a setting's type, and back for display. Every source provides text (a TOML file also
//! numbers and booleans), so one rule reads them all: `WALLEX_PLATFORM=007` stays `007`.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::de::{Deserializer, Error, Visitor};
use wallex_domain::{Currencies, words};

use crate::Secret;

words! {
    /// The format of log lines.
    pub enum LogFormat {
        Text = "text",
        Json = "json",
    }
}

/// How long to wait for more to come: at most a second, because somebody waits for what is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gather(pub Duration);

words! {
    /// How to reach the brokers, by librdkafka's names.
    pub enum KafkaProtocol {
        Plaintext = "plaintext",
        Ssl = "ssl",
        SaslPlaintext = "sasl_plaintext",
        SaslSsl = "sasl_ssl",
    }
}

words! {
    /// How to send user name and password, by Kafka's names.
    pub enum SaslMechanism {
        Plain = "PLAIN",
        ScramSha256 = "SCRAM-SHA-256",
        ScramSha512 = "SCRAM-SHA-512",
    }
}

/// A type that a setting can have.
pub(super) trait Value: Sized {
    /// What the documentation calls such values.
    const WORDS: &'static str;

    /// The error is only the reason and contains no secret.
    fn from_text(text: &str) -> Result<Self, String>;

    /// As TOML writes it; hiding a secret is up to its type, so that no setting can forget it.
    fn shown(&self) -> Option<String>;
}

impl Value for String {
    const WORDS: &'static str = "text";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn shown(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Value for Secret {
    const WORDS: &'static str = "text, secret";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(Secret::new(text))
    }

    fn shown(&self) -> Option<String> {
        Some(quoted(&self.redacted_url()))
    }
}

/// Empty means unset: that is how Kubernetes passes optional values.
impl<T: Value> Value for Option<T> {
    const WORDS: &'static str = T::WORDS;

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Ok(None)
        } else {
            T::from_text(text).map(Some)
        }
    }

    fn shown(&self) -> Option<String> {
        self.as_ref().and_then(T::shown)
    }
}

impl Value for SocketAddr {
    const WORDS: &'static str = "address and port";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|_| format!("`{text}` is not an address such as 0.0.0.0:8080"))
    }

    fn shown(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

/// Settings whose values are words.
macro_rules! worded {
    ($($type:ty, $words:literal, $refusal:literal;)+) => {$(
        impl Value for $type {
            const WORDS: &'static str = $words;

            fn from_text(text: &str) -> Result<Self, String> {
                let mut all = Self::ALL.into_iter();
                all.find(|value| value.as_str() == text)
                    .ok_or_else(|| format!("`{text}` is {}", $refusal))
            }

            fn shown(&self) -> Option<String> {
                Some(quoted(self.as_str()))
            }
        }
    )+};
}
worded! {
    LogFormat, "`text` or `json`", "neither text nor json";
    KafkaProtocol, "`plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`",
        "not one of plaintext, ssl, sasl_plaintext and sasl_ssl";
    SaslMechanism, "`SCRAM-SHA-512`, `SCRAM-SHA-256` or `PLAIN`",
        "not one of SCRAM-SHA-512, SCRAM-SHA-256 and PLAIN";
}

impl Value for Duration {
    const WORDS: &'static str = "whole number of seconds from 0";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self::from_secs)
            .map_err(|_| format!("`{text}` is not a whole number of seconds from 0"))
    }

    fn shown(&self) -> Option<String> {
        Some(self.as_secs().to_string())
    }
}

impl Value for Gather {
    const WORDS: &'static str = "whole number of milliseconds from 0 to 1000";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
            .ok()
            .filter(|milliseconds| *milliseconds <= 1_000)
            .map(|milliseconds| Self(Duration::from_millis(milliseconds)))
            .ok_or_else(|| format!("`{text}` is not a whole number of milliseconds from 0 to 1000"))
    }

    fn shown(&self) -> Option<String> {
        Some(self.0.as_millis().to_string())
    }
}

/// The ISO 4217 currencies are always included and never shown.
impl Value for Currencies {
    const WORDS: &'static str = "`CODE:DIGITS`, separated by commas";

    fn from_text(text: &str) -> Result<Self, String> {
        Self::with_own(text).map_err(|error| error.to_string())
    }

    fn shown(&self) -> Option<String> {
        let own: Vec<String> = self
            .own()
            .map(|(code, exponent)| format!("{code}:{exponent}"))
            .collect();
        (!own.is_empty()).then(|| quoted(&own.join(",")))
    }
}

/// A share of something.
impl Value for f64 {
    const WORDS: &'static str = "number from 0 to 1";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
            .ok()
            .filter(|share| (0.0..=1.0).contains(share))
            .ok_or_else(|| format!("`{text}` is not a number from 0 to 1"))
    }

    fn shown(&self) -> Option<String> {
        // With a decimal point even for 0 or 1: TOML distinguishes integers from floats.
        Some(format!("{self:?}"))
    }
}

/// Numeric settings count something; 0 never makes sense.
macro_rules! positive {
    ($($type:ty),+) => {$(
        impl Value for $type {
            const WORDS: &'static str = "whole number from 1";

            fn from_text(text: &str) -> Result<Self, String> {
                match text.parse() {
                    Ok(0) | Err(_) => Err(format!("`{text}` is not a whole number from 1 to {}", <$type>::MAX)),
                    Ok(number) => Ok(number),
                }
            }

            fn shown(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )+};
}
positive!(u32, u64, usize);

/// A TOML basic string (by its specification, quote, backslash and control characters are escaped).
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(character))),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// Reads a setting's value, whatever scalar type its source holds.
pub(super) fn parsed<'de, D: Deserializer<'de>, T: Value>(deserializer: D) -> Result<T, D::Error> {
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
