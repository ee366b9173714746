//! Whole outputs, compared with the files under `golden`.

/// Compares with a file under `tests/kubectl/golden`. With UPDATE_GOLDEN set it writes the file instead.
pub(crate) fn assert_golden(name: &str, text: &str) {
    let path = format!("{}/tests/kubectl/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        golden == text,
        "{path} differs; when that is meant, run the test with UPDATE_GOLDEN=1 and review it\n{text}"
    );
}
