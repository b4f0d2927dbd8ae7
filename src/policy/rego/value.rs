//! Values of records as the engine has them.

use regorus::Value;

use crate::core::record::json;

/// Returns a value for the engine.
pub(super) fn of_json(value: &json::Value<'_>) -> Value {
    match value {
        json::Value::Null => Value::Null,
        json::Value::Bool(is) => Value::from(*is),
        json::Value::Number(number) => {
            number.integer().map_or_else(|| Value::from(number.get()), Value::from)
        }
        json::Value::String(text) => Value::from(text.as_ref()),
        json::Value::Array(values) => Value::from(values.iter().map(of_json).collect::<Vec<_>>()),
        json::Value::Object(object) => of_object(object),
    }
}

/// Returns an object for the engine.
pub(super) fn of_object(object: &json::Object<'_>) -> Value {
    let members = object.members().iter();
    members
        .map(|(name, value)| (Value::from(name.as_ref()), of_json(value)))
        .collect::<std::collections::BTreeMap<_, _>>()
        .into()
}
