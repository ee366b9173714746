//! The projections of a platform: their fields in the spec, their status, and their names.
//!
//! Invariant: the rest of the operator knows a projection only by its row, so a new one is added here: a field in
//! [`ProjectorsSpec`] and [`SchemaVersions`], a variant and its row.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::autoscaling::LagAutoscalingSpec;
use super::components::ComponentSpec;

/// A projection of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Projection {
    Ledger,
    ReadModel,
}

/// What sets one projection apart.
pub(crate) struct Row {
    /// The name in metrics, reports and the services' command line.
    name: &'static str,
    /// The name in sentences for people.
    noun: &'static str,
    /// Of its projector: the name, the type of the condition, and the arguments.
    pub(crate) component: &'static str,
    pub(crate) condition: &'static str,
    pub(crate) args: &'static [&'static str],
    /// Its projector's field in the spec.
    pub(crate) field: &'static str,
    pub(crate) spec: fn(&ProjectorsSpec) -> &ProjectorSpec,
    /// The name of its schema in the database, and its field in the status.
    schema: &'static str,
    version: fn(&mut SchemaVersions) -> &mut i64,
}

static LEDGER: Row = Row {
    name: "ledger",
    noun: "ledger",
    component: "ledger-projector",
    condition: "LedgerProjectorAvailable",
    args: &["projector", "ledger"],
    field: "projectors.ledger",
    spec: |projectors| &projectors.ledger,
    schema: "ledger",
    version: |versions| &mut versions.ledger,
};

static READ_MODEL: Row = Row {
    name: "read-model",
    noun: "read model",
    component: "read-model-projector",
    condition: "ReadModelProjectorAvailable",
    args: &["projector", "read-model"],
    field: "projectors.readModel",
    spec: |projectors| &projectors.read_model,
    schema: "read_model",
    version: |versions| &mut versions.read_model,
};

impl Projection {
    /// All projections, in the order of the lag report and of their projectors' rollout.
    pub const ALL: [Self; 2] = [Self::Ledger, Self::ReadModel];

    pub(crate) fn row(self) -> &'static Row {
        match self {
            Self::Ledger => &LEDGER,
            Self::ReadModel => &READ_MODEL,
        }
    }

    /// Its name in metrics, reports and the services' command line.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// More pods than partitions would be idle: the rule on `maxReplicas`, which needs the whole spec, and its message.
    pub(super) fn rule(self) -> (String, String) {
        let field = self.row().field;
        let most = format!("{field}.autoscaling.maxReplicas");
        (
            format!("!has(self.spec.{field}.autoscaling) || self.spec.{most} <= self.spec.partitions"),
            format!(
                "{most} must be at most partitions, since further pods would be idle: lower it, or raise partitions \
                 (with allowPartitionIncrease)"
            ),
        )
    }
}

/// One projection.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProjectorSpec {
    #[serde(flatten)]
    pub component: ComponentSpec,

    /// Scales the number of pods by the projection's lag; `replicas` is then ignored. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<LagAutoscalingSpec>,
}

/// The projections.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, rename_all = "camelCase")]
pub struct ProjectorsSpec {
    /// The double-entry ledger.
    pub ledger: ProjectorSpec,

    /// Wallets and their histories, as the query API serves them.
    pub read_model: ProjectorSpec,
}

/// Versions of the database's schemas.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SchemaVersions {
    /// Version of the schema `journal`.
    pub journal: i64,
    /// Version of the schema `ledger`.
    pub ledger: i64,
    /// Version of the schema `read_model`.
    pub read_model: i64,
}

impl SchemaVersions {
    /// From the versions by the names of the schemas; none when one of them is missing.
    pub fn of(schemas: &BTreeMap<String, i64>) -> Option<Self> {
        let mut versions = Self {
            journal: *schemas.get("journal")?,
            ..Self::default()
        };
        for Row { schema, version, .. } in Projection::ALL.map(Projection::row) {
            *version(&mut versions) = *schemas.get(*schema)?;
        }
        Some(versions)
    }

    /// The versions for people: `journal 2, ledger 1`.
    pub fn sentence(mut self) -> String {
        let mut said = format!("journal {}", self.journal);
        for Row { noun, version, .. } in Projection::ALL.map(Projection::row) {
            said.push_str(&format!(", {noun} {}", version(&mut self)));
        }
        said
    }
}

/// One projection's distance to the journal.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ProjectionStatus {
    /// Name of the projection, `ledger` or `read-model`.
    pub name: String,
    /// Events of the journal that are not applied yet, over all partitions.
    pub lag_events: i64,
    /// Whole seconds since the oldest of them was recorded.
    pub lag_seconds: i64,
}
