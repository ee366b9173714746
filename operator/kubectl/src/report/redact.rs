//! Redacts what must not leave the cluster. Pure.
//!
//! Two layers. The values of the platform's Secrets are known, so they are searched for everywhere, in every form in which they
//! may occur. Unknown secrets are recognized by pattern: credentials in URLs, tokens, private keys, variables and settings whose
//! names suggest a password.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use regex::{Captures, Regex};
use serde_json::Value;
use wallex_crd::names;

/// The replacement for redacted text.
pub(super) const BLACK: &str = "[redacted]";

/// Shorter values (in bytes) are not searched for: they would redact half of every text. No password is that short.
pub(super) const SHORTEST: usize = 4;

/// Words that occur in every bundle and are not secret, even if a Secret contains one, for example as a user name.
const PUBLIC: [&str; 16] = [
    "wallex",
    "default",
    "true",
    "false",
    "null",
    "none",
    "disable",
    "prefer",
    "require",
    "verify-full",
    "PLAIN",
    "SCRAM-SHA-256",
    "SCRAM-SHA-512",
    "SASL_SSL",
    "SASL_PLAINTEXT",
    "postgres",
];

/// The known secrets.
#[derive(Default)]
pub(super) struct Redaction {
    /// Longest first, so that a password does not break up the URL that contains it.
    needles: Vec<String>,
}

impl Redaction {
    /// Searches for these values. `public` ones are not secret, even if a Secret contains them.
    pub(super) fn new(values: &[Vec<u8>], public: &BTreeSet<String>) -> Self {
        let mut needles = BTreeSet::new();
        for value in values {
            forms(value, public, &mut needles);
        }
        let mut needles: Vec<String> = needles.into_iter().collect();
        needles.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        Self { needles }
    }

    /// A text without secrets. `prose`: a log or similar text, which may contain `password=…`; in manifests, [`manifest`]
    /// judges the fields.
    pub(super) fn text(&self, text: &str, prose: bool) -> String {
        let mut text = text.to_owned();
        for needle in &self.needles {
            if text.contains(needle.as_str()) {
                text = text.replace(needle.as_str(), BLACK);
            }
        }
        let looks = looks();
        text = looks.private_key.replace_all(&text, BLACK).into_owned();
        text = looks.token.replace_all(&text, BLACK).into_owned();
        text = looks
            .credentials
            .replace_all(&text, |found: &Captures<'_>| {
                if found[1].eq_ignore_ascii_case("docker-pullable://") {
                    found[0].to_owned()
                } else {
                    format!("{}{BLACK}@", &found[1])
                }
            })
            .into_owned();
        if prose {
            text = looks
                .setting
                .replace_all(&text, |found: &Captures<'_>| format!("{}{BLACK}", &found[1]))
                .into_owned();
        }
        text
    }
}

/// What secrets look like.
struct Looks {
    private_key: Regex,
    token: Regex,
    credentials: Regex,
    setting: Regex,
}

