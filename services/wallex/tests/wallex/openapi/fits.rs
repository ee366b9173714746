//! Whether a value fits a schema: the part of JSON Schema that the description uses, without patterns and formats.

use serde_json::Value;

/// The schema behind a reference.
pub(super) fn resolved<'a>(description: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(at) => {
            let target = description.pointer(at.trim_start_matches('#'));
            resolved(description, target.unwrap_or_else(|| panic!("{at} is nowhere")))
        }
        None => schema,
    }
}

/// Where and why the value does not fit; `Ok` if it does.
pub(super) fn fits(description: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let schema = resolved(description, schema);
    if let Some(several) = schema["oneOf"].as_array() {
        let tried = several.iter().map(|one| fits(description, one, value, at));
        let (fitting, others): (Vec<_>, Vec<_>) = tried.partition(Result::is_ok);
        return match fitting.len() {
            1 => Ok(()),
            many => Err(format!("{at} fits {many} of several: {others:?}")),
        };
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        return Err(format!("{at} is {value}, not one of {values:?}"));
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect::<Vec<_>>(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is(kind, value)) {
        return Err(format!("{at} is {value}, not {kinds:?}"));
    }
    match value {
        Value::Object(members) => {
            for name in schema["required"].as_array().into_iter().flatten() {
                let name = name.as_str().unwrap_or_default();
                if !members.contains_key(name) {
                    return Err(format!("{at} lacks {name}"));
                }
            }
            for (name, member) in members {
                let at = format!("{at}/{name}");
                match (&schema["properties"][name], &schema["additionalProperties"]) {
                    (Value::Null, Value::Bool(false)) => return Err(format!("{at} is not known")),
                    (Value::Null, others @ Value::Object(_)) => fits(description, others, member, &at)?,
                    (Value::Null, Value::Bool(true)) => {}
                    (Value::Null, _) => return Err(format!("{at} is not described")),
                    (known, _) => fits(description, known, member, &at)?,
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                fits(description, &schema["items"], item, &format!("{at}/{index}"))?;
            }
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or_default();
            let (low, high) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
            if low.is_some_and(|low| number < low) || high.is_some_and(|high| number > high) {
                return Err(format!("{at} is {number}, beyond {low:?} or {high:?}"));
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
    Ok(())
}

fn is(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}
