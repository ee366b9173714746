//! Bytes that outlive a build: the fingerprint of each request, by which a retry after an upgrade finds the first answer,
//! and the answers as they are stored. What the files already contain has been promised to clients: only add to them.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod answers;
mod bodies;
mod fingerprints;
mod frames;
mod rejections;
mod requests;
