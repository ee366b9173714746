//! The members of one JSON object, taken by name and checked one by one. The invariant: nothing is ignored, and errors are
//! reported completely. Unknown or repeated names, missing fields and wrong values are all reported at once, each with its
//! JSON pointer and a sentence.
//!
//! Fields are also written out again in the order in which they are taken, so white space and the order of members make no
//! difference to a request's fingerprint. And they are described: the API description gets an object's schema from the
//! code that reads it.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::openapi::ObjectBuilder;
use utoipa::openapi::schema::{AdditionalProperties, Schema, SchemaType, Type};
use wallex_runtime::http::Invalid;

use crate::json::Node;

/// Maximum number of errors reported per object: enough to fix a request, and an answer cannot outgrow its request.
pub(crate) const MAX_ERRORS: usize = 20;
/// Members that are read: no object here has that many fields, so an object with more is refused in any case.
pub(crate) const MAX_MEMBERS: usize = 200;
/// Characters of a caller's name that an answer repeats.
const MAX_NAME: usize = 64;
/// From this similarity on (Jaro-Winkler), an unknown name was probably meant to be a known one.
const LIKE: f64 = 0.8;

/// Why a value cannot be accepted: the JSON pointer below it, and what it must be.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) below: String,
    pub(crate) detail: Cow<'static, str>,
}

pub(crate) type Read<T> = Result<T, Vec<Wrong>>;

/// The value itself is wrong.
pub(crate) fn wrong<T>(detail: impl Into<Cow<'static, str>>) -> Read<T> {
    Err(vec![Wrong {
        below: String::new(),
        detail: detail.into(),
    }])
}

/// What a field may hold. Its JSON is part of the request's fingerprint.
pub(crate) trait Value: Serialize + Sized {
    fn read(node: Node<'_>) -> Read<Self>;

    fn describe() -> ObjectBuilder;
}

/// A field of an object: required, optional, or a change of an existing value.
pub(crate) trait Field: Sized {
    type Value: Value;
    const REQUIRED: bool;

    fn take(fields: &mut Fields<'_>, name: &'static str) -> Option<Self>;

    /// What is written for it; `Some(None)` is null.
    fn value(&self) -> Option<Option<&Self::Value>>;
}

/// A field of a change: if absent, the value stays as it is; null removes the value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Patch<V> {
    Keep,
    Remove,
    To(V),
}

impl<V> Patch<V> {
    pub(crate) fn is_change(&self) -> bool {
        !matches!(self, Self::Keep)
    }

    /// The new value, if there is one.
    pub(crate) fn into_value(self) -> Option<V> {
        match self {
            Self::Keep | Self::Remove => None,
            Self::To(value) => Some(value),
        }
    }
}

impl<V: Value> Field for Patch<V> {
    type Value = V;
    const REQUIRED: bool = false;

    fn take(fields: &mut Fields<'_>, name: &'static str) -> Option<Self> {
        match fields.member(name) {
            None => Some(Self::Keep),
            Some(Node::Null) => Some(Self::Remove),
            Some(node) => fields.read(name, node, V::read).map(Self::To),
        }
    }

    fn value(&self) -> Option<Option<&V>> {
        match self {
            Self::Keep => None,
            Self::Remove => Some(None),
            Self::To(value) => Some(Some(value)),
        }
    }
}

impl<V: Value> Field for V {
    type Value = V;
    const REQUIRED: bool = true;

    fn take(fields: &mut Fields<'_>, name: &'static str) -> Option<Self> {
        fields.required(name, V::read)
    }

    fn value(&self) -> Option<Option<&V>> {
        Some(Some(self))
    }
}

impl<V: Value> Field for Option<V> {
    type Value = V;
    const REQUIRED: bool = false;

    fn take(fields: &mut Fields<'_>, name: &'static str) -> Option<Self> {
        fields.optional(name, V::read)
    }

    fn value(&self) -> Option<Option<&V>> {
        self.as_ref().map(Some)
    }
}

/// A name as one step of a JSON pointer (RFC 6901).
pub(crate) fn step(name: &str) -> String {
    let mut short: String = name.chars().take(MAX_NAME).collect();
    if short.len() < name.len() {
        short.push('…');
    }
    format!("/{}", short.replace('~', "~0").replace('/', "~1"))
}

/// The object whose members are taken until [`Fields::finish`].
pub(crate) struct Fields<'a> {
    at: String,
    members: Vec<(Cow<'a, str>, Option<Node<'a>>)>,
    known: Vec<&'static str>,
    errors: Vec<Invalid>,
    /// The part of the object taken so far, written out.
    written: Vec<u8>,
    /// Set when there is nothing to read and the fields are only to be described.
    described: Option<ObjectBuilder>,
}

impl<'a> Fields<'a> {
    fn new(at: &str) -> Self {
        Self {
            at: at.to_owned(),
            members: Vec::new(),
            known: Vec::new(),
            errors: Vec::new(),
            written: vec![b'{'],
            described: None,
        }
    }

