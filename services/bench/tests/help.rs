//! Building this test also builds the program, which the load tests of `wallex` need.

use std::process::Command;

#[test]
fn the_help_explains_each_option() -> std::io::Result<()> {
    let help = Command::new(env!("CARGO_BIN_EXE_wallex-bench"))
        .arg("--help")
        .output()?;
    let text = String::from_utf8_lossy(&help.stdout);
    assert!(help.status.success(), "{text}");
    for option in [
        "--api <URL>",
        "--workers",
        "--mix",
        "--drain-timeout",
        "[env: WALLEX_API_URL=",
    ] {
        assert!(text.contains(option), "{option}: {text}");
    }
    Ok(())
}
