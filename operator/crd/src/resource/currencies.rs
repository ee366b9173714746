//! A platform's own currencies. Those of ISO 4217 are built into the services.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use wallex_domain::Currencies;

/// A currency besides those of ISO 4217: points, miles, grams of gold.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(iso_4217_keeps_its_digits()).message("a currency of ISO 4217 keeps its decimal digits: leave it out, since it is built in, or use another code"))]
pub struct CurrencySpec {
    /// 3 to 8 capital letters or digits, a letter first, such as POINTS.
    #[schemars(regex(pattern = r"^[A-Z][A-Z0-9]{2,7}$"), length(max = 8))]
    pub code: String,

    /// Decimal digits that the minor unit stands for: with 2, an amount of 1234 is 12.34. 0 to 15.
    #[schemars(range(min = 0, max = 15))]
    pub exponent: i32,
}

/// A rule that names every code with its digits, from the services' own list.
fn iso_4217_keeps_its_digits() -> String {
    let currencies = Currencies::iso_4217();
    let with = |digits: u8| {
        let codes = currencies.standard().filter(|(_, exponent)| *exponent == digits);
        let codes: Vec<String> = codes.map(|(code, _)| format!("'{code}'")).collect();
        codes.join(",")
    };
    let mut digits: Vec<u8> = currencies.standard().map(|(_, exponent)| exponent).collect();
    digits.sort_unstable();
    digits.dedup();
    let rules: Vec<String> = digits
        .into_iter()
        .map(|digits| {
            format!(
                "(self.exponent == {digits} || !(self.code in [{}]))",
                with(digits)
            )
        })
        .collect();
    rules.join(" && ")
}

/// In the format of the services' setting `currencies`.
pub fn setting(currencies: &[CurrencySpec]) -> String {
    let entries: Vec<String> = currencies
        .iter()
        .map(|currency| format!("{}:{}", currency.code, currency.exponent))
        .collect();
    entries.join(",")
}
