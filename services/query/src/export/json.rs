//! NDJSON: one JSON object per line.

use serde::Serialize;

use super::Encode;
use crate::problem::ReadError;

pub(crate) struct Ndjson;

impl<R: Serialize> Encode<R> for Ndjson {
    fn row(&mut self, row: &R, out: &mut Vec<u8>) -> Result<(), ReadError> {
        serde_json::to_writer(&mut *out, row)?;
        out.push(b'\n');
        Ok(())
    }
}
