//! What others wrote into the parts of a child that belong only to the operator, and the child without it. Pure.
//!
//! Server-side apply restores fields that it states but never removes fields that it does not. So a manual edit that *adds*
//! something (a value beside a reference to a Secret, a command, a second selector) would stay in force, or make every later
//! apply invalid. It is found through the object's `managedFields`: fields that someone else owns and the manifest does not
//! state.
//!
//! - **Restored**: everything in the parts below, whoever changed it.
//! - **Left and reported**: on pod templates, additional containers with the volumes they mount, and additional labels and
//!   annotations: tools that inject sidecars work that way.
//! - **Left silently**: API server defaults, the number of pods (`stages::autoscale`), and the annotation of `kubectl rollout
//!   restart`.

use std::fmt;

use serde_json::{Map, Value, json};
use wallex_crd::children::{Child, SEALED};
use wallex_crd::names::{HANDOVER, MANAGER};

pub mod matching;
mod owners;

use owners::{Owner, others, within, within_element, without_patches};

/// Set by `kubectl rollout restart` and `kubectl wallex restart`.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

/// Fields shown per object; the first ones tell what happened.
const SHOWN: usize = 4;

/// A field, and who wrote it, as far as the object knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub path: String,
    pub managers: Vec<String>,
    /// An earlier write by the operator left it, no one else.
    pub ours: bool,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if self.managers.is_empty() {
            return Ok(());
        }
        write!(f, " (by {})", self.managers.join(", "))
    }
}

/// The fields as one line.
pub fn shown(found: &[Found]) -> String {
    let mut text: Vec<String> = found.iter().take(SHOWN).map(ToString::to_string).collect();
    if let Some(more) = found.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.push(format!("{more} more"));
    }
    text.join(", ")
}

/// How a live child differs from its manifest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drift {
    /// Fields whose value differs from the manifest, and missing fields. An apply fixes them.
    pub changed: Vec<Found>,
    /// Fields that the manifest does not have. An apply would leave them in place.
    pub strays: Vec<Found>,
    /// What stays and is reported.
    pub left: Vec<Found>,
    /// The operator's parts as they should be, by top-level field; none: to be removed.
    restored: Vec<(&'static str, Option<Value>)>,
    /// The field owners without what earlier patches of this kind left under the operator's name; none: they left
    /// nothing.
    owners: Option<Value>,
}

impl Drift {
    /// A JSON patch (RFC 6902) that restores the operator's parts, for an object that still has this `resource_version`.
    pub fn patch(&self, resource_version: &str) -> Value {
        let mut operations = vec![json!({
            "op": "replace", "path": "/metadata/resourceVersion", "value": resource_version,
        })];
        // The API server fills in what a patch leaves out, such as a probe's scheme, and records the patcher as its
        // writer. So it looks like a field that the operator once wrote and no longer states. If it is removed again,
        // it comes back, but without an owner.
        if let Some(owners) = &self.owners {
            operations.push(json!({"op": "replace", "path": "/metadata/managedFields", "value": owners}));
        }
        for (part, value) in &self.restored {
            operations.push(match value {
                Some(value) => json!({"op": "add", "path": format!("/{part}"), "value": value}),
                None => json!({"op": "remove", "path": format!("/{part}")}),
            });
        }
        operations.into()
    }

    /// Whether the child can no longer be changed and must be recreated.
    pub fn is_sealed(&self) -> bool {
        self.strays.iter().any(|stray| stray.path == SEALED)
    }

    /// Everything to restore.
    pub fn put_back(&self) -> Vec<Found> {
        self.changed.iter().chain(&self.strays).cloned().collect()
    }
}

/// Compares a child with its manifest.
pub fn compare<K: Child>(wanted: &K, live: &K) -> Drift {
    let (Ok(wanted), Ok(value)) = (serde_json::to_value(wanted), serde_json::to_value(live)) else {
        return Drift::default();
    };
    let owners = others(live.meta());
    let mut walk = Walk {
        template: K::TEMPLATE,
        drift: Drift {
            owners: without_patches(&value),
            ..Drift::default()
        },
    };
    for part in K::PARTS {
        let nothing = Value::Null;
        let (live, wanted) = (value.get(part), wanted.get(part));
        let Some(live) = live else { continue };
        let owners = within(&owners, &format!("f:{part}"));
        let restored = match wanted {
            Some(wanted) => walk.restored(part, live, wanted, &owners),
            None if owners.is_empty() => live.clone(),
            None => {
                walk.stray(part.to_string(), &owners);
                nothing
            }
        };
        if restored != *live {
            let restored = (!restored.is_null()).then_some(restored);
            walk.drift.restored.push((part, restored));
        }
    }
    walk.drift
}

