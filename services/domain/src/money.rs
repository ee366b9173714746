//! Money: integer minor units and a currency code. Floats appear nowhere.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest amount of one movement, in minor units. Below 2^53, so that clients whose numbers are
/// doubles (JavaScript) read every amount exactly.
pub const MAX_MINOR_UNITS: i64 = 9_000_000_000_000_000;

/// A positive amount in minor units: 1 ..= [`MAX_MINOR_UNITS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Amount(i64);

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an amount is a whole number of minor units from 1 to {MAX_MINOR_UNITS}")]
pub struct InvalidAmount;

impl Amount {
    pub fn new(minor_units: i64) -> Result<Self, InvalidAmount> {
        if (1..=MAX_MINOR_UNITS).contains(&minor_units) {
            Ok(Self(minor_units))
        } else {
            Err(InvalidAmount)
        }
    }

    /// In minor units.
    pub fn minor(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// A currency code: 3 to 8 capital letters or digits, beginning with a letter. ISO 4217 codes have 3.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: [u8; 8],
    len: u8,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a currency is 3 to 8 capital letters or digits, for example EUR")]
pub struct InvalidCurrency;

impl Currency {
    pub fn as_str(&self) -> &str {
        // Only ASCII gets past `from_str`.
        std::str::from_utf8(&self.code[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl FromStr for Currency {
    type Err = InvalidCurrency;

    fn from_str(text: &str) -> Result<Self, InvalidCurrency> {
        let bytes = text.as_bytes();
        let legal = (3..=8).contains(&bytes.len())
            && bytes[0].is_ascii_uppercase()
            && bytes.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        if !legal {
            return Err(InvalidCurrency);
        }
        let mut code = [0; 8];
        code[..bytes.len()].copy_from_slice(bytes);
        Ok(Self {
            code,
            len: bytes.len() as u8,
        })
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// The currencies that wallets may have, each with its exponent: the number of decimal digits that its
/// minor unit stands for (EUR 2: 1 minor unit = 0.01 EUR).
#[derive(Debug, Clone)]
pub struct Currencies(BTreeMap<Currency, u8>);

impl Currencies {
    /// ISO 4217's currencies in use, without its funds, metals and test codes.
    pub fn iso_4217() -> Self {
        let group = |codes: &'static str, exponent: u8| {
            codes
                .split_whitespace()
                .filter_map(move |code| Some((code.parse().ok()?, exponent)))
        };
        Self(
            group(ISO_0, 0)
                .chain(group(ISO_2, 2))
                .chain(group(ISO_3, 3))
                .collect(),
        )
    }

    /// Adds a currency of one's own, or gives an existing one another exponent.
    #[must_use]
    pub fn with(mut self, currency: Currency, exponent: u8) -> Self {
        self.0.insert(currency, exponent);
        self
    }

    pub fn exponent(&self, currency: Currency) -> Option<u8> {
        self.0.get(&currency).copied()
    }
}

const ISO_0: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
const ISO_3: &str = "BHD IQD JOD KWD LYD OMR TND";
const ISO_2: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD \
    CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL \
    HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR \
    MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD \
    SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER \
    ZAR ZMW ZWG";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_positive_and_bounded() {
        for bad in [i64::MIN, -1, 0, MAX_MINOR_UNITS + 1, i64::MAX] {
            assert_eq!(Amount::new(bad), Err(InvalidAmount));
        }
        assert_eq!(
            Amount::new(MAX_MINOR_UNITS).map(Amount::minor),
            Ok(MAX_MINOR_UNITS)
        );
    }

    #[test]
    fn a_currency_is_capital_letters_and_digits() {
        for bad in ["", "EU", "eur", "EUR ", "1EU", "TOOLONGXX", "EÜR", "E\0R"] {
            assert_eq!(bad.parse::<Currency>(), Err(InvalidCurrency), "{bad:?}");
        }
        assert_eq!(
            "POINTS".parse::<Currency>().map(|c| c.to_string()),
            Ok("POINTS".to_owned())
        );
    }

    #[test]
    fn exponents_are_iso_4217s_unless_configured() -> Result<(), InvalidCurrency> {
        let known = Currencies::iso_4217().with("POINTS".parse()?, 0);
        for (code, exponent) in [
            ("EUR", Some(2)),
            ("JPY", Some(0)),
            ("KWD", Some(3)),
            ("POINTS", Some(0)),
            ("ABC", None),
        ] {
            assert_eq!(known.exponent(code.parse()?), exponent, "{code}");
        }
        Ok(())
    }
}
