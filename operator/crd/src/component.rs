//! The components of a platform: their names, their fields in the spec, and what scales them. Pure.
//!
//! Invariant: names depend only on the platform's name and the component, see [`names`](crate::names).

use crate::resource::{
    ComponentSpec, CpuAutoscalingSpec, LagAutoscalingSpec, Projection, WalletPlatformSpec,
};

/// A long-running part of a platform: one Deployment, one Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    Publisher,
    Projector(Projection),
    Query,
    Command,
}

/// What sets one component apart.
pub struct ComponentRow {
    name: &'static str,
    /// Arguments of the `wallex` binary.
    pub args: &'static [&'static str],
    /// Type of the condition that says whether the component serves.
    pub condition: &'static str,
    /// Its field in the spec.
    pub field: &'static str,
    /// Whether clients connect to it, so that endpoints must drain before it stops.
    pub serves_clients: bool,
    /// Whether the spec has an `autoscaling` for it.
    pub can_scale: bool,
    /// What stops while it has no pods; none: the platform can do without it, like the query, since the command also serves all
    /// reads.
    pub without_pods: Option<&'static str>,
}

/// What scales a component, according to the spec.
#[derive(Clone, Copy, Debug)]
pub enum Scaling<'a> {
    Cpu(&'a CpuAutoscalingSpec),
    Lag(&'a LagAutoscalingSpec),
}

const COUNT: usize = 3 + Projection::ALL.len();

impl Component {
    /// All components in rollout order: readers before writers, so that readers understand everything a new writer writes.
    pub const ROLLOUT: [Self; COUNT] = around_projectors(&[Self::Publisher], &[Self::Query, Self::Command]);

    /// All components in suspension order: the writer first, the reader last.
    pub const STOP: [Self; COUNT] = around_projectors(&[Self::Command, Self::Publisher], &[Self::Query]);

    pub fn row(self) -> ComponentRow {
        match self {
            Self::Publisher => ComponentRow {
                name: "publisher",
                args: &["publisher"],
                condition: "PublisherAvailable",
                field: "publisher",
                serves_clients: false,
                can_scale: false,
                without_pods: Some("no event reaches Kafka, and reads no longer advance"),
            },
            Self::Projector(projection) => ComponentRow {
                name: projection.row().component,
                args: projection.row().args,
                condition: projection.row().condition,
                field: projection.row().field,
                serves_clients: false,
                can_scale: true,
                without_pods: Some("reads no longer advance"),
            },
            Self::Query => ComponentRow {
                name: "query",
                args: &["query"],
                condition: "QueryAvailable",
                field: "query",
                serves_clients: true,
                can_scale: true,
                without_pods: None,
            },
            Self::Command => ComponentRow {
                name: "command",
                args: &["command"],
                condition: "CommandAvailable",
                field: "command",
                serves_clients: true,
                can_scale: true,
                without_pods: Some("no request is answered"),
            },
        }
    }

    /// The component's name: the suffix of its objects, its label value, its row in the status table.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The projection that the component runs, if any.
    pub fn projection(self) -> Option<Projection> {
        match self {
            Self::Projector(projection) => Some(projection),
            Self::Publisher | Self::Query | Self::Command => None,
        }
    }

    /// `demo-command`: Deployment, Service, PodDisruptionBudget and autoscaler of the component.
    pub fn object(self, platform: &str) -> String {
        format!("{platform}-{}", self.name())
    }

    /// What the spec says of it.
    pub fn spec(self, spec: &WalletPlatformSpec) -> &ComponentSpec {
        match self {
            Self::Publisher => &spec.publisher,
            Self::Projector(projection) => &(projection.row().spec)(&spec.projectors).component,
            Self::Query => &spec.query.component,
            Self::Command => &spec.command.component,
        }
    }

    /// What scales it; none: its number of pods is fixed.
    pub fn scaling(self, spec: &WalletPlatformSpec) -> Option<Scaling<'_>> {
        let by_cpu = match self {
            Self::Publisher => &None,
            Self::Projector(projection) => {
                let projector = (projection.row().spec)(&spec.projectors);
                return projector.autoscaling.as_ref().map(Scaling::Lag);
            }
            Self::Query => &spec.query.autoscaling,
            Self::Command => &spec.command.autoscaling,
        };
        by_cpu.as_ref().map(Scaling::Cpu)
    }
}

/// An order of components with the projectors in the middle.
const fn around_projectors(before: &[Component], after: &[Component]) -> [Component; COUNT] {
    let mut all = [Component::Command; COUNT];
    let mut place = 0;
    while place < before.len() {
        all[place] = before[place];
        place += 1;
    }
    let mut projector = 0;
    while projector < Projection::ALL.len() {
        all[place] = Component::Projector(Projection::ALL[projector]);
        (place, projector) = (place + 1, projector + 1);
    }
    let mut rest = 0;
    while place < COUNT {
        all[place] = after[rest];
        (place, rest) = (place + 1, rest + 1);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_rolled_last() {
        assert_eq!(Component::ROLLOUT.last(), Some(&Component::Command));
    }
}
