//! What a Deployment's status says about its pods. Pure.

use k8s_openapi::api::apps::v1::Deployment;

/// Whether all pods of a Deployment exist and have its present template.
pub fn replaced(deployment: &Deployment) -> bool {
    let desired = deployment.spec.replicas.unwrap_or(1);
    let status = deployment.status.as_ref();
    let updated = status.and_then(|status| status.updated_replicas);
    all_present(deployment) && updated.unwrap_or_default() >= desired
}

/// Whether all existing pods of a Deployment have its present template.
pub fn all_present(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else {
        return false;
    };
    status.observed_generation >= deployment.metadata.generation
        && status.replicas.unwrap_or_default() == status.updated_replicas.unwrap_or_default()
}

/// Whether a Deployment was told to have no pods and has none.
pub fn has_no_pods(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else {
        return false;
    };
    deployment.spec.replicas == Some(0)
        && status.observed_generation >= deployment.metadata.generation
        && status.replicas.unwrap_or_default() == 0
        && status.terminating_replicas.unwrap_or_default() == 0
}

/// The image of a Deployment's container.
pub fn image(deployment: &Deployment) -> Option<&str> {
    deployment
        .spec
        .template
        .spec
        .as_ref()?
        .containers
        .first()?
        .image
        .as_deref()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
    use serde_json::json;

    use super::*;

    #[test]
    fn a_deployment_whose_change_was_not_even_seen_yet_is_not_replaced() {
        let mut reader: Deployment = serde_json::from_value(json!({
            "metadata": {"name": "demo-query", "generation": 3},
            "spec": {"replicas": 2, "selector": {}, "template": {}},
            "status": {"observedGeneration": 3, "updatedReplicas": 2, "replicas": 2},
        }))
        .unwrap();
        assert!(replaced(&reader));
        reader.metadata.generation = Some(4);
        assert!(!replaced(&reader));
    }
}
