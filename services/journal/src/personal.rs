//! Data that may have to be erased: kept in a row beside its event, which carries only the digest. The salt keeps the
//! digest from being guessed after the row is erased.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wallex_domain::{Hash, PersonalData};

use crate::shared;

/// Personal data ready to be stored: the digest goes into the event, salt and data into the row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    pub salt: [u8; 16],
    /// JSON of [`PersonalData`].
    #[serde(with = "shared::bytes")]
    pub data: Bytes,
}

impl Sealed {
    /// `None` if there is nothing personal to store.
    pub fn new(data: &PersonalData, salt: [u8; 16]) -> Result<Option<Self>, serde_json::Error> {
        if data.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            salt,
            data: serde_json::to_vec(data)?.into(),
        }))
    }

    /// BLAKE3(salt ‖ data).
    pub fn digest(&self) -> Hash {
        digest(&self.salt, &self.data)
    }
}

pub(crate) fn digest(salt: &[u8], data: &[u8]) -> Hash {
    Hash(
        *blake3::Hasher::new()
            .update(salt)
            .update(data)
            .finalize()
            .as_bytes(),
    )
}
