//! The rules that the API server evaluates (CEL), evaluated here on accepted and refused objects: each rule refuses something
//! and says what to do.

mod refused;
mod schema;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::refused::refused;
use self::schema::{SCHEMA, broken, misshapen, with_defaults};

fn platform(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({
        "apiVersion": "wallex.dev/v1alpha1",
        "kind": "WalletPlatform",
        "metadata": {"name": "demo", "namespace": "wallex"},
        "spec": {
            "image": "localhost/wallex:dev",
            "database": {"secretRef": {"name": "demo-database"}},
            "kafka": {"bootstrapServers": "10.89.0.1:9092"},
        },
    });
    change(&mut object);
    with_defaults(&SCHEMA, &mut object);
    object
}

fn messages(object: &Value, old: Option<&Value>) -> BTreeSet<String> {
    let mut messages = BTreeSet::new();
    broken(&SCHEMA, object, old, &mut messages);
    messages
}

#[test]
fn each_refused_object_breaks_one_rule_which_says_what_to_do() {
    for (message, object, old) in refused() {
        let said = messages(&object, old.as_ref());
        assert_eq!(said.len(), 1, "{message}: {said:?} of {object}");
        assert!(
            said.iter().all(|said| said.starts_with(message)),
            "{message}: {said:?}"
        );
    }
}

#[test]
fn what_has_an_enum_a_pattern_or_bounds_is_refused_where_kubernetes_would_refuse_it_later() {
    let affinity =
        |term: &Value| json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    let node = |expression: &Value| {
        let terms = json!({"nodeSelectorTerms": [{"matchExpressions": [expression]}]});
        json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}})
    };
    let source = |source: &Value| json!([{"name": "A", "valueFrom": source}]);
    for (field, value, ok) in [
        ("tolerations", json!([{"key": "a", "effect": "NoShedule"}]), false),
        ("tolerations", json!([{"key": "a", "operator": "Exist"}]), false),
        (
            "tolerations",
            json!([{"key": "a", "operator": "Exists", "effect": "NoExecute"}]),
            true,
        ),
        ("affinity", affinity(&json!({"topologyKey": ""})), false),
        (
            "affinity",
            affinity(
                &json!({"topologyKey": "zone", "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Gt"}]}}),
            ),
            false,
        ),
        (
            "affinity",
            affinity(
                &json!({"topologyKey": "zone", "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}),
            ),
            true,
        ),
        (
            "affinity",
            node(&json!({"key": "a", "operator": "in", "values": ["b"]})),
            false,
        ),
        (
            "affinity",
            node(&json!({"key": "a", "operator": "Gt", "values": ["1"]})),
            true,
        ),
        (
            "affinity",
            json!({"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 101, "podAffinityTerm": {"topologyKey": "zone"}},
            ]}}),
            false,
        ),
        (
            "topologySpreadConstraints",
            json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "nodeTaintsPolicy": "Honour"}]),
            false,
        ),
        (
            "extraEnv",
            source(&json!({"secretKeyRef": {"name": "", "key": "a"}})),
            false,
        ),
        ("extraEnv", source(&json!({"secretKeyRef": {"key": "a"}})), false),
        (
            "extraEnv",
            source(&json!({"configMapKeyRef": {"name": "a", "key": "a/b"}})),
            false,
        ),
        (
            "extraEnv",
            source(&json!({"fieldRef": {"fieldPath": "metadata.nane"}})),
            false,
        ),
        (
            "extraEnv",
            source(&json!({"fieldRef": {"fieldPath": "metadata.labels['a/b']"}})),
            true,
        ),
        (
            "extraEnv",
            source(&json!({"resourceFieldRef": {"resource": "limits.memroy"}})),
            false,
        ),
    ] {
        let object = platform(|object| object["spec"]["query"] = json!({field: value}));
        let mut found = Vec::new();
        misshapen(&SCHEMA, &object, "", &mut found);
        assert_eq!(found.is_empty(), ok, "{value}: {found:?}");
    }
}

