//! Identifiers: wallets, partitions, and positions in the journal.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

macro_rules! newtypes {
    ($($(#[$about:meta])* $name:ident($inner:ty);)+) => {
        $($(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        })+
    };
}

newtypes! {
    WalletId(Uuid);
    /// Identifies a hold, to capture or release it.
    HoldId(Uuid);
    /// The number of one of the journal's sequences, and of its Kafka partition. Never negative.
    Partition(i32);
}

/// Where an event stands: `3:1042` is event 1042 of partition 3. Sequences start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub partition: Partition,
    pub seq: i64,
}

impl Position {
    pub fn at(partition: i32, seq: i64) -> Self {
        let partition = Partition(partition);
        Self { partition, seq }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.seq)
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a position is PARTITION:SEQ, for example 3:1042; several are separated by commas")]
pub struct InvalidPosition;

/// Digits only: `parse` alone would accept a sign.
fn digits<T: FromStr>(text: &str) -> Result<T, InvalidPosition> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidPosition);
    }
    text.parse().map_err(|_| InvalidPosition)
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (partition, seq) = text.split_once(':').ok_or(InvalidPosition)?;
        Ok(Self {
            partition: Partition(digits(partition)?),
            seq: digits(seq)?,
        })
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// The positions that an answer reached, as in the header `Wallex-Position: 3:1042,7:88`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Positions(pub Vec<Position>);

impl fmt::Display for Positions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, position) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            position.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for Positions {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        text.split(',')
            .map(|one| one.trim().parse())
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_back_from_their_text() {
        let text = "3:1042,7:88";
        assert_eq!(
            text.parse::<Positions>().map(|p| p.to_string()),
            Ok(text.to_owned())
        );
    }

    #[test]
    fn anything_else_is_no_position() {
        for text in [
            "",
            "3",
            "3:",
            ":3",
            "-1:3",
            "3:+4",
            "3:4:5",
            "3:99999999999999999999",
            "3:4,",
        ] {
            assert_eq!(text.parse::<Positions>(), Err(InvalidPosition), "{text}");
        }
    }
}
