//! Whether a live object still matches everything a manifest states. Pure.
//!
//! Fields that the manifest does not state are ignored here: API server defaults, other controllers' annotations, injected
//! sidecars (`drift` checks those). Lists of named objects are compared by name, others element by element.

use serde_json::Value;

/// Whether each field of `wanted` is in `live` with the same value.
pub fn contains(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            live.get(key)
                .map_or_else(|| is_empty(wanted), |live| contains(live, wanted))
        }),
        (Value::Array(live), Value::Array(wanted)) => match keyed(wanted) {
            Some(key) => wanted.iter().all(|wanted| {
                live.iter()
                    .find(|live| live.get(key) == wanted.get(key))
                    .is_some_and(|live| contains(live, wanted))
            }),
            None => {
                live.len() == wanted.len()
                    && live
                        .iter()
                        .zip(wanted)
                        .all(|(live, wanted)| contains(live, wanted))
            }
        },
        // The API server normalizes quantities: 1000m comes back as 1.
        (Value::String(live), Value::String(wanted)) => live == wanted || same_quantity(live, wanted),
        (live, wanted) => live == wanted,
    }
}

/// The API server drops empty values.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Array(elements) => elements.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The field by which all elements of a list can be told apart.
pub(super) fn keyed(list: &[Value]) -> Option<&'static str> {
    ["uid", "name"].into_iter().find(|key| {
        !list.is_empty()
            && list
                .iter()
                .all(|element| element.get(key).is_some_and(Value::is_string))
    })
}

fn same_quantity(left: &str, right: &str) -> bool {
    matches!((quantity(left), quantity(right)), (Some(left), Some(right)) if left == right)
}

/// A Kubernetes quantity in thousandths; none if it is not a quantity, or is finer.
fn quantity(text: &str) -> Option<i128> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.len() > 9 {
        return None;
    }
    let thousandths: i128 = match suffix {
        "m" => 1,
        "" => 1000,
        "k" => 1000 * 1000,
        "M" => 1000 * 1000_i128.pow(2),
        "G" => 1000 * 1000_i128.pow(3),
        "T" => 1000 * 1000_i128.pow(4),
        "P" => 1000 * 1000_i128.pow(5),
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        "Pi" => 1000 << 50,
        _ => return None,
    };
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let number: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scaled = number.checked_mul(thousandths)?;
    (scaled % scale == 0).then_some(scaled / scale)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_of_others_are_ignored() {
        let wanted = json!({"spec": {"replicas": 1}});
        assert!(contains(
            &json!({"spec": {"replicas": 1, "paused": false}, "status": {}}),
            &wanted
        ));
    }

    #[test]
    fn a_changed_or_missing_value_is_drift() {
        let wanted = json!({"spec": {"replicas": 1}});
        assert!(!contains(&json!({"spec": {"replicas": 2}}), &wanted));
        assert!(!contains(&json!({"spec": {}}), &wanted));
        assert!(!contains(&json!({}), &wanted));
    }

    #[test]
    fn named_elements_are_found_wherever_they_stand() {
        let wanted = json!([{"name": "b", "value": "2"}, {"name": "a", "value": "1"}]);
        let injected = json!([{"name": "x"}, {"name": "a", "value": "1"}, {"name": "b", "value": "2"}]);
        assert!(contains(&injected, &wanted));
        assert!(!contains(&json!([{"name": "a", "value": "1"}]), &wanted));
    }

    #[test]
    fn plain_lists_must_be_equal() {
        assert!(contains(&json!(["ALL"]), &json!(["ALL"])));
        assert!(!contains(&json!(["ALL", "CHOWN"]), &json!(["ALL"])));
    }

    #[test]
    fn quantities_are_equal_however_they_are_written() {
        for (left, right) in [
            ("1000m", "1"),
            ("1.5Gi", "1536Mi"),
            ("0.5", "500m"),
            ("1024Ki", "1Mi"),
            ("2k", "2000"),
        ] {
            assert!(contains(&json!(left), &json!(right)), "{left} and {right}");
        }
        assert!(!contains(&json!("1Gi"), &json!("1G")));
        assert!(!contains(&json!("v1"), &json!("v2")));
    }

    #[test]
    fn what_is_empty_may_be_absent() {
        assert!(contains(
            &json!({}),
            &json!({"emptyDir": {}, "list": [], "value": ""})
        ));
    }
}
