//! The audit trail on a real journal. Each event is verified from the answer's JSON alone, by docs/journal.md.

use serde_json::{Value, json};
use uuid::Uuid;
use wallex_books::New;
use wallex_domain::PersonalData;
use wallex_journal::Event;
use wallex_journal::personal::Sealed;

use crate::api::{A, Api, B, NOON, NOWHERE};

/// A journal with wallets A and B in partition 3.
struct Journal {
    api: Api,
    seq: i64,
}

impl Journal {
    async fn set_up() -> Self {
        let api = Api::start().await;
        Self { api, seq: 0 }
    }

    async fn append(&mut self, wallet: Uuid, version: i64, payload: &[u8]) -> Event {
        self.append_new(version, New::raw(3, wallet, "wallet.credited", payload))
            .await
    }

    async fn append_new(&mut self, version: i64, new: New) -> Event {
        self.seq += 1;
        let new = New {
            recorded_at: Some(NOON + self.seq),
            actor: "default".to_owned(),
            ..new
        };
        let event = self.api.books.lock().await.journal.one(new).await;
        assert_eq!((event.seq, event.version), (self.seq, version));
        event
    }

    async fn append_personal(&mut self, wallet: Uuid, version: i64, description: &str) -> Event {
        let data = PersonalData {
            description: Some(description.to_owned()),
            ..PersonalData::default()
        };
        let sealed = Sealed::new(&data, [7; 16]).unwrap().unwrap();
        let payload = format!(r#"{{"amount":1,"personal":"{}"}}"#, sealed.digest());
        let new = New {
            personal: Some(sealed),
            ..New::raw(3, wallet, "wallet.credited", payload)
        };
        self.append_new(version, new).await
    }
}

async fn events(api: &Api, query: &str) -> Value {
    let reply = api.get(&format!("/v1/wallets/{A}/events{query}")).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.header("cache-control"), "no-store");
    reply.body
}

/// `hash` as another program would compute it, from the JSON and docs/journal.md only.
fn recomputed(event: &Value) -> String {
    let text = |field: &str| event[field].as_str().unwrap().to_owned();
    let number = |field: &str| event[field].as_i64().unwrap();
    let uuid = |field: &str| text(field).parse::<Uuid>().unwrap();
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_be_bytes();
    let recorded_at: jiff::Timestamp = text("recorded_at").parse().unwrap();

    let mut bytes = unhexed(&text("prev_hash"));
    bytes.push(1);
    bytes.extend(uuid("event_id").as_bytes());
    bytes.extend(uuid("transaction_id").as_bytes());
    bytes.extend(i32::try_from(number("partition")).unwrap().to_be_bytes());
    bytes.extend(number("seq").to_be_bytes());
    bytes.extend(uuid("wallet_id").as_bytes());
    bytes.extend(number("version").to_be_bytes());
    for field in ["type", "actor", "payload"] {
        bytes.extend(length(text(field).as_bytes()));
        bytes.extend(text(field).as_bytes());
    }
    bytes.extend(i16::try_from(number("schema_version")).unwrap().to_be_bytes());
    bytes.extend(recorded_at.as_microsecond().to_be_bytes());
    blake3::hash(&bytes).to_hex().to_string()
}

