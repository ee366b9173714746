//! KEDA's TriggerAuthentication. Nothing needs one any more; earlier releases made one for the brokers' TLS and password, which is removed.

use kube::CustomResource;
use serde::{Deserialize, Serialize};

/// Nothing of it is stated.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "keda.sh",
    version = "v1alpha1",
    kind = "TriggerAuthentication",
    plural = "triggerauthentications",
    namespaced,
    schema = "disabled",
    derive = "PartialEq"
)]
pub struct TriggerAuthenticationSpec {}
