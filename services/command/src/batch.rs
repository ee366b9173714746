//! Many commands in one request: one idempotency key, one transaction, one answer per command.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::openapi::schema::{Discriminator, OneOfBuilder};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use wallex_domain::{Change, Command, Currencies, Currency, Positions};
use wallex_journal::append::{Answer, BatchOutcome, Item, Work};
use wallex_runtime::http::{Code, Invalid, PROBLEM, Problem};

use crate::answer::RESULTS;
use crate::body::{
    CaptureHoldItem, CaptureKind, CreateKind, CreateWalletItem, EraseItem, Kind, MovementItem, MovementKind,
    NoteItem, NoteKind, OverdraftLimitItem, OverdraftLimitKind, PlaceHoldItem, PlaceHoldKind,
    ReleaseHoldItem, ReleaseKind, ReversalItem, ReversalKind, TransferItem, TransferKind, Unfit,
};
use crate::fields::{Fields, MAX_MEMBERS, wrong};
use crate::item::{self, Origin};
use crate::json::{self, Node};
use crate::value::Value as _;
use crate::{problem, routes};

/// Commands of one batch at most.
const MAX_COMMANDS: usize = 1_000;
/// Errors that are told of an atomic batch at most: those of its first commands that have any.
const MAX_ERRORS: usize = 100;

/// For the API description: up to 1,000 commands in order, each seeing what the ones before it did.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Batch)]
pub(crate) struct BatchBody {
    /// true: all or none. false: a command that is rejected leaves the others be, also one whose fields cannot be
    /// accepted.
    atomic: bool,
    #[schema(min_items = 1, max_items = 1000)]
    commands: Vec<BatchCommand>,
}

/// For the API description: one command, told apart by `type`.
#[derive(Serialize)]
pub(crate) enum BatchCommand {}

