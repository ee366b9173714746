//! The committed CRD and the chart's copy are what the types generate, and small enough.

use wallex_crd::crd_yaml;

const COMMITTED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../crds/walletplatforms.wallex.dev.yaml"
);
const CHART: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../charts/wallex-operator/templates/crd.yaml"
);

#[test]
fn the_committed_crd_is_the_generated_one() {
    let committed = std::fs::read_to_string(COMMITTED).unwrap();
    assert!(
        committed == crd_yaml().unwrap(),
        "crds/ is out of date: cargo run -p wallex-operator -- crd > crds/walletplatforms.wallex.dev.yaml"
    );
}

#[test]
fn the_chart_installs_the_generated_crd() {
    let chart = std::fs::read_to_string(CHART).unwrap();
    let expected = format!(
        "{{{{- if .Values.crds.install }}}}\n{}{{{{- end }}}}\n",
        crd_yaml().unwrap()
    );
    assert!(
        chart == expected,
        "charts/wallex-operator/templates/crd.yaml must be crds/… within `if .Values.crds.install`"
    );
}

#[test]
fn the_crd_survives_an_uninstall_of_the_chart() {
    assert!(crd_yaml().unwrap().contains("helm.sh/resource-policy: keep"));
}

/// `kubectl apply` keeps a copy, as compact JSON, in an annotation; all annotations together hold at most 256 KiB.
#[test]
fn the_crd_fits_a_client_side_apply() {
    let crd: serde_json::Value = serde_yaml_ng::from_str(&crd_yaml().unwrap()).unwrap();
    let copy = crd.to_string().len();
    assert!(copy < 250_000, "{copy} bytes");
}

#[test]
fn integers_say_their_size() {
    fn check(path: &str, schema: &serde_yaml_ng::Value) {
        let Some(mapping) = schema.as_mapping() else {
            return;
        };
        if schema.get("type").and_then(serde_yaml_ng::Value::as_str) == Some("integer") {
            let format = schema.get("format").and_then(serde_yaml_ng::Value::as_str);
            assert!(matches!(format, Some("int32" | "int64")), "{path}: {format:?}");
        }
        for (key, value) in mapping {
            check(&format!("{path}.{}", key.as_str().unwrap_or_default()), value);
        }
    }
    let crd: serde_yaml_ng::Value = serde_yaml_ng::from_str(&crd_yaml().unwrap()).unwrap();
    check("", &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
}

#[test]
fn every_field_of_the_spec_is_explained() {
    fn check(path: &str, schema: &serde_yaml_ng::Value) {
        let Some(properties) = schema
            .get("properties")
            .and_then(serde_yaml_ng::Value::as_mapping)
        else {
            return;
        };
        for (name, property) in properties {
            let path = format!("{path}.{}", name.as_str().unwrap());
            // Kubernetes' own type; see `kubectl explain pod.spec.affinity`.
            if path.ends_with(".affinity") {
                continue;
            }
            assert!(property.get("description").is_some(), "{path} has no description");
            check(&path, property);
        }
    }
    let crd: serde_yaml_ng::Value = serde_yaml_ng::from_str(&crd_yaml().unwrap()).unwrap();
    check(
        "",
        &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"],
    );
}
