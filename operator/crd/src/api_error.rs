//! The API server's error messages.

/// The API server's own words, without the debug text that [`kube::Error`] appends.
pub fn short(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}
