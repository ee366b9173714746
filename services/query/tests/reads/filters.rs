//! The filters of a history, alone and combined, compared with the same selection from all entries.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{A, Api, B, NOWHERE, time};
use crate::entries::Entry;

const TYPES: [&str; 5] = ["freeze", "credit", "debit", "transfer_in", "hold"];
const REFERENCES: [&str; 3] = ["invoice-1", "invoice-2", "= \"odd\", one"];

/// 60 entries in which types, references, counterparties and times mix; the other wallet has the same.
async fn mixed(api: &Api) {
    for wallet in [A, B] {
        api.happens(Entry::new(wallet, 1, "create", 0, 0)).await;
        for version in 2..=60 {
            let at = usize::try_from(version).unwrap();
            let other = Uuid::from_u128(u128::try_from(version % 4).unwrap());
            api.happens(Entry {
                reference: (at % 5 != 0).then(|| REFERENCES[at % 3]),
                counterparty: Some(other),
                // Pairs of entries share their time.
                at: version / 2,
                ..Entry::new(wallet, version, TYPES[at % 5], 0, 0)
            })
            .await;
        }
    }
}

/// Whether `filter` (name, value) lets `entry` through, restated in the simplest way.
fn passes(entry: &Value, (name, value): &(&str, String)) -> bool {
    match *name {
        "type" => value.split(',').any(|kind| entry["type"] == kind),
        "from" => entry["recorded_at"].as_str().unwrap() >= value.as_str(),
        "to" => entry["recorded_at"].as_str().unwrap() < value.as_str(),
        "reference" | "counterparty" => entry[*name] == value.as_str(),
        _ => unreachable!(),
    }
}

fn query(filters: &[&(&str, String)]) -> String {
    let pairs = filters.iter().map(|(name, value)| {
        let value: String = value
            .bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect();
        format!("&{name}={value}")
    });
    pairs.collect()
}

#[tokio::test]
async fn filters_combine_and_their_pages_fit_together() {
    let api = Api::start().await;
    mixed(&api).await;
    let list = format!("/v1/wallets/{A}/transactions");
    let all = api.get(&format!("{list}?limit=200")).await.body["items"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(all.len(), 60);
    let choices: [&[(&str, String)]; 5] = [
        &[
            ("type", "debit".to_owned()),
            ("type", "hold,credit,debit".to_owned()),
            ("type", "erase".to_owned()),
        ],
        &[("from", time(7)), ("from", time(900))],
        &[("to", time(22)), ("to", time(0))],
        &[
            ("reference", REFERENCES[1].to_owned()),
            ("reference", REFERENCES[2].to_owned()),
        ],
        &[("counterparty", Uuid::from_u128(1).to_string())],
    ];
    let mut tried = 0;
    let mut some = 0;
    // Each filter is left out or takes one of its values.
    let count: usize = choices.iter().map(|values| values.len() + 1).product();
    for mut number in 0..count {
        let mut filters = Vec::new();
        for values in choices {
            let choice = number % (values.len() + 1);
            number /= values.len() + 1;
            filters.extend(choice.checked_sub(1).map(|at| &values[at]));
        }
        let value_of = |wanted: &str| {
            filters
                .iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| value)
        };
        if value_of("from") > value_of("to") && value_of("to").is_some() {
            continue;
        }
        let expected: Vec<&Value> = all
            .iter()
            .filter(|entry| filters.iter().all(|filter| passes(entry, filter)))
            .map(|entry| &entry["version"])
            .collect();
        let query = query(&filters);
        let got = api.pages(&format!("{list}?limit=7{query}"), "version").await;
        assert_eq!(got.iter().collect::<Vec<_>>(), expected, "{query}");
        tried += 1;
        some += usize::from(!expected.is_empty());
    }
    assert!(tried > 100 && some > 30, "{some} of {tried} found something");
}

#[tokio::test]
async fn a_period_takes_its_beginning_and_leaves_its_end() {
    let api = Api::start().await;
    for (version, at, kind) in [
        (1, 10, "create"),
        (2, 20, "credit"),
        (3, 20, "credit"),
        (4, 30, "credit"),
    ] {
        let entry = Entry::new(A, version, kind, 0, 0);
        api.happens(Entry { at, ..entry }).await;
    }
    for (from, to, versions) in [
        (20, 30, vec![3, 2]),
        (20, 31, vec![4, 3, 2]),
        (21, 30, vec![]),
        (0, 10, vec![]),
        (0, 11, vec![1]),
        (31, 99, vec![]),
        (20, 20, vec![]),
    ] {
        let path = format!("/v1/wallets/{A}/transactions?from={}&to={}", time(from), time(to));
        assert_eq!(api.get(&path).await.versions(), versions, "{from} to {to}");
    }
    // A time with an offset is as good as any.
    let path = format!("/v1/wallets/{A}/transactions?from=2026-01-31T13:00:00.000030%2B01:00");
    assert_eq!(api.get(&path).await.versions(), [4]);
}

