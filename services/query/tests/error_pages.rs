//! A problem's `type` is the URL of its page. Each code has a page that says the same about it, and the index lists all.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use wallex_runtime::http::Code;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors")
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let files = fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let names = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    let pages: BTreeSet<String> = names.filter(|name| name != "README").collect();
    let codes = Code::ALL.iter().map(|code| code.as_str().to_owned()).collect();
    assert_eq!(pages, codes);
}

#[test]
fn a_page_says_the_status_and_the_title_of_its_code() {
    let index = fs::read_to_string(folder().join("README.md")).unwrap();
    for code in Code::ALL {
        let (name, status, title) = (code.as_str(), code.status().as_u16(), code.title());
        let page = fs::read_to_string(folder().join(format!("{name}.md"))).unwrap();
        let begin = format!("# {name}\n\n**{status} {title}** · ");
        assert!(
            page.starts_with(&begin),
            "{name}.md does not begin with {begin:?}"
        );
        let row = format!("| [{name}]({name}.md) | {status} | {title} |");
        assert!(index.contains(&row), "README.md lacks {row:?}");
    }
}

/// The members that programs find beyond the common ones are explained to people on the page.
#[test]
fn a_page_names_the_members_of_its_code() {
    for code in Code::ALL {
        let page = fs::read_to_string(folder().join(format!("{}.md", code.as_str()))).unwrap();
        for member in code.always().iter().chain(code.sometimes()) {
            let member = format!("`{}`", member.as_str());
            assert!(
                page.contains(&member),
                "{}.md does not name {member}",
                code.as_str()
            );
        }
    }
}
