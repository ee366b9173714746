//! For each command one request with every field and one with only the required fields; each also as a batch.

use axum::body::Body;
use http::{Method, Request};
use tower::ServiceExt as _;
use wallex_domain::Currencies;
use wallex_runtime::http::headers::IDEMPOTENCY_KEY;

use crate::batch::Batch;
use crate::commands::{
    capture, change, close, create, credit, debit, erase, extend, freeze, hold, overdraft_limit, release,
    reverse, transfer, unfreeze,
};
use crate::headers::Origin;
use crate::queue::{Captured, Enqueue};
use crate::request;
use crate::{CommandState, router};

const WALLET: &str = "0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f";
const HOLD: &str = "0198c0e1-2b64-7d2e-9a41-5c6d7e8f9a0b";
const TRANSACTION: &str = "0198c0e0-4c1d-7b55-8f3e-2a3b4c5d6e7f";

/// The target in the path of a command's own route.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    None,
    Wallet,
    Hold,
    Transaction,
}

impl Target {
    fn id(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Wallet => WALLET,
            Self::Hold => HOLD,
            Self::Transaction => TRANSACTION,
        }
    }

    /// Its field in a batch's command.
    fn field(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Wallet => "wallet_id",
            Self::Hold => "hold_id",
            Self::Transaction => "transaction_id",
        }
    }
}

/// A command: its type, its route, and its required and optional fields. Neither list is in the order in which the fields
/// are written out again.
struct Kind {
    name: &'static str,
    method: Method,
    path: &'static str,
    target: Target,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    /// The body as written out again for the fingerprint.
    canonical: fn(&[u8]) -> String,
}

fn canonical<R: request::Request>(sent: &[u8]) -> String {
    let Ok((_, written)) = request::parse::<R>(sent) else {
        panic!("refused: {}", String::from_utf8_lossy(sent));
    };
    String::from_utf8(written).unwrap()
}

const DESCRIPTION: &str = r#""description":"Thanks \ud83d\ude00""#;
const METADATA: &str = r#""metadata":{"z":[1, 2.50,{"deep":null}],"a":"é\u00fc\/","n":18446744073709551615}"#;
const REFERENCE: &str = r#""reference":"order 4711""#;
const EXTERNAL_ID: &str = r#""external_id":"psp-9041""#;
const AMOUNT: &str = r#""amount":250"#;
const FROM: &str = r#""from":"0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f""#;
const TO: &str = r#""to":"0198C0DF-1A2B-7C3D-9E4F-5A6B7C8D9E0F""#;