impl PartialSchema for BatchCommand {
    fn schema() -> RefOr<Schema> {
        let commands = Kind::schemas();
        let commands = commands
            .iter()
            .map(|(r#type, name, _)| ((*r#type).to_owned(), *name));
        told_apart_by_type(
            "The fields of the command's own route, and what that route has in its path or in If-Match.",
            commands,
        )
    }
}

impl ToSchema for BatchCommand {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        let commands = Kind::schemas().into_iter();
        schemas.extend(commands.map(|(_, name, schema)| (name.to_owned(), schema)));
    }
}

/// One of several schemas. `by_type` are the values of `type` that each has.
fn told_apart_by_type(
    description: &str,
    by_type: impl Iterator<Item = (String, &'static str)>,
) -> RefOr<Schema> {
    let mut discriminator = Discriminator::new("type");
    let mut names = Vec::new();
    for (r#type, name) in by_type {
        let schema = Ref::from_schema_name(name).ref_location;
        discriminator.mapping.insert(r#type, schema);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let one_of = names.into_iter().map(Ref::from_schema_name);
    let one_of = one_of.fold(OneOfBuilder::new(), OneOfBuilder::item);
    let one_of = one_of
        .description(Some(description))
        .discriminator(Some(discriminator));
    Schema::OneOf(one_of.build()).into()
}

/// A batch as it was read. Written out again it is what the request's fingerprint covers.
#[derive(Debug, Serialize)]
pub(crate) struct Batch<'a> {
    atomic: bool,
    commands: Vec<Row<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Row<'a> {
    Command(Entry),
    /// Of a batch that is not atomic: it cannot be accepted, and so is answered without being decided on.
    Refused(Refused<'a>),
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Refused<'a> {
    /// As it was sent.
    text: &'a RawValue,
    #[serde(skip)]
    problem: Problem,
}

/// One command: the fields of its own route, `type`, and what that route has in its path.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Entry {
    Create(CreateWalletItem),
    Movement(MovementItem),
    Transfer(TransferItem),
    PlaceHold(PlaceHoldItem),
    CaptureHold(CaptureHoldItem),
    ReleaseHold(ReleaseHoldItem),
    Reversal(ReversalItem),
    Note(NoteItem),
    OverdraftLimit(OverdraftLimitItem),
    Erase(EraseItem),
}

impl<'a> Batch<'a> {
    /// Reads and validates. Of an atomic batch everything that cannot be accepted refuses the whole and is told at once;
    /// otherwise it is the result of its command.
    pub(crate) fn parse(bytes: &'a [u8], currencies: &Currencies) -> Result<Self, Unfit> {
        let json = json::check(bytes).map_err(Unfit::Malformed)?;
        let Envelope { atomic, texts } = Envelope::read(json).map_err(Unfit::Fields)?;
        let mut commands = Vec::with_capacity(texts.len());
        let mut errors = Vec::new();
        for (index, text) in texts.into_iter().enumerate() {
            let text: &RawValue = serde_json::from_str(text).map_err(Unfit::Malformed)?;
            match Entry::parse(text, index, currencies) {
                Ok(entry) => commands.push(Row::Command(entry)),
                Err(refusal) if atomic => errors.extend(refusal.into_errors()),
                Err(refusal) => commands.push(Row::Refused(Refused {
                    text,
                    problem: refusal.into(),
                })),
            }
            if errors.len() >= MAX_ERRORS {
                errors.truncate(MAX_ERRORS);
                break;
            }
        }
        if errors.is_empty() {
            Ok(Self { atomic, commands })
        } else {
            Err(Unfit::Fields(errors))
        }
    }

    /// The commands to decide on, and the answers to those that are refused, by their place in the batch.
    pub(crate) fn into_work(self, caller: &str, key: &str) -> Result<Work, Problem> {
        let (mut items, mut refused) = (Vec::with_capacity(self.commands.len()), Vec::new());
        for (index, row) in self.commands.into_iter().enumerate() {
            match row {
                Row::Command(entry) => items.push(entry.into_item(Origin { caller, key, index })?),
                Row::Refused(row) => refused.push((index, problem::as_answer(&row.problem))),
            }
        }
        Ok(Work::Batch {
            items,
            refused,
            atomic: self.atomic,
        })
    }
}

/// What is read first: the commands stay text until each is read by its type, one after the other.
struct Envelope<'a> {
    atomic: bool,
    texts: Vec<&'a str>,
}

impl<'a> Envelope<'a> {
    fn read(json: &'a RawValue) -> Result<Self, Vec<Invalid>> {
        let mut texts = None;
        // Everything but the commands is small, or refused for its name.
        let others = json::members(json, MAX_MEMBERS).map(|members| {
            let nodes = members.into_iter().map(|(name, text)| {
                let node = if name == "commands" && texts.is_none() {
                    texts = Some(json::items(text, MAX_COMMANDS + 1));
                    Node::Null
                } else {
                    json::shallow(text)
                };
                (name, node)
            });
            nodes.collect()
        });
        let mut fields =
            Fields::of(others.map_or(Node::Null, Node::Object), "").map_err(|invalid| vec![invalid])?;
        let atomic = fields.required("atomic", bool::read);
        let texts = fields.required("commands", |_| match texts.flatten() {
            Some(texts) if (1..=MAX_COMMANDS).contains(&texts.len()) => Ok(texts),
            Some(_) | None => wrong(format!("must be an array of 1 to {MAX_COMMANDS} commands")),
        });
        fields.finish(atomic.zip(texts).map(|(atomic, texts)| Self { atomic, texts }))
    }
}

/// Why a command cannot be accepted.
enum Refusal {
    Fields(Vec<Invalid>),
    /// Its own route has a code of its own for that.
    CurrencyUnknown(Currency, usize),
}

impl Refusal {
    fn into_errors(self) -> Vec<Invalid> {
        match self {
            Self::Fields(errors) => errors,
            Self::CurrencyUnknown(_, index) => {
                vec![Invalid::at(
                    format!("/commands/{index}/currency"),
                    "must be a currency of this platform; GET /v1/currencies lists them",
                )]
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Fields(errors) => Self::invalid(errors),
            Refusal::CurrencyUnknown(currency, index) => {
                problem::currency_unknown(currency, &format!("/commands/{index}/currency"))
            }
        }
    }
}

impl Entry {
    fn parse(text: &RawValue, index: usize, currencies: &Currencies) -> Result<Self, Refusal> {
        let at = format!("/commands/{index}");
        if text.get().len() > crate::MAX_BODY {
            let detail = format!("must have at most {} bytes, as on its own route", crate::MAX_BODY);
            return Err(Refusal::Fields(vec![Invalid::at(at, detail)]));
        }
        let mut fields =
            Fields::of(json::tree(text), &at).map_err(|invalid| Refusal::Fields(vec![invalid]))?;
        let Some(kind) = fields.required("type", Kind::read) else {
            // Which other fields there are, only the type says.
            return Err(Refusal::Fields(fields.abandon()));
        };
        let entry = Self::read(kind, &mut fields);
        let entry = fields.finish(entry).map_err(Refusal::Fields)?;
        match entry.new_currency() {
            Some(currency) if currencies.exponent(currency).is_none() => {
                Err(Refusal::CurrencyUnknown(currency, index))
            }
            Some(_) | None => Ok(entry),
        }
    }

    fn read(kind: Kind, fields: &mut Fields<'_>) -> Option<Self> {
        Some(match kind {
            Kind::Create => {
                let create = CreateWalletItem::read(CreateKind::Create, fields)?;
                if create.expected_version.is_some() {
                    fields.refuse(
                        "/expected_version",
                        "cannot be used to create a wallet: a new wallet has no version yet",
                    );
                }
                Self::Create(create)
            }
            Kind::Credit => Self::Movement(MovementItem::read(MovementKind::Credit, fields)?),
            Kind::Debit => Self::Movement(MovementItem::read(MovementKind::Debit, fields)?),
            Kind::Transfer => Self::Transfer(TransferItem::read(TransferKind::Transfer, fields)?),
            Kind::Hold => Self::PlaceHold(PlaceHoldItem::read(PlaceHoldKind::Hold, fields)?),
            Kind::Capture => Self::CaptureHold(CaptureHoldItem::read(CaptureKind::Capture, fields)?),
            Kind::Release => Self::ReleaseHold(ReleaseHoldItem::read(ReleaseKind::Release, fields)?),
            Kind::Reversal => Self::Reversal(ReversalItem::read(ReversalKind::Reversal, fields)?),
            Kind::Freeze => Self::Note(NoteItem::read(NoteKind::Freeze, fields)?),
            Kind::Unfreeze => Self::Note(NoteItem::read(NoteKind::Unfreeze, fields)?),
            Kind::Close => Self::Note(NoteItem::read(NoteKind::Close, fields)?),
            Kind::OverdraftLimit => Self::OverdraftLimit(OverdraftLimitItem::read(
                OverdraftLimitKind::OverdraftLimit,
                fields,
            )?),
            Kind::Erase => Self::Erase(EraseItem::read(fields)?),
        })
    }

    fn new_currency(&self) -> Option<Currency> {
        match self {
            Self::Create(create) => Some(create.currency),
            Self::Movement(_)
            | Self::Transfer(_)
            | Self::PlaceHold(_)
            | Self::CaptureHold(_)
            | Self::ReleaseHold(_)
            | Self::Reversal(_)
            | Self::Note(_)
            | Self::OverdraftLimit(_)
            | Self::Erase(_) => None,
        }
    }

    fn into_item(self, origin: Origin<'_>) -> Result<Item, Problem> {
        match self {
            Self::Create(entry) => item::create(origin, entry.into_body()),
            Self::Movement(entry) => {
                let command = match entry.r#type {
                    MovementKind::Credit => Command::Credit,
                    MovementKind::Debit => Command::Debit,
                };
                item::movement(
                    command,
                    entry.wallet_id,
                    entry.expected_version,
                    entry.into_body(),
                )
            }
            Self::Transfer(entry) => item::transfer(entry.expected_version, entry.into_body()),
            Self::PlaceHold(entry) => {
                item::place_hold(origin, entry.wallet_id, entry.expected_version, entry.into_body())
            }
            Self::CaptureHold(entry) => {
                item::capture_hold(entry.hold_id, entry.expected_version, entry.into_body())
            }
            Self::ReleaseHold(entry) => {
                item::release_hold(entry.hold_id, entry.expected_version, entry.into_body())
            }
            Self::Reversal(entry) => {
                item::reverse(entry.transaction_id, entry.expected_version, entry.into_body())
            }
            Self::Note(entry) => {
                let change = match entry.r#type {
                    NoteKind::Freeze => Change::Freeze,
                    NoteKind::Unfreeze => Change::Unfreeze,
                    NoteKind::Close => Change::Close,
                };
                item::change(change, entry.wallet_id, entry.expected_version, entry.into_body())
            }
            Self::OverdraftLimit(entry) => {
                item::overdraft_limit(entry.wallet_id, entry.expected_version, entry.into_body())
            }
            Self::Erase(entry) => item::erase(entry.wallet_id, entry.expected_version),
        }
    }
}

/// What a batch did.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchResult<'a> {
    /// Commands that were done.
    #[schema(maximum = 1000)]
    committed: usize,
    /// Commands that were rejected; always 0 of an atomic batch that was done.
    #[schema(maximum = 1000)]
    rejected: usize,
    /// One per command, in order.
    #[schema(value_type = Vec<BatchCommandResult>, min_items = 1, max_items = 1000)]
    results: Vec<BatchCommandResult<'a>>,
}

