//! Fields: raw upstream values, typed and readable.

use super::fault::Answer;
use super::field_list::Leaf;
use super::provenance::{Owner, Provenance};
use super::scalar::{JsonValue, answered};
use ::entity::field_definition;
use async_graphql::resolver_utils::enum_value;
use async_graphql::{Context, Enum, Object, OutputType};
use serde_json::{Number, Value};
use std::borrow::Cow;
use std::sync::Arc;

/// What a field's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum FieldType {
    /// Text.
    Text,
    /// A whole or decimal number.
    Number,
    /// A date without a time of day, `2026-01-31`.
    Date,
    /// A date with a time of day, as upstream writes it.
    Datetime,
    /// True or false.
    Boolean,
    /// One of several options.
    Select,
    /// Any of several options.
    MultiSelect,
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// The external id of another profile of the source.
    Reference,
    /// A file's description.
    File,
    /// A user of the provider.
    User,
    /// Anything else, as upstream writes it.
    Json,
}

/// A field of a profile or subprofile, with its value.
pub struct Field<'a> {
    /// Key of the value.
    name: &'a str,
    raw: &'a Value,
    definition: Option<Arc<field_definition::Model>>,
    owner: Arc<Owner>,
}

/// A field of a profile or subprofile, with its value.
#[Object]
impl<'a> Field<'a> {
    /// The key under which the provider keeps the value.
    async fn name(&self) -> &str {
        self.name
    }

    /// Name for people, where it differs.
    async fn label(&self) -> Option<&str> {
        self.definition.as_ref()?.label.as_deref()
    }

    /// What its values are.
    #[graphql(name = "type")]
    async fn kind(&self) -> FieldType {
        self.field_type()
    }

    /// The value, typed: a number where the type says so; null where upstream writes a placeholder such as `0000-00-00`.
    async fn value(&self) -> Option<JsonValue<'a>> {
        typed(self.field_type(), self.raw).map(JsonValue)
    }

    /// The value as a person would read it; of a scored value its text.
    async fn text(&self) -> Option<String> {
        readable(self.raw)
    }

    /// Its definition; null where the profile's type does not list it.
    async fn definition(&self) -> Option<FieldDefinition> {
        self.definition.clone().map(FieldDefinition)
    }

    /// Where the value comes from; null where the change log no longer tells, and of a profile of the past where the field has
    /// changed since.
    async fn provenance(&self, ctx: &Context<'_>) -> Answer<Option<Provenance>> {
        Provenance::find(ctx, &self.owner, self.name).await
    }
}

impl Field<'_> {
    /// What the resolvers of this name answer.
    pub(super) fn leaf(&self, leaf: Leaf) -> async_graphql::Value {
        let text = |text: &str| async_graphql::Value::String(text.to_owned());
        match leaf {
            Leaf::TypeName => async_graphql::Value::String(<Self as OutputType>::type_name().into_owned()),
            Leaf::Name => text(self.name),
            Leaf::Label => {
                self.definition.as_ref().and_then(|known| known.label.as_deref()).map(text).unwrap_or_default()
            }
            Leaf::Type => enum_value(self.field_type()),
            Leaf::Value => typed(self.field_type(), self.raw).map(|value| answered(&value)).unwrap_or_default(),
            Leaf::Text => readable(self.raw).map(async_graphql::Value::String).unwrap_or_default(),
        }
    }

    fn field_type(&self) -> FieldType {
        match &self.definition {
            Some(definition) => type_of(definition),
            None => guess(self.raw),
        }
    }
}

/// The definition of a field.
pub struct FieldDefinition(pub(super) Arc<field_definition::Model>);

/// The definition of a field.
#[Object]
impl FieldDefinition {
    /// The key under which values stand.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The provider's own id of the field, where it has one.
    async fn external_id(&self) -> Option<&str> {
        self.0.external_id.as_deref()
    }

    /// Name for people, where it differs.
    async fn label(&self) -> Option<&str> {
        self.0.label.as_deref()
    }

    /// What its values are.
    #[graphql(name = "type")]
    async fn kind(&self) -> FieldType {
        type_of(&self.0)
    }

    /// The provider's own word for the type.
    async fn upstream_type(&self) -> &str {
        &self.0.upstream_type
    }

    /// Place among its siblings, from 0.
    async fn position(&self) -> i32 {
        self.0.position
    }
}

/// The fields of a record: those defined in their order, then the others by name. Only what the record holds;
/// `names` picks some of them.
pub(super) fn list<'a>(
    raw: &'a Value,
    definitions: &[Arc<field_definition::Model>],
    names: Option<&[String]>,
    owner: Owner,
) -> Vec<Field<'a>> {
    let Some(values) = raw.as_object() else { return Vec::new() };
    let owner = Arc::new(owner);
    let is_wanted = |name: &str| names.is_none_or(|names| names.iter().any(|one| one == name));
    let mut fields = Vec::with_capacity(values.len());
    for definition in definitions {
        if let Some((name, raw)) = values.get_key_value(&definition.name) {
            fields.push(Field { name, raw, definition: Some(Arc::clone(definition)), owner: Arc::clone(&owner) });
        }
    }
    if fields.len() < values.len() {
        let is_defined = |name: &str| definitions.iter().any(|definition| definition.name == name);
        let others = values.iter().filter(|(name, _)| !is_defined(name));
        let field =
            |(name, raw): (&'a String, &'a Value)| Field { name, raw, definition: None, owner: Arc::clone(&owner) };
        let mut others: Vec<_> = others.map(field).collect();
        others.sort_by_key(|field| field.name);
        fields.extend(others);
    }
    fields.retain(|field| is_wanted(field.name));
    fields
}