const KINDS: &[Kind] = &[
    Kind {
        name: "create",
        method: Method::POST,
        path: "/v1/wallets",
        target: Target::None,
        required: &[r#""currency":"EUR""#],
        optional: &[
            METADATA,
            DESCRIPTION,
            r#""initial_balance":1000"#,
            r#""owner":"Ada Lovelace""#,
            EXTERNAL_ID,
            r#""id":"0198c0df-1a2b-7c3d-9e4f-5a6b7c8d9e0f""#,
        ],
        canonical: canonical::<create::Create>,
    },
    Kind {
        name: "credit",
        method: Method::POST,
        path: "/v1/wallets/{id}/credits",
        target: Target::Wallet,
        required: &[AMOUNT],
        optional: &[METADATA, DESCRIPTION, EXTERNAL_ID, REFERENCE],
        canonical: canonical::<credit::Credit>,
    },
    Kind {
        name: "debit",
        method: Method::POST,
        path: "/v1/wallets/{id}/debits",
        target: Target::Wallet,
        required: &[AMOUNT],
        optional: &[METADATA, DESCRIPTION, EXTERNAL_ID, REFERENCE],
        canonical: canonical::<debit::Debit>,
    },
    Kind {
        name: "transfer",
        method: Method::POST,
        path: "/v1/transfers",
        target: Target::None,
        required: &[AMOUNT, TO, FROM],
        optional: &[METADATA, DESCRIPTION, EXTERNAL_ID, REFERENCE],
        canonical: canonical::<transfer::Transfer>,
    },
    Kind {
        name: "hold",
        method: Method::POST,
        path: "/v1/wallets/{id}/holds",
        target: Target::Wallet,
        required: &[AMOUNT],
        optional: &[
            METADATA,
            DESCRIPTION,
            REFERENCE,
            r#""expires_at":"2030-01-31T14:00:00.1234567+02:00""#,
            r#""id":"0198c0e1-2b64-7d2e-9a41-5c6d7e8f9a0b""#,
        ],
        canonical: canonical::<hold::Hold>,
    },
    Kind {
        name: "capture",
        method: Method::POST,
        path: "/v1/holds/{id}/capture",
        target: Target::Hold,
        required: &[],
        optional: &[METADATA, DESCRIPTION, EXTERNAL_ID, REFERENCE, TO, AMOUNT],
        canonical: canonical::<capture::Capture>,
    },
    Kind {
        name: "release",
        method: Method::POST,
        path: "/v1/holds/{id}/release",
        target: Target::Hold,
        required: &[],
        optional: &[METADATA, DESCRIPTION, REFERENCE],
        canonical: canonical::<release::Release>,
    },
    Kind {
        name: "reversal",
        method: Method::POST,
        path: "/v1/transactions/{id}/reversals",
        target: Target::Transaction,
        required: &[],
        optional: &[METADATA, DESCRIPTION, EXTERNAL_ID, REFERENCE, AMOUNT],
        canonical: canonical::<reverse::Reversal>,
    },
    Kind {
        name: "freeze",
        method: Method::POST,
        path: "/v1/wallets/{id}/freeze",
        target: Target::Wallet,
        required: &[],
        optional: &[METADATA, DESCRIPTION],
        canonical: canonical::<freeze::Freeze>,
    },
    Kind {
        name: "unfreeze",
        method: Method::POST,
        path: "/v1/wallets/{id}/unfreeze",
        target: Target::Wallet,
        required: &[],
        optional: &[METADATA, DESCRIPTION],
        canonical: canonical::<unfreeze::Unfreeze>,
    },
    Kind {
        name: "close",
        method: Method::POST,
        path: "/v1/wallets/{id}/close",
        target: Target::Wallet,
        required: &[],
        optional: &[METADATA, DESCRIPTION],
        canonical: canonical::<close::Close>,
    },
    Kind {
        name: "overdraft_limit",
        method: Method::POST,
        path: "/v1/wallets/{id}/overdraft-limit",
        target: Target::Wallet,
        required: &[r#""overdraft_limit":500"#],
        optional: &[METADATA, DESCRIPTION],
        canonical: canonical::<overdraft_limit::OverdraftLimit>,
    },
    Kind {
        name: "erase",
        method: Method::POST,
        path: "/v1/wallets/{id}/erase",
        target: Target::Wallet,
        required: &[],
        optional: &[],
        canonical: canonical::<erase::Erase>,
    },
    Kind {
        name: "extend",
        method: Method::POST,
        path: "/v1/holds/{id}/extend",
        target: Target::Hold,
        required: &[r#""expires_at":"2030-02-28T14:00:00.1234567+02:00""#],
        optional: &[METADATA, DESCRIPTION, REFERENCE],
        canonical: canonical::<extend::Extend>,
    },
    Kind {
        name: "change",
        method: Method::PATCH,
        path: "/v1/wallets/{id}",
        target: Target::Wallet,
        required: &[r#""owner":null"#],
        optional: &[METADATA, DESCRIPTION],
        canonical: canonical::<change::ChangeDetails>,
    },
];

/// Commands in the large batch: a later kind must not change what is fixed for the existing ones.
const MANY: usize = 13;

/// A request as a client sends it, and what its fingerprint is made from.
pub(super) struct Sent {
    /// A title for people.
    pub(super) title: String,
    pub(super) method: Method,
    /// As sent; its ids may be in upper case.
    pub(super) path: String,
    /// As it goes into the fingerprint.
    pub(super) canonical_path: String,
    /// The version in `If-Match`.
    pub(super) version: Option<i64>,
    pub(super) body: String,
    pub(super) canonical: String,
}

/// The types of the commands that have requests here.
pub(super) fn kinds() -> Vec<&'static str> {
    KINDS.iter().map(|kind| kind.name).collect()
}

/// Every command on its own route, then every command in a batch, then a batch with a refused command.
pub(super) fn all() -> Vec<Sent> {
    let singles = KINDS
        .iter()
        .flat_map(|kind| [single(kind, true), single(kind, false)]);
    let batches = KINDS.iter().flat_map(|kind| {
        [true, false].map(|full| {
            let commands = [in_batch(kind, full)];
            batch(
                format!("{} in a batch, {}", kind.name, extent(full)),
                true,
                &commands,
            )
        })
    });
    let refused = r#"{"type": "credit",  "amount":1.50, "wallet_id":"no id"}"#.to_owned();
    let commands: Vec<String> = KINDS[..MANY].iter().map(|kind| in_batch(kind, false)).collect();
    let last = [
        batch("every command in a batch".to_owned(), true, &commands),
        batch(
            "a batch with a refused command".to_owned(),
            false,
            &[in_batch(&KINDS[1], false), refused],
        ),
    ];
    singles.chain(batches).chain(last).collect()
}

fn extent(full: bool) -> &'static str {
    if full { "all fields" } else { "required fields" }
}

fn fields(kind: &Kind, full: bool) -> Vec<String> {
    let optional = if full { kind.optional } else { &[] };
    optional
        .iter()
        .chain(kind.required)
        .map(|field| (*field).to_owned())
        .collect()
}

/// A wallet that is being created has no earlier version.
fn version(kind: &Kind, full: bool) -> Option<i64> {
    (full && kind.name != "create").then_some(7)
}

fn single(kind: &Kind, full: bool) -> Sent {
    let id = kind.target.id();
    let sent_id = if full { id.to_uppercase() } else { id.to_owned() };
    let body = format!("{{ {} }}", fields(kind, full).join(" , "));
    Sent {
        title: format!("{}, {}", kind.name, extent(full)),
        method: kind.method.clone(),
        path: kind.path.replace("{id}", &sent_id),
        canonical_path: kind.path.replace("{id}", id),
        version: version(kind, full),
        canonical: (kind.canonical)(body.as_bytes()),
        body,
    }
}

fn in_batch(kind: &Kind, full: bool) -> String {
    let mut fields = fields(kind, full);
    if kind.target != Target::None {
        fields.push(format!("\"{}\":\"{}\"", kind.target.field(), kind.target.id()));
    }
    fields.extend(version(kind, full).map(|version| format!("\"expected_version\":{version}")));
    fields.push(format!("\"type\":\"{}\"", kind.name));
    format!("{{{}}}", fields.join(", "))
}

fn batch(title: String, atomic: bool, commands: &[String]) -> Sent {
    let body = format!(
        "{{\"commands\": [ {} ], \"atomic\": {atomic}}}",
        commands.join(" , ")
    );
    let origin = |index| Origin {
        caller: "",
        key: "",
        index,
    };
    let Ok(read) = Batch::parse(body.as_bytes(), &Currencies::iso_4217(), origin) else {
        panic!("refused: {body}");
    };
    let canonical = String::from_utf8(read.written).unwrap();
    Sent {
        title,
        method: Method::POST,
        path: "/v1/batches".to_owned(),
        canonical_path: "/v1/batches".to_owned(),
        version: None,
        canonical,
        body,
    }
}

/// The write routes in front of a queue without writers.
pub(super) struct Routes {
    router: axum::Router,
    captured: Captured,
}

impl Routes {
    pub(super) fn new() -> Self {
        let (queue, captured) = Enqueue::captured();
        // Never queried: an erasure without an answer removes nothing.
        let journal = sqlx::PgPool::connect_lazy("postgres://localhost/nowhere").unwrap();
        Self {
            router: router(CommandState::new(queue, Currencies::iso_4217(), journal)),
            captured,
        }
    }

    /// What the request asks of the journal.
    pub(super) async fn send(&self, sent: &Sent) -> wallex_journal::append::Request {
        let mut request = Request::builder()
            .method(&sent.method)
            .uri(&sent.path)
            .header(IDEMPOTENCY_KEY, "order-4711")
            .header("content-type", "application/json");
        if let Some(version) = sent.version {
            request = request.header("if-match", format!("\"{version}\""));
        }
        let request = request.body(Body::from(sent.body.clone())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        self.captured
            .take()
            .unwrap_or_else(|| panic!("{}: {status}, {}", sent.title, sent.body))
    }
}