fn unhexed(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

#[tokio::test]
async fn the_hash_of_an_event_follows_from_its_json() {
    let mut journal = Journal::set_up().await;
    // Spaces, escapes and the order of members are part of what was hashed.
    journal
        .append(A, 1, "{\"b\" : 1,\n \"a\":\"\\u00e9 \u{e9} \\/\"}".as_bytes())
        .await;
    journal.append(B, 1, b"{}").await;
    let last = journal.append(A, 2, br#"{"amount":1}"#).await;

    let body = events(&journal.api, "").await;
    let items = body["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    for event in items {
        assert_eq!(event["hash"], json!(recomputed(event)), "{event}");
    }
    assert_eq!(items[0]["prev_hash"], json!("0".repeat(64)));
    assert_eq!(items[0]["data"], json!({"a": "\u{e9} \u{e9} /", "b": 1}));
    // The previous event in the partition is B's.
    assert_eq!(items[1]["prev_hash"], json!(last.prev_hash.to_string()));
    assert_eq!(
        items[1],
        json!({
            "event_id": last.event_id, "transaction_id": last.transaction_id, "wallet_id": A, "partition": 3, "seq": 3,
            "position": "3:3", "version": 2, "type": "wallet.credited", "schema_version": 1,
            "recorded_at": "2026-01-31T12:00:00.000003Z", "actor": "default", "payload": r#"{"amount":1}"#,
            "data": {"amount": 1}, "personal": {"status": "absent"}, "prev_hash": last.prev_hash.to_string(),
            "hash": last.hash.to_string(),
        })
    );
    assert_eq!(body["next_after_version"], Value::Null);
}

#[tokio::test]
async fn personal_data_is_absent_present_or_erased_and_its_digest_can_be_checked() {
    let mut journal = Journal::set_up().await;
    journal.append(A, 1, b"{}").await;
    journal.append_personal(A, 2, "for Ada").await;
    let erased = journal.append_personal(A, 3, "for Bob").await;
    journal
        .api
        .execute(&format!(
            "DELETE FROM journal.personal WHERE event_id = '{}'",
            erased.event_id
        ))
        .await;
    let body = events(&journal.api, "").await;
    let personal: Vec<&Value> = body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["personal"])
        .collect();
    assert_eq!(personal[0], &json!({"status": "absent"}));

    assert_eq!(personal[1]["status"], json!("present"));
    let mut bytes = unhexed(personal[1]["salt"].as_str().unwrap());
    bytes.extend(personal[1]["data"].as_str().unwrap().as_bytes());
    assert_eq!(
        personal[1]["digest"],
        json!(blake3::hash(&bytes).to_hex().to_string())
    );
    assert!(personal[1]["data"].as_str().unwrap().contains("for Ada"));

    let digest = serde_json::from_slice::<Value>(&erased.payload).unwrap()["personal"].clone();
    assert_eq!(personal[2], &json!({"status": "erased", "digest": digest}));
    for event in body["items"].as_array().unwrap() {
        assert_eq!(
            event["hash"],
            json!(recomputed(event)),
            "erasure leaves the chain whole"
        );
    }
}

#[tokio::test]
async fn a_trail_is_read_page_by_page_oldest_first() {
    let mut journal = Journal::set_up().await;
    for version in 1..=5 {
        journal.append(A, version, b"{}").await;
        journal.append(B, version, b"{}").await;
    }
    let (mut versions, mut after) = (Vec::new(), json!(0));
    while !after.is_null() {
        let body = events(&journal.api, &format!("?limit=2&after_version={after}")).await;
        let items = body["items"].as_array().unwrap();
        versions.extend(items.iter().map(|event| event["version"].as_i64().unwrap()));
        after = body["next_after_version"].clone();
    }
    assert_eq!(versions, [1, 2, 3, 4, 5]);
    assert_eq!(events(&journal.api, "?after_version=5").await["items"], json!([]));
    // A full last page has no next page.
    assert_eq!(
        events(&journal.api, "?limit=5").await["next_after_version"],
        Value::Null
    );
}

#[tokio::test]
async fn an_event_that_nobody_can_read_is_shown_all_the_same() {
    let mut journal = Journal::set_up().await;
    journal.append(A, 1, b"\xff\x00 no JSON").await;
    let body = events(&journal.api, "").await;
    let event = &body["items"][0];
    assert_eq!(event["payload_hex"], json!("ff00206e6f204a534f4e"));
    assert_eq!((event.get("payload"), &event["data"]), (None, &Value::Null));
}

#[tokio::test]
async fn what_is_not_there_or_malformed_is_refused() {
    let mut journal = Journal::set_up().await;
    journal.append(A, 1, b"{}").await;
    let path = format!("/v1/wallets/{A}/events");
    journal
        .api
        .refuses(&format!("/v1/wallets/{NOWHERE}/events"), 404, "wallet_not_found")
        .await;
    for query in [
        "after_version=-1",
        "after_version=x",
        "after_version=9223372036854775808",
        "limit=0",
        "limit=201",
        "limit=1&limit=1",
        "cursor=00",
    ] {
        journal
            .api
            .refuses(&format!("{path}?{query}"), 422, "validation_failed")
            .await;
    }
    journal
        .api
        .refuses("/v1/wallets/7/events", 422, "validation_failed")
        .await;
    let position = |text| [("Wallex-Min-Position", text)];
    journal
        .api
        .refuses_with(&path, &position("x"), 400, "precondition_malformed")
        .await;
    // The journal has exactly what a write has returned.
    assert_eq!(journal.api.get_with(&path, &position("3:1")).await.status, 200);
    journal
        .api
        .refuses_with(&path, &position("3:2"), 503, "position_not_reached")
        .await;
}

#[tokio::test]
async fn what_an_erasure_is_still_removing_is_shown_no_more() {
    let mut journal = Journal::set_up().await;
    journal.append(A, 1, b"{}").await;
    journal.append_personal(A, 2, "before").await;
    let erased = br#"{"currency":"EUR","balance":0}"#;
    let erasure = New::raw(3, A, "wallet.personal_data_erased", erased);
    journal.append_new(3, erasure).await;
    journal.append_personal(A, 4, "after").await;
    let body = events(&journal.api, "").await;
    assert_eq!(body["items"][1]["personal"]["status"], json!("erased"));
    assert_eq!(body["items"][3]["personal"]["status"], json!("present"));
}
