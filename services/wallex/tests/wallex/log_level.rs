//! `wallex log-level`, as someone uses it on a role that runs.

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
    let platform = Platform::new().await;
    let role = platform.start(&["query"]);
    role.ready().await;
    // Each request has a path of its own kind, to be found again.
    let ask = async |lines: usize| {
        assert_eq!(
            role.get(&format!("/v1/wallets/{}", Uuid::now_v7())).await,
            Some(404)
        );
        assert_eq!(role.get("/health/live").await, Some(200));
        let of_clients = role.log().matches("/v1/wallets/{id}").count();
        assert_eq!(of_clients, lines, "{}", role.log());
        role.log().matches("/health/live").count()
    };
    assert!(log_level(&role, &[]).1.contains("info"));
    assert_eq!(ask(1).await, 0, "one line per request, none for probes");

    assert!(log_level(&role, &["info,request=warn"]).0);
    assert_eq!(ask(1).await, 0, "a request that went well has no line");

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
    assert_eq!(ask(2).await, 1, "at debug probes have lines too");
    assert!(role.log().contains("the log level is changed"));
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
