//! The exponents of custom currencies, kept for good: amounts are minor units, and another exponent would change the
//! meaning of every amount in the journal. A currency that is no longer configured keeps its row, and its wallets.

use sqlx::PgPool;
use wallex_domain::Currencies;

#[derive(Debug, thiserror::Error)]
pub enum CurrencyError {
    #[error(
        "currencies names {code} with {named} decimal digits, and this journal has it with {kept}: amounts that are there \
         would mean something else. Set {code}:{kept}, or name a new currency"
    )]
    Redefined { code: String, named: i16, kept: i16 },
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Stores the exponents of new currencies, and compares those of the others.
pub async fn claim(db: &PgPool, currencies: &Currencies) -> Result<(), CurrencyError> {
    let (codes, exponents): (Vec<String>, Vec<i16>) = currencies
        .own()
        .map(|(currency, exponent)| (currency.to_string(), i16::from(exponent)))
        .unzip();
    if codes.is_empty() {
        return Ok(());
    }
    // Two statements: the second sees what another process claimed while the first waited for it.
    sqlx::query(
        "INSERT INTO journal.currency (code, exponent) SELECT * FROM unnest($1::text[], $2::smallint[])
         ORDER BY 1 ON CONFLICT (code) DO NOTHING",
    )
    .bind(&codes)
    .bind(&exponents)
    .execute(db)
    .await?;
    let other: Option<(String, i16, i16)> = sqlx::query_as(
        "SELECT code, named.exponent, kept.exponent FROM journal.currency kept
         JOIN unnest($1::text[], $2::smallint[]) AS named (code, exponent) USING (code)
         WHERE kept.exponent <> named.exponent ORDER BY code LIMIT 1",
    )
    .bind(&codes)
    .bind(&exponents)
    .fetch_optional(db)
    .await?;
    match other {
        None => Ok(()),
        Some((code, named, kept)) => Err(CurrencyError::Redefined { code, named, kept }),
    }
}
