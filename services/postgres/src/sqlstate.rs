//! SQLSTATE codes: five characters, of which the first two are the class (PostgreSQL manual, appendix A).

use std::fmt;

/// The code of an error that the server returned.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState([u8; 5]);

impl SqlState {
    pub const DEADLOCK_DETECTED: Self = Self(*b"40P01");
    pub const DUPLICATE_PREPARED_STATEMENT: Self = Self(*b"42P05");
    pub const INVALID_AUTHORIZATION: Self = Self(*b"28000");
    pub const INVALID_CATALOG_NAME: Self = Self(*b"3D000");
    pub const INVALID_PASSWORD: Self = Self(*b"28P01");
    pub const INVALID_SCHEMA_NAME: Self = Self(*b"3F000");
    pub const LOCK_NOT_AVAILABLE: Self = Self(*b"55P03");
    pub const PROTOCOL_VIOLATION: Self = Self(*b"08P01");
    pub const CANNOT_CONNECT_NOW: Self = Self(*b"57P03");
    pub const QUERY_CANCELED: Self = Self(*b"57014");
    pub const TOO_MANY_CONNECTIONS: Self = Self(*b"53300");
    pub const UNDEFINED_COLUMN: Self = Self(*b"42703");
    pub const UNDEFINED_TABLE: Self = Self(*b"42P01");

    /// A code of one's own.
    pub const fn new(code: [u8; 5]) -> Self {
        Self(code)
    }

    /// `None` if the error did not come from the server.
    pub fn of(error: &sqlx::Error) -> Option<Self> {
        let code = error.as_database_error()?.code()?;
        code.as_bytes().try_into().ok().map(Self)
    }

    /// The first two characters.
    pub fn class(&self) -> &str {
        std::str::from_utf8(&self.0[..2]).unwrap_or_default()
    }

    /// No such table or schema: it has not been migrated yet, or it was dropped.
    pub fn is_unmigrated(self) -> bool {
        matches!(self, Self::UNDEFINED_TABLE | Self::INVALID_SCHEMA_NAME)
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}
