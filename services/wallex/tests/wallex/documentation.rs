//! The formatting of the documentation: code blocks that would render empty or run away.

use std::fs;
use std::path::{Path, PathBuf};

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            pages(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "md") {
            found.push(entry);
        }
    }
}

/// The lines where a code block is empty or never closed.
fn odd_code_blocks(text: &str) -> Vec<usize> {
    let mut odd = Vec::new();
    // Where the open block started, and whether it has content.
    let mut open: Option<(usize, bool)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let is_fence = line.trim_start().starts_with("```");
        open = match open {
            None if is_fence => Some((number, false)),
            Some((begin, filled)) if is_fence => {
                if !filled {
                    odd.push(begin);
                }
                None
            }
            Some((begin, filled)) => Some((begin, filled || !line.trim().is_empty())),
            None => None,
        };
    }
    odd.extend(open.map(|(begin, _)| begin));
    odd
}

#[test]
fn code_blocks_hold_something_and_end() {
    assert_eq!(odd_code_blocks("a\n```\n```\n```\nb"), [2, 4]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = vec![root.join("README.md")];
    pages(&root.join("docs"), &mut found);
    assert!(found.len() > 40, "the pages were not found: {found:?}");
    for page in found {
        let odd = odd_code_blocks(&fs::read_to_string(&page).unwrap());
        assert!(odd.is_empty(), "{}: lines {odd:?}", page.display());
    }
}
