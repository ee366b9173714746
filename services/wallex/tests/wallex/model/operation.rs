//! What a client may do: send one command or a batch, conditional or not, to either replica or to both at once, and
//! again later.

use std::fmt;

use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::books::{Books, Command, Outcome};
use crate::api::{Api, Reply, Write};

/// Wallets of a stream.
const WALLETS: usize = 4;
/// Range of hold and movement numbers in commands; the first ones soon exist, the last ones rarely.
const NAMES: usize = 6;

#[derive(Debug, Clone)]
pub(super) struct Operation {
    command: Asked,
    /// Sent with the first wallet's version, or with a wrong one.
    condition: Option<bool>,
    replica: usize,
    /// Sent to both replicas at the same time.
    at_once: bool,
    /// Sent again after the answer.
    again: bool,
}

#[derive(Debug, Clone)]
enum Asked {
    One(Command),
    Batch { atomic: bool, commands: Vec<Command> },
}

/// Prints concisely in messages.
#[derive(Clone)]
pub(super) struct Stream(pub(super) Vec<Operation>);

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for operation in &self.0 {
            writeln!(f, "{operation:?}")?;
        }
        Ok(())
    }
}

pub(super) fn any() -> impl Strategy<Value = Operation> {
    let asked = prop_oneof![
        12 => command().prop_map(Asked::One),
        1 => (any_bool(), proptest::collection::vec(command(), 1..6))
            .prop_map(|(atomic, commands)| Asked::Batch { atomic, commands }),
    ];
    (
        asked,
        proptest::option::weighted(0.15, any_bool()),
        0..2usize,
        proptest::bool::weighted(0.2),
        proptest::bool::weighted(0.2),
    )
        .prop_map(|(command, condition, replica, at_once, again)| Operation {
            command,
            condition,
            replica,
            at_once,
            again,
        })
}

fn any_bool() -> impl Strategy<Value = bool> {
    proptest::bool::ANY
}

fn command() -> impl Strategy<Value = Command> {
    let wallet = || 0..WALLETS;
    let amount = || 1..400i64;
    let name = || 0..NAMES;
    // None of these years is ever reached.
    let year = || 2_900..2_910u16;
    let currency = prop_oneof![8 => Just("EUR"), 1 => Just("JPY")];
    let status = prop_oneof![3 => Just("frozen"), 4 => Just("active"), 1 => Just("closed")];
    let maybe = || proptest::option::weighted(0.6, 1..200i64);
    prop_oneof![
        5 => (wallet(), currency, 0..2_000i64)
            .prop_map(|(wallet, currency, initial)| Command::Create { wallet, currency, initial }),
        4 => (wallet(), amount()).prop_map(|(wallet, amount)| Command::Credit { wallet, amount }),
        4 => (wallet(), amount()).prop_map(|(wallet, amount)| Command::Debit { wallet, amount }),
        6 => (wallet(), wallet(), amount()).prop_map(|(from, to, amount)| Command::Transfer { from, to, amount }),
        3 => (wallet(), amount(), proptest::option::weighted(0.7, year())).prop_map(|(wallet, amount, expires)| {
            Command::Hold { wallet, id: Uuid::nil(), amount, expires }
        }),
        2 => (name(), year()).prop_map(|(hold, expires)| Command::Extend { hold, expires }),
        3 => (name(), maybe(), proptest::option::of(wallet()))
            .prop_map(|(hold, amount, to)| Command::Capture { hold, amount, to }),
        1 => name().prop_map(|hold| Command::Release { hold }),
        3 => (name(), maybe()).prop_map(|(movement, amount)| Command::Reverse { movement, amount }),
        2 => (wallet(), status).prop_map(|(wallet, to)| Command::Status { wallet, to }),
        1 => (wallet(), 0..500i64).prop_map(|(wallet, limit)| Command::Limit { wallet, limit }),
        2 => (wallet(), proptest::option::weighted(0.8, 0..9u8))
            .prop_map(|(wallet, owner)| Command::Change { wallet, owner }),
        1 => wallet().prop_map(|wallet| Command::Erase { wallet }),
    ]
}

impl Operation {
    pub(super) async fn run(&self, api: &Api, books: &mut Books, index: usize) -> Result<(), String> {
        let (write, expected) = match &self.command {
            Asked::One(command) => self.one(books, index, command.clone()),
            Asked::Batch { atomic, commands } => batch(books, index, *atomic, commands),
        };
        let reply = self.send(api, &write).await?;
        expected.check(books, &reply)?;
        books.note_positions(reply.position.as_deref().unwrap_or_default());
        Ok(())
    }

    /// However often it is sent, the answer is the same.
    async fn send(&self, api: &Api, write: &Write) -> Result<Reply, String> {
        let first = if self.at_once {
            let (one, two) = tokio::join!(api.write(0, write), api.write(1, write));
            let (one, two) = (one?, two?);
            let kept = kept(&one);
            if (one.status, &one.body) != (two.status, &two.body) || (kept && one.replayed == two.replayed) {
                return Err(format!("sent at once: {one:?} and {two:?}"));
            }
            one
        } else {
            api.write(self.replica, write).await?
        };
        if self.again {
            let again = api.write(self.replica + 1, write).await?;
            if (again.status, &again.body) != (first.status, &first.body) || again.replayed != kept(&first) {
                return Err(format!("sent again: {first:?}, then {again:?}"));
            }
        }
        Ok(first)
    }

