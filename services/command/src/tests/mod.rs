//! Bytes that outlive a build, as files in `golden`: the fingerprint of each request, by which a retry after an upgrade
//! finds the first answer, and the answers as they are stored.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod answers;
mod bodies;
mod fingerprints;
mod frames;
mod rejections;
mod requests;

/// Compares with a file under `golden`. With UPDATE_GOLDEN set it writes the file instead; use that for additions only.
/// What the files already contain has been promised to clients.
fn assert_golden(name: &str, text: &str) {
    let path = format!("{}/src/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    for (number, (promised, now)) in (1..).zip(golden.lines().zip(text.lines())) {
        assert_eq!(now, promised, "{path}:{number}");
    }
    assert_eq!(text.lines().count(), golden.lines().count(), "{path}");
}
