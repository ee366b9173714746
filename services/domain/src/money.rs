//! Money: integer minor units and a currency code. Floats appear nowhere.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest amount of one movement, in minor units. Below 2^53, so that clients whose numbers are doubles
/// (JavaScript) read every amount exactly.
pub const MAX_MINOR_UNITS: i64 = 9_000_000_000_000_000;

/// How far from zero a wallet's balance, its held money and its overdraft limit may be, in minor units: the integers
/// that a double holds exactly, 2^53 - 1 (RFC 8259, section 6). Beyond that, a client that reads JSON numbers as
/// doubles could mistake one amount for another.
pub const MAX_BALANCE: i64 = (1 << 53) - 1;

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

/// A currency code: 3 to 8 capital letters or digits, starting with a letter. ISO 4217 codes have 3.
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

/// The currencies that wallets may have, each with its exponent: the number of decimal digits of its minor unit (EUR 2:
/// 1 minor unit = 0.01 EUR).
#[derive(Debug, Clone)]
pub struct Currencies {
    iso_4217: BTreeMap<Currency, u8>,
    own: BTreeMap<Currency, u8>,
}

impl Currencies {
    /// The active currencies of ISO 4217, without its funds, metals and test codes.
    pub fn iso_4217() -> Self {
        let group = |codes: &'static str, exponent: u8| {
            codes
                .split_whitespace()
                .filter_map(move |code| Some((code.parse().ok()?, exponent)))
        };
        Self {
            iso_4217: group(ISO_0, 0)
                .chain(group(ISO_2, 2))
                .chain(group(ISO_3, 3))
                .collect(),
            own: BTreeMap::new(),
        }
    }

    /// ISO 4217's currencies and those of a list like `POINTS:0,GOLD:3`, which may be empty.
    pub fn with_own(list: &str) -> Result<Self, InvalidOwnCurrency> {
        let mut currencies = Self::iso_4217();
        if !list.trim().is_empty() {
            for entry in list.split(',') {
                currencies.add(entry.trim())?;
            }
        }
        Ok(currencies)
    }

    /// An ISO 4217 code keeps its exponent: another one would change the meaning of every amount in it.
    fn add(&mut self, entry: &str) -> Result<(), InvalidOwnCurrency> {
        let malformed = || InvalidOwnCurrency::Malformed(entry.to_owned());
        let (code, digits) = entry.split_once(':').ok_or_else(malformed)?;
        let currency: Currency = code
            .parse()
            .map_err(|_| InvalidOwnCurrency::Code(code.to_owned()))?;
        let exponent = digits
            .parse()
            .ok()
            .filter(|exponent| *exponent <= MAX_EXPONENT && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .ok_or_else(|| InvalidOwnCurrency::Exponent {
                currency,
                digits: digits.to_owned(),
            })?;
        match self.iso_4217.get(&currency) {
            Some(known) if *known != exponent => {
                return Err(InvalidOwnCurrency::Redefined {
                    currency,
                    known: *known,
                });
            }
            // The exponent it has already.
            Some(_) => return Ok(()),
            None => {}
        }
        match self.own.insert(currency, exponent) {
            Some(_) => Err(InvalidOwnCurrency::Twice(currency)),
            None => Ok(()),
        }
    }

    pub fn exponent(&self, currency: Currency) -> Option<u8> {
        self.iso_4217
            .get(&currency)
            .or_else(|| self.own.get(&currency))
            .copied()
    }

    /// ISO 4217's currencies by code, each with its exponent.
    pub fn standard(&self) -> impl Iterator<Item = (Currency, u8)> {
        self.iso_4217
            .iter()
            .map(|(currency, exponent)| (*currency, *exponent))
    }

    /// The custom currencies by code, each with its exponent.
    pub fn own(&self) -> impl Iterator<Item = (Currency, u8)> {
        self.own.iter().map(|(currency, exponent)| (*currency, *exponent))
    }
}

/// The most decimal digits a custom currency may have. With more, the largest possible amount would be less than one.
const MAX_EXPONENT: u8 = 15;

/// Why a list of custom currencies is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOwnCurrency {
    #[error("`{0}` is not CODE:DIGITS, for example POINTS:0")]
    Malformed(String),
    #[error("`{0}` is not a currency's code: 3 to 8 capital letters or digits, a letter first")]
    Code(String),
    #[error("`{digits}` is not a number of decimal digits for {currency}: 0 to {MAX_EXPONENT}")]
    Exponent { currency: Currency, digits: String },
    #[error("{currency} is ISO 4217's and has {known} decimal digits, no others")]
    Redefined { currency: Currency, known: u8 },
    #[error("{0} stands there twice")]
    Twice(Currency),
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
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn an_amount_is_positive_and_bounded() {
        for bad in [i64::MIN, -1, 0, MAX_MINOR_UNITS + 1, i64::MAX] {
            assert_eq!(Amount::new(bad), Err(InvalidAmount));
        }
        assert_eq!(MAX_BALANCE, 9_007_199_254_740_991);
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
    fn exponents_are_iso_4217s_and_those_of_the_list() {
        let known = Currencies::with_own(" POINTS:0, GOLD:3,EUR:2,X15:15").unwrap();
        for (code, exponent) in [
            ("EUR", Some(2)),
            ("JPY", Some(0)),
            ("KWD", Some(3)),
            ("POINTS", Some(0)),
            ("GOLD", Some(3)),
            ("X15", Some(15)),
            ("ABC", None),
        ] {
            assert_eq!(known.exponent(code.parse().unwrap()), exponent, "{code}");
        }
        let own: Vec<String> = known
            .own()
            .map(|(code, digits)| format!("{code}:{digits}"))
            .collect();
        assert_eq!(
            own,
            ["GOLD:3", "POINTS:0", "X15:15"],
            "what is ISO 4217's stays so"
        );
        assert_eq!(Currencies::with_own("").unwrap().own().count(), 0);
    }

    #[test]
    fn a_list_that_says_nothing_clear_is_refused() {
        use InvalidOwnCurrency::{Code, Exponent, Malformed, Redefined, Twice};
        let refused = |list: &str| Currencies::with_own(list).unwrap_err();
        for list in ["POINTS", "POINTS:0,", ",", "POINTS=0"] {
            assert!(matches!(refused(list), Malformed(_)), "{list}");
        }
        for list in ["points:0", "P:0", "TOOLONGXX:0", ":0", "PÖNTS:0"] {
            assert!(matches!(refused(list), Code(_)), "{list}");
        }
        for list in [
            "POINTS:",
            "POINTS:-1",
            "POINTS:+1",
            "POINTS:16",
            "POINTS:256",
            "POINTS:1:2",
            "POINTS: 1",
        ] {
            assert!(matches!(refused(list), Exponent { .. }), "{list}");
        }
        assert!(matches!(refused("EUR:3"), Redefined { known: 2, .. }));
        assert!(matches!(refused("POINTS:0,GOLD:1,POINTS:0"), Twice(_)));
    }
}
