//! CA certificates, as PEM text or in a file. Bundles of all public authorities exceed what Linux allows for one
//! environment variable (128 KiB).
//!
//! The invariant: a file is read once, with the settings; a running process keeps what it has.

use super::text::{Value, quoted};

/// Certificates in PEM form, and the file they came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    pem: String,
    file: Option<String>,
}

impl Certificates {
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

impl Value for Certificates {
    const WORDS: &'static str = "text in PEM form, or the path of a file from `/` on";

    fn from_text(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            let pem = text.to_owned();
            return Ok(Self { pem, file: None });
        }
        let pem = std::fs::read_to_string(text).map_err(|error| format!("the file {text}: {error}"))?;
        let file = Some(text.to_owned());
        Ok(Self { pem, file })
    }

    fn shown(&self) -> Option<String> {
        Some(quoted(self.file.as_ref().unwrap_or(&self.pem)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_path_stands_for_what_is_in_its_file_and_other_text_for_itself() {
        let pem = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n";
        let given = Certificates::from_text(pem).unwrap();
        assert_eq!(given.pem(), pem);
        assert!(given.shown().unwrap().contains("BEGIN CERTIFICATE"));

        let path = std::env::temp_dir().join(format!("wallex-certificates-{}", std::process::id()));
        // More than an environment variable may hold.
        let bundle = pem.repeat(4_000);
        assert!(bundle.len() > 128 * 1024);
        std::fs::write(&path, &bundle).unwrap();
        let path = path.to_str().unwrap();
        let read = Certificates::from_text(path);
        std::fs::remove_file(path).unwrap();
        let read = read.unwrap();
        assert_eq!(read.pem(), bundle);
        assert_eq!(read.shown(), Some(format!("\"{path}\"")));

        let error = Certificates::from_text(path).unwrap_err();
        assert!(error.starts_with(&format!("the file {path}: ")), "{error}");
    }
}
