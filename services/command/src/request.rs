//! A kind of command over HTTP: a route of its own, and a command of a batch. Each kind declares here what it is; both
//! entry points follow from that, and so does the API description.
//!
//! The invariant: a command means the same on either path.

use axum::extract::{self, FromRequest, FromRequestParts};
use axum::response::Response;
use utoipa::openapi::HttpMethod;
use uuid::Uuid;
use wallex_domain::{Change, ChangeWallet, Command, Currency, WalletId};
use wallex_journal::append::{Item, Work};
use wallex_runtime::http::{Code, Id, Problem, capitalised};

use crate::answer::Shape;
use crate::body::{Movement, Personal, announced, received};
use crate::fields::{Fields, Value as _};
use crate::headers::{Origin, WriteHead};
use crate::state::CommandState;
use crate::value::Version;
use crate::{MAX_BODY, json, problem};

pub(crate) type Route = wallex_runtime::http::Route<CommandState>;

/// A kind of command. See `commands/mod.rs` for the full list.
pub(crate) trait Request: Sized + 'static {
    /// Its `type` in a batch and in answers: [`Command::kind`].
    const TYPE: &'static str;
    const ROUTE: OwnRoute;
    /// `None` when the body names the target, or when the command creates something new.
    const TARGET: Option<Target>;
    type Body: Send + 'static;
    /// For the API description: the body, and the command in a batch.
    const ABOUT: &'static str;
    const ABOUT_IN_BATCH: &'static str = Self::ABOUT;
    /// The wallet version that it may expect; `None` when there is no wallet yet.
    const EXPECTS: Option<Expected> = Some(Expected::PAYER);
    const ANSWER: &'static Shape;
    /// Describes the success response of its own route.
    const DONE: &'static str = "Done";
    /// The rejections that it may end in, beyond those of every write.
    const REJECTIONS: &'static [Code];

    /// Takes the body's fields, always in the same order, because the order is part of the fingerprint. `None`, with the
    /// error noted, if one cannot be taken.
    fn read(fields: &mut Fields<'_>) -> Option<Self::Body>;

    /// The currency that it introduces, which must be one of the platform's.
    fn new_currency(_: &Self::Body) -> Option<Currency> {
        None
    }

    fn item(body: Self::Body, given: Given<'_>) -> Result<Item, Problem>;
}

/// What a command is given besides its body.
pub(crate) struct Given<'a> {
    pub(crate) origin: Origin<'a>,
    /// Nil for a command without a target.
    pub(crate) target: Uuid,
    pub(crate) expected_version: Option<i64>,
}

impl Given<'_> {
    /// Moves money from outside into the wallet, or out of it.
    pub(crate) fn movement(
        self,
        command: fn(wallex_domain::Movement) -> Command,
        body: Movement,
    ) -> Result<Item, Problem> {
        body.said.beside(|reference, external_id, personal| {
            command(wallex_domain::Movement {
                wallet_id: WalletId(self.target),
                amount: body.amount,
                reference,
                external_id,
                personal,
                expected_version: self.expected_version,
            })
        })
    }

    /// Changes the wallet without moving money.
    pub(crate) fn change(self, change: Change, personal: Personal) -> Result<Item, Problem> {
        personal.beside(|personal| {
            Command::Change(ChangeWallet {
                wallet_id: WalletId(self.target),
                change,
                personal,
                expected_version: self.expected_version,
            })
        })
    }
}

/// Describes the wallet version that a command may expect: as `If-Match`, and as a field in a batch.
pub(crate) struct Expected {
    pub(crate) header: &'static str,
    pub(crate) field: &'static str,
}

impl Expected {
    pub(crate) const PAYER: Self = Self {
        header: "Only if the wallet (the one that pays) has this version, as in the ETag header",
        field: "Only if the wallet (of a transfer: the one that pays) has this version.",
    };
}

/// The route that a command has of its own.
pub(crate) struct OwnRoute {
    pub(crate) method: HttpMethod,
    pub(crate) path: &'static str,
    pub(crate) tag: &'static str,
    /// The operation's id in the API description.
    pub(crate) id: &'static str,
    pub(crate) summary: &'static str,
}

impl OwnRoute {
    pub(crate) const fn post(
        path: &'static str,
        tag: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        Self {
            method: HttpMethod::Post,
            path,
            tag,
            id,
            summary,
        }
    }

    /// The name of the operation's own schema: `creditWallet` has `CreditWalletRequest`.
    pub(crate) fn schema(&self, what: &str) -> String {
        format!("{}{what}", capitalised(self.id))
    }
}

