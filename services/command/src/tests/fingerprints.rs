//! A repeated key finds its answer only if the request has the same fingerprint, whichever build computes it.

use http::Method;

use super::requests::{self, Routes, Sent};
use crate::commands::COMMANDS;

/// The fingerprint as originally defined: each part preceded by its length, and the body at the end.
fn defined(sent: &Sent) -> blake3::Hash {
    let precondition = sent
        .version
        .map_or(String::new(), |version| format!("\"{version}\""));
    let mut hasher = blake3::Hasher::new();
    for part in [sent.method.as_str(), &sent.canonical_path, "", &precondition] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.update(sent.canonical.as_bytes());
    hasher.finalize()
}

/// If this fails, clients that retry across an upgrade get `idempotency_key_reused`. Each request has four lines: what it
/// is; path and `If-Match`; the bytes of the body that go into the fingerprint; the fingerprint.
#[tokio::test]
async fn fingerprints_of_requests_are_fixed() {
    let routes = Routes::new();
    let mut text = String::new();
    for sent in requests::all() {
        let fingerprint = routes.send(&sent).await.fingerprint;
        assert_eq!(fingerprint.0, *defined(&sent).as_bytes(), "{}", sent.title);
        let version = sent.version.map_or("-".to_owned(), |version| version.to_string());
        let method = match sent.method {
            Method::POST => String::new(),
            ref other => format!("{other} "),
        };
        text.push_str(&format!(
            "# {}\n{method}{} {version}\n{}\n{fingerprint}\n",
            sent.title, sent.canonical_path, sent.canonical
        ));
    }
    // Not a snapshot of insta: no command may rewrite these.
    let mut promised = include_str!("golden/fingerprints.txt").lines();
    for line in text.lines() {
        assert_eq!(Some(line), promised.next());
    }
    assert_eq!(promised.next(), None);
}

#[test]
fn every_command_has_its_requests_here() {
    let commands: Vec<&str> = COMMANDS.iter().map(|command| command.r#type).collect();
    assert_eq!(requests::kinds(), commands);
}
