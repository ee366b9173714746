//! The requests of the scenarios, written as bytes into buffers that are used again, with the answer that each must get and
//! the changes of balances that it then confirms.

use std::io::Write;

use anyhow::bail;
use uuid::Uuid;

use crate::plan::{Operation, SplitMix, transfer};
use crate::suite::scenario::{BATCH, PAGE, Scenario};
use crate::suite::wallets::{Wallet, Wallets};
use crate::suite::wire::Answer;

/// Largest amount of a movement, in minor units.
const MAX_AMOUNT: u64 = 100;

/// What an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// One command, committed.
    Created,
    /// A batch in which all of that many commands are committed.
    Committed(u32),
    Read,
}

/// The next request of a connection.
pub(crate) struct Request {
    host: String,
    /// Beginning of its idempotency keys, which no other connection uses.
    prefix: String,
    count: u64,
    body: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expected: Expected,
    /// Wallets and the changes of their balances, once the answer has arrived.
    pub(crate) effects: Vec<(u32, i64)>,
    /// Placed and not yet captured: id, wallet and amount.
    hold: Option<(Uuid, u32, u32)>,
}

impl Request {
    pub(crate) fn new(host: &str, prefix: &str) -> Self {
        Self {
            host: host.to_owned(),
            prefix: prefix.to_owned(),
            count: 0,
            body: Vec::new(),
            bytes: Vec::new(),
            expected: Expected::Read,
            effects: Vec::new(),
            hold: None,
        }
    }

    /// Operations in it: commands, or one read.
    pub(crate) fn operations(&self) -> u64 {
        match self.expected {
            Expected::Committed(commands) => commands.into(),
            Expected::Created | Expected::Read => 1,
        }
    }

    /// Whether a hold is still to be captured.
    pub(crate) fn is_half_done(&self) -> bool {
        self.hold.is_some()
    }

    /// Becomes the next request of the scenario.
    pub(crate) fn next(
        &mut self,
        scenario: Scenario,
        has_projections: bool,
        wallets: &Wallets,
        random: &mut SplitMix,
    ) {
        let wallet_count = u32::try_from(wallets.0.len()).unwrap_or(u32::MAX);
        let count = u64::from(wallet_count);
        let amount = 1 + random.small(MAX_AMOUNT);
        let wallet = random.small(count);
        match scenario {
            Scenario::Spread | Scenario::Hot => self.movement(Operation::Credit { wallet, amount }, wallets),
            Scenario::Transfer => self.movement(transfer(random, wallet, amount, wallet_count), wallets),
            Scenario::HotTransfer => self.movement(transfer(random, 0, amount, wallet_count), wallets),
            Scenario::Seed => {
                let operation = match random.below(3) {
                    0 => Operation::Credit { wallet, amount },
                    1 => Operation::Debit { wallet, amount },
                    _ => transfer(random, wallet, amount, wallet_count),
                };
                self.movement(operation, wallets);
            }
            Scenario::Batch => {
                let credits = (0..BATCH).map(|_| (random.small(count), 1 + random.small(MAX_AMOUNT)));
                self.batch(wallets, credits);
            }
            Scenario::Hold => self.hold(wallet, amount, wallets),
            Scenario::Reads => self.read(&wallets.0[wallet as usize], has_projections),
            Scenario::History => self.history(&wallets.0[wallet as usize]),
            Scenario::Mixed if self.hold.is_some() => self.hold(wallet, amount, wallets),
            Scenario::Mixed => match random.below(1_000) {
                0..450 => self.read(&wallets.0[wallet as usize], has_projections),
                450..500 if has_projections => self.history(&wallets.0[wallet as usize]),
                450..500 => self.read(&wallets.0[wallet as usize], has_projections),
                500..700 => self.movement(Operation::Credit { wallet, amount }, wallets),
                700..800 => self.movement(Operation::Debit { wallet, amount }, wallets),
                800..950 => self.movement(transfer(random, wallet, amount, wallet_count), wallets),
                // A hold is two operations.
                _ if random.below(2) == 0 => self.hold(wallet, amount, wallets),
                _ => self.read(&wallets.0[wallet as usize], has_projections),
            },
        }
    }