    fn one(&self, books: &mut Books, index: usize, mut command: Command) -> (Write, Expected) {
        if let Command::Hold { id, .. } = &mut command {
            *id = Uuid::now_v7();
        }
        let pays = first_wallet(books, &command);
        let version = pays.and_then(|wallet| Some(books.wallets.get(&wallet)?.entries.len() as i64));
        // Creating takes no condition.
        let condition = self
            .condition
            .filter(|_| !matches!(command, Command::Create { .. }));
        let if_match = condition.map(|holds| version.unwrap_or(1) + i64::from(!holds));
        let (method, path, mut body) = request(books, &command);
        let before = books.movements.len();
        let outcome = books.run_alone(&command, if_match);
        if let Command::Create { wallet, .. } = command {
            body["owner"] = json!("somebody");
            if let (Ok(()), Some(books)) = (outcome, books.wallets.get_mut(&wallet)) {
                books.owner = Some("somebody".to_owned());
            }
        }
        let write = Write {
            method,
            path,
            key: books.key(&index.to_string()),
            if_match,
            body,
        };
        let movement = (books.movements.len() > before).then_some(before);
        (write, Expected::One { outcome, movement })
    }
}

/// Whether the answer was decided, and so stored under its key.
fn kept(reply: &Reply) -> bool {
    reply.status != 404 && reply.body["problem"]["status"] != 404
}

/// The wallet whose version a condition refers to.
fn first_wallet(books: &Books, command: &Command) -> Option<usize> {
    match command {
        Command::Create { wallet, .. }
        | Command::Credit { wallet, .. }
        | Command::Debit { wallet, .. }
        | Command::Hold { wallet, .. }
        | Command::Status { wallet, .. }
        | Command::Limit { wallet, .. }
        | Command::Change { wallet, .. }
        | Command::Erase { wallet } => Some(*wallet),
        Command::Transfer { from, .. } => Some(*from),
        Command::Capture { hold, .. } | Command::Release { hold } | Command::Extend { hold, .. } => {
            books.holds.get(*hold).map(|hold| hold.wallet)
        }
        Command::Reverse { movement, .. } => {
            let movement = books.movements.get(*movement)?;
            movement.to.or(movement.from)
        }
    }
}

/// Method and path of the command's own route, and its body.
fn request(books: &Books, command: &Command) -> (Method, String, Value) {
    let method = match command {
        Command::Change { .. } => Method::PATCH,
        _ => Method::POST,
    };
    let (path, body) = path_and_body(books, command);
    (method, path, body)
}

fn path_and_body(books: &Books, command: &Command) -> (String, Value) {
    let hold_id = |hold: &usize| books.holds.get(*hold).map_or(Uuid::from_u128(1), |hold| hold.id);
    let wallet = |wallet: &usize| format!("/v1/wallets/{}", books.wallet_id(*wallet));
    let with_amount = |amount: &Option<i64>| amount.map_or(json!({}), |amount| json!({"amount": amount}));
    match command {
        Command::Create {
            wallet,
            currency,
            initial,
        } => (
            "/v1/wallets".to_owned(),
            json!({"id": books.wallet_id(*wallet), "currency": currency, "initial_balance": initial}),
        ),
        Command::Credit { wallet: id, amount } => {
            (format!("{}/credits", wallet(id)), json!({"amount": amount}))
        }
        Command::Debit { wallet: id, amount } => {
            (format!("{}/debits", wallet(id)), json!({"amount": amount}))
        }
        Command::Transfer { from, to, amount } => (
            "/v1/transfers".to_owned(),
            json!({"from": books.wallet_id(*from), "to": books.wallet_id(*to), "amount": amount}),
        ),
        Command::Hold {
            wallet: of,
            id,
            amount,
            expires,
        } => {
            let mut body = json!({"id": id, "amount": amount});
            if let Some(year) = expires {
                body["expires_at"] = json!(new_year(*year));
            }
            (format!("{}/holds", wallet(of)), body)
        }
        Command::Extend { hold, expires } => (
            format!("/v1/holds/{}/extend", hold_id(hold)),
            json!({"expires_at": new_year(*expires)}),
        ),
        Command::Capture { hold, amount, to } => {
            let mut body = with_amount(amount);
            if let Some(to) = to {
                body["to"] = json!(books.wallet_id(*to));
            }
            (format!("/v1/holds/{}/capture", hold_id(hold)), body)
        }
        Command::Release { hold } => (format!("/v1/holds/{}/release", hold_id(hold)), json!({})),
        Command::Reverse { movement, amount } => {
            let id = books
                .movements
                .get(*movement)
                .map_or(Uuid::from_u128(1), |movement| movement.id);
            (format!("/v1/transactions/{id}/reversals"), with_amount(amount))
        }
        Command::Status { wallet: id, to } => {
            let route = match *to {
                "frozen" => "freeze",
                "active" => "unfreeze",
                _ => "close",
            };
            (format!("{}/{route}", wallet(id)), json!({}))
        }
        Command::Limit { wallet: id, limit } => (
            format!("{}/overdraft-limit", wallet(id)),
            json!({"overdraft_limit": limit}),
        ),
        Command::Change { wallet: id, owner } => {
            (wallet(id), json!({"owner": owner.map(|owner| owner.to_string())}))
        }
        Command::Erase { wallet: id } => (format!("{}/erase", wallet(id)), json!({})),
    }
}

