use std::fmt;

/// Identifies the journal that a process belongs to: `cluster/namespace/name`. Two platforms never have the same id.
/// `wallex migrate` writes it into the database; every role compares it at startup.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlatformId {
    /// Uid of the cluster's `kube-system` namespace; `local` outside Kubernetes.
    pub cluster: String,
    pub namespace: String,
    pub name: String,
}

impl fmt::Display for PlatformId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.cluster, self.namespace, self.name)
    }
}
