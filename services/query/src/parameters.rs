//! The values of the reads' query parameters. The invariant is that of [`wallex_runtime::http::Parameters`]: nothing is
//! ignored; a malformed value gets its own problem.

use std::borrow::Cow;

use ::http::request::Parts;
use uuid::Uuid;
use wallex_runtime::http::{self, Id, Invalid, MAX_NAME, Problem, check_text};

use crate::cursor::Scope;
use crate::export::{Format, Table};
use crate::problem::ReadError;

/// Default number of items on a page.
const DEFAULT_LIMIT: i64 = 50;
/// Maximum number of items on a page: about 100 kB of JSON.
const MAX_LIMIT: i64 = 200;

/// How much of a list: a page that continues after a key, or all of it as a file.
pub(crate) enum Extent<const N: usize> {
    Page { limit: i64, after: Option<[u8; N]> },
    All(Table),
}

/// The parameters of one request, taken by name until [`Parameters::finish`]. Errors are collected and reported all at
/// once.
pub(crate) struct Parameters {
    given: http::Parameters,
    errors: Vec<Invalid>,
    /// The cursor belongs to another list. Possibly only because a filter is wrong, and that error takes precedence.
    has_foreign_cursor: bool,
}

impl Parameters {
    pub(crate) async fn of<S: Send + Sync>(
        parts: &mut Parts,
        state: &S,
        known: &[&str],
    ) -> Result<Self, Problem> {
        let (given, errors) = http::Parameters::with_errors(parts, state, known).await?;
        Ok(Self {
            given,
            errors,
            has_foreign_cursor: false,
        })
    }

    /// `value`, unless anything about the parameters is wrong.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Problem> {
        match value {
            Some(_) if self.errors.is_empty() && self.has_foreign_cursor => {
                Err(ReadError::InvalidCursor.into())
            }
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => Err(Problem::invalid(self.errors)),
        }
    }

    /// Notes what is wrong with `name`. `detail` completes "Parameter …".
    pub(crate) fn refuse(&mut self, name: &str, detail: impl Into<Cow<'static, str>>) {
        self.errors.push(Invalid::parameter(name, detail));
    }

    /// The value of `name` as read by `parse`; `None`, with the error noted, if that fails. `must` completes "Parameter …
    /// must be …".
    pub(crate) fn parsed<T>(
        &mut self,
        name: &str,
        must: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let value = parse(self.given.get(name)?);
        if value.is_none() {
            self.refuse(name, format!("must be {must}"));
        }
        value
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.given.get(name).is_some()
    }

    /// Notes that `name` is missing.
    pub(crate) fn require(&mut self, name: &str) {
        if !self.has(name) {
            self.refuse(name, "must be given");
        }
    }

    /// Notes an error if both of two mutually exclusive parameters are given.
    pub(crate) fn exclusive(&mut self, one: &str, other: &str) {
        if self.has(one) && self.has(other) {
            self.refuse(one, format!("cannot be given together with {other}"));
            self.refuse(other, format!("cannot be given together with {one}"));
        }
    }

    /// Notes an error if both of two parameters are given, or neither.
    pub(crate) fn exactly_one(&mut self, one: &str, other: &str) {
        self.exclusive(one, other);
        if !self.has(one) && !self.has(other) {
            self.refuse(one, format!("must be given, unless {other} is"));
            self.refuse(other, format!("must be given, unless {one} is"));
        }
    }

    /// A name chosen by the platform's users, no longer than what may be stored.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let text = self.given.get(name)?.to_owned();
        match check_text(&text, MAX_NAME) {
            Ok(()) => Some(text),
            Err(error) => {
                self.refuse(name, error.to_string());
                None
            }
        }
    }

    pub(crate) fn uuid(&mut self, name: &str) -> Option<Uuid> {
        match self.given.get(name)?.parse::<Id>() {
            Ok(id) => Some(id.uuid()),
            Err(error) => {
                self.refuse(name, error.to_string());
                None
            }
        }
    }

    /// The `limit` of a list.
    pub(crate) fn limit(&mut self) -> i64 {
        self.number("limit", 1, MAX_LIMIT).unwrap_or(DEFAULT_LIMIT)
    }

    /// The key in `cursor`, which must belong to `scope`.
    pub(crate) fn cursor<const N: usize>(&mut self, scope: &Scope) -> Option<[u8; N]> {
        let key = scope.decode(self.given.get("cursor")?);
        self.has_foreign_cursor |= key.is_none();
        key
    }

    /// Notes an error for a cursor where there is no list that it could belong to.
    pub(crate) fn no_cursor(&mut self) {
        self.has_foreign_cursor |= self.has("cursor");
    }

    /// How much is wanted of a list of `items` that can also be exported; a cursor must belong to `scope`.
    pub(crate) fn extent<const N: usize>(&mut self, parts: &Parts, scope: &Scope, items: &str) -> Extent<N> {
        match Format::of(parts) {
            Format::Json => Extent::Page {
                limit: self.limit(),
                after: self.cursor(scope),
            },
            Format::Table(table) => {
                for name in ["limit", "cursor"] {
                    if self.has(name) {
                        self.refuse(
                            name,
                            format!(
                                "cannot be given with an export (Accept: application/x-ndjson or text/csv), which has all \
                                 {items}"
                            ),
                        );
                    }
                }
                Extent::All(table)
            }
        }
    }

    /// A whole number in decimal digits, from `low` to `high`.
    pub(crate) fn number(&mut self, name: &str, low: i64, high: i64) -> Option<i64> {
        self.parsed(name, &format!("an integer from {low} to {high}"), |text| {
            digits(text).filter(|number| (low..=high).contains(number))
        })
    }

    /// `from` (inclusive) and `to` (exclusive) in microseconds since 1970, each if given.
    pub(crate) fn period(&mut self) -> (Option<i64>, Option<i64>) {
        let period = (self.time("from"), self.time("to"));
        if let (Some(from), Some(to)) = period
            && from > to
        {
            self.refuse("to", "must not be before from");
        }
        period
    }

    /// A time in microseconds since 1970.
    pub(crate) fn time(&mut self, name: &str) -> Option<i64> {
        let must = "a time like 2026-01-31T12:00:00Z (RFC 3339; a + of its offset is written %2B)";
        self.parsed(name, must, |text| Some(http::rfc3339(text)?.as_microsecond()))
    }
}

/// No sign, no blanks: apart from leading zeros, a number has one spelling.
pub(crate) fn digits(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
