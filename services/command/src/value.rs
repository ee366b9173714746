//! The values of request fields. Each is a type that reads itself from the JSON as sent, or refuses it with a sentence
//! that says what it must be, and that describes itself to clients: rule and description stand side by side.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value as Json, json};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{KnownFormat, ObjectBuilder, SchemaFormat};
use uuid::Uuid;
use wallex_domain::{Amount, Currency, MAX_MINOR_UNITS};
use wallex_runtime::http::{Id, MAX_NAME, check_text, rfc3339};

use crate::fields::{MAX_ERRORS, Read, Value, Wrong, step, wrong};
use crate::json::{self, Node};

/// Limits of metadata: keys, bytes of JSON, and levels (the object itself is the first).
const MAX_METADATA_KEYS: usize = 64;
const MAX_METADATA_BYTES: usize = 16 * 1024;
const MAX_METADATA_DEPTH: usize = 16;

impl Value for Amount {
    fn read(node: Node<'_>) -> Read<Self> {
        match node.whole().and_then(|minor| Self::new(minor).ok()) {
            Some(amount) => Ok(amount),
            None => wrong(format!(
                "must be an integer of minor units from 1 to {MAX_MINOR_UNITS}, without a decimal point: 12.34 EUR is 1234"
            )),
        }
    }

    fn describe() -> ObjectBuilder {
        let amount = integer().minimum(Some(1_i64)).maximum(Some(MAX_MINOR_UNITS));
        with_example(amount, json!(250))
    }
}

/// Minor units; 0 is allowed.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
pub(crate) struct MinorUnits(pub(crate) i64);

impl Value for MinorUnits {
    fn read(node: Node<'_>) -> Read<Self> {
        match node.whole().filter(|minor| (0..=MAX_MINOR_UNITS).contains(minor)) {
            Some(minor) => Ok(Self(minor)),
            None => wrong(format!(
                "must be an integer of minor units from 0 to {MAX_MINOR_UNITS}, without a decimal point: 12.34 EUR is 1234"
            )),
        }
    }

    fn describe() -> ObjectBuilder {
        integer().minimum(Some(0_i64)).maximum(Some(MAX_MINOR_UNITS))
    }
}

/// A wallet's version.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(transparent)]
pub(crate) struct Version(pub(crate) i64);

impl Value for Version {
    fn read(node: Node<'_>) -> Read<Self> {
        match node.whole().filter(|version| *version > 0) {
            Some(version) => Ok(Self(version)),
            None => wrong("must be a wallet's version: an integer from 1 on, without quotation marks"),
        }
    }

    fn describe() -> ObjectBuilder {
        integer().minimum(Some(1_i64))
    }
}

impl Value for bool {
    fn read(node: Node<'_>) -> Read<Self> {
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

    fn describe() -> ObjectBuilder {
        ObjectBuilder::new().schema_type(Type::Boolean)
    }
}

impl Value for Uuid {
    fn read(node: Node<'_>) -> Read<Self> {
        let id = node.text().unwrap_or_default().parse::<Id>();
        id.map(Id::uuid).or_else(|error| wrong(error.to_string()))
    }

    fn describe() -> ObjectBuilder {
        string().format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
    }
}

impl Value for Currency {
    fn read(node: Node<'_>) -> Read<Self> {
        let currency = node.text().and_then(|code| code.parse().ok());
        currency.map_or_else(
            || wrong("must be the code of a currency: 3 to 8 capital letters or digits, for example EUR"),
            Ok,
        )
    }

    fn describe() -> ObjectBuilder {
        with_example(string().pattern(Some("^[A-Z][A-Z0-9]{2,7}$")), json!("EUR"))
    }
}

/// A text of 1 to `MAX` characters that [`check_text`] accepts.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub(crate) struct Text<const MAX: usize>(String);

/// The name of something: a reference, an owner, an external id.
pub(crate) type Name = Text<MAX_NAME>;

/// A caller's description of a command.
pub(crate) type Description = Text<1024>;

impl<const MAX: usize> Value for Text<MAX> {
    fn read(node: Node<'_>) -> Read<Self> {
        match node {
            Node::Text(text) => match check_text(&text, MAX) {
                Ok(()) => Ok(Self(text.into_owned())),
                Err(error) => wrong(error.to_string()),
            },
            Node::Broken => wrong(BROKEN),
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::Array(_) | Node::Object(_) | Node::Deep => {
                wrong(format!("must be a text of 1 to {MAX} characters"))
            }
        }
    }

    fn describe() -> ObjectBuilder {
        string()
            .min_length(Some(1))
            .max_length(Some(MAX))
            .pattern(Some(r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*$"))
    }
}

impl<const MAX: usize> From<Text<MAX>> for String {
    fn from(text: Text<MAX>) -> Self {
        text.0
    }
}

/// RFC 3339. Wallex counts in microseconds; finer digits are cut off.
impl Value for Timestamp {
    fn read(node: Node<'_>) -> Read<Self> {
        let time = node.text().and_then(rfc3339);
        let time = time.and_then(|time| Self::from_microsecond(time.as_microsecond()).ok());
        time.map_or_else(
            || wrong("must be a time as in RFC 3339, for example 2030-01-31T12:00:00Z"),
            Ok,
        )
    }

    fn describe() -> ObjectBuilder {
        let time = string().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
        with_example(time, json!("2030-01-31T12:00:00Z"))
    }
}

const BROKEN: &str =
    "must not contain half of a surrogate pair: \\ud800 to \\udfff stand for a character only in pairs";

/// Any object within the limits, returned exactly as it was sent.
pub(crate) type Metadata = serde_json::Map<String, Json>;

impl Value for Metadata {
    fn read(node: Node<'_>) -> Read<Self> {
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

    fn describe() -> ObjectBuilder {
        ObjectBuilder::new().schema_type(Type::Object)
    }
}

fn integer() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
}

fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

#[expect(
    deprecated,
    reason = "the form that derived descriptions have: one for the whole API"
)]
fn with_example(object: ObjectBuilder, example: Json) -> ObjectBuilder {
    object.example(Some(example))
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

    fn value(&mut self, node: Node<'_>, at: &str, level: usize) -> Json {
        match node {
            Node::Null => Json::Null,
            Node::Bool(is) => Json::Bool(is),
            Node::Number(text) => json::number(text).map_or_else(
                || {
                    self.refuse(
                        at,
                        "must be a number that a 64-bit integer or a double holds exactly as it is written; \
                         send any other as a text, in quotation marks",
                    );
                    Json::Null
                },
                Json::Number,
            ),
            Node::Text(text) => {
                if text.contains('\0') {
                    self.refuse(at, NUL);
                }
                Json::String(text.into_owned())
            }
            Node::Broken => {
                self.refuse(at, BROKEN);
                Json::Null
            }
            Node::Array(_) | Node::Object(_) | Node::Deep if level > MAX_METADATA_DEPTH => {
                // Reported once for the whole: a pointer of 17 steps helps nobody.
                if !self.errors.iter().any(|error| error.detail == DEEP) {
                    self.refuse("", DEEP);
                }
                Json::Null
            }
            Node::Array(items) => {
                let items = items.into_iter().enumerate();
                items
                    .map(|(index, item)| self.value(item, &format!("{at}/{index}"), level + 1))
                    .collect()
            }
            Node::Object(members) => Json::Object(self.object(members, at, level)),
            // Deeper than what is read.
            Node::Deep => Json::Null,
        }
    }
}

/// The read side's jsonb cannot store NUL.
const NUL: &str = "must not contain NUL characters";
const DEEP: &str = "must have 16 levels at most";
