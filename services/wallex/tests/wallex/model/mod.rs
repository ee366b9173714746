//! Random commands, retries and reads over HTTP against a running stack of two command replicas, a publisher and both
//! projectors, compared with books kept in memory by the simplest rules. Any difference is shrunk to the fewest
//! operations that show it.

mod books;
mod check;
mod operation;

use proptest::strategy::Strategy as _;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::api::Api;
use crate::platform::Platform;
use books::Books;

/// Streams of operations. Each has its own wallets; the stack and its data stay.
const CASES: u32 = 30;
const OPERATIONS: usize = 40;

#[test]
fn whatever_is_asked_the_stack_and_the_books_agree() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let platform = runtime.block_on(Platform::new());
    let roles: [&[&str]; 5] = [
        &["command"],
        &["command"],
        &["publisher"],
        &["projector", "ledger"],
        &["projector", "read-model"],
    ];
    let processes: Vec<_> = roles.iter().map(|role| platform.start(role)).collect();
    runtime.block_on(async {
        for process in &processes {
            process.ready().await;
        }
    });
    let api = Api::new([processes[0].port, processes[1].port]);

    let mut runner = TestRunner::new(Config {
        cases: CASES,
        // Each shrinking step runs a stream; results get small quickly.
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let streams = proptest::collection::vec(operation::any(), 1..OPERATIONS);
    let found = runner.run(&streams.prop_map(operation::Stream), |stream| {
        runtime
            .block_on(run(&api, &stream.0))
            .map_err(TestCaseError::fail)
    });
    if let Err(error) = found {
        panic!("{error}");
    }
    let whole = runtime.block_on(check::trial_balance(&api));
    assert_eq!(whole, Ok(()));
    platform.verify();
}

/// One stream: every answer agrees with the books, and at the end so does every read.
async fn run(api: &Api, operations: &[operation::Operation]) -> Result<(), String> {
    let mut books = Books::new();
    for (index, operation) in operations.iter().enumerate() {
        operation
            .run(api, &mut books, index)
            .await
            .map_err(|what| format!("operation {index}, {operation:?}: {what}"))?;
    }
    check::everything(api, &books).await
}
