//! A writer that is stopped (SIGSTOP) while it decides: under locks, others continue within seconds; in one trip, at once.
//! When it wakes, its command is carried out once.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use wallex_domain::Rejection;
use wallex_journal::append::{Answer, Committed, Render, Writer};

use crate::harness::*;

const URL: &str = "WALLEX_TEST_FROZEN_WRITER";

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill")
        .args([name, &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Stops its own process the second time, when the writer remembers the wallet. Nothing is written at that point. A
/// multi-threaded process takes a moment to stop, so this also waits for a line that it can read only once it
/// continues.
fn freezing_render(command: &wallex_domain::Command, decision: Result<&Committed, &Rejection>) -> Answer {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    if CALLS.fetch_add(1, Ordering::SeqCst) == 1 {
        println!("frozen");
        signal("-STOP", std::process::id());
        std::io::stdin().read_line(&mut String::new()).unwrap();
    }
    (RENDER.one)(command, decision)
}

/// The process that gets stopped: this test binary, started again by the test below.
#[tokio::test]
#[ignore = "started by a_writer_that_is_stopped_holds_nobody_up"]
async fn frozen_writer() {
    let Ok(url) = std::env::var(URL) else { return };
    let options: PgConnectOptions = url.parse().unwrap();
    let freezing = Render {
        one: freezing_render,
        ..RENDER
    };
    let mut writer = Writer::new(options, Arc::default(), freezing, config());
    run_one(&mut writer, credit("first", wallet(1), 1)).await;
    let reply = run_one(&mut writer, credit("frozen", wallet(1), 10)).await;
    println!("answered {:?}", status(&reply));
}

struct KilledAtTheEnd(Child);

impl Drop for KilledAtTheEnd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_writer_that_is_stopped_holds_nobody_up() {
    let journal = Journal::new().await;
    run_one(&mut journal.writer(), create("c", wallet(1), 100)).await;
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "frozen::frozen_writer"])
        .env(URL, journal.database.url())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = KilledAtTheEnd(child);
    let mut lines = BufReader::new(child.0.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(lines.any(|line| line.contains("frozen")), "the writer stops");

    let started = Instant::now();
    assert_eq!(
        status(&run_one(&mut journal.writer(), credit("k", wallet(1), 1)).await),
        DONE
    );
    let waited = started.elapsed();
    assert!(
        waited
            < Duration::from_secs(if ["locked", "alternating"].contains(&way()) {
                15
            } else {
                1
            }),
        "others waited {waited:?} for a stopped writer"
    );
    assert_eq!(
        journal.balance(wallet(1)).await,
        102,
        "what the stopped writer began is undone"
    );

    signal("-CONT", child.0.id());
    child.0.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(
        lines.any(|line| line.contains("answered (201, false)")),
        "it tries again when it wakes"
    );
    assert_eq!(journal.balance(wallet(1)).await, 112, "its command is done once");
    journal.assert_whole().await;
}
