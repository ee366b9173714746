//! `wallex log-level`, used on a running role.

use uuid::Uuid;

use crate::platform::{Platform, text};
use crate::process::{Process, wallex};

fn log_level(role: &Process, level: &[&str]) -> (bool, String) {
    let told = wallex()
        .arg("log-level")
        .args(level)
        .args(["--port", &role.port.to_string()])
        .output()
        .unwrap();
    (told.status.success(), text(&told))
}

#[tokio::test]
async fn a_running_role_logs_what_it_is_told() {
    let mut platform = Platform::new().await;
    platform.set("WALLEX_LOG", "info");
    let role = platform.start(&["query"]);
    role.ready().await;
    // A separate route at each level: its lines show when they were written.
    let ask = async |at: &str| {
        assert_eq!(role.get(&format!("{at}/{}", Uuid::now_v7())).await, Some(404));
        assert_eq!(role.get("/health/live").await, Some(200));
    };
    assert!(log_level(&role, &[]).1.contains("info"));
    ask("/v1/wallets").await;

    assert!(log_level(&role, &["info,request=warn"]).0);
    ask("/v1/holds").await;

    let (done, told) = log_level(&role, &["dubug"]);
    assert!(
        !done && told.contains("`dubug` is not one of trace, debug"),
        "{told}"
    );
    for nothing in ["nonsense=", "=debug", "", "info,nonsense="] {
        let (done, told) = log_level(&role, &[nothing]);
        assert!(!done && told.contains("400"), "{nothing}: {told}");
    }
    assert!(
        log_level(&role, &[]).1.contains("request=warn"),
        "a mistake changes nothing"
    );

    assert!(log_level(&role, &["debug"]).0);
    ask("/v1/transactions").await;
    role.says("the log level is changed").await;

    // Request lines are written after the answer, by a thread that keeps their order: once the last one is there, so
    // are all earlier ones.
    role.says("/health/live").await;
    let log = role.log();
    let lines = |of: &str| log.matches(of).count();
    assert_eq!(lines("/v1/wallets/{id}"), 1, "one line per request: {log}");
    assert_eq!(
        lines("/v1/holds/{id}"),
        0,
        "a request that went well has no line: {log}"
    );
    assert_eq!(lines("/v1/transactions/{id}"), 1, "{log}");
    assert_eq!(lines("/health/live"), 1, "probes have lines at debug only: {log}");
}

#[test]
fn a_role_that_is_not_there_is_named() {
    let told = wallex()
        .args(["log-level", "debug", "--port", "1"])
        .output()
        .unwrap();
    assert_eq!(told.status.code(), Some(1));
    assert!(text(&told).contains("http://127.0.0.1:1"), "{}", text(&told));
}