/// What the providers call their types, whichever case they write them in.
const WORDS: [(&str, FieldType); 24] = [
    ("text", FieldType::Text),
    ("short_text", FieldType::Text),
    ("big", FieldType::Text),
    ("string", FieldType::Text),
    ("country_code", FieldType::Text),
    ("integer", FieldType::Number),
    ("float", FieldType::Number),
    ("number", FieldType::Number),
    ("decimal", FieldType::Number),
    ("date", FieldType::Date),
    ("empty_date", FieldType::Date),
    ("datetime", FieldType::Datetime),
    ("empty_datetime", FieldType::Datetime),
    ("boolean", FieldType::Boolean),
    ("bool", FieldType::Boolean),
    ("select", FieldType::Select),
    ("checkbox", FieldType::MultiSelect),
    ("email", FieldType::Email),
    ("phone", FieldType::Phone),
    ("phone_fax", FieldType::Phone),
    ("phone_gsm", FieldType::Phone),
    ("foreign_key", FieldType::Reference),
    ("file", FieldType::File),
    ("user_assignment", FieldType::User),
];

fn type_of(definition: &field_definition::Model) -> FieldType {
    if definition.is_reference {
        return FieldType::Reference;
    }
    let known = WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(&definition.upstream_type));
    known.map_or(FieldType::Json, |(_, kind)| *kind)
}

fn guess(raw: &Value) -> FieldType {
    match raw {
        Value::String(_) => FieldType::Text,
        Value::Number(_) => FieldType::Number,
        Value::Bool(_) => FieldType::Boolean,
        Value::Object(object) => match object.get("value") {
            Some(inner) if !inner.is_object() => guess(inner),
            _ => FieldType::Json,
        },
        Value::Null | Value::Array(_) => FieldType::Json,
    }
}

fn typed(kind: FieldType, raw: &Value) -> Option<Cow<'_, Value>> {
    let text = match raw {
        Value::Null => return None,
        Value::String(text) => text.as_str(),
        other => return Some(Cow::Borrowed(other)),
    };
    match kind {
        FieldType::Number if text.trim().is_empty() => None,
        FieldType::Number => Some(number(text.trim()).map_or(Cow::Borrowed(raw), Cow::Owned)),
        FieldType::Date | FieldType::Datetime if is_no_date(text) => None,
        FieldType::Reference if text.is_empty() || text == "0" => None,
        FieldType::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Some(Cow::Owned(Value::Bool(true))),
            "false" | "no" | "0" => Some(Cow::Owned(Value::Bool(false))),
            "" => None,
            _ => Some(Cow::Borrowed(raw)),
        },
        _ => Some(Cow::Borrowed(raw)),
    }
}

/// Whole numbers that a double cannot hold stay text, so that no client rounds them.
fn number(text: &str) -> Option<Value> {
    const EXACT: i64 = 1 << 53;
    match text.parse::<i64>() {
        Ok(whole) if (-EXACT..=EXACT).contains(&whole) => Some(Value::from(whole)),
        Ok(_) => None,
        Err(_) if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => None,
        Err(_) => text.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number),
    }
}

fn is_no_date(text: &str) -> bool {
    matches!(text.trim(), "" | "0000-00-00" | "0000-00-00 00:00:00")
}

fn readable(raw: &Value) -> Option<String> {
    match raw {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(raw.to_string()),
        Value::Array(list) => Some(list.iter().filter_map(readable).collect::<Vec<_>>().join(", ")),
        Value::Object(object) => match object.get("value") {
            Some(inner) => readable(inner),
            None => Some(raw.to_string()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn upstream_strings_are_typed_by_their_definition() {
        let cases = [
            (FieldType::Number, json!("12"), Some(json!(12))),
            (FieldType::Number, json!("-1"), Some(json!(-1))),
            (FieldType::Number, json!("12.50"), Some(json!(12.5))),
            (FieldType::Number, json!(""), None),
            (FieldType::Number, json!("9007199254740993"), Some(json!("9007199254740993"))),
            (FieldType::Number, json!("99999999999999999999"), Some(json!("99999999999999999999"))),
            (FieldType::Date, json!("0000-00-00"), None),
            (FieldType::Date, json!("1980-02-29"), Some(json!("1980-02-29"))),
            (FieldType::Datetime, json!("0000-00-00 00:00:00"), None),
            (FieldType::Reference, json!("0"), None),
            (FieldType::Reference, json!("77"), Some(json!("77"))),
            (FieldType::Text, json!(""), Some(json!(""))),
            (FieldType::Json, json!({"a": 1}), Some(json!({"a": 1}))),
        ];
        for (kind, raw, expected) in cases {
            assert_eq!(typed(kind, &raw).map(Cow::into_owned), expected, "{kind:?} {raw}");
        }
    }

    #[test]
    fn scored_values_read_as_their_value() {
        assert_eq!(readable(&json!({"value": "Alex", "confidence": 0.9})).unwrap(), "Alex");
        assert_eq!(readable(&json!([{"value": "a"}, {"value": "b"}])).unwrap(), "a, b");
        assert_eq!(guess(&json!({"value": "Alex", "confidence": 0.9})), FieldType::Text);
    }
}
