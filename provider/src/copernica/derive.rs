//! What the field definitions of a database tell about a profile.

use crate::{Derived, FieldSeen, Reference, json};
use serde_json::{Map, Value};

/// Reads e-mail address, name and references. The address stands in the field of type `email` (one a
/// database), else in one that is called so; the name in `name`, else in first and last name.
pub(super) fn derive(fields: &Map<String, Value>, definitions: &[FieldSeen]) -> Derived {
    let text = |name: &str| fields.get(name).and_then(json::scalar).map(|text| text.trim().to_owned());
    let text = |name: &str| text(name).filter(|text| !text.is_empty());
    // Field names are case-insensitive upstream.
    let named = |names: &[&str]| {
        names
            .iter()
            .find_map(|wanted| fields.keys().filter(|key| key.eq_ignore_ascii_case(wanted)).find_map(|key| text(key)))
    };
    let typed = definitions.iter().find(|field| field.upstream_type == "email");
    let email = match typed {
        // Where one is defined, an empty one means that there is no address.
        Some(field) => text(&field.name),
        None => named(&["email", "mail", "e_mail", "e-mail", "email_address", "emailaddress"]),
    };
    let parts = [
        named(&["firstname", "first_name", "given_name"]),
        named(&["lastname", "last_name", "surname", "family_name"]),
    ];
    let full = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let display_name = named(&["name", "full_name", "fullname"]).or_else(|| (!full.is_empty()).then_some(full));
    let references = definitions.iter().filter(|field| field.is_reference).filter_map(|field| {
        let to = text(&field.name).filter(|to| to != "0")?;
        Some(Reference { field: field.name.clone(), to })
    });
    Derived { display_name, email, references: references.collect() }
}