fn found(path: String, owners: &[Owner<'_>]) -> Found {
    let mut managers: Vec<String> = owners
        .iter()
        .map(|owner| owner.manager.to_owned())
        .filter(|manager| manager != MANAGER && manager != HANDOVER)
        .collect();
    managers.sort_unstable();
    managers.dedup();
    Found {
        path,
        ours: managers.is_empty() && !owners.is_empty(),
        managers,
    }
}

struct Walk {
    template: Option<&'static str>,
    drift: Drift,
}

impl Walk {
    fn stray(&mut self, path: String, owners: &[Owner<'_>]) {
        self.drift.strays.push(found(path, owners));
    }

    fn changed(&mut self, path: &str, owners: &[Owner<'_>]) {
        self.drift.changed.push(found(path.to_owned(), owners));
    }

    /// `live` with the values of `wanted` and without what others added.
    fn restored(&mut self, path: &str, live: &Value, wanted: &Value, owners: &[Owner<'_>]) -> Value {
        match (live, wanted) {
            (Value::Object(live), Value::Object(wanted)) => {
                let restored = self.object(path, live, wanted, owners);
                if self
                    .template
                    .is_some_and(|template| path == format!("{template}.spec"))
                {
                    self.without_unused_volumes(path, restored, wanted)
                } else {
                    restored
                }
            }
            (Value::Array(live), Value::Array(wanted)) if matching::keyed(wanted).is_some() => {
                self.list(path, live, wanted, owners)
            }
            _ if matching::contains(live, wanted) => live.clone(),
            _ => {
                self.changed(path, owners);
                wanted.clone()
            }
        }
    }

    fn object(
        &mut self,
        path: &str,
        live: &Map<String, Value>,
        wanted: &Map<String, Value>,
        owners: &[Owner<'_>],
    ) -> Value {
        let mut restored = Map::new();
        for (key, value) in live {
            let inner = format!("{path}.{key}");
            let owners = within(owners, &format!("f:{key}"));
            if let Some(wanted) = wanted.get(key) {
                restored.insert(key.clone(), self.restored(&inner, value, wanted, &owners));
                continue;
            }
            if !owners.is_empty() && !self.is_left(path, key, &inner, value, &owners) {
                self.stray(inner, &owners);
                continue;
            }
            restored.insert(key.clone(), value.clone());
        }
        for (key, value) in wanted {
            if !live.contains_key(key) && !matching::is_empty(value) {
                self.changed(&format!("{path}.{key}"), &[]);
                restored.insert(key.clone(), value.clone());
            }
        }
        restored.into()
    }

    /// Whether a field that someone else wrote may stay.
    fn is_left(&mut self, path: &str, key: &str, inner: &str, value: &Value, owners: &[Owner<'_>]) -> bool {
        let Some(template) = self.template else {
            return false;
        };
        if inner == "spec.replicas" || key == RESTARTED_AT {
            return true;
        }
        let metadata = format!("{template}.metadata");
        if path == format!("{metadata}.labels") || path == format!("{metadata}.annotations") {
            self.drift.left.push(found(inner.to_owned(), owners));
            return true;
        }
        if inner == format!("{metadata}.annotations") {
            let keys = value.as_object().into_iter().flat_map(Map::keys);
            for key in keys.filter(|key| *key != RESTARTED_AT) {
                self.drift.left.push(found(format!("{inner}.{key}"), owners));
            }
            return true;
        }
        if inner == format!("{template}.spec.initContainers") {
            for container in value.as_array().into_iter().flatten() {
                let owners = within_element(owners, container);
                self.drift.left.push(found(element(inner, container), &owners));
            }
            return true;
        }
        false
    }

    fn list(&mut self, path: &str, live: &[Value], wanted: &[Value], owners: &[Owner<'_>]) -> Value {
        let key = matching::keyed(wanted).unwrap_or("name");
        let mut restored = Vec::new();
        let mut used = vec![false; live.len()];
        for wanted in wanted {
            let place = live.iter().position(|live| live.get(key) == wanted.get(key));
            let inner = element(path, wanted);
            if let Some(place) = place {
                used[place] = true;
                let owners = within_element(owners, &live[place]);
                restored.push(self.restored(&inner, &live[place], wanted, &owners));
            } else {
                self.changed(&inner, &[]);
                restored.push(wanted.clone());
            }
        }
        let may_stay = self.template.is_some_and(|template| {
            ["containers", "volumes"]
                .iter()
                .any(|list| path == format!("{template}.spec.{list}"))
        });
        for (element_of, _) in live.iter().zip(&used).filter(|(_, used)| !**used) {
            let owners = within_element(owners, element_of);
            let inner = element(path, element_of);
            // A second element with the same name would override the first.
            let is_new = wanted.iter().all(|wanted| wanted.get(key) != element_of.get(key));
            if may_stay && is_new {
                self.drift.left.push(found(inner, &owners));
                restored.push(element_of.clone());
            } else {
                self.stray(inner, &owners);
            }
        }
        // In their live order, so that an unchanged list stays identical.
        restored.sort_by_key(|element| {
            let place = live.iter().position(|live| live.get(key) == element.get(key));
            place.unwrap_or(live.len())
        });
        restored.into()
    }

    /// A pod spec without volumes that no container mounts, except the operator's own: a volume that can't be mounted keeps pods
    /// from starting.
    fn without_unused_volumes(&mut self, path: &str, mut spec: Value, wanted: &Map<String, Value>) -> Value {
        let names = |list: Option<&Value>| -> Vec<Value> {
            let elements = list.and_then(Value::as_array).into_iter().flatten();
            elements
                .filter_map(|element| element.get("name").cloned())
                .collect()
        };
        let ours = names(wanted.get("containers"));
        let mut needed = names(wanted.get("volumes"));
        for list in ["containers", "initContainers"] {
            let containers = spec.get(list).and_then(Value::as_array).into_iter().flatten();
            for container in
                containers.filter(|container| !container.get("name").is_some_and(|name| ours.contains(name)))
            {
                needed.extend(names(container.get("volumeMounts")));
            }
        }
        if let Some(volumes) = spec.get_mut("volumes").and_then(Value::as_array_mut) {
            let list = format!("{path}.volumes");
            let drift = &mut self.drift;
            volumes.retain(|volume| {
                let stays = volume.get("name").is_some_and(|name| needed.contains(name));
                if !stays {
                    let path = element(&list, volume);
                    drift
                        .strays
                        .extend(drift.left.iter().filter(|left| left.path == path).cloned());
                    drift.left.retain(|left| left.path != path);
                }
                stays
            });
        }
        spec
    }
}

fn element(list: &str, element: &Value) -> String {
    let name = ["name", "uid"].iter().find_map(|key| element.get(key)?.as_str());
    format!("{list}[{}]", name.unwrap_or("?"))
}
