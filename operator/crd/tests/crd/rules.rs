//! The rules that the API server evaluates (CEL), evaluated here on accepted and refused objects: each rule refuses something,
//! and says what to do.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use cel::extractors::This;
use serde_json::{Value, json};
use wallex_crd::crd_yaml;

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

/// The number that a quantity is; Kubernetes' library of CEL compares them exactly.
fn amount(text: &str) -> f64 {
    let digits = text
        .find(|c: char| !"0123456789.+-".contains(c))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let factor = match suffix {
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        other => panic!("{other}"),
    };
    number.parse::<f64>().unwrap() * factor
}

/// Where `object` is not of the shape that the schema asks for: enums, patterns, bounds and required fields.
fn misshapen(schema: &Value, object: &Value, path: &str, found: &mut Vec<String>) {
    let fits = |keyword: &str, fits: &dyn Fn(&Value) -> bool| schema.get(keyword).is_none_or(fits);
    let text = object.as_str();
    let ok = fits("enum", &|values| values.as_array().unwrap().contains(object))
        && fits("pattern", &|pattern| {
            text.is_none_or(|text| {
                regex::Regex::new(pattern.as_str().unwrap())
                    .unwrap()
                    .is_match(text)
            })
        })
        && fits("minLength", &|least| {
            text.is_none_or(|text| text.len() as u64 >= least.as_u64().unwrap())
        })
        && fits("minimum", &|least| {
            object
                .as_f64()
                .is_none_or(|number| number >= least.as_f64().unwrap())
        })
        && fits("maximum", &|most| {
            object
                .as_f64()
                .is_none_or(|number| number <= most.as_f64().unwrap())
        })
        && fits("required", &|names| {
            names
                .as_array()
                .unwrap()
                .iter()
                .all(|name| object.get(name.as_str().unwrap()).is_some())
        });
    if !ok {
        found.push(path.to_owned());
    }
    match object {
        Value::Object(fields) => {
            for (name, field) in fields {
                let inner = schema["properties"]
                    .get(name)
                    .unwrap_or(&schema["additionalProperties"]);
                misshapen(inner, field, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(elements) => {
            for element in elements {
                misshapen(&schema["items"], element, path, found);
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
        context
            .add_function("quantity", |text: Arc<String>| amount(&text))
            .unwrap();
        context
            .add_function("compareTo", |This(left): This<f64>, right: f64| {
                left.total_cmp(&right) as i64
            })
            .unwrap();
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
        one("a name has lower case letters", |object| {
            object["spec"]["imagePullSecrets"] = json!([{"name": "My Registry"}]);
        }),
        one("a name has lower case letters", |object| {
            object["spec"]["database"]["secretRef"]["name"] = json!("Demo_Database");
        }),
        one("a key has letters", |object| {
            object["spec"]["database"]["secretRef"]["key"] = json!("url/of");
        }),
        one("a name has lower case letters", |object| {
            object["spec"]["kafka"]["tls"] = json!({"caSecretRef": {"name": "-ca"}});
        }),
        one("caSecretRef and caConfigMapRef both say", |object| {
            object["spec"]["database"]["caSecretRef"] = json!({"name": "ca"});
            object["spec"]["database"]["caConfigMapRef"] = json!({"name": "ca"});
        }),
        one("caSecretRef and caConfigMapRef both say", |object| {
            object["spec"]["kafka"]["tls"] =
                json!({"caSecretRef": {"name": "ca"}, "caConfigMapRef": {"name": "ca"}});
        }),
        one("caSecretRef and caConfigMapRef both say", |object| {
            object["spec"]["redis"] = json!({
                "secretRef": {"name": "redis"}, "caSecretRef": {"name": "ca"}, "caConfigMapRef": {"name": "ca"},
            });
        }),
        one("a name has lower case letters", |object| {
            object["spec"]["kafka"]["tls"] = json!({"caConfigMapRef": {"name": "Trust"}});
        }),
        one("a key has letters", |object| {
            object["spec"]["redis"] =
                json!({"secretRef": {"name": "redis"}, "caConfigMapRef": {"name": "ca", "key": "a/b"}});
        }),
        one("a key has letters", |object| {
            object["spec"]["kafka"]["sasl"] = json!({"secretRef": {"name": "user", "usernameKey": "a b"}});
        }),
        one("not an address of a collector", |object| {
            object["spec"]["tracing"] = json!({"endpoint": "https://collector:4318"});
        }),
        one("not an address of a collector", |object| {
            object["spec"]["tracing"] = json!({"endpoint": "http://:4318"});
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
        one("autoscaling by CPU needs a CPU request", |object| {
            object["spec"]["query"] =
                json!({"autoscaling": {"maxReplicas": 4}, "resources": {"requests": {"memory": "64Mi"}}});
        }),
        one("autoscaling by CPU needs a CPU request", |object| {
            object["spec"]["command"] = json!({"autoscaling": {"maxReplicas": 4}, "resources": {}});
        }),
        one("a currency of ISO 4217 keeps its decimal digits", |object| {
            object["spec"]["currencies"] =
                json!([{"code": "POINTS", "exponent": 0}, {"code": "EUR", "exponent": 3}]);
        }),
        one("a currency of ISO 4217 keeps its decimal digits", |object| {
            object["spec"]["currencies"] = json!([{"code": "JPY", "exponent": 2}]);
        }),
        (
            "a currency's exponent can't change",
            platform(|object| object["spec"]["currencies"] = json!([{"code": "POINTS", "exponent": 2}])),
            Some(platform(|object| {
                object["spec"]["currencies"] = json!([{"code": "POINTS", "exponent": 0}]);
            })),
        ),
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
    for image in [
        "  ",
        " wallex:1",
        "wallex: 1",
        "http://registry/wallex:1",
        "Wallex",
        "wallex:",
        "wallex@sha256:12",
        "a//b",
    ] {
        cases.push(one("not an image reference", |object| {
            object["spec"]["image"] = json!(image);
        }));
    }
    for servers in [
        "http://kafka:9092",
        "SASL_SSL://kafka:9092",
        "kafka",
        "kafka:",
        "kafka:0",
        "kafka:65536",
        "kafka:9092,",
        ",kafka:9092",
        "a:9092,,b:9092",
        "a:9092, b:9092",
        " a:9092",
        "a:9092;b:9092",
        "   ",
        ":9092",
        "u:p@kafka:9092",
        "fd00::1:9092",
    ] {
        cases.push(one("not a list of brokers", |object| {
            object["spec"]["kafka"]["bootstrapServers"] = json!(servers);
        }));
    }
    for topic in ["events", "deadLetters"] {
        for name in ["__consumer_offsets", "__x", ".", "..", "wallex-topic-owners"] {
            cases.push(one("this topic name is reserved", |object| {
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
        cases.push(config(
            "set retentionHours instead of retention.ms",
            "retention.ms",
            "5",
        ));
        cases.push(config(
            "set retentionHours instead of retention.ms",
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
            pods("not a key", "podLabels", json!({"bad key!": "x"})),
            pods("not a key", "podLabels", json!({"a/b/c": "x"})),
            pods("not a key", "podLabels", json!({"Example.com/a": "x"})),
            pods("not a label value", "podLabels", json!({"a": "-x"})),
            pods("not a key", "podAnnotations", json!({"": "x"})),
            pods("not a key", "podAnnotations", json!({"a".repeat(64): "x"})),
            pods("not a key", "nodeSelector", json!({"a b": "x"})),
            pods("not a label value", "nodeSelector", json!({"a": "x y"})),
            pods("not a resource", "resources", json!({"limits": {"memroy": "1Gi"}})),
            pods("not a resource", "resources", json!({"requests": {"CPU": 1}})),
            pods("an amount must not be negative", "resources", json!({"limits": {"memory": "-1Gi"}})),
            pods("an amount must not be negative", "resources", json!({"requests": {"cpu": -1}})),
            pods(
                "requests must not be above limits",
                "resources",
                json!({"requests": {"memory": "1Gi", "cpu": "100m"}, "limits": {"memory": "1000Mi", "cpu": 1}}),
            ),
            pods(
                "requests must not be above limits",
                "resources",
                json!({"requests": {"cpu": 2}, "limits": {"cpu": "1900m"}}),
            ),
            pods("a toleration without a key", "tolerations", json!([{"effect": "NoSchedule"}])),
            pods("tolerationSeconds needs effect", "tolerations", json!([{"key": "a", "tolerationSeconds": 5}])),
            pods("not a key", "tolerations", json!([{"key": "-a"}])),
            pods("not a label value", "tolerations", json!([{"key": "a", "value": "-"}])),
            pods(
                "minDomains needs",
                "topologySpreadConstraints",
                json!([{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}]),
            ),
            pods("a name has lower case letters", "priorityClassName", json!("Very High")),
            pods("the name of a variable has letters", "extraEnv", json!([{"name": "1A", "value": "x"}])),
            pods("the name of a variable has letters", "extraEnv", json!([{"name": "A=B", "value": "x"}])),
            pods("valueFrom names one source", "extraEnv", json!([{"name": "A", "valueFrom": {}}])),
            pods(
                "valueFrom names one source",
                "extraEnv",
                json!([{"name": "A", "valueFrom": {
                    "fieldRef": {"fieldPath": "metadata.name"}, "secretKeyRef": {"name": "a", "key": "b"},
                }}]),
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
