//! A process's log lines, read as a log collector reads them. The process is this test binary, started as the child.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use serde_json::Value;
use wallex_runtime::{Flags, Settings, telemetry};

#[test]
#[ignore = "the child of the other tests"]
fn child() {
    let flags = Flags {
        log: Some("warn,telemetry=debug".to_owned()),
        log_format: std::env::var("TEST_LOG_FORMAT").ok(),
        ..Flags::default()
    };
    telemetry::init(&Settings::from_flags(&flags).unwrap());
    let span = tracing::info_span!("partition", partition = 3);
    span.in_scope(|| tracing::debug!(seq = 1042, "published"));
    tracing::info!(target: "elsewhere", "filtered out");
    tracing::warn!(target: "elsewhere", "kept");
    assert!(std::thread::spawn(|| panic!("no such luck")).join().is_err());
}

fn stderr(format: &str) -> Vec<String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child", "--nocapture"])
        .env("TEST_LOG_FORMAT", format)
        .stdout(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stderr)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn json_is_one_object_a_line_also_for_a_panic() {
    let lines: Vec<Value> = stderr("json")
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(
        (&lines[0]["message"], &lines[0]["seq"]),
        (&"published".into(), &1042.into())
    );
    assert_eq!(
        (&lines[0]["level"], &lines[0]["span"]["partition"]),
        (&"DEBUG".into(), &3.into())
    );
    assert_eq!(lines[1]["message"], "kept");
    assert_eq!(
        (&lines[2]["level"], &lines[2]["panic"]),
        (&"ERROR".into(), &"no such luck".into())
    );
    assert!(lines[2]["location"].as_str().unwrap().contains("telemetry.rs:"));
}

#[test]
fn text_is_one_line_each_without_colours_off_a_terminal() {
    let lines = stderr("text");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines[0].contains("DEBUG") && lines[0].contains("seq=1042"),
        "{}",
        lines[0]
    );
    assert!(lines.iter().all(|line| !line.contains('\u{1b}')), "{lines:?}");
}

/// Request lines that the child of the next test writes: more than fit in a pipe and the queue.
const FLOOD: usize = 60_000;

#[test]
#[ignore = "the child of another test"]
fn flooding_child() {
    let mut settings = Settings::from_flags(&Flags::default()).unwrap();
    settings.log = "info".to_owned();
    telemetry::init(&settings);
    for number in 0..FLOOD {
        tracing::info!(target: "request", number, "request");
    }
    println!("done");
    // Wait until the other side has seen that and reads on.
    std::io::stdin().read_to_string(&mut String::new()).unwrap();
    tracing::info!("the last words");
    telemetry::finish();
}

#[test]
fn lines_of_requests_wait_for_nobody_who_reads_them() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "flooding_child", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody reads stderr now: a process that waited for it would never get this far.
    let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(stdout.by_ref().map_while(Result::ok).any(|line| line == "done"));
    drop(child.stdin.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success());
    let requests = said.matches("number=").count();
    assert!((1..FLOOD).contains(&requests), "{requests} lines");
    assert!(said.contains("the last words"));
}