    /// The object at the pointer `at`.
    pub(crate) fn of(node: Node<'a>, at: &str) -> Result<Self, Invalid> {
        let Node::Object(members) = node else {
            return Err(Invalid::at(
                at,
                "must be a JSON object, like {\"name\": \"value\"}",
            ));
        };
        let mut fields = Self::new(at);
        fields.members.reserve(members.len().min(MAX_MEMBERS));
        for (name, node) in members {
            if fields.members.iter().any(|(earlier, _)| *earlier == name) {
                fields.refuse(&step(&name), "may appear only once");
            } else {
                fields.members.push((name, Some(node)));
            }
            if fields.members.len() + fields.errors.len() == MAX_MEMBERS {
                break;
            }
        }
        Ok(fields)
    }

    /// The schema of an object with exactly the fields that `read` takes.
    pub(crate) fn describe(about: &str, read: impl FnOnce(&mut Self)) -> ObjectBuilder {
        let object = ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some(about))
            .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
        let mut fields = Self::new("");
        fields.described = Some(object);
        read(&mut fields);
        fields.described.unwrap_or_default()
    }

    /// Takes a field and writes it out; `about` describes it. `None`, with the error noted, if it cannot be taken.
    pub(crate) fn take<F: Field>(&mut self, name: &'static str, about: &'static str) -> Option<F> {
        if let Some(object) = self.described.take() {
            let mut property = F::Value::describe().description(Some(about)).build();
            if let (false, SchemaType::Type(one)) = (F::REQUIRED, &property.schema_type) {
                property.schema_type = SchemaType::from_iter([one.clone(), Type::Null]);
            }
            let object = object.property(name, property);
            self.described = Some(if F::REQUIRED {
                object.required(name)
            } else {
                object
            });
        }
        let field = F::take(self, name);
        if let Some(value) = field.as_ref().and_then(F::value) {
            self.write(name, &value);
        }
        field
    }

    pub(crate) fn write(&mut self, name: &'static str, value: &impl Serialize) {
        let comma = if self.written.len() > 1 { "," } else { "" };
        self.written.extend(format!("{comma}\"{name}\":").bytes());
        // Cannot fail: texts, numbers and string keys.
        let _ = serde_json::to_writer(&mut self.written, value);
    }

    /// Notes an error at a pointer below the object.
    pub(crate) fn refuse(&mut self, below: &str, detail: impl Into<Cow<'static, str>>) {
        if self.errors.len() < MAX_ERRORS {
            self.errors
                .push(Invalid::at(format!("{}{below}", self.at), detail));
        }
    }

    /// A required field. `None`, with the error noted, if it cannot be taken.
    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Node<'a>) -> Read<T>,
    ) -> Option<T> {
        match self.member(name) {
            Some(node) => self.read(name, node, read),
            None => {
                self.refuse(&step(name), "is required");
                None
            }
        }
    }

    /// A field that may be absent or null.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Node<'a>) -> Read<T>,
    ) -> Option<Option<T>> {
        match self.member(name) {
            None | Some(Node::Null) => Some(None),
            Some(node) => self.read(name, node, read).map(Some),
        }
    }

    /// `value` and the object as written out, unless anything about it is wrong.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<(T, Vec<u8>), Vec<Invalid>> {
        let unknown: Vec<Cow<'a, str>> = self
            .members
            .iter_mut()
            .filter(|(_, node)| node.is_some())
            .map(|(name, _)| std::mem::take(name))
            .collect();
        for name in unknown {
            let detail = unknown_name(&name, &self.known);
            self.refuse(&step(&name), detail);
        }
        match value {
            Some(value) if self.errors.is_empty() => {
                self.written.push(b'}');
                Ok((value, self.written))
            }
            _ => Err(self.errors),
        }
    }

    /// The errors so far, when the rest cannot be judged.
    pub(crate) fn abandon(self) -> Vec<Invalid> {
        self.errors
    }

    fn member(&mut self, name: &'static str) -> Option<Node<'a>> {
        self.known.push(name);
        let found = self.members.iter_mut().find(|(found, _)| found == name);
        found.and_then(|(_, node)| node.take())
    }

    fn read<T>(&mut self, name: &str, node: Node<'a>, read: impl FnOnce(Node<'a>) -> Read<T>) -> Option<T> {
        match read(node) {
            Ok(value) => Some(value),
            Err(errors) => {
                for error in errors {
                    self.refuse(&format!("{}{}", step(name), error.below), error.detail);
                }
                None
            }
        }
    }
}

fn unknown_name(name: &str, known: &[&'static str]) -> Cow<'static, str> {
    // Nobody misspells a name of that length, and computing the similarity takes quadratic time.
    if name.len() > MAX_NAME {
        return "is not a known field".into();
    }
    let likeness = |known: &str| strsim::jaro_winkler(name, known);
    let nearest = known
        .iter()
        .copied()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .filter(|nearest| likeness(nearest) >= LIKE);
    nearest.map_or("is not a known field".into(), |nearest| {
        format!("is not a known field; did you mean {nearest}?").into()
    })
}
