//! The examples in docs/api.md, as a reader would run them: every `sh` block, in order, in one bash, against `wallex
//! dev`. A `json` block after one is compared with its output.
//!
//! The invariant: the page shows only real answers of this platform. Ids, times, positions and `…` match any value of
//! their kind; everything else is equal, down to the set of keys.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use wallex_testing::TestDatabase;

use crate::process::{Process, free_port};

/// Printed between blocks: ASCII's record separator, which no answer contains.
const BETWEEN: char = '\u{1e}';

/// A shell block, and the answer that the page shows for it.
struct Example {
    line: usize,
    sh: String,
    answer: Option<String>,
}

fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(file)
}

fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let block = lines
            .by_ref()
            .map(|(_, line)| line)
            .take_while(|line| *line != "```");
        let block = block.collect::<Vec<_>>().join("\n");
        match (language, examples.last_mut()) {
            ("sh", _) => examples.push(Example {
                line: number + 1,
                sh: block,
                answer: None,
            }),
            ("json", Some(example)) => example.answer = Some(block),
            _ => {}
        }
    }
    examples
}

fn run(examples: &[Example], api: &str) -> Output {
    let mut script = String::from("set -euo pipefail\n");
    for example in examples {
        script.push_str(&example.sh);
        script.push_str(&format!("\nprintf '{BETWEEN}'\n"));
    }
    let bash = Command::new("bash")
        .args(["-c", &script])
        .env("API", api)
        .output();
    bash.unwrap()
}

/// The values in a text of concatenated JSON values.
fn values(text: &str) -> Result<Vec<Value>, serde_json::Error> {
    serde_json::Deserializer::from_str(text).into_iter().collect()
}

