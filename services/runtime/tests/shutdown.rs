//! Signals sent to a separate process: this test binary, started as the child.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdout, Command, Stdio};

/// Reports when it is ready and when it is asked to finish, but never finishes.
#[test]
#[ignore = "the child of the other tests"]
fn child() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let token = wallex_runtime::shutdown::token();
        say("ready");
        token.cancelled().await;
        say("finishing");
        std::future::pending::<()>().await;
    });
}

fn say(word: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{word}").unwrap();
    stdout.flush().unwrap();
}

fn start() -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    hear(&mut stdout, "ready");
    (child, stdout)
}

/// Reads up to the line that ends with `word`; the test runner writes lines of its own.
fn hear(stdout: &mut BufReader<ChildStdout>, word: &str) {
    let mut line = String::new();
    while !line.trim_end().ends_with(word) {
        line.clear();
        assert!(
            stdout.read_line(&mut line).unwrap() > 0,
            "the child ended before it said {word}"
        );
    }
}

fn send(child: &Child, signal: &str) {
    assert!(
        Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
}

fn second_signal_ends_with(signal: &str, code: i32) {
    let (mut child, mut stdout) = start();
    send(&child, signal);
    hear(&mut stdout, "finishing");
    assert!(child.try_wait().unwrap().is_none(), "the first signal only asks");
    send(&child, signal);
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(code), None));
}

#[test]
fn the_first_sigterm_asks_and_the_second_ends() {
    second_signal_ends_with("-TERM", 143);
}

#[test]
fn the_first_sigint_asks_and_the_second_ends() {
    second_signal_ends_with("-INT", 130);
}
