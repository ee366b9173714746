//! `wallex config`, as used to see a process's settings.

use std::process::Stdio;

use crate::platform::text;
use crate::process::wallex;

#[test]
fn config_shows_what_is_in_force_and_no_secret() {
    let shown = wallex()
        .args(["config", "--writers", "2"])
        .env("WALLEX_DATABASE_URL", "postgres://wallex:hunter2@db:5432/wallex")
        .output()
        .unwrap();
    let text = text(&shown);
    assert!(shown.status.success(), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    for (line, origin) in [
        (
            "database_url = \"postgres://***@db:5432/wallex\"",
            "# variable WALLEX_DATABASE_URL",
        ),
        ("writers = 2 ", "# flag --writers"),
        ("max_batch = 500 ", "# default"),
    ] {
        let told = |told: &str| told.starts_with(line) && told.ends_with(origin);
        assert!(text.lines().any(told), "no {line} … {origin} in\n{text}");
    }
}

#[test]
fn a_wrong_setting_is_named_and_the_reference_is_there_all_the_same() {
    let config = |arguments: &[&str]| {
        wallex()
            .arg("config")
            .args(arguments)
            .env("WALLEX_LOG", "info,=")
            .output()
            .unwrap()
    };
    let refused = config(&[]);
    assert_eq!(refused.status.code(), Some(1));
    let error = text(&refused);
    assert!(
        error.starts_with("error: log is not valid") && error.contains("from WALLEX_LOG;"),
        "{error}"
    );
    let reference = config(&["--reference"]);
    assert!(reference.status.success(), "{}", text(&reference));
    assert!(text(&reference).contains("## max_batch"));
}

/// As in `wallex config | head`: not worth an error.
#[test]
fn whoever_stops_reading_is_told_nothing_more() {
    for arguments in [&["config"][..], &["config", "--reference"], &["openapi"]] {
        let mut tool = wallex()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(tool.stdout.take());
        let ended = tool.wait_with_output().unwrap();
        assert!(ended.status.success(), "{arguments:?}: {}", text(&ended));
        assert_eq!(text(&ended), "", "{arguments:?}");
    }
}
