//! Pod settings that Kubernetes accepts and that override nothing of the operator's own. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvVar, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use wallex_crd::names::{OWNED_LABELS, OWNED_VARIABLES};
use wallex_crd::{PodsSpec, SecretKeyRef};

use super::secrets::Secrets;
use crate::reconcile::conditions::{Problem, Reason};

/// Settings of the pods of one component, or of the jobs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValidatedPods {
    pub resources: Option<ResourceRequirements>,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    pub node_selector: BTreeMap<String, String>,
    pub affinity: Option<Affinity>,
    /// None: the operator's default. Each has a label selector.
    pub spread: Option<Vec<TopologySpreadConstraint>>,
    pub tolerations: Vec<Toleration>,
    pub priority_class: Option<String>,
    pub env: Vec<EnvVar>,
    /// Hashes of the Secret values that `env` refers to.
    pub secret_hashes: Vec<String>,
    /// All of the above as text; none if nothing is set.
    pub stated: Option<String>,
}

/// `field` is the path in the spec, for messages; `selector` selects the pods themselves.
pub(super) fn validated(
    field: &str,
    asked: &PodsSpec,
    selector: &BTreeMap<String, String>,
    secrets: &Secrets<'_>,
) -> Result<ValidatedPods, Problem> {
    refuse_owned_labels(&format!("{field}.podLabels"), &asked.pod_labels)?;
    if let Some(key) = asked
        .pod_annotations
        .keys()
        .find(|key| key.starts_with("wallex.dev/"))
    {
        return Err(refused(&format!("{field}.podAnnotations"), key));
    }
    let mut spread = asked.topology_spread_constraints.clone();
    for constraint in spread.iter_mut().flatten() {
        constraint.label_selector.get_or_insert_with(|| LabelSelector {
            match_labels: Some(selector.clone()),
            ..LabelSelector::default()
        });
    }
    let mut env: Vec<EnvVar> = Vec::new();
    let mut secret_hashes = Vec::new();
    for variable in &asked.extra_env {
        let name = variable.name.as_str();
        if OWNED_VARIABLES.contains(&name) || env.iter().any(|other| other.name == name) {
            return Err(refused(&format!("{field}.extraEnv"), name));
        }
        secret_hashes.extend(secret_hash(variable, secrets)?);
        let mut variable = variable.clone();
        // The API server drops an empty value; stating it would look like permanent drift.
        variable.value = variable.value.filter(|value| !value.is_empty());
        env.push(variable);
    }
    let stated = (*asked != PodsSpec::default())
        .then(|| serde_json::to_string(asked))
        .transpose()
        .map_err(|error| Problem::new(Reason::InvalidSpec, format!("spec.{field}: {error}")))?;
    Ok(ValidatedPods {
        resources: asked.resources.clone(),
        labels: asked.pod_labels.clone(),
        annotations: asked.pod_annotations.clone(),
        node_selector: asked.node_selector.clone(),
        affinity: asked.affinity.clone(),
        spread,
        tolerations: asked.tolerations.clone(),
        priority_class: asked.priority_class_name.clone(),
        env,
        secret_hashes,
        stated,
    })
}

/// Refuses a variable that is set by another field.
pub(super) fn refuse_variable<'a>(
    mut pods: impl Iterator<Item = &'a ValidatedPods>,
    variable: &str,
    field: &str,
) -> Result<(), Problem> {
    if pods.any(|pods| pods.env.iter().any(|said| said.name == variable)) {
        return Err(Problem::new(
            Reason::InvalidSpec,
            format!("extraEnv names {variable}, which spec.{field} sets: leave one of them out"),
        ));
    }
    Ok(())
}

/// Refuses the labels that select pods: other values would match other pods, or none.
pub(super) fn refuse_owned_labels(field: &str, labels: &BTreeMap<String, String>) -> Result<(), Problem> {
    match labels.keys().find(|key| OWNED_LABELS.contains(&key.as_str())) {
        Some(key) => Err(refused(field, key)),
        None => Ok(()),
    }
}

/// Hash of the Secret value behind a variable. An optional one may be missing; its appearance counts as a change.
fn secret_hash(variable: &EnvVar, secrets: &Secrets<'_>) -> Result<Option<String>, Problem> {
    let Some(reference) = variable
        .value_from
        .as_ref()
        .and_then(|source| source.secret_key_ref.as_ref())
    else {
        return Ok(None);
    };
    let optional = reference.optional == Some(true);
    let reference = SecretKeyRef {
        name: reference.name.clone(),
        key: reference.key.clone(),
    };
    match secrets.value(&reference) {
        Ok((value, _)) => Ok(Some(value.hash)),
        Err(_) if optional => Ok(Some("missing".to_owned())),
        Err(problem) => Err(problem),
    }
}

fn refused(field: &str, name: &str) -> Problem {
    Problem::new(
        Reason::InvalidSpec,
        format!("spec.{field}: {name} is set already, or the operator's own: leave it out"),
    )
}
