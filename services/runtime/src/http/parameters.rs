//! Query parameters by name, strictly. The invariant: nothing is ignored. A parameter that is unknown, repeated or
//! unreadable is refused, so that a misspelled or invented one never makes a request do something else.

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;

use super::{Invalid, Problem};

/// Maximum number of reported errors: enough to fix a request, and a query with thousands of names costs little more.
const MAX_ERRORS: usize = 20;

/// The parameters of one request, each known to the route and given at most once.
#[derive(Debug)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// All errors in the names are reported at once.
    pub async fn of<S: Send + Sync>(parts: &mut Parts, state: &S, known: &[&str]) -> Result<Self, Problem> {
        let (parameters, errors) = Self::with_errors(parts, state, known).await?;
        if errors.is_empty() {
            Ok(parameters)
        } else {
            Err(Problem::invalid(errors))
        }
    }

    /// The same for callers that also check values, to report both kinds of errors at once: the parameters, and the errors in
    /// their names.
    pub async fn with_errors<S: Send + Sync>(
        parts: &mut Parts,
        state: &S,
        known: &[&str],
    ) -> Result<(Self, Vec<Invalid>), Problem> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await else {
            return Err(unreadable("cannot be read"));
        };
        // Bytes that are not UTF-8 decode to the replacement character: what was meant is lost.
        let query = parts.uri.query().unwrap_or_default().to_ascii_uppercase();
        if pairs
            .iter()
            .any(|(name, value)| name.contains('\u{FFFD}') || value.contains('\u{FFFD}'))
            && !query.contains("%EF%BF%BD")
        {
            return Err(unreadable("is not UTF-8"));
        }
        let mut errors: Vec<Invalid> = Vec::new();
        for (at, (name, _)) in pairs.iter().enumerate() {
            if errors.len() == MAX_ERRORS {
                break;
            }
            let again = pairs[..at].iter().any(|(earlier, _)| earlier == name);
            let is_known = known.contains(&name.as_str());
            if !is_known && !again {
                errors.push(Invalid::parameter(name, "is not a known parameter"));
            } else if is_known && again {
                errors.push(Invalid::parameter(name, "may appear only once"));
            }
        }
        Ok((Self(pairs), errors))
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

fn unreadable(detail: &'static str) -> Problem {
    Problem::invalid(vec![Invalid::parameter("", detail)])
}

/// A route that takes no query parameters.
#[derive(Debug)]
pub struct NoParameters;

impl<S: Send + Sync> FromRequestParts<S> for NoParameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Parameters::of(parts, state, &[]).await.map(|_| Self)
    }
}
