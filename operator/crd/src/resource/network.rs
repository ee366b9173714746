//! Who may connect to a platform's pods, and where they may connect.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The NetworkPolicy of a platform.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// Whether to create one. It allows incoming traffic to the API's port (8080), and outgoing traffic to DNS and to the ports of
    /// PostgreSQL, Kafka, Redis and the trace collector that their addresses name. Default false: the operator creates no policy.
    pub enabled: bool,

    /// Further TCP ports that pods may connect to, such as those of brokers that advertise other ports than `bootstrapServers`
    /// names. 1 to 65535, 32 at most. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "ports_schema")]
    pub extra_egress_ports: Vec<i32>,
}

fn ports_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535},
        "x-kubernetes-list-type": "set",
    })
}