pub(super) fn new_year(year: u16) -> String {
    format!("{year}-01-01T00:00:00.000000Z")
}

/// The same as a command of a batch.
fn batch_entry(books: &Books, command: &Command) -> Value {
    let (_, path, mut body) = request(books, command);
    let parts: Vec<&str> = path.split('/').collect();
    let (kind, target) = match (parts.get(2).copied(), parts.get(4).copied()) {
        (Some("wallets"), None) if parts.len() == 4 => ("change", Some("wallet_id")),
        (Some("wallets"), None) => ("create", None),
        (Some("transfers"), _) => ("transfer", None),
        (Some("wallets"), Some(route)) => {
            let kind = match route {
                "credits" => "credit",
                "debits" => "debit",
                "holds" => "hold",
                "overdraft-limit" => "overdraft_limit",
                other => other,
            };
            (kind, Some("wallet_id"))
        }
        (Some("holds"), Some(route)) => (route, Some("hold_id")),
        _ => ("reversal", Some("transaction_id")),
    };
    body["type"] = json!(kind);
    if let Some(target) = target {
        body[target] = json!(parts[3]);
    }
    body
}

fn batch(books: &mut Books, index: usize, atomic: bool, commands: &[Command]) -> (Write, Expected) {
    let mut entries = Vec::new();
    let mut outcomes = Vec::new();
    let before = books.clone();
    for command in commands {
        let mut command = command.clone();
        if let Command::Hold { id, .. } = &mut command {
            *id = Uuid::now_v7();
        }
        // A movement in the same batch has no id yet.
        if let Command::Reverse { movement, .. } = &mut command
            && *movement >= before.movements.len()
        {
            *movement = usize::MAX;
        }
        entries.push(batch_entry(books, &command));
        let movements = books.movements.len();
        let outcome = books.run(&command, None);
        outcomes.push((outcome, (books.movements.len() > movements).then_some(movements)));
    }
    let write = Write {
        method: Method::POST,
        path: "/v1/batches".to_owned(),
        key: books.key(&index.to_string()),
        if_match: None,
        body: json!({"atomic": atomic, "commands": entries}),
    };
    let first_rejected = outcomes.iter().position(|(outcome, _)| outcome.is_err());
    match (atomic, first_rejected) {
        (true, Some(index)) => {
            *books = before;
            let code = outcomes[index].0.unwrap_err();
            (write, Expected::Rejected { index, code })
        }
        _ => (write, Expected::Each(outcomes)),
    }
}

enum Expected {
    One {
        outcome: Outcome,
        movement: Option<usize>,
    },
    Each(Vec<(Outcome, Option<usize>)>),
    Rejected {
        index: usize,
        code: &'static str,
    },
}

impl Expected {
    fn check(&self, books: &mut Books, reply: &Reply) -> Result<(), String> {
        match self {
            Self::One { outcome, movement } => agree(books, reply.status, &reply.body, outcome, *movement)
                .map_err(|what| format!("{what}: {reply:?}")),
            Self::Rejected { index, code } => {
                let found = (reply.status, &reply.body["index"], &reply.body["problem"]["code"]);
                if found != (422, &json!(index), &json!(code)) {
                    return Err(format!("{code} of command {index} expected, not {reply:?}"));
                }
                Ok(())
            }
            Self::Each(outcomes) => {
                let results = reply.body["results"].as_array().cloned().unwrap_or_default();
                if reply.status != 200 || results.len() != outcomes.len() {
                    return Err(format!("{} answers expected, not {reply:?}", outcomes.len()));
                }
                for (result, (outcome, movement)) in results.iter().zip(outcomes) {
                    let status = result["status"].as_u64().unwrap_or(0) as u16;
                    agree(books, status, &result["body"], outcome, *movement)
                        .map_err(|what| format!("{what}: {result}"))?;
                }
                Ok(())
            }
        }
    }
}

fn agree(
    books: &mut Books,
    status: u16,
    body: &Value,
    outcome: &Outcome,
    movement: Option<usize>,
) -> Result<(), String> {
    match outcome {
        Err(code) if body["code"] == *code && status >= 400 => Ok(()),
        Err(code) => Err(format!("{code} expected")),
        Ok(()) if status == 201 => {
            if let Some(movement) = movement {
                books.movements[movement].id = serde_json::from_value(body["transaction_id"].clone())
                    .map_err(|error| format!("no transaction: {error}"))?;
            }
            Ok(())
        }
        Ok(()) => Err("success expected".to_owned()),
    }
}
