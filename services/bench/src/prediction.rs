//! The request of each step and the answer it must get. The invariant: an answer counts as ok only if it is the 201
//! that the plan predicts, for the requested wallet, amount and type.

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use uuid::Uuid;

use crate::plan::Operation;
use wallex_runtime::http::client::Answer;

/// A POST to send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

/// The prediction for a final answer.
#[derive(Debug)]
pub(crate) struct Prediction {
    kind: &'static str,
    amount: i64,
    /// The wallets in the answer: `wallet`, or `from` and `to`. `None` for one that is just being created.
    wallet: Option<Uuid>,
    to: Option<Uuid>,
}

/// An answer that was not predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Surprise {
    /// The problem's code, or a word for any other discrepancy.
    pub(crate) code: String,
    pub(crate) detail: String,
}

#[derive(Deserialize)]
struct After {
    id: Uuid,
    balance: i64,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    amount: i64,
    wallet: Option<After>,
    from: Option<After>,
    to: Option<After>,
}

#[derive(Deserialize)]
struct ProblemBody {
    code: String,
    #[serde(default)]
    detail: String,
}

pub(crate) fn create(currency: &str, initial_balance: i64) -> (Call, Prediction) {
    let body = format!(r#"{{"currency":"{currency}","initial_balance":{initial_balance}}}"#);
    let call = Call {
        path: "/v1/wallets".to_owned(),
        body: body.into(),
    };
    (
        call,
        Prediction {
            kind: "create",
            amount: initial_balance,
            wallet: None,
            to: None,
        },
    )
}

/// `id` gives the id of a wallet of the plan.
pub(crate) fn operation(operation: Operation, id: impl Fn(u32) -> Uuid) -> (Call, Prediction) {
    match operation {
        Operation::Credit { wallet, amount } => movement("credit", "credits", id(wallet), amount),
        Operation::Debit { wallet, amount } => movement("debit", "debits", id(wallet), amount),
        Operation::Transfer { from, to, amount } => {
            let (from, to) = (id(from), id(to));
            let body = format!(r#"{{"from":"{from}","to":"{to}","amount":{amount}}}"#);
            let call = Call {
                path: "/v1/transfers".to_owned(),
                body: body.into(),
            };
            (
                call,
                Prediction {
                    kind: "transfer",
                    amount: i64::from(amount),
                    wallet: Some(from),
                    to: Some(to),
                },
            )
        }
    }
}

fn movement(kind: &'static str, route: &str, wallet: Uuid, amount: u32) -> (Call, Prediction) {
    let call = Call {
        path: format!("/v1/wallets/{wallet}/{route}"),
        body: format!(r#"{{"amount":{amount}}}"#).into(),
    };
    (
        call,
        Prediction {
            kind,
            amount: i64::from(amount),
            wallet: Some(wallet),
            to: None,
        },
    )
}

impl Prediction {
    /// The id of the (source) wallet if the answer is the predicted one.
    pub(crate) fn compare(&self, answer: &Answer) -> Result<Uuid, Surprise> {
        if answer.status != StatusCode::CREATED {
            return Err(surprise(answer));
        }
        let body: Body<'_> =
            serde_json::from_slice(&answer.body).map_err(|error| unlike(&error.to_string()))?;
        if body.kind != self.kind || body.amount != self.amount {
            return Err(unlike(&format!(
                "{} of {} for {} of {}",
                body.kind, body.amount, self.kind, self.amount
            )));
        }
        let source = body
            .wallet
            .or(body.from)
            .ok_or_else(|| unlike("it names no wallet"))?;
        if self.wallet.is_some_and(|wallet| wallet != source.id)
            || self.to != body.to.as_ref().map(|to| to.id)
        {
            return Err(unlike("it is about another wallet"));
        }
        // No wallet in the plan can go below zero.
        if source.balance < 0 || body.to.is_some_and(|to| to.balance < 0) {
            return Err(unlike("a balance is negative"));
        }
        Ok(source.id)
    }
}

fn unlike(detail: &str) -> Surprise {
    Surprise {
        code: "unlike_the_request".to_owned(),
        detail: format!("201, but {detail}"),
    }
}

/// The problem's text, or the status if the answer is not a problem.
pub(crate) fn surprise(answer: &Answer) -> Surprise {
    match serde_json::from_slice::<ProblemBody>(&answer.body) {
        Ok(problem) => Surprise {
            code: problem.code,
            detail: problem.detail,
        },
        Err(_) => Surprise {
            code: format!("http_{}", answer.status.as_u16()),
            detail: String::from_utf8_lossy(&answer.body).chars().take(200).collect(),
        },
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use http::HeaderMap;
    use serde_json::{Value, json};

    use super::*;

    const A: Uuid = Uuid::from_u128(0xA);
    const B: Uuid = Uuid::from_u128(0xB);

    fn id(wallet: u32) -> Uuid {
        [A, B][wallet as usize]
    }

    fn answer(status: u16, body: &Value) -> Answer {
        let status = StatusCode::from_u16(status).unwrap();
        Answer {
            status,
            headers: HeaderMap::new(),
            body: body.to_string().into(),
        }
    }

    #[test]
    fn the_predicted_answer_is_ok() {
        let (call, prediction) = operation(Operation::Debit { wallet: 1, amount: 5 }, id);
        assert_eq!(call.path, format!("/v1/wallets/{B}/debits"));
        let body = json!({"type": "debit", "amount": 5, "wallet": {"id": B, "balance": 0}});
        assert_eq!(prediction.compare(&answer(201, &body)), Ok(B));

        let (_, prediction) = operation(
            Operation::Transfer {
                from: 0,
                to: 1,
                amount: 5,
            },
            id,
        );
        let body = json!({"type": "transfer", "amount": 5, "from": {"id": A, "balance": 1}, "to": {"id": B, "balance": 9}});
        assert_eq!(prediction.compare(&answer(201, &body)), Ok(A));

        let (_, prediction) = create("EUR", 77);
        let body = json!({"type": "create", "amount": 77, "wallet": {"id": A, "balance": 77}});
        assert_eq!(prediction.compare(&answer(201, &body)), Ok(A));
    }

    #[test]
    fn an_answer_about_something_else_is_a_surprise() {
        let (_, prediction) = operation(
            Operation::Transfer {
                from: 0,
                to: 1,
                amount: 5,
            },
            id,
        );
        let (from, to) = (json!({"id": A, "balance": 1}), json!({"id": B, "balance": 1}));
        for body in [
            json!({"type": "transfer", "amount": 6, "from": from, "to": to}),
            json!({"type": "credit", "amount": 5, "from": from, "to": to}),
            json!({"type": "transfer", "amount": 5, "from": to, "to": from}),
            json!({"type": "transfer", "amount": 5, "from": from}),
            json!({"type": "transfer", "amount": 5, "from": {"id": A, "balance": -1}, "to": to}),
            json!([]),
        ] {
            assert_eq!(
                prediction.compare(&answer(201, &body)).unwrap_err().code,
                "unlike_the_request",
                "{body}"
            );
        }
    }

    #[test]
    fn a_rejection_shows_its_code() {
        let (_, prediction) = operation(Operation::Debit { wallet: 0, amount: 5 }, id);
        let problem = answer(422, &json!({"code": "insufficient_funds", "detail": "no"}));
        assert_eq!(
            prediction.compare(&problem).unwrap_err().code,
            "insufficient_funds"
        );
        assert_eq!(
            prediction.compare(&answer(200, &json!({}))).unwrap_err().code,
            "http_200"
        );
    }
}
