//! Bodies as they arrive, and the parts that several of them share.

use std::error::Error;

use axum::body::{self, Body, Bytes, HttpBody as _};
use http_body_util::LengthLimitError;
use rand::random;
use wallex_domain::{Amount, Command, Hash, PersonalData};
use wallex_journal::append::Item;
use wallex_journal::personal::Sealed;
use wallex_runtime::http::Problem;

use crate::fields::Fields;
use crate::problem;
use crate::value::{Description, Metadata, Name};

/// Refuses a body that announces more than `limit` bytes, before it arrives.
pub(crate) fn announced(body: &Body, limit: usize) -> Result<(), Problem> {
    if body.size_hint().lower() > limit as u64 {
        return Err(problem::body_too_large(limit));
    }
    Ok(())
}

/// The whole body, if it has at most `limit` bytes.
pub(crate) async fn received(body: Body, limit: usize) -> Result<Bytes, Problem> {
    body::to_bytes(body, limit).await.map_err(|error| {
        if error.source().is_some_and(<dyn Error>::is::<LengthLimitError>) {
            problem::body_too_large(limit)
        } else {
            problem::body_unreadable()
        }
    })
}

/// A caller's remarks about a command: personal data, erasable. Every body except an erasure's ends with it.
#[derive(Debug)]
pub(crate) struct Personal {
    pub(crate) description: Option<Description>,
    pub(crate) metadata: Option<Metadata>,
}

impl Personal {
    pub(crate) const NOTHING: Self = Self {
        description: None,
        metadata: None,
    };
    /// For the API description, where this is the whole body.
    pub(crate) const ABOUT: &'static str = "Why a wallet is frozen, unfrozen or closed.";

    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let description = fields.take("description", "Up to 1024 characters; erasable.");
        let metadata = fields.take(
            "metadata",
            "Up to 64 keys, 16 levels and 16 KiB of JSON; erasable. Its numbers are those that a 64-bit integer or a\n\
             double holds exactly.",
        );
        Some(Self {
            description: description?,
            metadata: metadata?,
        })
    }

    /// The command with this personal data sealed beside it. `with` gets the digest of the sealed data.
    pub(crate) fn beside(self, with: impl FnOnce(Option<Hash>) -> Command) -> Result<Item, Problem> {
        self.and_owner_beside(None, with)
    }

    /// The same, with a wallet's owner.
    pub(crate) fn and_owner_beside(
        self,
        owner: Option<Name>,
        with: impl FnOnce(Option<Hash>) -> Command,
    ) -> Result<Item, Problem> {
        let data = PersonalData {
            owner: owner.map(Into::into),
            description: self.description.map(Into::into),
            metadata: self.metadata,
        };
        let personal = Sealed::new(&data, random()).map_err(|_| Problem::internal())?;
        let command = with(personal.as_ref().map(Sealed::digest));
        Ok(Item { command, personal })
    }
}

/// The description of a movement.
#[derive(Debug)]
pub(crate) struct Said {
    reference: Option<Name>,
    external_id: Option<Name>,
    personal: Personal,
}

impl Said {
    /// Describes a movement's `reference`.
    pub(crate) const REFERENCE: &'static str = "Your own name of the movement; may repeat. Up to 255 characters. Kept for good: not for personal data.";

    /// `reference` describes that field.
    pub(crate) fn read(fields: &mut Fields<'_>, reference: &'static str) -> Option<Self> {
        let reference = fields.take("reference", reference);
        let external_id = fields.take(
            "external_id",
            "Your own name of the movement, unique in the platform for good. Sent again with the same content, under\n\
             whatever Idempotency-Key, it gets the first answer; with other content external_id_taken. Up to 255\n\
             characters. Kept for good: not for personal data.",
        );
        let personal = Personal::read(fields);
        Some(Self {
            reference: reference?,
            external_id: external_id?,
            personal: personal?,
        })
    }

    /// The command with its personal data sealed beside it. `with` gets reference, external id and digest.
    pub(crate) fn beside(
        self,
        with: impl FnOnce(Option<String>, Option<String>, Option<Hash>) -> Command,
    ) -> Result<Item, Problem> {
        let (reference, external_id) = (self.reference.map(Into::into), self.external_id.map(Into::into));
        self.personal
            .beside(|personal| with(reference, external_id, personal))
    }
}

/// An amount that moves, with the description of the movement.
#[derive(Debug)]
pub(crate) struct Movement {
    pub(crate) amount: Amount,
    pub(crate) said: Said,
}

impl Movement {
    /// For the API description, where this is the whole body.
    pub(crate) const ABOUT: &'static str = "Money that comes into a wallet from outside, or leaves it.";

    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let amount = fields.take("amount", "Minor units, 1 to 9000000000000000.");
        let said = Said::read(fields, Said::REFERENCE);
        Some(Self {
            amount: amount?,
            said: said?,
        })
    }
}
