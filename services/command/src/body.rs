//! Request bodies: which fields each has. What cannot be accepted is told all at once.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;
use wallex_domain::{Amount, Currency};
use wallex_runtime::http::{Invalid, Problem};

use crate::describe::{field, object, of_a_batch, personal_data, with_version};
use crate::fields::{Fields, Read, wrong};
use crate::json::{self, Node};
use crate::problem;
use crate::value::{Description, Field, Metadata, MinorUnits, Name, Version};

/// A request body, read from the fields of an object. `None` when something cannot be taken, which the fields have noted.
pub(crate) trait Body: Sized {
    fn read(fields: &mut Fields<'_>) -> Option<Self>;
}

/// A request body, and the same with its target inside as a command of a batch. Both end with `description` and `metadata`,
/// which are personal data: erasable.
macro_rules! bodies {
    ($($(#[doc = $about:literal])+ $body:ident, in a batch $item:ident of $kind:ident [$($variant:ident),+] { $($(#[doc = $target_doc:literal])+ $target:ident)? } {
        $($(#[doc = $doc:literal])+ $(#[serde($($serde:tt)+)])? $field:ident: $type:ty,)*
    })+) => {$(
        $(#[doc = $about])+
        #[derive(Debug, Serialize)]
        pub(crate) struct $body {
            $($(#[doc = $doc])+ $(#[serde($($serde)+)])? pub(crate) $field: $type,)*
            #[serde(skip_serializing_if = "Option::is_none")]
            pub(crate) description: Option<Description>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub(crate) metadata: Option<Metadata>,
        }

        $(#[doc = $about])+
        #[derive(Debug, Serialize)]
        pub(crate) struct $item {
            pub(crate) r#type: $kind,
            $($(#[doc = $target_doc])+ pub(crate) $target: Uuid,)?
            #[serde(skip_serializing_if = "Option::is_none")]
            pub(crate) expected_version: Option<i64>,
            $($(#[doc = $doc])+ $(#[serde($($serde)+)])? pub(crate) $field: $type,)*
            #[serde(skip_serializing_if = "Option::is_none")]
            pub(crate) description: Option<Description>,
            #[serde(skip_serializing_if = "Option::is_none")]
            pub(crate) metadata: Option<Metadata>,
        }

        #[derive(Debug, Clone, Copy, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub(crate) enum $kind {
            $($variant,)+
        }

        impl Body for $body {
            fn read(fields: &mut Fields<'_>) -> Option<Self> {
                $(let $field = <$type as Field>::take(fields, stringify!($field));)*
                let description = Field::take(fields, "description");
                let metadata = Field::take(fields, "metadata");
                Some(Self {
                    $($field: $field?,)*
                    description: description?,
                    metadata: metadata?,
                })
            }
        }

        impl $body {
            fn describe(object: ObjectBuilder) -> ObjectBuilder {
                $(let object = field::<$type>(object, stringify!($field), &[$($doc),+]);)*
                personal_data(object)
            }
        }

        impl PartialSchema for $body {
            fn schema() -> RefOr<Schema> {
                Self::describe(object(&[$($about),+])).into()
            }
        }

        impl ToSchema for $body {}

        impl $item {
            /// The command of a type that was read already, from the other fields.
            pub(crate) fn read(r#type: $kind, fields: &mut Fields<'_>) -> Option<Self> {
                $(let $target = Uuid::take(fields, stringify!($target));)?
                let expected_version = <Option<Version> as Field>::take(fields, "expected_version");
                let body = $body::read(fields);
                let ($($target,)? expected_version, body) = ($($target?,)? expected_version?, body?);
                Some(Self {
                    r#type,
                    $($target,)?
                    expected_version: expected_version.map(|version| version.0),
                    $($field: body.$field,)*
                    description: body.description,
                    metadata: body.metadata,
                })
            }

            /// What the command's own route has in its body.
            pub(crate) fn into_body(self) -> $body {
                $body {
                    $($field: self.$field,)*
                    description: self.description,
                    metadata: self.metadata,
                }
            }
        }

        impl PartialSchema for $item {
            fn schema() -> RefOr<Schema> {
                let object = of_a_batch(object(&[$($about),+]));
                $(let object = field::<Uuid>(object, stringify!($target), &[$($target_doc),+]);)?
                $body::describe(with_version(object)).into()
            }
        }
    )+};
}

/// The commands that a batch may hold: by the name that each has there, and as the API description calls and shapes it.
macro_rules! kinds {
    ($($variant:ident, $name:literal, $schema:ident of $item:ident;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind {
            $($variant,)+
        }

        impl Kind {
            const NAMES: &'static [&'static str] = &[$($name,)+];

            /// A schema per command, each with its one `type`: the name of both, and the schema.
            pub(crate) fn schemas() -> Vec<(&'static str, &'static str, RefOr<Schema>)> {
                vec![$(($name, stringify!($schema), of_one_type($item::schema(), $name)),)+]
            }

            fn parse(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    Create, "create", CreateWalletCommand of CreateWalletItem;
    Credit, "credit", CreditWalletCommand of MovementItem;
    Debit, "debit", DebitWalletCommand of MovementItem;
    Transfer, "transfer", TransferCommand of TransferItem;
    Hold, "hold", PlaceHoldCommand of PlaceHoldItem;
    Capture, "capture", CaptureHoldCommand of CaptureHoldItem;
    Release, "release", ReleaseHoldCommand of ReleaseHoldItem;
    Reversal, "reversal", ReverseTransactionCommand of ReversalItem;
    Freeze, "freeze", FreezeWalletCommand of NoteItem;
    Unfreeze, "unfreeze", UnfreezeWalletCommand of NoteItem;
    Close, "close", CloseWalletCommand of NoteItem;
    OverdraftLimit, "overdraft_limit", SetOverdraftLimitCommand of OverdraftLimitItem;
    Erase, "erase", EraseWalletCommand of EraseItem;
}

/// The schema of an item that is of this type alone.
fn of_one_type(mut item: RefOr<Schema>, name: &str) -> RefOr<Schema> {
    if let RefOr::T(Schema::Object(object)) = &mut item {
        if let Some(RefOr::T(Schema::Object(r#type))) = object.properties.get_mut("type") {
            r#type.enum_values = Some(vec![name.into()]);
        }
        // It is refused: a wallet that is created has no version before.
        if name == "create" {
            object.properties.remove("expected_version");
        }
    }
    item
}

impl Kind {
    #[expect(clippy::needless_pass_by_value, reason = "the form that all readers have")]
    pub(crate) fn read(node: Node<'_>) -> Read<Self> {
        let kind = node.text().and_then(Self::parse);
        kind.map_or_else(|| wrong(format!("must be one of {}", Self::NAMES.join(", "))), Ok)
    }
}

bodies! {
    /// A new wallet.
    CreateWallet, in a batch CreateWalletItem of CreateKind [Create] {} {
        /// The wallet's id. Without one, the same Idempotency-Key always means the same new id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Uuid>,
        /// Your own name of the wallet, unique in the platform. Up to 255 characters. Kept for good: not for
        /// personal data.
        #[serde(skip_serializing_if = "Option::is_none")]
        external_id: Option<Name>,
        /// Code of the currency: one of ISO 4217, or of the platform's own; GET /v1/currencies lists them.
        currency: Currency,
        /// Whose wallet it is; erasable. Up to 255 characters.
        #[serde(skip_serializing_if = "Option::is_none")]
        owner: Option<Name>,
        /// Minor units; 0 when missing.
        #[serde(skip_serializing_if = "Option::is_none")]
        initial_balance: Option<MinorUnits>,
    }
    /// Money that comes into a wallet from outside, or leaves it.
    Movement, in a batch MovementItem of MovementKind [Credit, Debit] {
        /// The wallet
        wallet_id
    } {
        /// Minor units, 1 to 9000000000000000.
        amount: Amount,
        /// Your own name of the movement; may repeat. Up to 255 characters. Kept for good: not for personal data.
        #[serde(skip_serializing_if = "Option::is_none")]
        reference: Option<Name>,
        /// Your own name of the movement, unique in the platform for good. Sent again with the same content, under
        /// whatever Idempotency-Key, it gets the first answer; with other content external_id_taken. Up to 255
        /// characters. Kept for good: not for personal data.
        #[serde(skip_serializing_if = "Option::is_none")]
        external_id: Option<Name>,
    }
    /// Money from one wallet to another.
    Transfer, in a batch TransferItem of TransferKind [Transfer] {} {
        /// Wallet that pays.
        from: Uuid,
        /// Wallet that receives; of the same currency.
        to: Uuid,
        /// Minor units, 1 to 9000000000000000.
        amount: Amount,
        /// Your own name of the movement; may repeat. Up to 255 characters. Kept for good: not for personal data.
        #[serde(skip_serializing_if = "Option::is_none")]
        reference: Option<Name>,
        /// Your own name of the movement, unique in the platform for good. Sent again with the same content, under
        /// whatever Idempotency-Key, it gets the first answer; with other content external_id_taken. Up to 255
        /// characters. Kept for good: not for personal data.
        #[serde(skip_serializing_if = "Option::is_none")]
        external_id: Option<Name>,
    }
    /// Money set aside: it stays in the balance and is not available.
    PlaceHold, in a batch PlaceHoldItem of PlaceHoldKind [Hold] {
        /// The wallet
        wallet_id
    } {
        /// The hold's id. Without one, the same Idempotency-Key always means the same new id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Uuid>,
        /// Minor units, 1 to 9000000000000000.
        amount: Amount,
        /// From this time on the hold cannot be captured and its money is available again. Without one the hold
        /// stays until it is captured or released.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires_at: Option<Timestamp>,
        /// Your own name of the hold; may repeat. Up to 255 characters. Kept for good: not for personal data.
        #[serde(skip_serializing_if = "Option::is_none")]
        reference: Option<Name>,
    }
    /// Takes what a hold has set aside; what is left of it becomes available again.
    CaptureHold, in a batch CaptureHoldItem of CaptureKind [Capture] {
        /// The hold
        hold_id
    } {
        /// Minor units; the whole hold when missing.
        #[serde(skip_serializing_if = "Option::is_none")]
        amount: Option<Amount>,
        /// The wallet that gets the money; it goes outside when missing.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<Uuid>,
        /// Your own name of the movement; may repeat. Up to 255 characters. Kept for good: not for personal data.
        #[serde(skip_serializing_if = "Option::is_none")]
        reference: Option<Name>,
        /// Your own name of the movement, unique in the platform for good. Sent again with the same content, under
        /// whatever Idempotency-Key, it gets the first answer; with other content external_id_taken. Up to 255
        /// characters. Kept for good: not for personal data.
        #[serde(skip_serializing_if = "Option::is_none")]
        external_id: Option<Name>,
    }
    /// Ends a hold; all of it becomes available again.
    ReleaseHold, in a batch ReleaseHoldItem of ReleaseKind [Release] {
        /// The hold
        hold_id
    } {
        /// Your own name of the release; may repeat. Up to 255 characters. Kept for good: not for personal data.
        #[serde(skip_serializing_if = "Option::is_none")]
        reference: Option<Name>,
    }
    /// Takes a transaction back, as a whole or in part.
    Reversal, in a batch ReversalItem of ReversalKind [Reversal] {
        /// The transaction to take back
        transaction_id
    } {
        /// Minor units; what is left of the transaction when missing.
        #[serde(skip_serializing_if = "Option::is_none")]
        amount: Option<Amount>,
        /// Your own name of the reversal; may repeat. Up to 255 characters. Kept for good: not for personal data.
        #[serde(skip_serializing_if = "Option::is_none")]
        reference: Option<Name>,
        /// Your own name of the movement, unique in the platform for good. Sent again with the same content, under
        /// whatever Idempotency-Key, it gets the first answer; with other content external_id_taken. Up to 255
        /// characters. Kept for good: not for personal data.
        #[serde(skip_serializing_if = "Option::is_none")]
        external_id: Option<Name>,
    }
    /// Why a wallet is frozen, unfrozen or closed.
    Note, in a batch NoteItem of NoteKind [Freeze, Unfreeze, Close] {
        /// The wallet
        wallet_id
    } {}
    /// How far below zero the available balance may go.
    OverdraftLimit, in a batch OverdraftLimitItem of OverdraftLimitKind [OverdraftLimit] {
        /// The wallet
        wallet_id
    } {
        /// Minor units, 0 to 9000000000000000.
        overdraft_limit: MinorUnits,
    }
}

/// The body of an erasure: it says nothing.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Erase {}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EraseKind {
    Erase,
}

/// An erasure as a command of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EraseItem {
    /// What to do; it decides which fields there are.
    #[schema(value_type = String)]
    pub(crate) r#type: EraseKind,
    /// The wallet
    pub(crate) wallet_id: Uuid,
    /// Only if the wallet has this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub(crate) expected_version: Option<i64>,
}

impl Body for Erase {
    fn read(_: &mut Fields<'_>) -> Option<Self> {
        Some(Self {})
    }
}

impl EraseItem {
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let wallet_id = Uuid::take(fields, "wallet_id");
        let expected_version = <Option<Version> as Field>::take(fields, "expected_version");
        Some(Self {
            r#type: EraseKind::Erase,
            wallet_id: wallet_id?,
            expected_version: expected_version?.map(|version| version.0),
        })
    }
}

/// Why a body cannot be accepted.
pub(crate) enum Unfit {
    /// It is not JSON at all.
    Malformed(serde_json::Error),
    /// All that is wrong with it.
    Fields(Vec<Invalid>),
}

impl From<Unfit> for Problem {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Malformed(error) => problem::malformed_json(&error),
            Unfit::Fields(errors) => Problem::invalid(errors),
        }
    }
}

/// Reads a body: every field of it, and whatever is wrong with any.
pub(crate) fn parse<B: Body>(bytes: &[u8]) -> Result<B, Unfit> {
    let json = json::check(bytes).map_err(Unfit::Malformed)?;
    let mut fields = Fields::of(json::tree(json), "").map_err(|invalid| Unfit::Fields(vec![invalid]))?;
    let body = B::read(&mut fields);
    fields.finish(body).map_err(Unfit::Fields)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use serde_json::json;

    use super::*;

    fn refused<B: Body>(text: &str) -> serde_json::Value {
        match parse::<B>(text.as_bytes()) {
            Ok(_) => panic!("accepted: {text}"),
            Err(unfit) => serde_json::from_slice(&Problem::from(unfit).to_body()).unwrap(),
        }
    }

    fn pointers(problem: &serde_json::Value) -> Vec<&str> {
        let errors = problem["errors"].as_array().unwrap().iter();
        errors.map(|error| error["pointer"].as_str().unwrap()).collect()
    }

    #[test]
    fn every_refused_field_is_named_by_its_pointer() {
        for (text, pointer) in [
            (r#"{"amount":1.5}"#, "/amount"),
            (r#"{"amount":1.0}"#, "/amount"),
            (r#"{"amount":1e400}"#, "/amount"),
            (r#"{"amount":"1"}"#, "/amount"),
            (r#"{"amount":0}"#, "/amount"),
            (r#"{"amount":-1}"#, "/amount"),
            (r#"{"amount":null}"#, "/amount"),
            (r#"{"amount":9000000000000001}"#, "/amount"),
            (r#"{"amount":99999999999999999999}"#, "/amount"),
            (r#"{"amount":1,"amount":1}"#, "/amount"),
            (r#"{"amount":1,"reference":""}"#, "/reference"),
            (r#"{"amount":1,"reference":7}"#, "/reference"),
            (r#"{"amount":1,"reference":"a\u0000b"}"#, "/reference"),
            (r#"{"amount":1,"reference":"\ud800"}"#, "/reference"),
            (r#"{"amount":1,"metadata":{"k":["\u0000"]}}"#, "/metadata/k/0"),
            (r#"{"amount":1,"metadata":{"k\u0000":1}}"#, "/metadata/k\u{0}"),
            (r#"{"amount":1,"metadata":{"k":"\udc00"}}"#, "/metadata/k"),
            (r#"{"amount":1,"metadata":{"\udc00":1}}"#, "/metadata/\"\\udc00\""),
            (r#"{"amount":1,"metadata":{"a":{"k":1,"k":1}}}"#, "/metadata/a/k"),
            (r#"{"amount":1,"metadata":{"a/b~":1e-400}}"#, "/metadata/a~1b~0"),
            (r#"{"amount":1,"metadata":[]}"#, "/metadata"),
            (r#"{"amount":1,"amuont":2}"#, "/amuont"),
            ("{}", "/amount"),
        ] {
            let problem = refused::<Movement>(text);
            assert_eq!(problem["code"], "validation_failed", "{text}");
            assert_eq!(pointers(&problem), [pointer], "{text}: {problem}");
        }
    }

    #[test]
    fn only_an_object_is_a_body() {
        for text in ["[5]", "[]", "5", "null", "\"x\"", "[{\"amount\":5}]"] {
            assert_eq!(pointers(&refused::<Movement>(text)), [""], "{text}");
            assert_eq!(pointers(&refused::<Erase>(text)), [""], "{text}");
        }
        let transfer = r#"["0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f","0198c0de-7f3a-7c10-8000-1a2b3c4d5e6e",3]"#;
        assert_eq!(pointers(&refused::<Transfer>(transfer)), [""]);
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for text in ["", "{", "{\"amount\":1}x", "\u{feff}{}", "nul"] {
            assert_eq!(refused::<Movement>(text)["code"], "malformed_json", "{text:?}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_in_sentences_for_people() {
        let problem =
            refused::<Transfer>(r#"{"from":"x","to":7,"amount":-1,"referense":"r","metadata":{"n":1e400}}"#);
        assert_eq!(
            pointers(&problem),
            ["/from", "/to", "/amount", "/metadata/n", "/referense"]
        );
        assert_eq!(
            problem["errors"][4]["detail"],
            "is not a known field; did you mean reference?"
        );
        let text = problem.to_string();
        for word in [
            "expected",
            "invalid type",
            "unknown field",
            "i64",
            "Uuid",
            "struct",
            "line 1",
        ] {
            assert!(!text.contains(word), "{word}: {text}");
        }
        let missing = refused::<Transfer>("{}");
        assert_eq!(pointers(&missing), ["/from", "/to", "/amount"]);
        // Whoever sends nonsense by the thousand is told so shortly.
        let many: Vec<String> = (0..10_000).map(|n| format!("\"{n}\":{n}")).collect();
        let problem = refused::<Movement>(&format!("{{{}}}", many.join(",")));
        assert_eq!(pointers(&problem).len(), 20);
    }

    #[test]
    fn metadata_is_bounded() {
        let many: Metadata = (0..65).map(|n| (n.to_string(), json!(n))).collect();
        let text = json!({"amount": 1, "metadata": many}).to_string();
        assert_eq!(pointers(&refused::<Movement>(&text)), ["/metadata"]);
        let text = json!({"amount": 1, "metadata": {"k": "x".repeat(17_000)}}).to_string();
        assert_eq!(pointers(&refused::<Movement>(&text)), ["/metadata"]);
        let nested = |levels: usize| {
            let inner = format!("{}1{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
            format!(r#"{{"amount":1,"metadata":{{"k":{inner}}}}}"#)
        };
        assert!(parse::<Movement>(nested(16).as_bytes()).is_ok());
        for levels in [17, 40, 500, 50_000] {
            assert_eq!(pointers(&refused::<Movement>(&nested(levels))), ["/metadata"]);
        }
        // Six characters that look like an escape, and are none.
        assert!(parse::<Movement>(br#"{"amount":1,"metadata":{"pattern":"\\u0000"}}"#).is_ok());
    }

    #[test]
    fn numbers_of_metadata_are_kept() {
        let body = parse::<Movement>(
            br#"{"amount":1,"metadata":{"n":941300.4193968255,"m":1.7976931348623157e308,"i":18446744073709551615}}"#,
        );
        let metadata = body.ok().and_then(|body| body.metadata).unwrap();
        assert_eq!(metadata["n"].to_string(), "941300.4193968255");
        assert_eq!(metadata["m"].as_f64(), Some(f64::MAX));
        assert_eq!(metadata["i"].as_u64(), Some(u64::MAX));
    }
}
