//! What reads know about the values of their query parameters. The invariant is the one of
//! [`wallex_platform::http::Parameters`]: nothing is ignored; what is malformed is an answer of its own.

use ::http::request::Parts;
use jiff::Timestamp;
use uuid::Uuid;
use wallex_platform::http::{self, Id, MAX_NAME, Problem, check_text};

use crate::cursor::Scope;
use crate::export::{Format, Table};
use crate::problem::{self, ReadError};

/// Items on a page when the caller does not say.
const DEFAULT_LIMIT: i64 = 50;
/// Items on a page at most: about 100 kB of JSON.
const MAX_LIMIT: i64 = 200;

/// How much of a list: a page that goes on after a key, or all of it as a file.
pub(crate) enum Extent<const N: usize> {
    Page { limit: i64, after: Option<[u8; N]> },
    All(Table),
}

/// The parameters of one request, with what reads know about their values.
pub(crate) struct Parameters(http::Parameters);

impl Parameters {
    pub(crate) async fn of<S: Send + Sync>(
        parts: &mut Parts,
        state: &S,
        known: &[&str],
    ) -> Result<Self, Problem> {
        http::Parameters::of(parts, state, known).await.map(Self)
    }

    /// The value of `name` as `parse` reads it. `must` completes "Parameter … must …".
    pub(crate) fn parsed<T>(
        &self,
        name: &str,
        must: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.0.get(name) else {
            return Ok(None);
        };
        match parse(text) {
            Some(value) => Ok(Some(value)),
            None => Err(problem::invalid_parameter(name, &format!("must be {must}"))),
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    /// A name that the platform's users have given, as long as it may be stored.
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.0.get(name).map(|text| (text, check_text(text, MAX_NAME))) {
            None => Ok(None),
            Some((text, Ok(()))) => Ok(Some(text.to_owned())),
            Some((_, Err(error))) => Err(problem::invalid_parameter(name, &error.to_string())),
        }
    }

    pub(crate) fn uuid(&self, name: &str) -> Result<Option<Uuid>, Problem> {
        match self.0.get(name).map(str::parse::<Id>) {
            None => Ok(None),
            Some(Ok(id)) => Ok(Some(id.uuid())),
            Some(Err(error)) => Err(problem::invalid_parameter(name, &error.to_string())),
        }
    }

    /// `limit` of a list.
    pub(crate) fn limit(&self) -> Result<i64, Problem> {
        Ok(self.number("limit", 1, MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT))
    }

    /// The key in `cursor`, which must be one of `scope`.
    pub(crate) fn cursor<const N: usize>(&self, scope: &Scope) -> Result<Option<[u8; N]>, Problem> {
        match self.0.get("cursor") {
            None => Ok(None),
            Some(text) => match scope.decode(text) {
                Some(key) => Ok(Some(key)),
                None => Err(ReadError::InvalidCursor.into()),
            },
        }
    }

    /// How much is wanted of a list of `items` that can be exported too; a cursor must be one of `scope`.
    pub(crate) fn extent<const N: usize>(
        &self,
        parts: &Parts,
        scope: &Scope,
        items: &str,
    ) -> Result<Extent<N>, Problem> {
        match Format::of(parts) {
            Format::Json => Ok(Extent::Page {
                limit: self.limit()?,
                after: self.cursor(scope)?,
            }),
            Format::Table(_) if self.has("limit") || self.has("cursor") => Err(problem::invalid_parameters(
                &["limit", "cursor"],
                &format!(
                    "an export (Accept: application/x-ndjson or text/csv) has all {items} and takes neither"
                ),
            )),
            Format::Table(table) => Ok(Extent::All(table)),
        }
    }

    /// A whole number of decimal digits from `low` to `high`.
    pub(crate) fn number(&self, name: &str, low: i64, high: i64) -> Result<Option<i64>, Problem> {
        self.parsed(name, &format!("an integer from {low} to {high}"), |text| {
            digits(text).filter(|number| (low..=high).contains(number))
        })
    }

    /// `from` (inclusive) and `to` (exclusive) in microseconds since 1970, each where it is given.
    pub(crate) fn period(&self) -> Result<(Option<i64>, Option<i64>), Problem> {
        let (from, to) = (self.time("from")?, self.time("to")?);
        match (from, to) {
            (Some(from), Some(to)) if from > to => {
                Err(problem::invalid_parameter("to", "must not be before from"))
            }
            period => Ok(period),
        }
    }

    /// A time in microseconds since 1970.
    pub(crate) fn time(&self, name: &str) -> Result<Option<i64>, Problem> {
        let must = "a time like 2026-01-31T12:00:00Z (RFC 3339; a + of its offset is written %2B)";
        self.parsed(name, must, |text| {
            Some(text.parse::<Timestamp>().ok()?.as_microsecond())
        })
    }
}

/// No sign, no blank: one number has one text, leading zeros aside.
pub(crate) fn digits(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