    fn movement(&mut self, operation: Operation, wallets: &Wallets) {
        let text = |wallet: u32| wallets.0[wallet as usize].text.as_str();
        self.body.clear();
        match operation {
            Operation::Credit { wallet, amount } | Operation::Debit { wallet, amount } => {
                let (wallet, route) = (text(wallet), operation.kind().as_str());
                write(&mut self.body, format_args!(r#"{{"amount":{amount}}}"#));
                self.post(format_args!("/v1/wallets/{wallet}/{route}"), Expected::Created);
            }
            Operation::Transfer { from, to, amount } => {
                let (from, to) = (text(from), text(to));
                write(
                    &mut self.body,
                    format_args!(r#"{{"from":"{from}","to":"{to}","amount":{amount}}}"#),
                );
                self.post(format_args!("/v1/transfers"), Expected::Created);
            }
        }
        self.effects.extend(operation.changes().into_iter().flatten());
    }

    /// Places a hold, or captures the one that it placed before.
    fn hold(&mut self, wallet: u32, amount: u32, wallets: &Wallets) {
        self.body.clear();
        if let Some((id, wallet, amount)) = self.hold.take() {
            write(&mut self.body, format_args!("{{}}"));
            self.post(format_args!("/v1/holds/{id}/capture"), Expected::Created);
            self.effects.push((wallet, -i64::from(amount)));
        } else {
            let id = Uuid::now_v7();
            write(
                &mut self.body,
                format_args!(r#"{{"id":"{id}","amount":{amount}}}"#),
            );
            let text = &wallets.0[wallet as usize].text;
            self.post(format_args!("/v1/wallets/{text}/holds"), Expected::Created);
            self.hold = Some((id, wallet, amount));
        }
    }

    /// One request with these credits: wallet and amount.
    pub(crate) fn batch(&mut self, wallets: &Wallets, credits: impl Iterator<Item = (u32, u32)>) {
        self.begin_batch();
        self.effects.clear();
        let mut effects = std::mem::take(&mut self.effects);
        for (wallet, amount) in credits {
            let text = &wallets.0[wallet as usize].text;
            write(
                &mut self.body,
                format_args!(r#"{{"type":"credit","wallet_id":"{text}","amount":{amount}}},"#),
            );
            effects.push((wallet, i64::from(amount)));
        }
        self.end_batch(effects.len());
        self.effects = effects;
    }

    /// One request that creates these wallets.
    pub(crate) fn creation(&mut self, wallets: &[Wallet], initial: i64) {
        self.begin_batch();
        for wallet in wallets {
            let id = &wallet.text;
            write(
                &mut self.body,
                format_args!(
                    r#"{{"type":"create","id":"{id}","currency":"EUR","initial_balance":{initial}}},"#
                ),
            );
        }
        self.end_batch(wallets.len());
    }

    fn begin_batch(&mut self) {
        self.body.clear();
        write(&mut self.body, format_args!(r#"{{"atomic":true,"commands":["#));
    }

    fn end_batch(&mut self, commands: usize) {
        self.body.pop(); // the last comma
        write(&mut self.body, format_args!("]}}"));
        let commands = u32::try_from(commands).unwrap_or(u32::MAX);
        self.post(format_args!("/v1/batches"), Expected::Committed(commands));
    }

    fn read(&mut self, wallet: &Wallet, has_projections: bool) {
        let query = if has_projections {
            ""
        } else {
            "?consistency=strong"
        };
        self.get(format_args!("/v1/wallets/{}{query}", wallet.text));
    }

    fn history(&mut self, wallet: &Wallet) {
        self.get(format_args!(
            "/v1/wallets/{}/transactions?limit={PAGE}",
            wallet.text
        ));
    }

    /// A POST of the body.
    fn post(&mut self, path: std::fmt::Arguments<'_>, expected: Expected) {
        self.count += 1;
        self.expected = expected;
        self.effects.clear();
        self.bytes.clear();
        let (host, prefix, count, length) = (&self.host, &self.prefix, self.count, self.body.len());
        write(
            &mut self.bytes,
            format_args!(
                "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
                 idempotency-key: {prefix}-{count}\r\ncontent-length: {length}\r\n\r\n"
            ),
        );
        self.bytes.extend_from_slice(&self.body);
    }

    fn get(&mut self, path: std::fmt::Arguments<'_>) {
        self.expected = Expected::Read;
        self.effects.clear();
        self.bytes.clear();
        write(
            &mut self.bytes,
            format_args!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host),
        );
    }
}

fn write(buffer: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    let _ = buffer.write_fmt(text);
}

/// Fails unless the answer is the expected one. Amounts are not compared here: every balance is checked at the end.
pub(crate) fn check(expected: Expected, answer: &Answer<'_>) -> anyhow::Result<()> {
    let is_expected = match expected {
        Expected::Created => answer.status == 201,
        Expected::Read => answer.status == 200,
        Expected::Committed(commands) => {
            let beginning = format!(r#"{{"committed":{commands},"rejected":0,"#);
            matches!(answer.status, 200 | 201) && answer.body.starts_with(beginning.as_bytes())
        }
    };
    if !is_expected {
        let text: String = String::from_utf8_lossy(answer.body).chars().take(400).collect();
        bail!(
            "{expected:?} was expected, but the answer is {}: {text}",
            answer.status
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const INITIAL: i64 = 1_000;

    fn text(request: &Request) -> String {
        String::from_utf8_lossy(&request.bytes).into_owned()
    }

    #[test]
    fn a_request_is_complete_and_says_its_length() {
        let wallets = Wallets::new(10, INITIAL);
        let mut request = Request::new("127.0.0.1:80", "run-0");
        let mut random = SplitMix(1);
        let mut keys = HashSet::new();
        for scenario in Scenario::ALL {
            for _ in 0..20 {
                request.next(scenario, true, &wallets, &mut random);
                let text = text(&request);
                let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
                assert!(head.contains("\r\nhost: 127.0.0.1:80"), "{text}");
                if request.expected == Expected::Read {
                    assert!(head.starts_with("GET /v1/wallets/") && body.is_empty(), "{text}");
                    assert!(request.effects.is_empty(), "{text}");
                    continue;
                }
                assert!(
                    head.ends_with(&format!("content-length: {}", body.len())),
                    "{text}"
                );
                assert!(serde_json::from_str::<serde_json::Value>(body).is_ok(), "{text}");
                let key = head
                    .split("idempotency-key: ")
                    .nth(1)
                    .map(|rest| rest.split('\r').next().map(str::to_owned));
                assert!(keys.insert(key), "a key comes twice: {text}");
            }
        }
    }

    #[test]
    fn a_transfer_conserves_money_and_has_two_wallets() {
        let wallets = Wallets::new(3, INITIAL);
        let mut request = Request::new("h", "p");
        let mut random = SplitMix(7);
        for scenario in [Scenario::Transfer, Scenario::HotTransfer] {
            for _ in 0..100 {
                request.next(scenario, false, &wallets, &mut random);
                let [(from, out), (to, into)] = request.effects[..] else {
                    panic!("{:?}", request.effects)
                };
                assert!(from != to && out == -into && out < 0, "{:?}", request.effects);
                assert!(scenario == Scenario::Transfer || from == 0 || to == 0);
                wallets.apply(&request.effects);
            }
        }
        let held: i64 = wallets.expected().iter().map(|(_, balance)| balance).sum();
        assert_eq!(held, 3 * INITIAL);
    }

    #[test]
    fn a_hold_moves_money_when_it_is_captured() {
        let wallets = Wallets::new(1, INITIAL);
        let mut request = Request::new("h", "p");
        let mut random = SplitMix(7);
        request.next(Scenario::Hold, false, &wallets, &mut random);
        assert!(request.effects.is_empty() && request.is_half_done());
        let placed = text(&request);
        request.next(Scenario::Hold, false, &wallets, &mut random);
        assert!(!request.is_half_done());
        let captured = text(&request);
        let hold = captured.split('/').nth(3).unwrap_or_default();
        assert!(
            placed.contains(&format!(r#""id":"{hold}""#)),
            "{placed} {captured}"
        );
        assert!(
            matches!(request.effects[..], [(0, change)] if change < 0),
            "{:?}",
            request.effects
        );
    }

    #[test]
    fn a_batch_is_counted_by_its_commands() {
        let wallets = Wallets::new(5, INITIAL);
        let mut request = Request::new("h", "p");
        request.next(Scenario::Batch, false, &wallets, &mut SplitMix(7));
        assert_eq!((request.operations(), request.effects.len()), (1_000, 1_000));
        assert_eq!(text(&request).matches(r#""type":"credit""#).count(), 1_000);
    }

    #[test]
    fn only_the_expected_answer_passes() {
        let answer = |status, body: &'static str| Answer {
            status,
            body: body.as_bytes(),
        };
        let all = r#"{"committed":2,"rejected":0,"results":[]}"#;
        assert!(check(Expected::Created, &answer(201, "{}")).is_ok());
        assert!(check(Expected::Committed(2), &answer(200, all)).is_ok());
        assert!(check(Expected::Committed(3), &answer(200, all)).is_err());
        for (expected, status) in [
            (Expected::Created, 200),
            (Expected::Created, 422),
            (Expected::Read, 404),
            (Expected::Committed(2), 422),
        ] {
            let refused = check(expected, &answer(status, r#"{"code":"insufficient_funds"}"#));
            assert!(
                refused.is_err_and(|error| error.to_string().contains("insufficient_funds")),
                "{status}"
            );
        }
    }
}
