//! Describes a request in RBAC terms, so that a refusal can name the missing right.

use kube::Error as KubeError;
use kube::runtime::watcher;
use wallex_crd::api_error;

use super::connect::chain;
use super::error::Error;

/// A request in RBAC terms.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access<'a> {
    pub(super) verb: &'static str,
    /// As in an RBAC rule, with its group: `pods`, `deployments.apps`, `services/proxy`.
    pub(super) resource: &'a str,
    /// None: all namespaces.
    pub(super) namespace: Option<&'a str>,
}

impl<'a> Access<'a> {
    pub(super) fn new(verb: &'static str, resource: &'a str, namespace: &'a str) -> Self {
        Self {
            verb,
            resource,
            namespace: Some(namespace),
        }
    }

    pub(super) fn everywhere(verb: &'static str, resource: &'a str) -> Self {
        Self {
            verb,
            resource,
            namespace: None,
        }
    }

    fn place(&self) -> String {
        self.namespace.map_or_else(
            || "all namespaces".to_owned(),
            |namespace| format!("namespace {namespace}"),
        )
    }

    /// The failed request as an error that says what to do.
    pub(super) fn failed(&self, error: &KubeError) -> Error {
        let said = api_error::short(error);
        let (verb, resource, place) = (self.verb, self.resource.to_owned(), self.place());
        match error {
            KubeError::Api(status) if status.is_forbidden() => Error::Forbidden {
                verb,
                resource,
                place,
                said,
            },
            KubeError::Api(status) if status.code == 401 => Error::Unauthorized { said },
            KubeError::Service(_) | KubeError::HyperError(_) => Error::Unreachable { said: chain(error) },
            KubeError::Auth(_) => Error::Unauthorized { said: chain(error) },
            _ => Error::Refused {
                verb,
                resource,
                place,
                said,
            },
        }
    }

    /// The error if it ends the watch: a missing right. The watch itself retries all others.
    pub(super) fn ended(&self, error: &watcher::Error) -> Option<Error> {
        match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => match self.failed(error) {
                error @ (Error::Forbidden { .. } | Error::Unauthorized { .. }) => Some(error),
                _ => None,
            },
            watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => None,
        }
    }
}
