//! Which namespaces' platforms this operator runs. Depends on nothing of its own.

use k8s_openapi::NamespaceResourceScope;
use kube::{Api, Client, Resource};

/// One namespace, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    All,
    Namespace(String),
}

impl Scope {
    /// The API for objects of a kind in this scope.
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        match self {
            Self::All => Api::all(client.clone()),
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }
}

/// The scopes of a list of namespaces; an empty one means all of them.
pub fn scopes(namespaces: &[String]) -> Vec<Scope> {
    if namespaces.is_empty() {
        return vec![Scope::All];
    }
    let mut namespaces = namespaces.to_vec();
    namespaces.sort_unstable();
    namespaces.dedup();
    namespaces.into_iter().map(Scope::Namespace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_namespace_named_means_all_of_them() {
        assert_eq!(scopes(&[]), [Scope::All]);
    }

    #[test]
    fn a_namespace_named_twice_is_watched_once() {
        let named = ["b", "a", "b"].map(str::to_owned);
        assert_eq!(
            scopes(&named),
            [Scope::Namespace("a".into()), Scope::Namespace("b".into())]
        );
    }
}
