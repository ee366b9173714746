//! Many commands in one request: one idempotency key, one transaction, one answer per command.

use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use utoipa::ToSchema;
use wallex_domain::{Change, Command, Currencies, Currency, Positions};
use wallex_journal::append::{Answer, BatchOutcome, Item};
use wallex_platform::http::Problem;

use crate::body::{
    self, CaptureHoldItem, CreateWalletItem, EraseItem, Kind, MovementItem, MovementKind, NoteItem, NoteKind,
    OverdraftLimitItem, PlaceHoldItem, ReleaseHoldItem, ReversalItem, TransferItem, Unfit,
};
use crate::item::{self, Origin};
use crate::problem;

/// Commands of one batch at most.
const MAX_COMMANDS: usize = 1_000;

/// What is read first: the commands stay text until each is read by its type.
#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
struct Envelope {
    atomic: bool,
    #[garde(length(min = 1, max = MAX_COMMANDS))]
    commands: Vec<Box<RawValue>>,
}

#[derive(Deserialize, Validate)]
#[garde(allow_unvalidated)]
struct Tag {
    r#type: Kind,
}

/// Up to 1,000 commands in order, each seeing what the ones before it did.
#[derive(Debug, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Batch)]
pub(crate) struct BatchBody {
    /// true: all or none. false: a command that is rejected leaves the others be.
    atomic: bool,
    #[schema(min_items = 1, max_items = 1000)]
    commands: Vec<Entry>,
}

/// One command: the fields of its own route, `type`, and what that route has in its path.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = BatchCommand)]
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

impl BatchBody {
    pub(crate) fn atomic(&self) -> bool {
        self.atomic
    }

    /// Reads and validates; every offending field of every command is named.
    pub(crate) fn parse(bytes: &[u8], currencies: &Currencies) -> Result<Self, Problem> {
        let Envelope { atomic, commands } = body::parse(bytes, "")?;
        let mut entries = Vec::with_capacity(commands.len());
        let mut errors: Vec<Value> = Vec::new();
        for (index, text) in commands.iter().enumerate() {
            let at = format!("/commands/{index}");
            match Entry::parse(text.get().as_bytes(), &at) {
                Ok(entry) => {
                    if let Some(currency) = entry.new_currency()
                        && currencies.exponent(currency).is_none()
                    {
                        let detail = "is not a currency of this platform; GET /v1/currencies lists them";
                        errors.push(json!({"pointer": format!("{at}/currency"), "detail": detail}));
                    }
                    entries.push(entry);
                }
                Err(Unfit::Fields(more)) => errors.extend(more),
                Err(Unfit::Malformed(error)) => return Err(problem::malformed_json(&error)),
            }
        }
        if !errors.is_empty() {
            return Err(problem::validation(errors));
        }
        Ok(Self {
            atomic,
            commands: entries,
        })
    }

    pub(crate) fn into_items(self, caller: &str, key: &str) -> Result<Vec<Item>, Problem> {
        let entries = self.commands.into_iter().enumerate();
        entries
            .map(|(index, entry)| entry.into_item(Origin { caller, key, index }))
            .collect()
    }
}

impl Entry {
    fn parse(text: &[u8], at: &str) -> Result<Self, Unfit> {
        let Tag { r#type } = body::parse(text, at)?;
        Ok(match r#type {
            Kind::Create => Self::Create(body::parse(text, at)?),
            Kind::Credit | Kind::Debit => Self::Movement(body::parse(text, at)?),
            Kind::Transfer => Self::Transfer(body::parse(text, at)?),
            Kind::Hold => Self::PlaceHold(body::parse(text, at)?),
            Kind::Capture => Self::CaptureHold(body::parse(text, at)?),
            Kind::Release => Self::ReleaseHold(body::parse(text, at)?),
            Kind::Reversal => Self::Reversal(body::parse(text, at)?),
            Kind::Freeze | Kind::Unfreeze | Kind::Close => Self::Note(body::parse(text, at)?),
            Kind::OverdraftLimit => Self::OverdraftLimit(body::parse(text, at)?),
            Kind::Erase => Self::Erase(body::parse(text, at)?),
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
            Self::Create(entry) if entry.expected_version.is_some() => {
                let at = format!("/commands/{}/expected_version", origin.index);
                let detail = "a wallet that does not exist yet has no version";
                Err(problem::validation(vec![
                    json!({"pointer": at, "detail": detail}),
                ]))
            }
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

/// Answer to a batch.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchAnswer<'a> {
    /// Commands that were done.
    committed: usize,
    /// Commands that were rejected; always 0 of an atomic batch that was done.
    rejected: usize,
    /// One per command, in order.
    results: Vec<CommandResult<'a>>,
}

/// What the command's own route would have answered.
#[derive(Serialize, ToSchema)]
struct CommandResult<'a> {
    #[schema(example = 201)]
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "3:1042")]
    position: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'a str>,
    /// The answer of the command's own route, or a problem.
    #[schema(value_type = Object)]
    body: Option<&'a RawValue>,
}

impl<'a> From<&'a Answer> for CommandResult<'a> {
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
    let body = BatchAnswer {
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
