//! Who owns which fields of an object, by its `managedFields`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};
use wallex_crd::names::MANAGER;

/// A field manager, and which fields it owns below a certain one.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) manager: &'a str,
    fields: &'a Value,
}

/// Every owner of fields beyond those that the operator applies.
pub(super) fn others(meta: &ObjectMeta) -> Vec<Owner<'_>> {
    let entries = meta.managed_fields.iter().flatten();
    entries
        .filter(|entry| {
            !(entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Apply"))
        })
        .filter_map(|entry| {
            Some(Owner {
                manager: entry.manager.as_deref().unwrap_or_default(),
                fields: &entry.fields_v1.as_ref()?.0,
            })
        })
        .collect()
}

/// The owners of the field `key`, or of something in it. A field without children stands for everything in it.
pub(super) fn within<'a>(owners: &[Owner<'a>], key: &str) -> Vec<Owner<'a>> {
    let one = |owner: &Owner<'a>| {
        let whole = owner.fields.as_object().is_some_and(Map::is_empty);
        let fields = if whole {
            owner.fields
        } else {
            owner.fields.get(key)?
        };
        Some(Owner {
            manager: owner.manager,
            fields,
        })
    };
    owners.iter().filter_map(one).collect()
}

/// The same for a list element, which is identified by some of its fields.
pub(super) fn within_element<'a>(owners: &[Owner<'a>], element: &Value) -> Vec<Owner<'a>> {
    let is_it = |key: &str| {
        let known: Option<Value> = key
            .strip_prefix("k:")
            .and_then(|key| serde_json::from_str(key).ok());
        let fields = known.as_ref().and_then(Value::as_object);
        fields.is_some_and(|fields| {
            fields
                .iter()
                .all(|(name, value)| element.get(name) == Some(value))
        })
    };
    let one = |owner: &Owner<'a>| {
        let all = owner.fields.as_object()?;
        let fields = if all.is_empty() {
            owner.fields
        } else {
            all.iter().find(|(key, _)| is_it(key)).map(|(_, fields)| fields)?
        };
        Some(Owner {
            manager: owner.manager,
            fields,
        })
    };
    owners.iter().filter_map(one).collect()
}

/// The entries of `managedFields` without those of the operator's own patches; none if there are no such patches.
pub(super) fn without_patches(object: &Value) -> Option<Value> {
    let entries = object.pointer("/metadata/managedFields")?.as_array()?;
    let is_patch = |entry: &&Value| {
        entry["manager"] == MANAGER && entry["operation"] == "Update" && entry["subresource"].is_null()
    };
    let kept: Vec<Value> = entries.iter().filter(|entry| !is_patch(entry)).cloned().collect();
    (kept.len() < entries.len() && !kept.is_empty()).then(|| kept.into())
}
