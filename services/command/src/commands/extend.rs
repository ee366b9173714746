//! Extends a hold.

use jiff::Timestamp;
use wallex_domain::{Command, ExtendHold, HoldId};
use wallex_journal::append::Item;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Personal;
use crate::fields::Fields;
use crate::request::{Given, OwnRoute, Request, Target};
use crate::value::Name;

pub(crate) struct Extend {
    expires_at: Timestamp,
    reference: Option<Name>,
    personal: Personal,
}

impl Request for Extend {
    const TYPE: &'static str = "extend";
    const ROUTE: OwnRoute = OwnRoute::post(
        "/v1/holds/{id}/extend",
        "holds",
        "extendHold",
        "Moves the end of an open hold to a later time. A hold that has no `expires_at` cannot be extended.",
    );
    const TARGET: Option<Target> = Some(Target::HOLD);
    type Body = Self;
    const ABOUT: &'static str = "Moves the end of a hold to a later time.";
    const ANSWER: &'static Shape = &answer::HOLD;
    const REJECTIONS: &'static [Code] = &[
        Code::HoldNotFound,
        Code::VersionMismatch,
        Code::HoldClosed,
        Code::ExpiryNotLater,
    ];

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let expires_at = fields.take(
            "expires_at",
            "Later than the hold's own. From this time on the hold cannot be captured and its money is available again.",
        );
        let reference = fields.take("reference", "Your own name of the extension; may repeat. Up to 255 characters. Kept for good: not for personal data.");
        let personal = Personal::read(fields);
        Some(Self {
            expires_at: expires_at?,
            reference: reference?,
            personal: personal?,
        })
    }

    fn item(body: Self, given: Given<'_>) -> Result<Item, Problem> {
        body.personal.beside(|personal| {
            Command::ExtendHold(ExtendHold {
                hold_id: HoldId(given.target),
                expires_at: body.expires_at.as_microsecond(),
                reference: body.reference.map(Into::into),
                personal,
                expected_version: given.expected_version,
            })
        })
    }
}
