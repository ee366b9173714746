//! The rules that the API server evaluates (CEL), evaluated here on accepted and refused objects: each rule refuses something,
//! and says what to do.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value, json};
use wallex_operator::crd::crd_yaml;

/// The schema of the object.
static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let crd: Value = serde_yaml_ng::from_str(&crd_yaml().unwrap()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
});

/// The object as the API server sees it before it asks the rules: with the schema's defaults.
fn with_defaults(schema: &Value, object: &mut Value) {
    if let (Some(properties), Value::Object(fields)) = (schema["properties"].as_object(), &mut *object) {
        for (name, property) in properties {
            if let (None, Some(default)) = (fields.get(name), property.get("default")) {
                fields.insert(name.clone(), default.clone());
            }
            if let Some(field) = fields.get_mut(name) {
                with_defaults(property, field);
            }
        }
    }
    match object {
        Value::Object(fields) if schema["additionalProperties"].is_object() => {
            for field in fields.values_mut() {
                with_defaults(&schema["additionalProperties"], field);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                with_defaults(&schema["items"], element);
            }
        }
        _ => {}
    }
}

/// Messages of the rules that `object` breaks, where `old` is what it was before.
fn broken(schema: &Value, object: &Value, old: Option<&Value>, messages: &mut BTreeSet<String>) {
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let text = rule["rule"].as_str().unwrap();
        let program = cel::Program::compile(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let mut context = cel::Context::default();
        context.add_variable("self", object).unwrap();
        if text.contains("oldSelf") {
            // A rule on a transition is asked only when there is something to compare.
            let Some(old) = old else { continue };
            context.add_variable("oldSelf", old).unwrap();
        }
        match program.execute(&context) {
            Ok(cel::Value::Bool(true)) => {}
            Ok(cel::Value::Bool(false)) => {
                messages.insert(rule["message"].as_str().unwrap().to_owned());
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    match object {
        Value::Object(fields) => {
            for (name, field) in fields {
                let inner = schema["properties"]
                    .get(name)
                    .unwrap_or(&schema["additionalProperties"]);
                broken(inner, field, old.and_then(|old| old.get(name)), messages);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                broken(&schema["items"], element, None, messages);
            }
        }
        _ => {}
    }
}

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

/// Objects that break one rule each, with the beginning of what is said then.
fn refused() -> Vec<(&'static str, Value, Option<Value>)> {
    fn one(message: &'static str, change: impl FnOnce(&mut Value)) -> (&'static str, Value, Option<Value>) {
        (message, platform(change), None)
    }
    let events =
        |name: &str| platform(|object| object["spec"]["kafka"]["topics"] = json!({"events": {"name": name}}));
    let mut cases = vec![
        one("the name must have at most 40 characters", |object| {
            object["metadata"]["name"] = json!("1st");
        }),
        one("the name must have at most 40 characters", |object| {
            object["metadata"]["name"] = json!("a".repeat(41));
        }),
        (
            "the events topic can't be renamed",
            events("other-events"),
            Some(events("wallet-events")),
        ),
        one("events and deadLetters must be two topics", |object| {
            object["spec"]["kafka"]["topics"] =
                json!({"events": {"name": "wallet-events"}, "deadLetters": {"name": "wallet-events"}});
        }),
        one("readSecretRef names the same value as secretRef", |object| {
            object["spec"]["database"]["readSecretRef"] = json!({"name": "demo-database", "key": "url"});
        }),
        one(
            "projectors.ledger.autoscaling.maxReplicas must be at most",
            |object| {
                object["spec"]["projectors"] = json!({"ledger": {"autoscaling": {"maxReplicas": 11}}});
            },
        ),
        one(
            "projectors.readModel.autoscaling.maxReplicas must be at most",
            |object| {
                object["spec"]["partitions"] = json!(3);
                object["spec"]["projectors"] = json!({"readModel": {"autoscaling": {"maxReplicas": 4}}});
            },
        ),
        one("autoscaling by CPU takes a request of CPU", |object| {
            object["spec"]["query"] =
                json!({"autoscaling": {"maxReplicas": 4}, "resources": {"requests": {"memory": "64Mi"}}});
        }),
        one("autoscaling by CPU takes a request of CPU", |object| {
            object["spec"]["command"] = json!({"autoscaling": {"maxReplicas": 4}, "resources": {}});
        }),
        one("the labels app.kubernetes.io/{name,", |object| {
            object["spec"]["monitoring"] =
                json!({"serviceMonitor": {"labels": {"app.kubernetes.io/part-of": "x"}}});
        }),
    ];
    for field in [
        "/command",
        "/query",
        "/projectors/ledger",
        "/projectors/readModel",
    ] {
        cases.push(one("maxReplicas must be at least minReplicas", |object| {
            let mut spec = &mut object["spec"];
            for part in field.split('/').skip(1) {
                spec = &mut spec[part];
            }
            *spec = json!({"autoscaling": {"minReplicas": 3, "maxReplicas": 2}});
        }));
    }
    for topic in ["events", "deadLetters"] {
        for name in ["__consumer_offsets", "__x", ".", "..", "wallex-topic-owners"] {
            cases.push(one("this name is not for topics of yours", |object| {
                object["spec"]["kafka"]["topics"] = json!({topic: {"name": name}});
            }));
        }
        let config = |message: &'static str, key: &str, value: &str| {
            one(message, |object| {
                object["spec"]["kafka"]["topics"] = json!({topic: {"config": {key: value}}});
            })
        };
        cases.push(config(
            "cleanup.policy must be delete",
            "cleanup.policy",
            "compact",
        ));
        cases.push(config(
            "cleanup.policy must be delete",
            "cleanup.policy",
            "compact,delete",
        ));
        cases.push(config("say retention.ms by retentionHours", "retention.ms", "5"));
        cases.push(config(
            "say retention.ms by retentionHours",
            "compression.type",
            "lz4",
        ));
        cases.push(one("retentionHours must be at least 1", |object| {
            object["spec"]["kafka"]["topics"] = json!({topic: {"retentionHours": 0}});
        }));
    }
    for field in [
        "/command",
        "/publisher",
        "/query",
        "/projectors/ledger",
        "/projectors/readModel",
        "/jobs",
    ] {
        let pods = |message: &'static str, key: &str, value: Value| {
            one(message, |object| {
                let mut spec = &mut object["spec"];
                for part in field.split('/').skip(1) {
                    spec = &mut spec[part];
                }
                *spec = json!({key: value});
            })
        };
        cases.extend([
            pods(
                "the labels app.kubernetes.io/{name,",
                "podLabels",
                json!({"team": "payments", "app.kubernetes.io/component": "x"}),
            ),
            pods(
                "annotations that begin with wallex.dev/",
                "podAnnotations",
                json!({"wallex.dev/config-hash": "x"}),
            ),
            pods(
                "a toleration with operator Exists",
                "tolerations",
                json!([{"key": "spot"}, {"key": "dedicated", "operator": "Exists", "value": "wallex"}]),
            ),
            pods(
                "the operator sets this variable",
                "extraEnv",
                json!([{"name": "WALLEX_DATABASE_URL", "value": "postgres://elsewhere"}]),
            ),
            pods(
                "a variable has either value or valueFrom",
                "extraEnv",
                json!([{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
            ),
        ]);
    }
    cases
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
        "/tests/operator/golden/full-platform.yaml"
    ))
    .unwrap();
    let mut full: Value = serde_yaml_ng::from_str(&full).unwrap();
    with_defaults(&SCHEMA, &mut full);
    for object in [platform(|_| {}), full] {
        assert_eq!(messages(&object, Some(&object)), BTreeSet::new());
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
