//! The kinds of objects that a platform consists of, one row each. Pure.
//!
//! Everything generic follows from this table: the operator lists and watches the kinds, determines owners, reverts manual edits
//! and removes what is no longer wanted; `kubectl wallex report` collects them; the chart grants the rights (a test compares). To
//! add a kind, add a row here, its manifest, and its place in the order in which manifests are applied.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    batch::v1::{CronJob, Job},
    core::v1::{ConfigMap, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::ApiResource;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::foreign::{ScaledObject, ServiceMonitor, TriggerAuthentication};

/// A ConfigMap with this field can't be changed, only recreated.
pub const SEALED: &str = "immutable";

/// Whether a cluster has a kind, and how the operator learns about its objects.
#[derive(Clone, Copy, Debug)]
pub enum Served {
    /// A built-in kind of Kubernetes.
    Always,
    /// The same, but all objects in a namespace are read, because those of others matter too.
    WithOthers,
    /// Another project defines it, and a platform runs without it. The texts for when it is not served, and when it may not be
    /// read.
    Perhaps {
        missing: &'static str,
        forbidden: &'static str,
    },
    /// Created by earlier releases. Leftovers are looked for, where the kind `with` is served, and removed.
    Once { with: &'static str },
}

/// A kind in the table.
pub trait Child:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    const SERVED: Served;
    /// The parts of an object that belong only to the operator: edits by others are reverted. Empty for a ServiceAccount, because
    /// controllers add pull secrets to it, and for other projects' kinds, whose types contain only what is stated.
    const PARTS: &'static [&'static str];
    /// Path of the pod template within these parts.
    const TEMPLATE: Option<&'static str>;

    /// A platform's objects of this kind.
    fn of(children: &Children) -> &[Self];

    /// The same, mutable.
    fn of_mut(children: &mut Children) -> &mut Vec<Self>;
}

/// Something to be done with every kind.
pub trait PerKind {
    fn kind<K: Child>(&mut self);
}

macro_rules! kinds {
    ($($kind:ident { $field:ident, $served:expr, $parts:expr, $template:expr })+) => {
        /// The children of one platform as they are.
        #[derive(Clone, Debug, Default)]
        pub struct Children {
            $(pub $field: Vec<$kind>,)+
        }

        $(impl Child for $kind {
            const SERVED: Served = $served;
            const PARTS: &'static [&'static str] = &$parts;
            const TEMPLATE: Option<&'static str> = $template;

            fn of(children: &Children) -> &[Self] {
                &children.$field
            }

            fn of_mut(children: &mut Children) -> &mut Vec<Self> {
                &mut children.$field
            }
        })+

        impl Children {
            /// The metadata of all children with their kinds.
            pub fn metadata(&self) -> impl Iterator<Item = (&'static str, &ObjectMeta)> {
                std::iter::empty()$(.chain(self.$field.iter().map(|child| (stringify!($kind), child.meta()))))+
            }
        }

        /// Does something with every kind, in the order of the table, which is also the order in which unwanted children
        /// are removed.
        pub fn per_kind(what: &mut impl PerKind) {
            $(what.kind::<$kind>();)+
        }
    };
}

kinds! {
    Deployment { deployments, Served::Always, ["spec"], Some("spec.template") }
    ScaledObject { scaled_objects, KEDA, [], None }
    HorizontalPodAutoscaler { autoscalers, Served::WithOthers, ["spec"], None }
    TriggerAuthentication { trigger_authentications, Served::Once { with: "ScaledObject" }, [], None }
    Service { services, Served::Always, ["spec"], None }
    PodDisruptionBudget { budgets, Served::Always, ["spec"], None }
    NetworkPolicy { network_policies, Served::Always, ["spec"], None }
    ServiceMonitor { service_monitors, PROMETHEUS_OPERATOR, [], None }
    ConfigMap { config_maps, Served::Always, ["data", "binaryData", SEALED], None }
    ServiceAccount { service_accounts, Served::Always, [], None }
    CronJob { cron_jobs, Served::Always, ["spec"], Some("spec.jobTemplate.spec.template") }
    Job { jobs, Served::Always, ["spec"], Some("spec.template") }
}

const KEDA: Served = Served::Perhaps {
    missing: "this cluster has no ScaledObjects: install KEDA",
    forbidden: "the operator may not read ScaledObjects and TriggerAuthentications: upgrade its chart, or grant it the rule",
};
const PROMETHEUS_OPERATOR: Served = Served::Perhaps {
    missing: "this cluster has no ServiceMonitors: install the Prometheus Operator's resource definitions",
    forbidden: "the operator may not read ServiceMonitors: upgrade its chart, or grant it the rule",
};

/// The kinds as the API server names them.
pub fn resources() -> Vec<ApiResource> {
    struct Resources(Vec<ApiResource>);
    impl PerKind for Resources {
        fn kind<K: Child>(&mut self) {
            self.0.push(ApiResource::erase::<K>(&()));
        }
    }
    let mut resources = Resources(Vec::new());
    per_kind(&mut resources);
    resources.0
}

/// The object with that name.
pub fn named<'a, K: Resource>(objects: &'a [K], name: &str) -> Option<&'a K> {
    objects
        .iter()
        .find(|object| object.meta().name.as_deref() == Some(name))
}
