//! Ids as callers write them. The invariant: one thing has one name. In paths, queries, bodies and batches alike, an id
//! is a UUID in its hyphenated form of 36 characters; upper case is accepted and becomes lower case here.

use std::fmt;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use http::request::Parts;
use uuid::Uuid;

use super::{Invalid, Problem};

/// An id in a request: neither the nil nor the max UUID of RFC 9562, which never identify anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(Uuid);

/// Completes "… must be …", and also works as a sentence of its own.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "must be a UUID of 36 characters, for example 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f, and neither the nil nor the max one"
)]
pub struct InvalidId;

impl Id {
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl FromStr for Id {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // `try_parse` also accepts forms without hyphens, in braces or with a prefix; those have other lengths.
        let id = (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten();
        id.filter(|id| !id.is_nil() && !id.is_max())
            .map(Self)
            .ok_or(InvalidId)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The `{id}` of the path.
impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let text = Path::<String>::from_request_parts(parts, state).await.ok();
        let id = text.and_then(|Path(text)| text.parse().ok());
        id.ok_or_else(|| Problem::invalid(vec![Invalid::parameter("id", InvalidId.to_string())]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_form() {
        let small = "0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f";
        for text in [small, "0198C0DE-7F3A-7C10-8000-1A2B3C4D5E6F"] {
            assert_eq!(text.parse::<Id>().map(|id| id.to_string()).as_deref(), Ok(small));
        }
        for text in [
            "",
            "x",
            "0198c0de7f3a7c1080001a2b3c4d5e6f",
            "{0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f}",
            "urn:uuid:0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f",
            " 0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f",
            "0198c0de-7f3a-7c10-80001-a2b3c4d5e6f",
            "0198c0de-7f3a-7c10-8000-1a2b3c4d5e6g",
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
        ] {
            assert_eq!(text.parse::<Id>(), Err(InvalidId), "{text}");
        }
    }
}
