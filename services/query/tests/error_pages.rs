//! A problem's `type` is the address of its page. So every code in the sources has one, and the index has all.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What makes a problem; the first text after it is the code.
const CONSTRUCTORS: [&str; 5] = [
    "Problem::new(",
    "Self::new(",
    "unprocessable(",
    "conflict(",
    "missing(",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn pages() -> BTreeSet<String> {
    let files = fs::read_dir(root().join("docs/errors"))
        .unwrap()
        .map(|file| file.unwrap().path());
    let names = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    names.filter(|name| name != "README").collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The codes that `source` makes problems with.
fn codes(source: &str) -> BTreeSet<String> {
    let mut codes = BTreeSet::new();
    for constructor in CONSTRUCTORS {
        for (at, _) in source.match_indices(constructor) {
            // The end of another name, or of another module's path.
            if source[..at].ends_with(|before: char| before.is_alphanumeric() || "_:.".contains(before)) {
                continue;
            }
            let arguments = &source[at + constructor.len()..];
            // Of the call, not of what follows it: nothing is called before the code is said.
            let arguments = &arguments[..arguments.find([';', ')']).unwrap_or(arguments.len())];
            let is_problem =
                constructor != "Self::new(" || arguments.trim_start().starts_with("StatusCode::");
            let text = arguments.split('"').nth(1).filter(|_| is_problem);
            codes.extend(text.filter(|text| is_code(text)).map(str::to_owned));
        }
    }
    codes
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[test]
fn every_code_in_the_sources_has_a_page() {
    let mut found = BTreeSet::new();
    for service in fs::read_dir(root().join("services")).unwrap() {
        let folder = service.unwrap().path().join("src");
        let mut files = Vec::new();
        sources(&folder, &mut files);
        for file in files {
            found.extend(codes(&fs::read_to_string(file).unwrap()));
        }
    }
    // Or this test has gone blind.
    for known in [
        "insufficient_funds",
        "position_not_reached",
        "internal",
        "method_not_allowed",
    ] {
        assert!(found.contains(known), "{known} is not seen in {found:?}");
    }
    let missing: Vec<_> = found.difference(&pages()).cloned().collect();
    assert!(missing.is_empty(), "no page in docs/errors for {missing:?}");
}

#[test]
fn the_index_names_every_page() {
    let index = fs::read_to_string(root().join("docs/errors/README.md")).unwrap();
    let missing: Vec<_> = pages()
        .into_iter()
        .filter(|page| !index.contains(&format!("({page}.md)")))
        .collect();
    assert!(missing.is_empty(), "docs/errors/README.md lacks {missing:?}");
}
