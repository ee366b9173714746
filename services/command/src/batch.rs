//! Many commands in one request: one idempotency key, one transaction, one answer per command.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::openapi::schema::{Discriminator, OneOfBuilder};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::routes;
use wallex_domain::{Currencies, Currency, Positions};
use wallex_journal::append::{Answer, BatchOutcome, Item, Work};
use wallex_runtime::http::{Code, Invalid, PROBLEM, Problem, Problems, with_problems};

use crate::commands::COMMANDS;
use crate::fields::{Fields, MAX_MEMBERS, Read, Value as _, wrong};
use crate::headers::{Origin, Whole};
use crate::json::{self, Node};
use crate::register::Registered;
use crate::request::Route;
use crate::state::CommandState;
use crate::{MAX_BATCH_BODY, MAX_BODY, problem};

/// Maximum number of commands in one batch.
const MAX_COMMANDS: usize = 1_000;
/// Maximum number of errors reported for an atomic batch: those of its first invalid commands.
const MAX_ERRORS: usize = 100;

/// For the API description: up to 1,000 commands in order, each seeing what the ones before it did.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RunBatchRequest)]
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
        told_apart_by_type(
            "The fields of the command's own route, and what that route has in its path or in If-Match.",
            COMMANDS
                .iter()
                .map(|command| (command.r#type.to_owned(), (command.schema)().0)),
        )
    }
}

impl ToSchema for BatchCommand {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.extend(COMMANDS.iter().map(|command| (command.schema)()));
    }
}

/// One of several schemas. `by_type` lists the values of `type` with the schema of each.
fn told_apart_by_type(description: &str, by_type: impl Iterator<Item = (String, String)>) -> RefOr<Schema> {
    let mut discriminator = Discriminator::new("type");
    let mut names = Vec::new();
    for (r#type, name) in by_type {
        let schema = Ref::from_schema_name(&name).ref_location;
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

/// A parsed batch.
pub(crate) struct Batch {
    pub(crate) work: Work,
    /// What the request's fingerprint covers.
    pub(crate) written: Vec<u8>,
}

impl Batch {
    /// Reads and validates. In an atomic batch everything invalid is reported at once, and the whole batch is refused;
    /// otherwise the refusal is the result of its command, which is not decided on. `origin` gives the origin of the
    /// command at an index.
    pub(crate) fn parse<'a>(
        bytes: &[u8],
        currencies: &Currencies,
        origin: impl Fn(usize) -> Origin<'a>,
    ) -> Result<Self, Problem> {
        let json = json::check(bytes).map_err(|error| problem::malformed_json(&error))?;
        let Envelope { atomic, texts } = Envelope::read(json).map_err(Problem::invalid)?;
        let mut written = format!("{{\"atomic\":{atomic},\"commands\":[").into_bytes();
        let (mut items, mut refused) = (Vec::with_capacity(texts.len()), Vec::new());
        let mut errors = Vec::new();
        for (index, text) in texts.into_iter().enumerate() {
            if index > 0 {
                written.push(b',');
            }
            let text: &RawValue =
                serde_json::from_str(text).map_err(|error| problem::malformed_json(&error))?;
            match read(text, origin(index), currencies) {
                Ok((item, command)) => {
                    items.push(item?);
                    written.extend(command);
                }
                Err(refusal) if atomic => errors.extend(refusal.into_errors()),
                Err(refusal) => {
                    refused.push((index, problem::as_answer(&refusal.into())));
                    // As it was sent.
                    written.extend(text.get().bytes());
                }
            }
            if errors.len() >= MAX_ERRORS {
                errors.truncate(MAX_ERRORS);
                break;
            }
        }
        if !errors.is_empty() {
            return Err(Problem::invalid(errors));
        }
        written.extend(b"]}");
        let work = Work::Batch {
            items,
            refused,
            atomic,
        };
        Ok(Self { work, written })
    }
}

/// Runs up to 1,000 commands in one transaction, in order, under one key.
///
/// A batch has up to 20 MiB, each of its commands up to 256 KiB.
#[utoipa::path(
    post, path = "/v1/batches", tag = "batches", operation_id = "runBatch",
    params(("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters; the same for every retry. One for the whole batch", min_length = 1, max_length = 255)),
    request_body = BatchBody,
    responses(
        (status = 200, description = "Done; results has an answer per command", body = BatchResult, headers(("Wallex-Position" = String, description = "The last position in each partition"), ("Idempotency-Replayed" = String))),
    )
)]
async fn run(
    State(state): State<CommandState>,
    Whole { head, body }: Whole<MAX_BATCH_BODY>,
) -> Result<Response, Problem> {
    if head.expected_version.is_some() {
        return Err(problem::precondition_malformed());
    }
    let bytes = head.json(body, || false)?;
    let batch = Batch::parse(&bytes, &state.shared.currencies, |index| head.origin(index))?;
    let fingerprint = head.fingerprint(&batch.written);
    // While it waits, a full batch of the longest texts is not held in memory twice.
    drop((bytes, batch.written));
    state.submit(head, fingerprint, batch.work).await
}