#[tokio::test]
async fn a_cursor_goes_on_with_its_own_filters_only() {
    let api = Api::start().await;
    mixed(&api).await;
    let list = format!("/v1/wallets/{A}/transactions?limit=1");
    let filters = [
        String::new(),
        "&type=credit".to_owned(),
        "&type=credit,debit".to_owned(),
        "&reference=invoice-1".to_owned(),
        format!("&from={}", time(3)),
        format!("&to={}", time(29)),
        format!("&counterparty={}", Uuid::from_u128(1)),
    ];
    for given in &filters {
        let page = api.get(&format!("{list}{given}")).await;
        let cursor = page.body["next_cursor"].as_str().unwrap();
        for taken in &filters {
            let reply = api.get(&format!("{list}{taken}&cursor={cursor}")).await;
            let code = (given != taken).then_some(json!("invalid_cursor"));
            assert_eq!(reply.body.get("code"), code.as_ref(), "{given} to {taken}");
        }
        let elsewhere = format!("/v1/wallets/{B}/transactions?limit=1{given}&cursor={cursor}");
        api.refuses(&elsewhere, 400, "invalid_cursor").await;
    }
    // The same set of types in another order is the same filter.
    let page = api.get(&format!("{list}&type=credit,debit")).await;
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let reply = api
        .get(&format!("{list}&type=debit,credit,debit&cursor={cursor}"))
        .await;
    assert_eq!(reply.versions().len(), 1);
}

#[tokio::test]
async fn new_entries_do_not_shift_filtered_pages() {
    let api = Api::start().await;
    mixed(&api).await;
    let list = format!("/v1/wallets/{A}/transactions?limit=5&type=credit,debit");
    let before = api.pages(&list, "version").await;
    let first = api.get(&list).await;
    api.happens(Entry::new(A, 61, "credit", 0, 0)).await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let second = api.get(&format!("{list}&cursor={cursor}")).await;
    assert_eq!(second.items("version"), before[5..10]);
}

#[tokio::test]
async fn what_nobody_has_is_an_empty_page() {
    let api = Api::start().await;
    mixed(&api).await;
    let all = "create,credit,debit,transfer_out,transfer_in,hold,capture,release,expire,reversal_out,reversal_in,freeze,\
               unfreeze,close,overdraft_limit,erase";
    let reply = api
        .get(&format!("/v1/wallets/{A}/transactions?limit=200&type={all}"))
        .await;
    assert_eq!(reply.versions().len(), 60, "all types are no filter");
    for filter in [
        "type=erase".to_owned(),
        "reference=none".to_owned(),
        format!("counterparty={NOWHERE}"),
    ] {
        let reply = api.get(&format!("/v1/wallets/{A}/transactions?{filter}")).await;
        assert_eq!(reply.body, json!({"items": [], "next_cursor": null}), "{filter}");
    }
}

/// The index yields the whole history, but matches are rare: no page examines all of it, and no match is lost.
#[tokio::test]
async fn a_rare_type_of_a_busy_reference_is_found_page_by_page() {
    let api = Api::start().await;
    api.shaped_history(A, 12_000, |entry| match entry.version {
        1 => entry,
        version => Entry {
            kind: match version {
                3 | 4_000 | 4_001 | 11_000 => "transfer_out",
                _ => "transfer_in",
            },
            reference: Some("busy"),
            counterparty: Some(B),
            ..entry
        },
    })
    .await;
    for filter in [
        "reference=busy&type=transfer_out".to_owned(),
        format!("counterparty={B}&type=transfer_out"),
        format!("reference=busy&counterparty={B}&type=transfer_out"),
    ] {
        let list = format!("/v1/wallets/{A}/transactions?{filter}");
        let (mut found, mut pages, mut cursor) = (Vec::new(), 0, String::new());
        loop {
            let reply = api.get(&format!("{list}&limit=2{cursor}")).await;
            found.extend(reply.versions());
            pages += 1;
            match reply.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(found, [11_000, 4_001, 4_000, 3], "{filter}");
        assert!(pages >= 3, "{filter}: a page looked at everything");
        let export = api.get_with(&list, &[("Accept", "application/x-ndjson")]).await;
        let exported: Vec<_> = export
            .lines()
            .iter()
            .map(|line| line["version"].clone())
            .collect();
        assert_eq!(exported, [11_000, 4_001, 4_000, 3], "{filter}");
    }
    let nobody = format!("/v1/wallets/{A}/transactions?reference=busy&counterparty={NOWHERE}");
    let reply = api.get(&nobody).await;
    assert!(reply.versions().is_empty() && reply.body["next_cursor"].is_string());
}
