//! At the end of a stream: every way to read a wallet, a hold, a transaction and the ledger agrees with the books.

use serde_json::{Value, json};

use super::books::{Books, Wallet};
use super::operation::new_year;
use crate::api::{Api, Reply};

pub(super) async fn everything(api: &Api, books: &Books) -> Result<(), String> {
    let reached = books.reached();
    for (number, wallet) in &books.wallets {
        let id = books.wallet_id(*number);
        let path = format!("/v1/wallets/{id}");
        let strong = api
            .read(*number, &format!("{path}?consistency=strong"), "")
            .await?;
        same_wallet("strong read", wallet, &strong)?;
        let read = api.read(number + 1, &path, &reached).await?;
        same_wallet("read", wallet, &read)?;
        let history = api
            .read(*number, &format!("{path}/transactions?limit=200"), &reached)
            .await?;
        same_history(wallet, &history)?;
        let account = api
            .read(*number, &format!("/v1/ledger/accounts/wallet:{id}"), &reached)
            .await?;
        let available = wallet.balance - wallet.held;
        same_account(&format!("wallet:{id}"), wallet.currency, available, &account)?;
        for read in [&strong, &read] {
            if read.body["owner"] != json!(wallet.owner) {
                return Err(format!("owner {:?} expected: {read:?}", wallet.owner));
            }
        }
    }
    for hold in &books.holds {
        let read = api.read(0, &format!("/v1/holds/{}", hold.id), &reached).await?;
        let expires_at = json!(hold.expires.map(new_year));
        let found = (
            &read.body["status"],
            &read.body["amount"],
            &read.body["expires_at"],
        );
        if found != (&json!(hold.status), &json!(hold.amount), &expires_at) {
            return Err(format!("{hold:?} expected: {read:?}"));
        }
    }
    for movement in &books.movements {
        let read = api
            .read(1, &format!("/v1/transactions/{}", movement.id), &reached)
            .await?;
        let legs = [movement.from, movement.to].iter().flatten().count();
        let entries = read.body["entries"].as_array().map_or(0, Vec::len);
        let found = (&read.body["amount"], &read.body["complete"], entries);
        if found != (&json!(movement.amount), &json!(true), legs) {
            return Err(format!("{movement:?} expected: {read:?}"));
        }
    }
    Ok(())
}

/// Over all streams: no money was created from nothing, in any currency.
pub(super) async fn trial_balance(api: &Api) -> Result<(), String> {
    let read = api.read(0, "/v1/ledger/trial-balance", "").await?;
    let currencies = read.body["currencies"].as_array().cloned().unwrap_or_default();
    let balanced = currencies.iter().all(|currency| currency["balanced"] == true);
    if currencies.is_empty() || !balanced {
        return Err(format!("not balanced: {read:?}"));
    }
    Ok(())
}

fn same_wallet(what: &str, wallet: &Wallet, reply: &Reply) -> Result<(), String> {
    let body = &reply.body;
    let found = (
        &body["balance"],
        &body["held"],
        &body["available"],
        &body["overdraft_limit"],
        &body["status"],
        &body["version"],
    );
    let expected = (
        &json!(wallet.balance),
        &json!(wallet.held),
        &json!(wallet.balance - wallet.held),
        &json!(wallet.limit),
        &json!(wallet.status),
        &json!(wallet.entries.len()),
    );
    if found != expected {
        return Err(format!("{what}: {wallet:?} expected, not {reply:?}"));
    }
    Ok(())
}

/// Newest first.
fn same_history(wallet: &Wallet, reply: &Reply) -> Result<(), String> {
    let items = reply.body["items"].as_array().cloned().unwrap_or_default();
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let found: Vec<(String, i64, i64, i64)> = items
        .iter()
        .rev()
        .map(|item| {
            let amount = number(&item["amount"]);
            let change = match item["direction"].as_str() {
                Some("in") => amount,
                Some("out") => -amount,
                _ => 0,
            };
            let kind = item["type"].as_str().unwrap_or_default().to_owned();
            (
                kind,
                change,
                number(&item["balance_after"]),
                number(&item["held_after"]),
            )
        })
        .collect();
    let expected: Vec<(String, i64, i64, i64)> = wallet
        .entries
        .iter()
        .map(|(kind, change, balance, held)| ((*kind).to_owned(), *change, *balance, *held))
        .collect();
    if found != expected {
        return Err(format!("history: {expected:?} expected, not {found:?}"));
    }
    Ok(())
}

/// An account without any entries is unknown.
fn same_account(account: &str, currency: &str, balance: i64, reply: &Reply) -> Result<(), String> {
    if reply.status == 404 && balance == 0 {
        return Ok(());
    }
    let balances = reply.body["balances"].as_array().cloned().unwrap_or_default();
    let found = balances
        .iter()
        .find(|one| one["currency"] == currency)
        .map(|one| one["balance"].to_string().trim_matches('"').to_owned());
    if found != Some(balance.to_string()) {
        return Err(format!("{account}: {balance} expected, not {reply:?}"));
    }
    Ok(())
}