/// The problems that only a batch can end in, beyond those of every write.
pub(crate) const REJECTIONS: Problems = Problems {
    name: "",
    codes: &[Code::BatchRejected],
};

pub(crate) fn route() -> Route {
    with_problems(routes!(run), &[problem::WRITE, REJECTIONS])
}

/// The first pass: commands stay text until each is read by its type, one after the other.
struct Envelope<'a> {
    atomic: bool,
    texts: Vec<&'a str>,
}

impl<'a> Envelope<'a> {
    fn read(json: &'a RawValue) -> Result<Self, Vec<Invalid>> {
        let mut texts = None;
        // Everything but the commands is small, or refused because of its name.
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
        let envelope = atomic.zip(texts).map(|(atomic, texts)| Self { atomic, texts });
        fields.finish(envelope).map(|(envelope, _)| envelope)
    }
}

/// Why a command is refused.
enum Refusal {
    Fields(Vec<Invalid>),
    /// The command's own route has a separate code for this.
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

/// Reads a command; also returns its canonical form.
fn read(
    text: &RawValue,
    origin: Origin<'_>,
    currencies: &Currencies,
) -> Result<(Result<Item, Problem>, Vec<u8>), Refusal> {
    let at = format!("/commands/{}", origin.index);
    if text.get().len() > MAX_BODY {
        let detail = format!("must have at most {MAX_BODY} bytes, as on its own route");
        return Err(Refusal::Fields(vec![Invalid::at(at, detail)]));
    }
    let mut fields = Fields::of(json::tree(text), &at).map_err(|invalid| Refusal::Fields(vec![invalid]))?;
    let Some(command) = fields.required("type", of_type) else {
        // Only the type says which other fields are allowed.
        return Err(Refusal::Fields(fields.abandon()));
    };
    fields.write("type", &command.r#type);
    let read = (command.read)(&mut fields, origin);
    let (read, written) = fields.finish(read).map_err(Refusal::Fields)?;
    match read.new_currency {
        Some(currency) if currencies.exponent(currency).is_none() => {
            Err(Refusal::CurrencyUnknown(currency, origin.index))
        }
        Some(_) | None => Ok((read.item, written)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that all readers have")]
fn of_type(node: Node<'_>) -> Read<&'static Registered> {
    let of_type = |name: &str| COMMANDS.iter().find(|command| command.r#type == name);
    node.text().and_then(of_type).map_or_else(
        || {
            let types: Vec<&str> = COMMANDS.iter().map(|command| command.r#type).collect();
            wrong(format!("must be one of {}", types.join(", ")))
        },
        Ok,
    )
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
        let done = COMMANDS
            .iter()
            .map(|command| (command.r#type.to_owned(), command.answer.name.to_owned()));
        // These are about the batch as a whole, never about one command.
        let refused = COMMANDS.iter().flat_map(|command| command.rejections);
        let refused = [Code::ValidationFailed].iter().chain(refused);
        let refused = refused.map(|code| (code.page(), PROBLEM.to_owned()));
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
            // JSON that this program wrote itself.
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
        // Structs of strings, numbers and JSON always serialize.
        body: serde_json::to_vec(&body).unwrap_or_default().into(),
        etag: None,
        position: last_positions(answers),
        location: None,
    }
}

/// The last position in each partition: a reader who has reached it has seen the whole batch.
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
