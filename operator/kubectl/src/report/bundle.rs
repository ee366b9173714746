//! Packs a bundle: README.txt first, everything redacted, as a tar.gz that only its owner can read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::collect::{Collected, LOG_LINES};
use super::redact::{BLACK, SHORTEST};
use crate::error::Error;

/// A bundle ready to pack: redacted texts by name.
pub(super) struct Bundle {
    files: Vec<(String, String)>,
    missing: Vec<String>,
}

/// Creates the file, readable only by its owner.
pub(super) fn create(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => Error::Hopeless(format!(
                "{} already exists; name another file with -o, or remove it",
                path.display()
            )),
            _ => failed(path, source),
        })
}

/// Removes a file that [`create`] made and that was not completed.
pub(super) fn remove(path: &Path) {
    // At worst, an empty file or half a bundle of redacted texts remains.
    let _ = std::fs::remove_file(path);
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::File {
        what: path.display().to_string(),
        source,
    }
}

impl Bundle {
    pub(super) fn new(platform: &str, time: &str, collected: Collected) -> Self {
        let Collected {
            entries,
            missing,
            redaction,
        } = collected;
        let mut files: Vec<(String, String)> = entries
            .into_iter()
            .map(|entry| {
                let text = redaction.text(&entry.text, entry.prose);
                (redaction.text(&entry.name, false), text)
            })
            .collect();
        files.sort();
        let missing: Vec<String> = missing.iter().map(|line| redaction.text(line, true)).collect();
        let readme = readme(platform, time, &files, &missing);
        files.insert(0, ("README.txt".to_owned(), readme));
        Self { files, missing }
    }

    /// Names and sizes (in bytes) of the files.
    pub(super) fn contents(&self) -> impl Iterator<Item = (&str, usize)> {
        self.files.iter().map(|(name, text)| (name.as_str(), text.len()))
    }

    pub(super) fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Packs the files into `folder` within the archive.
    pub(super) fn write(&self, folder: &str, file: File, path: &Path) -> Result<(), Error> {
        self.pack(folder, file).map_err(|source| failed(path, source))
    }

    fn pack(&self, folder: &str, file: File) -> io::Result<()> {
        let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
        for (name, text) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            archive.append_data(&mut header, format!("{folder}/{name}"), text.as_bytes())?;
        }
        let mut file = archive.into_inner()?.finish()?;
        file.flush()?;
        file.sync_all()
    }
}

fn readme(platform: &str, time: &str, files: &[(String, String)], missing: &[String]) -> String {
    let mut text = format!(
        "Support bundle of the WalletPlatform {platform}, made at {time} by kubectl wallex report.\n\n\
         What is in it:\n"
    );
    for (name, content) in files {
        text.push_str(&format!("  {:>9}  {name}\n", content.len()));
    }
    text.push_str("\nWhat is missing:\n");
    if missing.is_empty() {
        text.push_str("  nothing\n");
    }
    for line in missing {
        text.push_str(&format!("  {line}\n"));
    }
    text.push_str(&format!(
        "\nLogs are the last {LOG_LINES} lines of each container, and of the one before it as NAME.previous.log. The operator's\n\
         logs name other platforms too. Nothing was read from the journal, and the logs of journal checks are left out.\n\n\
         {BLACK} stands where something was blacked out: the values of the Secrets that the platform uses, in every\n\
         form in which they may have been written; passwords in URLs; tokens and private keys; variables and settings\n\
         whose names say password. Values of fewer than {SHORTEST} characters, and those that are names of objects here, are\n\
         not searched for. When a Secret could not be read (see above), its values are recognised by patterns alone.\n"
    ));
    text
}
