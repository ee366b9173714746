//! There is one way to open a transaction on a pooled connection. Another one would bring the fault back that this
//! crate is there for, silently, so the sources are read for it.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

/// What opens a transaction by itself.
const WAYS: [&str; 5] = [
    ".begin()",
    ".begin_with(",
    "raw_sql(\"BEGIN",
    "query(\"BEGIN",
    "START TRANSACTION",
];

/// Sources that may: what they use is a connection of their own, or they run in tests alone.
const EXEMPT: [&str; 6] = [
    "services/projector/src/reset.rs",
    "services/projector/src/verify/",
    "services/journal/src/verify/walk.rs",
    "services/postgres/",
    "services/projector/src/plans.rs",
    "services/query/src/plans/",
];

#[test]
fn nothing_else_opens_a_transaction_on_a_pool() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.canonicalize().unwrap();
    let mut found = Vec::new();
    let mut sources = 0;
    for part in ["services", "operator"] {
        for path in rust_sources(&root.join(part)) {
            sources += 1;
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            if EXEMPT.iter().any(|exempt| name.starts_with(exempt)) {
                continue;
            }
            for (line, text) in fs::read_to_string(&path).unwrap().lines().enumerate() {
                if WAYS.iter().any(|way| text.contains(way)) {
                    found.push(format!("{name}:{}: {}", line + 1, text.trim()));
                }
            }
        }
    }
    assert!(sources > 100, "only {sources} sources under {}", root.display());
    assert!(
        found.is_empty(),
        "open transactions by wallex_postgres::begin, which closes a connection that is left inside one:\n{}",
        found.join("\n")
    );
}

/// Those that are part of the program: below a `src`.
fn rust_sources(folder: &Path) -> Vec<PathBuf> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources.extend(rust_sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && path.components().any(|part| part.as_os_str() == "src")
        {
            sources.push(path);
        }
    }
    sources
}
