//! How the value of one field is read out of a JSON document of fields: as text, folded text, number or date.
//!
//! Part of the dialect. A name stands in the SQL itself and not as a bound value: an index serves an expression only
//! where the two are equal to the letter. `mirror::field` reads a value in memory by the same rules.

use super::Dialect;

/// What a value is read as. Each is what an index may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum FieldAs {
    /// Its text with ASCII letters in lower case.
    Text,
    /// A number.
    Number,
    /// `YYYY-MM-DD HH:MM:SS` in UTC.
    Date,
}

impl FieldAs {
    /// Every reading.
    pub const ALL: [Self; 3] = [Self::Text, Self::Number, Self::Date];
}

/// Longest text that is taken for a number: sign, point and 15 digits, which a double holds exactly.
pub const MAX_NUMBER_LENGTH: usize = 17;

/// The SQL of one reading of a field; `column` is the SQL of the JSON column.
pub fn field_as(dialect: Dialect, column: &str, name: &str, reading: FieldAs) -> String {
    match reading {
        FieldAs::Text => folded(dialect, column, name),
        FieldAs::Number => number(dialect, column, name),
        FieldAs::Date => date(dialect, column, name),
    }
}

/// The SQL of a field's text, and where the field is an object with a `value` (a scored value), of the text of that;
/// null where it is absent. `true` and `false` read so on both.
pub fn field_text(dialect: Dialect, column: &str, name: &str) -> String {
    match dialect {
        Dialect::Sqlite => {
            let text = |place: &str| {
                format!(
                    "CASE json_type({column}, {place}) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' \
                     ELSE CAST(json_extract({column}, {place}) AS TEXT) END"
                )
            };
            format!("COALESCE({}, {})", text(&path(name, ".value")), text(&path(name, "")))
        }
        Dialect::Postgres => {
            let name = literal(name);
            format!("COALESCE({column} -> {name} ->> 'value', {column} ->> {name})")
        }
    }
}

fn folded(dialect: Dialect, column: &str, name: &str) -> String {
    let text = field_text(dialect, column, name);
    match dialect {
        Dialect::Sqlite => format!("lower({text})"),
        Dialect::Postgres => format!("lower({text} COLLATE \"C\")"),
    }
}

/// The SQL of a field's value as JSON, of a scored one its value.
fn json(dialect: Dialect, column: &str, name: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("COALESCE({column} -> {}, {column} -> {})", path(name, ".value"), path(name, "")),
        Dialect::Postgres => {
            let name = literal(name);
            format!("COALESCE({column} -> {name} -> 'value', {column} -> {name})")
        }
    }
}

/// A JSON number, or a text of digits with a sign and a point at most. SQLite has no regular expressions: there the
/// value is looked at as JSON, a text in its quotes.
fn number(dialect: Dialect, column: &str, name: &str) -> String {
    let value = json(dialect, column, name);
    match dialect {
        Dialect::Sqlite => format!(
            "CASE WHEN {value} GLOB '[0-9-]*' THEN CAST({value} AS REAL) \
             WHEN (({value} GLOB '\"[0-9]*') OR ({value} GLOB '\"-[0-9]*')) AND ({value} GLOB '*[0-9]\"') \
             AND length({value}) <= {} AND NOT ({value} GLOB '\"*[^0-9.-]*\"') AND NOT ({value} GLOB '\"?*-*') \
             AND NOT ({value} GLOB '*.*.*') THEN CAST(trim({value}, '\"') AS REAL) END",
            MAX_NUMBER_LENGTH + 2
        ),
        Dialect::Postgres => format!(
            "CASE jsonb_typeof({value}) WHEN 'number' THEN ({value} #>> '{{}}')::float8 WHEN 'string' THEN \
             CASE WHEN length({value} #>> '{{}}') <= {MAX_NUMBER_LENGTH} \
             AND ({value} #>> '{{}}') ~ '^-?[0-9]+([.][0-9]*[0-9])?$' THEN ({value} #>> '{{}}')::float8 END END"
        ),
    }
}

const GLOB_DAY: &str = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]";
const GLOB_TIME: &str = "[ T][0-9][0-9]:[0-9][0-9]:[0-9][0-9]";
const GLOB_FRACTIONS: [&str; 3] = ["", ".[0-9][0-9][0-9]", ".[0-9][0-9][0-9][0-9][0-9][0-9]"];
const GLOB_ZONES: [&str; 3] = ["", "Z", "+00:00"];

/// A day, or a day with a time of day in UTC or without a zone, to the second.
fn date(dialect: Dialect, column: &str, name: &str) -> String {
    match dialect {
        Dialect::Sqlite => {
            let value = json(dialect, column, name);
            let forms = GLOB_FRACTIONS.iter().flat_map(|fraction| GLOB_ZONES.iter().map(move |zone| (fraction, zone)));
            let is_time: Vec<String> = forms
                .map(|(fraction, zone)| format!("({value} GLOB '\"{GLOB_DAY}{GLOB_TIME}{fraction}{zone}\"')"))
                .collect();
            format!(
                "CASE WHEN {value} GLOB '\"0000*' THEN NULL \
                 WHEN {value} GLOB '\"{GLOB_DAY}\"' THEN substr({value}, 2, 10) || ' 00:00:00' \
                 WHEN {} THEN substr({value}, 2, 10) || ' ' || substr({value}, 13, 8) END",
                is_time.join(" OR ")
            )
        }
        Dialect::Postgres => {
            let text = field_text(dialect, column, name);
            let day = "[0-9]{4}-[0-9]{2}-[0-9]{2}";
            format!(
                "(CASE WHEN {text} ~ '^0000' THEN NULL WHEN {text} ~ '^{day}$' THEN ({text}) || ' 00:00:00' \
                 WHEN {text} ~ '^{day}[ T][0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}([.][0-9]{{3}}([0-9]{{3}})?)?(Z|[+]00:00)?$' \
                 THEN substr({text}, 1, 10) || ' ' || substr({text}, 12, 8) END) COLLATE \"C\""
            )
        }
    }
}

/// The path of a field in SQLite's language for JSON, as a literal.
fn path(name: &str, rest: &str) -> String {
    literal(&format!("$.\"{}\"{rest}", name.replace('\\', "\\\\").replace('"', "\\\"")))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
