//! The currencies that new wallets may have. They come from the settings: no database is read.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use wallex_domain::{Currencies, Currency};

use crate::state::QueryState;
use wallex_runtime::http::NoParameters;

/// Where a currency comes from.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CurrencyKind)]
enum Kind {
    #[serde(rename = "iso_4217")]
    Iso4217,
    Own,
}

/// A currency that a new wallet may have.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Currency)]
pub(crate) struct CurrencyBody {
    #[schema(pattern = "^[A-Z][A-Z0-9]{2,7}$", example = "EUR")]
    code: String,
    /// Decimal digits that the minor unit stands for: with 2, an amount of 1234 is 12.34.
    #[schema(minimum = 0, maximum = 15, example = 2)]
    exponent: u8,
    /// iso_4217: built in; own: configured.
    kind: Kind,
}

/// All currencies, by their codes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CurrencyList)]
pub(crate) struct CurrenciesBody {
    items: Vec<CurrencyBody>,
}

impl CurrenciesBody {
    fn of(currencies: &Currencies) -> Self {
        let body = |kind| {
            move |(code, exponent): (Currency, u8)| CurrencyBody {
                code: code.to_string(),
                exponent,
                kind,
            }
        };
        let standard = currencies.standard().map(body(Kind::Iso4217));
        let mut items: Vec<CurrencyBody> = standard.chain(currencies.own().map(body(Kind::Own))).collect();
        items.sort_unstable_by(|a, b| a.code.cmp(&b.code));
        Self { items }
    }
}

/// Lists the currencies that new wallets may have, with the decimal digits of each.
///
/// Wallets of a currency that the platform names no longer go on as before.
#[utoipa::path(
    get,
    path = "/v1/currencies",
    tag = "wallets",
    operation_id = "listCurrencies",
    responses(
        (status = 200, description = "All currencies, by their codes", body = CurrenciesBody),
    )
)]
pub(crate) async fn currencies(
    State(state): State<Arc<QueryState>>,
    _: NoParameters,
) -> Json<CurrenciesBody> {
    Json(CurrenciesBody::of(&state.currencies))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn all_are_listed_by_code_with_their_digits_and_kind() {
        let known = Currencies::with_own("POINTS:0,AAB:3").unwrap();
        let body = serde_json::to_value(CurrenciesBody::of(&known)).unwrap();
        let items = body["items"].as_array().unwrap();
        assert_eq!(items.len(), known.standard().count() + 2);
        assert_eq!(
            items[0],
            serde_json::json!({"code": "AAB", "exponent": 3, "kind": "own"})
        );
        for expected in [
            serde_json::json!({"code": "EUR", "exponent": 2, "kind": "iso_4217"}),
            serde_json::json!({"code": "POINTS", "exponent": 0, "kind": "own"}),
        ] {
            assert!(items.contains(&expected), "{expected}");
        }
    }
}
