//! Ends a hold without taking anything.

use wallex_domain::{Command, HoldId, ReleaseHold};
use wallex_journal::append::Item;
use wallex_runtime::http::{Code, Problem};

use crate::answer::{self, Shape};
use crate::body::Personal;
use crate::fields::Fields;
use crate::request::{Given, OwnRoute, Request, Target};
use crate::value::Name;

pub(crate) struct Release {
    reference: Option<Name>,
    personal: Personal,
}

impl Request for Release {
    const TYPE: &'static str = "release";
    const ROUTE: OwnRoute = OwnRoute::post(
        "/v1/holds/{id}/release",
        "holds",
        "releaseHold",
        "Ends a hold; all of it becomes available again.",
    );
    const TARGET: Option<Target> = Some(Target::HOLD);
    type Body = Self;
    const ABOUT: &'static str = "Ends a hold; all of it becomes available again.";
    const ANSWER: &'static Shape = &answer::HOLD;
    const REJECTIONS: &'static [Code] = &[Code::HoldNotFound, Code::VersionMismatch, Code::HoldClosed];

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let reference = fields.take("reference", "Your own name of the release; may repeat. Up to 255 characters. Kept for good: not for personal data.");
        let personal = Personal::read(fields);
        Some(Self {
            reference: reference?,
            personal: personal?,
        })
    }

    fn item(body: Self, given: Given<'_>) -> Result<Item, Problem> {
        body.personal.beside(|personal| {
            Command::ReleaseHold(ReleaseHold {
                hold_id: HoldId(given.target),
                reference: body.reference.map(Into::into),
                personal,
                expected_version: given.expected_version,
            })
        })
    }
}
