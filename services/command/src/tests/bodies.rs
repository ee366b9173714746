//! Which bodies are accepted, and how the others are refused.

use serde_json::json;

use crate::commands::credit::Credit;
use crate::commands::erase::Erase;
use crate::commands::transfer::Transfer;
use crate::request::{Request, parse};
use crate::value::Metadata;

fn refused<R: Request>(text: &str) -> serde_json::Value {
    match parse::<R>(text.as_bytes()) {
        Ok(_) => panic!("accepted: {text}"),
        Err(problem) => serde_json::from_slice(&problem.to_body()).unwrap(),
    }
}

fn pointers(problem: &serde_json::Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().unwrap().iter();
    errors.map(|error| error["pointer"].as_str().unwrap()).collect()
}

#[test]
fn every_refused_field_is_named_by_its_pointer() {
    for (text, pointer) in [
        (r#"{"amount":1.5}"#, "/amount"),
        (r#"{"amount":1.0}"#, "/amount"),
        (r#"{"amount":1e400}"#, "/amount"),
        (r#"{"amount":"1"}"#, "/amount"),
        (r#"{"amount":0}"#, "/amount"),
        (r#"{"amount":-1}"#, "/amount"),
        (r#"{"amount":null}"#, "/amount"),
        (r#"{"amount":9000000000000001}"#, "/amount"),
        (r#"{"amount":99999999999999999999}"#, "/amount"),
        (r#"{"amount":1,"amount":1}"#, "/amount"),
        (r#"{"amount":1,"reference":""}"#, "/reference"),
        (r#"{"amount":1,"reference":7}"#, "/reference"),
        (r#"{"amount":1,"reference":"a\u0000b"}"#, "/reference"),
        (r#"{"amount":1,"reference":"\ud800"}"#, "/reference"),
        (r#"{"amount":1,"metadata":{"k":["\u0000"]}}"#, "/metadata/k/0"),
        (r#"{"amount":1,"metadata":{"k\u0000":1}}"#, "/metadata/k\u{0}"),
        (r#"{"amount":1,"metadata":{"k":"\udc00"}}"#, "/metadata/k"),
        (r#"{"amount":1,"metadata":{"\udc00":1}}"#, "/metadata/\"\\udc00\""),
        (r#"{"amount":1,"metadata":{"a":{"k":1,"k":1}}}"#, "/metadata/a/k"),
        (r#"{"amount":1,"metadata":{"a/b~":1e-400}}"#, "/metadata/a~1b~0"),
        (r#"{"amount":1,"metadata":[]}"#, "/metadata"),
        (r#"{"amount":1,"amuont":2}"#, "/amuont"),
        ("{}", "/amount"),
    ] {
        let problem = refused::<Credit>(text);
        assert_eq!(problem["code"], "validation_failed", "{text}");
        assert_eq!(pointers(&problem), [pointer], "{text}: {problem}");
    }
}

#[test]
fn only_an_object_is_a_body() {
    for text in ["[5]", "[]", "5", "null", "\"x\"", "[{\"amount\":5}]"] {
        assert_eq!(pointers(&refused::<Credit>(text)), [""], "{text}");
        assert_eq!(pointers(&refused::<Erase>(text)), [""], "{text}");
    }
    let transfer = r#"["0198c0de-7f3a-7c10-8000-1a2b3c4d5e6f","0198c0de-7f3a-7c10-8000-1a2b3c4d5e6e",3]"#;
    assert_eq!(pointers(&refused::<Transfer>(transfer)), [""]);
}

#[test]
fn what_is_no_json_is_malformed() {
    for text in ["", "{", "{\"amount\":1}x", "\u{feff}{}", "nul"] {
        assert_eq!(refused::<Credit>(text)["code"], "malformed_json", "{text:?}");
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_in_sentences_for_people() {
    let problem =
        refused::<Transfer>(r#"{"from":"x","to":7,"amount":-1,"referense":"r","metadata":{"n":1e400}}"#);
    assert_eq!(
        pointers(&problem),
        ["/from", "/to", "/amount", "/metadata/n", "/referense"]
    );
    assert_eq!(
        problem["errors"][4]["detail"],
        "is not a known field; did you mean reference?"
    );
    let text = problem.to_string();
    for word in [
        "expected",
        "invalid type",
        "unknown field",
        "i64",
        "Uuid",
        "struct",
        "line 1",
    ] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    let missing = refused::<Transfer>("{}");
    assert_eq!(pointers(&missing), ["/from", "/to", "/amount"]);
    // Thousands of errors get a short answer.
    let many: Vec<String> = (0..10_000).map(|n| format!("\"{n}\":{n}")).collect();
    let problem = refused::<Credit>(&format!("{{{}}}", many.join(",")));
    assert_eq!(pointers(&problem).len(), 20);
}

#[test]
fn metadata_is_bounded() {
    let many: Metadata = (0..65).map(|n| (n.to_string(), json!(n))).collect();
    let text = json!({"amount": 1, "metadata": many}).to_string();
    assert_eq!(pointers(&refused::<Credit>(&text)), ["/metadata"]);
    let text = json!({"amount": 1, "metadata": {"k": "x".repeat(17_000)}}).to_string();
    assert_eq!(pointers(&refused::<Credit>(&text)), ["/metadata"]);
    let nested = |levels: usize| {
        let inner = format!("{}1{}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        format!(r#"{{"amount":1,"metadata":{{"k":{inner}}}}}"#)
    };
    assert!(parse::<Credit>(nested(16).as_bytes()).is_ok());
    for levels in [17, 40, 500, 50_000] {
        assert_eq!(pointers(&refused::<Credit>(&nested(levels))), ["/metadata"]);
    }
    // Six characters that look like an escape but are not.
    assert!(parse::<Credit>(br#"{"amount":1,"metadata":{"pattern":"\\u0000"}}"#).is_ok());
}

#[test]
fn numbers_of_metadata_are_kept() {
    let parsed = parse::<Credit>(
        br#"{"amount":1,"metadata":{"n":941300.4193968255,"m":1.7976931348623157e308,"i":18446744073709551615}}"#,
    );
    let (_, written) = parsed.unwrap_or_else(|_| panic!("refused"));
    let metadata = &serde_json::from_slice::<serde_json::Value>(&written).unwrap()["metadata"];
    assert_eq!(metadata["n"].to_string(), "941300.4193968255");
    assert_eq!(metadata["m"].as_f64(), Some(f64::MAX));
    assert_eq!(metadata["i"].as_u64(), Some(u64::MAX));
}