#[test]
fn every_rule_of_the_schema_refuses_something_here() {
    fn all(schema: &Value, found: &mut BTreeSet<String>) {
        match schema {
            Value::Object(fields) => {
                for rule in schema["x-kubernetes-validations"]
                    .as_array()
                    .into_iter()
                    .flatten()
                {
                    found.insert(rule["message"].as_str().unwrap().to_owned());
                }
                fields.values().for_each(|field| all(field, found));
            }
            Value::Array(elements) => elements.iter().for_each(|element| all(element, found)),
            _ => {}
        }
    }
    let mut rules = BTreeSet::new();
    all(&SCHEMA, &mut rules);
    let tested: BTreeSet<String> = refused()
        .iter()
        .flat_map(|(_, object, old)| messages(object, old.as_ref()))
        .collect();
    assert_eq!(rules, tested);
}

#[test]
fn an_object_that_says_everything_is_accepted() {
    let full = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/examples/full-platform.yaml"
    ))
    .unwrap();
    let mut full: Value = serde_yaml_ng::from_str(&full).unwrap();
    with_defaults(&SCHEMA, &mut full);
    let usual = [
        ("docker.io/library/wallex", "k:9092"),
        (
            "localhost:5000/a/b_c--d:v1.2-rc.1",
            "kafka-0.kafka.svc.cluster.local:9092,10.0.0.1:9093",
        ),
        (
            "r.example.com/wallex:1@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "[fd00::1]:9092",
        ),
    ];
    let usual = usual.map(|(image, servers)| {
        platform(|object| {
            object["spec"]["image"] = json!(image);
            object["spec"]["kafka"]["bootstrapServers"] = json!(servers);
            object["spec"]["tracing"] = json!({"endpoint": "http://otel.monitoring:4318/v1"});
            object["spec"]["query"] = json!({
                "podLabels": {"example.com/Team_1": "a.b", "empty": ""},
                "podAnnotations": {"sidecar.istio.io/inject": "true"},
                "nodeSelector": {"kubernetes.io/arch": "amd64"},
                "tolerations": [{"operator": "Exists"}, {"key": "a", "effect": "NoExecute", "tolerationSeconds": 5}],
                "resources": {
                    "requests": {"cpu": "1500m", "memory": "1Gi", "example.com/gpu": 1, "hugepages-2Mi": "4Mi"},
                    "limits": {"cpu": 2, "memory": "1024Mi", "ephemeral-storage": "1G"},
                },
            });
        })
    });
    for object in [platform(|_| {}), full].into_iter().chain(usual) {
        assert_eq!(messages(&object, Some(&object)), BTreeSet::new());
        let mut found = Vec::new();
        misshapen(&SCHEMA, &object, "", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}

#[test]
fn autoscaling_is_accepted_up_to_the_partitions_and_with_a_request_or_a_limit_of_cpu() {
    let object = platform(|object| {
        let spec = &mut object["spec"];
        spec["autoscaling"] = json!({"driver": "KEDA"});
        spec["projectors"] = json!({"ledger": {"autoscaling": {"minReplicas": 10, "maxReplicas": 10}}});
        // The default request.
        spec["command"] = json!({"autoscaling": {"maxReplicas": 256}});
        spec["query"] = json!({"autoscaling": {"maxReplicas": 2}, "resources": {"limits": {"cpu": 1}}});
    });
    assert_eq!(messages(&object, None), BTreeSet::new());
    assert_eq!(
        object["spec"]["projectors"]["ledger"]["autoscaling"]["lagThreshold"],
        1000
    );
    assert_eq!(object["spec"]["query"]["autoscaling"]["cpuUtilization"], 70);
    assert_eq!(object["spec"]["query"]["autoscaling"]["minReplicas"], 1);
}

#[test]
fn secrets_partitions_and_the_topic_of_dead_letters_may_change() {
    let old = platform(|_| {});
    let new = platform(|object| {
        object["spec"]["database"] =
            json!({"secretRef": {"name": "other"}, "readSecretRef": {"name": "read"}});
        object["spec"]["partitions"] = json!(4);
        object["spec"]["kafka"]["topics"] = json!({"deadLetters": {"name": "other-dlq"}});
    });
    assert_eq!(messages(&new, Some(&old)), BTreeSet::new());
}