/// What the command's own route would have answered.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchCommandResult<'a> {
    /// 201, or the status of the problem.
    #[schema(minimum = 201, maximum = 599)]
    status: u16,
    /// Version of the wallet; of two: of the one that pays.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<&'a str>,
    /// Where the events stand: partition:seq, of two wallets both.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9]+:[0-9]+(,[0-9]+:[0-9]+)*$")]
    position: Option<&'a str>,
    /// Path of what this has made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uri-reference")]
    location: Option<&'a str>,
    #[schema(value_type = BatchCommandBody, required = true)]
    body: Option<&'a RawValue>,
}

/// For the API description: what a command of a batch is answered.
pub(crate) enum BatchCommandBody {}

impl PartialSchema for BatchCommandBody {
    fn schema() -> RefOr<Schema> {
        let done = RESULTS.iter().flat_map(|result| {
            let types = result.types.iter();
            types.map(|r#type| ((*r#type).to_owned(), result.name))
        });
        // Those of the batch as a whole are no command's.
        let refused = routes::rejections().flat_map(|problems| problems.codes);
        let refused = [Code::ValidationFailed]
            .iter()
            .chain(refused.filter(|code| **code != Code::BatchRejected))
            .map(|code| (code.page(), PROBLEM));
        told_apart_by_type(
            "The result of the command's own route, or a problem: `status` says which.",
            done.chain(refused),
        )
    }
}

impl ToSchema for BatchCommandBody {}

impl<'a> From<&'a Answer> for BatchCommandResult<'a> {
    fn from(answer: &'a Answer) -> Self {
        Self {
            status: answer.status,
            etag: answer.etag.as_deref(),
            position: answer.position.as_deref(),
            location: answer.location.as_deref(),
            // JSON of this program's own.
            body: serde_json::from_slice(&answer.body).ok(),
        }
    }
}