fn looks() -> &'static Looks {
    static LOOKS: LazyLock<Looks> = LazyLock::new(|| {
        #[expect(clippy::expect_used, reason = "constant patterns; a test uses each of them")]
        let pattern = |text: &str| Regex::new(text).expect("a valid pattern");
        Looks {
            private_key: pattern(
                r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
            ),
            // A JSON Web Token (RFC 7519): three parts, the first two of which are JSON and so begin with eyJ.
            token: pattern(r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*"),
            // Up to the last '@' in the word: a password may contain one.
            credentials: pattern(r#"(?i)([a-z][a-z0-9+.-]*://)[^\s"'<>\\]*@"#),
            setting: pattern(concat!(
                r#"(?i)((?:password|passwd|passphrase|token|secret[_.-]?key|client[_.-]?secret|credentials?"#,
                r#"|api[_.-]?key|access[_.-]?key|private[_.-]?key|authorization|jaas[_.-]?config)"#,
                r#"\\?["']?[ \t]*[:=][ \t]*)"#,
                r#"(?:\\"[^"]*\\"|"(?:[^"\\]|\\.)*"|'[^']*'|(?:(?:bearer|basic) +)?[^\s,;&"'}\\]+)"#,
            )),
        }
    });
    &LOOKS
}

/// Whether a variable or setting with this name holds a secret.
fn is_secret_name(name: &str) -> bool {
    const WORDS: [&str; 10] = [
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "SECRET",
        "TOKEN",
        "CREDENTIAL",
        "API_KEY",
        "ACCESS_KEY",
        "PRIVATE_KEY",
        "JAAS",
    ];
    // References to Secrets, and the salted hash by which the operator detects a rotation.
    const NAMES_ONLY: [&str; 3] = ["secretName", "pullSecret", names::SECRET_HASH];
    let upper = name.to_uppercase().replace(['.', '-'], "_");
    !NAMES_ONLY.contains(&name) && WORDS.iter().any(|word| upper.contains(word))
}

/// A manifest without the values of Secrets and of settings with secret-sounding names, and without copies of itself.
pub(super) fn manifest(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
        if let Some(annotations) = annotations {
            // Contains the whole object again, as text.
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if object["kind"] == "Secret" {
        for field in ["data", "stringData"] {
            for value in object
                .get_mut(field)
                .and_then(Value::as_object_mut)
                .into_iter()
                .flatten()
            {
                *value.1 = BLACK.into();
            }
        }
    }
    fields(object);
}

fn fields(value: &mut Value) {
    match value {
        Value::Object(object) => {
            // An environment variable or an HTTP header.
            let is_secret = object
                .get("name")
                .and_then(Value::as_str)
                .is_some_and(is_secret_name);
            if is_secret && object.get("value").is_some_and(Value::is_string) {
                object.insert("value".to_owned(), BLACK.into());
            }
            for (name, field) in object.iter_mut() {
                if field.is_string() && is_secret_name(name) {
                    *field = BLACK.into();
                } else {
                    fields(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every form in which a secret value may occur in a text.
fn forms(value: &[u8], public: &BTreeSet<String>, to: &mut BTreeSet<String>) {
    let mut plain = BTreeSet::from([value.to_vec()]);
    if let Ok(text) = std::str::from_utf8(value) {
        let text = text.trim();
        plain.insert(text.as_bytes().to_vec());
        // Logs are split into lines, so a multi-line value is searched for line by line.
        let lines = text.lines().map(str::trim).filter(|line| line.len() >= 12);
        plain.extend(
            lines
                .filter(|line| !line.starts_with("-----"))
                .map(|line| line.as_bytes().to_vec()),
        );
        for password in passwords(text).into_iter().chain(settings(text)) {
            plain.insert(decoded(&password).into_bytes());
            plain.insert(password.into_bytes());
        }
    }
    for bytes in plain {
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        if bytes.len() < SHORTEST || PUBLIC.contains(&text) || public.contains(text) {
            continue;
        }
        if !text.is_empty() {
            to.insert(text.to_owned());
            // As a JSON string, and as a JSON string within one (an object in an annotation, a log line in a message).
            let once = json(text);
            to.insert(json(&once));
            to.insert(once);
            to.insert(encoded(text));
        }
        for engine in [STANDARD, URL_SAFE] {
            let whole = engine.encode(&bytes);
            to.insert(whole.trim_end_matches('=').to_owned());
            to.insert(whole);
            // Within a longer text, at any offset: the characters that do not depend on their surroundings.
            for before in 0..3_usize {
                let mut shifted = vec![0; before];
                shifted.extend(&bytes);
                let encoded = engine.encode(&shifted);
                let (begin, end) = ((before * 8).div_ceil(6), shifted.len() * 8 / 6);
                if end.saturating_sub(begin) >= 8 {
                    to.insert(encoded[begin..end].to_owned());
                }
            }
        }
    }
}

/// Passwords in a URL: before the host, and in its parameters.
fn passwords(url: &str) -> Vec<String> {
    let Some((_, rest)) = url.split_once("://") else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if let Some((credentials, _)) = rest.rsplit_once('@')
        && let Some((_, password)) = credentials.split_once(':')
    {
        found.push(password.to_owned());
    }
    if let Some((_, query)) = rest.split_once('?') {
        let secret = query.split('&').filter_map(|parameter| parameter.split_once('='));
        found.extend(
            secret
                .filter(|(name, _)| is_secret_name(name))
                .map(|(_, value)| value.to_owned()),
        );
    }
    found
}

/// Passwords in a value that is a settings file: JSON, like registry credentials, or lines of `name=value`.
fn settings(text: &str) -> Vec<String> {
    fn leaves(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                for (name, field) in object {
                    match field.as_str() {
                        Some(text) if is_secret_name(name) || name == "auth" => found.push(text.to_owned()),
                        _ => leaves(field, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_str(text) {
        leaves(&value, &mut found);
        return found;
    }
    let lines = text.lines().filter_map(|line| line.split_once('='));
    found.extend(
        lines
            .filter(|(name, _)| is_secret_name(name.trim()))
            .map(|(_, value)| value.trim().trim_matches(['"', '\'']).to_owned()),
    );
    found
}

fn json(text: &str) -> String {
    let quoted = Value::String(text.to_owned()).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Percent-encoded as in RFC 3986: everything except the unreserved characters.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = after
            .get(..2)
            .filter(|_| *first == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match hex {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known(value: &str) -> Redaction {
        Redaction::new(&[value.as_bytes().to_vec()], &BTreeSet::new())
    }

    #[test]
    fn a_known_value_is_found_in_every_form() {
        let secret = "pa$s\"w/o:rd";
        let redaction = known(secret);
        let long = format!("before {secret} after");
        for written in [
            secret.to_owned(),
            json(secret),
            json(&json(secret)),
            encoded(secret),
            STANDARD.encode(secret),
            STANDARD.encode(&long),
            STANDARD.encode(format!("x{long}")),
            STANDARD.encode(format!("xx{long}")),
            URL_SAFE.encode(&long),
        ] {
            let text = redaction.text(&format!("a {written} b"), false);
            assert!(text.contains(BLACK), "{written} → {text}");
            assert!(!text.contains(&written));
        }
    }

    #[test]
    fn the_password_of_a_known_url_is_found_alone_too() {
        let redaction = known("postgres://wallex:h%40nter2@db:5432/demo?sslpassword=s3cond");
        let text = redaction.text("user wallex with h@nter2, h%40nter2 and s3cond on db:5432", false);
        assert_eq!(
            text,
            format!("user wallex with {BLACK}, {BLACK} and {BLACK} on db:5432")
        );
    }

    #[test]
    fn the_passwords_in_a_file_of_settings_are_found_alone_too() {
        let registry =
            known(r#"{"auths":{"registry":{"username":"ci","password":"s3cret","auth":"Y2k6czNjcmV0"}}}"#);
        let text = registry.text("ci logs in with s3cret, Y2k6czNjcmV0", false);
        assert_eq!(text, format!("ci logs in with {BLACK}, {BLACK}"));
        let properties = known("user=ci\nssl.key.password = \"s3cret\"\n");
        assert_eq!(
            properties.text("ci with s3cret", false),
            format!("ci with {BLACK}")
        );
    }

    #[test]
    fn a_user_that_is_named_like_an_object_is_no_secret() {
        let redaction = Redaction::new(
            &[b"demo".to_vec(), b"wallex".to_vec()],
            &["demo".to_owned()].into(),
        );
        assert_eq!(redaction.text("demo of wallex", false), "demo of wallex");
    }

    #[test]
    fn what_is_not_known_is_recognised_by_its_looks() {
        let nothing = Redaction::default();
        for (text, expected) in [
            (
                "to redis://:p@ss@host:6379/0 now",
                "to redis://[redacted]@host:6379/0 now",
            ),
            ("GET https://host/path", "GET https://host/path"),
            (
                "docker-pullable://reg/x@sha256:12",
                "docker-pullable://reg/x@sha256:12",
            ),
            ("password=abc, user=x", "password=[redacted], user=x"),
            (
                r#"{"password": "a b", "user": "x"}"#,
                r#"{"password": [redacted], "user": "x"}"#,
            ),
            (
                "Authorization: Bearer abc.def end",
                "Authorization: [redacted] end",
            ),
            ("sasl.jaas.config='user x'", "sasl.jaas.config=[redacted]"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "[redacted]"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nend",
                "[redacted]\nend",
            ),
        ] {
            assert_eq!(nothing.text(text, true), expected);
        }
    }

    #[test]
    fn settings_with_a_secret_name_lose_their_value_and_references_stay() {
        let mut deployment = json!({
            "kind": "Deployment",
            "metadata": {"managedFields": [1], "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{}", "wallex.dev/secret-hash": "12ab",
            }},
            "spec": {"env": [
                {"name": "SMTP_PASSWORD", "value": "x"},
                {"name": "WALLEX_LOG", "value": "info"},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "demo-token", "key": "token"}}},
            ], "volumes": [{"secret": {"secretName": "demo-tls"}}], "config": {"ssl.key.password": "y"}},
        });
        manifest(&mut deployment);
        assert_eq!(
            deployment,
            json!({
                "kind": "Deployment",
                "metadata": {"annotations": {"wallex.dev/secret-hash": "12ab"}},
                "spec": {"env": [
                    {"name": "SMTP_PASSWORD", "value": BLACK},
                    {"name": "WALLEX_LOG", "value": "info"},
                    {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "demo-token", "key": "token"}}},
                ], "volumes": [{"secret": {"secretName": "demo-tls"}}], "config": {"ssl.key.password": BLACK}},
            })
        );
    }
}