/// The target of a command: an id in the path of its own route, and a field in a batch.
pub(crate) struct Target {
    /// Describes the id in the path.
    pub(crate) id: &'static str,
    field: &'static str,
    about: &'static str,
}

impl Target {
    pub(crate) const WALLET: Self = Self {
        id: "The wallet's id",
        field: "wallet_id",
        about: "The wallet",
    };
    pub(crate) const HOLD: Self = Self {
        id: "The hold's id",
        field: "hold_id",
        about: "The hold",
    };
    pub(crate) const TRANSACTION: Self = Self {
        id: "The transaction's id",
        field: "transaction_id",
        about: "The transaction to take back",
    };
}

/// A request to the command's own route.
pub(crate) struct Sent<R: Request> {
    state: CommandState,
    target: Uuid,
    head: WriteHead,
    body: R::Body,
    written: Vec<u8>,
}

impl<R: Request> FromRequest<CommandState> for Sent<R> {
    type Rejection = Problem;

    async fn from_request(request: extract::Request, state: &CommandState) -> Result<Self, Problem> {
        announced(request.body(), MAX_BODY)?;
        let (mut parts, body) = request.into_parts();
        let target = match R::TARGET {
            Some(_) => Id::from_request_parts(&mut parts, state).await?.uuid(),
            None => Uuid::nil(),
        };
        let head = WriteHead::from_request_parts(&mut parts, state).await?;
        let body = received(body, MAX_BODY).await?;
        let (body, written) = parse::<R>(&head.json(body, may_be_absent::<R>)?)?;
        Ok(Self {
            state: state.clone(),
            target,
            head,
            body,
            written,
        })
    }
}

/// Handles a request to the command's own route.
pub(crate) async fn run<R: Request>(sent: Sent<R>) -> Result<Response, Problem> {
    sent.run().await
}

impl<R: Request> Sent<R> {
    /// Submits the command and answers with the journal's result.
    pub(crate) async fn run(self) -> Result<Response, Problem> {
        let (state, head) = (self.state, self.head);
        if R::EXPECTS.is_none() && head.expected_version.is_some() {
            return Err(problem::precondition_malformed());
        }
        if let Some(unknown) = R::new_currency(&self.body).filter(|new| !state.has_currency(*new)) {
            return Err(problem::currency_unknown(unknown, "/currency"));
        }
        let given = Given {
            origin: head.origin(0),
            target: self.target,
            expected_version: head.expected_version,
        };
        let item = R::item(self.body, given)?;
        let fingerprint = head.fingerprint(&self.written);
        state.submit(head, fingerprint, Work::One(item)).await
    }
}

/// The body, and its canonical form.
pub(crate) fn parse<R: Request>(bytes: &[u8]) -> Result<(R::Body, Vec<u8>), Problem> {
    let json = json::check(bytes).map_err(|error| problem::malformed_json(&error))?;
    let mut fields = Fields::of(json::tree(json), "").map_err(|invalid| Problem::invalid(vec![invalid]))?;
    let body = R::read(&mut fields);
    fields.finish(body).map_err(Problem::invalid)
}

/// Whether an object without any fields is a valid body: then the request may omit it.
pub(crate) fn may_be_absent<R: Request>() -> bool {
    parse::<R>(b"{}").is_ok()
}

/// A parsed command of a batch.
pub(crate) struct Read {
    pub(crate) item: Result<Item, Problem>,
    pub(crate) new_currency: Option<Currency>,
}

/// Takes the fields of a batch's command, except its `type`.
pub(crate) fn read<R: Request>(fields: &mut Fields<'_>, origin: Origin<'_>) -> Option<Read> {
    let target = match R::TARGET {
        Some(target) => fields.take(target.field, target.about),
        None => Some(Uuid::nil()),
    };
    let expected_version = match &R::EXPECTS {
        Some(expected) => fields.take("expected_version", expected.field),
        None => fields.optional("expected_version", Version::read),
    };
    let body = R::read(fields);
    let (target, expected_version, body) = (target?, expected_version?, body?);
    if R::EXPECTS.is_none() && expected_version.is_some() {
        fields.refuse(
            "/expected_version",
            "cannot be used to create a wallet: a new wallet has no version yet",
        );
    }
    let given = Given {
        origin,
        target,
        expected_version: expected_version.map(|version: Version| version.0),
    };
    Some(Read {
        new_currency: R::new_currency(&body),
        item: R::item(body, given),
    })
}