/// The journal's [`wallex_journal::append::Render`] for batches.
pub(crate) fn render(outcome: BatchOutcome<'_>) -> Answer {
    let answers = match outcome {
        Ok(answers) => answers,
        Err((index, answer)) => {
            let cause: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            return problem::as_answer(&problem::batch_rejected(index, cause));
        }
    };
    let committed = answers.iter().filter(|answer| answer.status < 400).count();
    let body = BatchResult {
        committed,
        rejected: answers.len() - committed,
        results: answers.iter().map(Into::into).collect(),
    };
    Answer {
        status: 200,
        // Structs of texts, numbers and JSON always serialise.
        body: serde_json::to_vec(&body).unwrap_or_default().into(),
        etag: None,
        position: last_positions(answers),
        location: None,
    }
}

/// The last position in each partition: who has read up to there has read them all.
fn last_positions(answers: &[Answer]) -> Option<String> {
    let positions = answers
        .iter()
        .filter_map(|answer| answer.position.as_deref()?.parse::<Positions>().ok())
        .flat_map(|positions| positions.0);
    let mut last = std::collections::BTreeMap::new();
    for position in positions {
        let seq = last.entry(position.partition).or_insert(position.seq);
        *seq = position.seq.max(*seq);
    }
    let positions = last
        .into_iter()
        .map(|(partition, seq)| wallex_domain::Position { partition, seq });
    let positions = Positions(positions.collect());
    (!positions.0.is_empty()).then(|| positions.to_string())
}