/// Records in `wrong` where `given` differs from `shown`.
fn compare(shown: &Value, given: &Value, at: &str, wrong: &mut Vec<String>) {
    match (shown, given) {
        (Value::String(any), _) if any == "…" => {}
        (Value::Object(shown), Value::Object(given)) => {
            let names: BTreeSet<&String> = shown.keys().chain(given.keys()).collect();
            for name in names {
                let at = format!("{at}/{name}");
                match (shown.get(name), given.get(name)) {
                    (Some(shown), Some(given)) => compare(shown, given, &at, wrong),
                    (Some(_), None) => wrong.push(format!("{at} is shown and not given")),
                    (None, Some(given)) => wrong.push(format!("{at} is given and not shown: {given}")),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(shown), Value::Array(given)) if shown.len() == given.len() => {
            for (index, (shown, given)) in shown.iter().zip(given).enumerate() {
                compare(shown, given, &format!("{at}/{index}"), wrong);
            }
        }
        (Value::String(shown), Value::String(given)) if alike(shown, given) => {}
        (shown, given) if shown == given => {}
        (shown, given) => wrong.push(format!("{at} is {given}, shown is {shown}")),
    }
}

/// Equal, or of a kind that differs from run to run, or equal except where `…` stands.
fn alike(shown: &str, given: &str) -> bool {
    let kinds = [is_uuid, is_time, is_position];
    shown == given || kinds.iter().any(|is| is(shown) && is(given)) || fits(shown, given)
}

fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    rest.is_empty()
}

/// In `form`, 0 stands for a digit and x for a hexadecimal digit.
fn has_form(form: &str, text: &str) -> bool {
    form.len() == text.len()
        && form.bytes().zip(text.bytes()).all(|(form, byte)| match form {
            b'0' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_hexdigit(),
            other => byte == other,
        })
}

fn is_uuid(text: &str) -> bool {
    has_form("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", text)
}

fn is_time(text: &str) -> bool {
    has_form("0000-00-00T00:00:00.000000Z", text)
}

fn is_position(text: &str) -> bool {
    text.split(',').all(|one| {
        one.split_once(':').is_some_and(|parts| {
            [parts.0, parts.1]
                .iter()
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
        })
    })
}

#[tokio::test]
async fn every_example_of_the_page_runs_and_answers_as_shown() {
    let database = TestDatabase::empty().await;
    let port = free_port();
    let arguments = ["dev", "--port", &port.to_string()];
    let dev = Process::start(&arguments, port, &[("DATABASE_URL", database.url())]);
    dev.ready().await;

    let examples = examples(&fs::read_to_string(docs("api.md")).unwrap());
    let ran = run(&examples, &format!("http://127.0.0.1:{port}"));
    let printed = String::from_utf8(ran.stdout).unwrap();
    let done = printed.matches(BETWEEN).count();
    assert!(
        ran.status.success(),
        "docs/api.md:{} failed: {}\n{}\n{}",
        examples[done.min(examples.len() - 1)].line,
        String::from_utf8_lossy(&ran.stderr),
        printed.rsplit(BETWEEN).next().unwrap_or_default(),
        dev.log(),
    );
    let mut wrong = Vec::new();
    for (example, printed) in examples.iter().zip(printed.split(BETWEEN)) {
        let Some(answer) = &example.answer else { continue };
        let at = format!("docs/api.md:{}", example.line);
        match (values(answer), values(printed)) {
            (Ok(shown), Ok(given)) => compare(&shown.into(), &given.into(), &at, &mut wrong),
            (Err(error), _) => wrong.push(format!("{at} shows no JSON: {error}")),
            (_, Err(error)) => wrong.push(format!("{at} gives no JSON: {error}: {printed}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        examples.len() > 30,
        "{} examples are seen: the test has gone blind",
        examples.len()
    );
}

#[test]
fn every_route_has_an_example() {
    let description: Value =
        serde_json::from_str(&fs::read_to_string(docs("openapi.json")).unwrap()).unwrap();
    let page = fs::read_to_string(docs("api.md")).unwrap();
    let mut called: Vec<Vec<String>> = Vec::new();
    for example in examples(&page) {
        for call in example.sh.split("$API/").skip(1) {
            let path = call.split([' ', '"', '?', '\n', ')']).next().unwrap_or_default();
            called.push(path.split('/').map(str::to_owned).collect());
        }
    }
    let is_called = |path: &str| {
        let route: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        called.iter().any(|call| {
            call.len() == route.len()
                && call
                    .iter()
                    .zip(&route)
                    .all(|(call, part)| part.starts_with('{') || call == part)
        })
    };
    let paths = description["paths"].as_object().unwrap().keys();
    let missing: Vec<&String> = paths.filter(|path| !is_called(path)).collect();
    assert!(missing.is_empty(), "docs/api.md has no example of {missing:?}");
}

#[test]
fn what_differs_from_what_is_shown_is_seen() {
    let wrong = |shown: &str, given: &str| {
        let mut wrong = Vec::new();
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        compare(&parse(shown), &parse(given), "", &mut wrong);
        wrong.len()
    };
    for (shown, given) in [
        (r#"{"a":1}"#, r#"{"a":2}"#),
        (r#"{"a":1}"#, r#"{"b":1}"#),
        (r#"{"a":1}"#, r#"{"a":1,"b":1}"#),
        (r#"[1]"#, r#"[1,1]"#),
        (r#""active""#, r#""frozen""#),
        (r#""3:1""#, r#""3""#),
        (r#""wallet:…""#, r#""hold:7""#),
    ] {
        assert!(wrong(shown, given) > 0, "{shown} {given}");
    }
    for (shown, given) in [
        (r#"{"a":"…"}"#, r#"{"a":[1,2]}"#),
        (r#""3:1042,7:88""#, r#""0:1""#),
        (
            r#""2026-01-31T12:00:00.000000Z""#,
            r#""2027-12-01T01:02:03.456789Z""#,
        ),
        (r#""wallet … has 5""#, r#""wallet 7 has 5""#),
    ] {
        assert_eq!(wrong(shown, given), 0, "{shown} {given}");
    }
}
