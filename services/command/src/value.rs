//! The values that fields of requests have: each read from JSON as it was sent, or refused with a sentence that says what
//! it must be.
#![expect(
    clippy::needless_pass_by_value,
    reason = "readers have one form, and those of texts and metadata keep what they are given"
)]

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;
use wallex_domain::{Amount, Currency, MAX_MINOR_UNITS};
use wallex_runtime::http::{Id, MAX_NAME, check_text, rfc3339};

use crate::fields::{MAX_ERRORS, Read, Wrong, step, wrong};
use crate::json::{self, Node};

/// Metadata: keys at most, bytes of JSON at most, levels at most (the object itself is the first).
const MAX_METADATA_KEYS: usize = 64;
const MAX_METADATA_BYTES: usize = 16 * 1024;
const MAX_METADATA_DEPTH: usize = 16;

pub(crate) type Metadata = serde_json::Map<String, Value>;

pub(crate) fn amount(node: Node<'_>) -> Read<Amount> {
    match node.whole().and_then(|minor| Amount::new(minor).ok()) {
        Some(amount) => Ok(amount),
        None => wrong(format!(
            "must be an integer of minor units from 1 to {MAX_MINOR_UNITS}, without a decimal point: 12.34 EUR is 1234"
        )),
    }
}

/// Minor units that may be none.
pub(crate) fn minor_units(node: Node<'_>) -> Read<i64> {
    match node.whole().filter(|minor| (0..=MAX_MINOR_UNITS).contains(minor)) {
        Some(minor) => Ok(minor),
        None => wrong(format!(
            "must be an integer of minor units from 0 to {MAX_MINOR_UNITS}, without a decimal point: 12.34 EUR is 1234"
        )),
    }
}

pub(crate) fn version(node: Node<'_>) -> Read<i64> {
    match node.whole().filter(|version| *version > 0) {
        Some(version) => Ok(version),
        None => wrong("must be a wallet's version: an integer from 1 on, without quotation marks"),
    }
}

pub(crate) fn boolean(node: Node<'_>) -> Read<bool> {
    match node {
        Node::Bool(is) => Ok(is),
        Node::Null
        | Node::Number(_)
        | Node::Text(_)
        | Node::Broken
        | Node::Array(_)
        | Node::Object(_)
        | Node::Deep => wrong("must be true or false"),
    }
}

pub(crate) fn id(node: Node<'_>) -> Read<Uuid> {
    let id = node.text().unwrap_or_default().parse::<Id>();
    id.map(Id::uuid).or_else(|error| wrong(error.to_string()))
}

pub(crate) fn currency(node: Node<'_>) -> Read<Currency> {
    let currency = node.text().and_then(|code| code.parse().ok());
    currency.map_or_else(
        || wrong("must be the code of a currency: 3 to 8 capital letters or digits, for example EUR"),
        Ok,
    )
}

/// What names something: a reference, an owner, an external id.
pub(crate) fn name(node: Node<'_>) -> Read<String> {
    text::<MAX_NAME>(node)
}

/// A text of 1 to `MAX` characters.
pub(crate) fn text<const MAX: usize>(node: Node<'_>) -> Read<String> {
    match node {
        Node::Text(text) => match check_text(&text, MAX) {
            Ok(()) => Ok(text.into_owned()),
            Err(error) => wrong(error.to_string()),
        },
        Node::Broken => wrong(BROKEN),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::Array(_) | Node::Object(_) | Node::Deep => {
            wrong(format!("must be a text of 1 to {MAX} characters"))
        }
    }
}

/// RFC 3339. Wallex counts in microseconds; what is finer is cut off.
pub(crate) fn time(node: Node<'_>) -> Read<Timestamp> {
    let time = node.text().and_then(rfc3339);
    let time = time.and_then(|time| Timestamp::from_microsecond(time.as_microsecond()).ok());
    time.map_or_else(
        || wrong("must be a time as in RFC 3339, for example 2030-01-31T12:00:00Z"),
        Ok,
    )
}

const BROKEN: &str =
    "must not contain half of a surrogate pair: \\ud800 to \\udfff stand for a character only in pairs";

/// An object of anything, within bounds, that can be given back as it came.
pub(crate) fn metadata(node: Node<'_>) -> Read<Metadata> {
    let Node::Object(members) = node else {
        return wrong("must be a JSON object");
    };
    if members.len() > MAX_METADATA_KEYS {
        return wrong(format!("must have {MAX_METADATA_KEYS} keys at most"));
    }
    let mut reader = MetadataReader::default();
    let metadata = reader.object(members, "", 1);
    if !reader.errors.is_empty() {
        return Err(reader.errors);
    }
    // Cannot fail: texts, numbers and string keys.
    let bytes = serde_json::to_vec(&metadata).unwrap_or_default().len();
    if bytes > MAX_METADATA_BYTES {
        return wrong(format!(
            "must take {MAX_METADATA_BYTES} bytes of JSON at most, and has {bytes}"
        ));
    }
    Ok(metadata)
}

#[derive(Default)]
struct MetadataReader {
    errors: Vec<Wrong>,
}

impl MetadataReader {
    fn refuse(&mut self, below: &str, detail: &'static str) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(Wrong {
                below: below.to_owned(),
                detail: detail.into(),
            });
        }
    }

    fn object(&mut self, members: Vec<(Cow<'_, str>, Node<'_>)>, at: &str, level: usize) -> Metadata {
        let mut object = Metadata::new();
        for (name, node) in members {
            let below = format!("{at}{}", step(&name));
            if name.contains('\0') {
                self.refuse(&below, NUL);
            }
            let value = self.value(node, &below, level + 1);
            if object.insert(name.into_owned(), value).is_some() {
                self.refuse(&below, "may appear only once");
            }
        }
        object
    }

    fn value(&mut self, node: Node<'_>, at: &str, level: usize) -> Value {
        match node {
            Node::Null => Value::Null,
            Node::Bool(is) => Value::Bool(is),
            Node::Number(text) => json::number(text).map_or_else(
                || {
                    self.refuse(
                        at,
                        "must be a number that a 64-bit integer or a double holds exactly as it is written; \
                         send any other as a text, in quotation marks",
                    );
                    Value::Null
                },
                Value::Number,
            ),
            Node::Text(text) => {
                if text.contains('\0') {
                    self.refuse(at, NUL);
                }
                Value::String(text.into_owned())
            }
            Node::Broken => {
                self.refuse(at, BROKEN);
                Value::Null
            }
            Node::Array(_) | Node::Object(_) | Node::Deep if level > MAX_METADATA_DEPTH => {
                // Of the whole: a pointer of 17 steps helps nobody.
                if !self.errors.iter().any(|error| error.detail == DEEP) {
                    self.refuse("", DEEP);
                }
                Value::Null
            }
            Node::Array(items) => {
                let items = items.into_iter().enumerate();
                items
                    .map(|(index, item)| self.value(item, &format!("{at}/{index}"), level + 1))
                    .collect()
            }
            Node::Object(members) => Value::Object(self.object(members, at, level)),
            // Deeper than everything that is read.
            Node::Deep => Value::Null,
        }
    }
}

/// jsonb of the read side cannot hold it.
const NUL: &str = "must not contain NUL characters";
const DEEP: &str = "must have 16 levels at most";
