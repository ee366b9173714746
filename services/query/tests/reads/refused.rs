//! What a read refuses, and a check that every route is described.

use uuid::Uuid;

use crate::api::{A, Api, B, is_problem};

#[tokio::test]
async fn what_is_malformed_is_refused() {
    let api = Api::start().await;
    api.history(A, 3).await;
    api.history(B, 3).await;
    let page = api.get(&format!("/v1/wallets/{B}/transactions?limit=1")).await;
    let other = page.body["next_cursor"].as_str().unwrap();
    let list = format!("/v1/wallets/{A}/transactions");
    let long = "x".repeat(256);
    for path in [
        "/v1/wallets/7".to_owned(),
        format!("/v1/wallets/{}", A.simple()),
        "/v1/wallets/%FF".to_owned(),
        format!("/v1/wallets/{}", Uuid::nil()),
        format!("/v1/wallets/{}", Uuid::max()),
        format!("/v1/wallets/urn:uuid:{A}"),
        format!("/v1/wallets/%7B{A}%7D"),
        format!("/v1/holds/{}", Uuid::nil()),
        format!("/v1/transactions/{}", Uuid::nil()),
        format!("/v1/ledger/accounts/wallet:{}", Uuid::nil()),
        format!("/v1/ledger/postings?transaction_id={}", Uuid::nil()),
        format!("/v1/wallets/{A}?expand=all"),
        format!("/v1/wallets/{A}?consistency=weak"),
        format!("/v1/wallets/{A}?consistency="),
        format!("/v1/wallets/{A}?at=yesterday"),
        format!("/v1/wallets/{A}?at=2026-01-31"),
        format!("/v1/wallets/{A}?at=2026-01-31T12:00:00"),
        "/v1/transactions/x".to_owned(),
        format!("/v1/holds/{A}?expand=all"),
        format!("{list}?limit=0"),
        format!("{list}?limit=201"),
        format!("{list}?limit=%2B5"),
        format!("{list}?limit="),
        format!("{list}?limit=5&limit=5"),
        format!("{list}?offset=5"),
        format!("{list}?type="),
        format!("{list}?type=credit,"),
        format!("{list}?type=wallet.credited"),
        format!("{list}?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"),
        format!("{list}?reference="),
        format!("{list}?reference={long}"),
        format!("{list}?reference=a%00b"),
        format!("{list}?reference=%FF"),
        format!("{list}?counterparty={}", A.simple()),
        "/v1/wallets?owner=".to_owned(),
        "/v1/wallets?owner=a%00".to_owned(),
        format!("/v1/wallets?external_id={long}"),
    ] {
        api.refuses(&path, 422, "validation_failed").await;
    }
    for cursor in ["", "x", &other[1..], other] {
        api.refuses(&format!("{list}?cursor={cursor}"), 400, "invalid_cursor")
            .await;
    }
    for position in ["", "3", "3:x", "3:-1", "3:1,"] {
        let headers = [("Wallex-Min-Position", position)];
        let reply = api.get_with(&format!("/v1/wallets/{A}"), &headers).await;
        is_problem(&reply, 400, "precondition_malformed", position);
    }
}

#[tokio::test]
async fn everything_that_is_wrong_with_the_parameters_is_told_at_once() {
    let api = Api::start().await;
    api.history(A, 1).await;
    let wallet = format!("/v1/wallets/{A}");
    let time = "2026-01-31T12:00:00Z";
    for (path, wrong) in [
        (
            format!(
                "{wallet}/transactions?limit=0&type=zz&from=a&to=b&reference=&counterparty=7&cursor=x&y=1"
            ),
            "counterparty from limit reference to type y",
        ),
        (format!("{wallet}/transactions?limit=0&cursor=x"), "limit"),
        (
            format!("{wallet}/transactions?from={time}&to=2026-01-30T00:00:00Z&limit=201"),
            "limit to",
        ),
        (format!("{wallet}/statement?from=a&to=b"), "from to"),
        (format!("{wallet}/statement"), "from to"),
        (format!("{wallet}/statement?from=a"), "from to"),
        (format!("{wallet}/statement?to={time}"), "from"),
        (
            format!("{wallet}?consistency=weak&at=x"),
            "at at consistency consistency",
        ),
        (format!("{wallet}?consistency=strong&at={time}"), "at consistency"),
        (
            format!("{wallet}/holds?status=gone&limit=x&limit=5"),
            "limit limit status",
        ),
        (
            format!("{wallet}/events?after_version=-1&limit=0"),
            "after_version limit",
        ),
        ("/v1/wallets?limit=0".to_owned(), "external_id limit owner"),
        ("/v1/wallets?owner=&limit=0".to_owned(), "limit owner"),
        (
            "/v1/wallets?owner=a&external_id=b".to_owned(),
            "external_id owner",
        ),
        ("/v1/transactions".to_owned(), "external_id"),
        ("/v1/transactions?external_id=&x=1".to_owned(), "external_id x"),
        (
            "/v1/ledger/postings?account=x&from=a&limit=0&cursor=x".to_owned(),
            "account from limit",
        ),
        ("/v1/ledger/postings?to=x".to_owned(), "account to transaction_id"),
    ] {
        let reply = api.get(&path).await;
        is_problem(&reply, 422, "validation_failed", &path);
        let errors = reply.body["errors"].as_array().unwrap();
        let mut told: Vec<&str> = errors
            .iter()
            .map(|error| error["parameter"].as_str().unwrap())
            .collect();
        told.sort_unstable();
        assert_eq!(told.join(" "), wrong, "{path}: {}", reply.text);
    }
    let exports = [("Accept", "text/csv")];
    let path = format!("{wallet}/transactions?limit=5&cursor=x&from=a");
    let reply = api.get_with(&path, &exports).await;
    is_problem(&reply, 422, "validation_failed", &path);
    assert_eq!(
        reply.body["errors"].as_array().unwrap().len(),
        3,
        "{}",
        reply.text
    );
}

#[test]
fn every_route_is_described_with_what_it_may_answer() {
    let api = serde_json::to_value(wallex_query::openapi()).unwrap();
    for (path, statuses) in [
        ("/v1/wallets", "200 400 422 500 503"),
        ("/v1/wallets/{id}", "200 400 404 422 500 503"),
        ("/v1/wallets/{id}/transactions", "200 400 404 422 500 503"),
        ("/v1/wallets/{id}/statement", "200 400 404 422 500 503"),
        ("/v1/wallets/{id}/holds", "200 400 404 422 500 503"),
        ("/v1/holds/{id}", "200 400 404 422 500 503"),
        ("/v1/transactions/{id}", "200 400 404 422 500 503"),
    ] {
        let responses = api["paths"][path]["get"]["responses"].as_object();
        let mut described: Vec<&str> = responses.unwrap().keys().map(String::as_str).collect();
        described.sort_unstable();
        assert_eq!(described.join(" "), statuses, "{path}");
    }
    for path in ["transactions", "statement"] {
        let content =
            &api["paths"][format!("/v1/wallets/{{id}}/{path}")]["get"]["responses"]["200"]["content"];
        for form in ["application/json", "application/x-ndjson", "text/csv"] {
            assert!(content[form].is_object(), "{path} as {form}");
        }
    }
    for schema in [
        "Wallet",
        "WalletAt",
        "WalletPage",
        "WalletEntryPage",
        "WalletEntry",
        "Statement",
        "StatementLine",
        "Hold",
        "HoldPage",
        "Transaction",
        "TransactionEntry",
    ] {
        assert!(api["components"]["schemas"][schema].is_object(), "{schema}");
    }
}
