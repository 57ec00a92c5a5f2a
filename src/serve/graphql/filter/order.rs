//! The order of a list of profiles.

use super::value::check_text;
use crate::mirror::read::{Order, SortKey, Sought};
use crate::serve::graphql::Fault;
use crate::serve::graphql::fault::Answer;
use crate::serve::graphql::word::{FieldOrder, ProfileOrderField, SortDirection};
use async_graphql::InputObject;

/// A sort key of profiles with its direction: `field` or `fieldName`.
#[derive(Clone, Debug, InputObject)]
pub struct ProfileOrder {
    /// What to sort by.
    field: Option<ProfileOrderField>,
    /// The name of one of the profiles' own fields to sort by.
    field_name: Option<String>,
    /// How the values of the field that `fieldName` names are compared.
    #[graphql(name = "as", default)]
    read_as: FieldOrder,
    /// Which way.
    #[graphql(default)]
    direction: SortDirection,
}

/// Reads an order of what is sought; at most three keys.
pub(in crate::serve::graphql) fn read_order(
    order: Option<Vec<ProfileOrder>>,
    sought: Option<&Sought>,
) -> Answer<Vec<Order>> {
    let order = order.unwrap_or_default();
    if order.len() > 3 {
        return Err(Fault::bad_input(format!("orderBy: {} keys given, at most 3 are allowed", order.len())));
    }
    order.into_iter().map(|one| one.read(sought)).collect()
}

impl ProfileOrder {
    fn read(self, sought: Option<&Sought>) -> Answer<Order> {
        let key = match (self.field, self.field_name) {
            (Some(field), None) => match field {
                ProfileOrderField::DisplayName => SortKey::DisplayName,
                ProfileOrderField::Email => SortKey::Email,
                ProfileOrderField::CreatedAt => SortKey::CreatedAt,
                ProfileOrderField::ModifiedAt => SortKey::ModifiedAt,
                ProfileOrderField::ExternalId => SortKey::ExternalId,
                ProfileOrderField::Id => SortKey::Id,
                ProfileOrderField::Relevance => SortKey::Relevance(sought.cloned().ok_or_else(|| {
                    Fault::bad_input("orderBy: RELEVANCE needs filter.search, outside of and, or and not")
                })?),
            },
            (None, Some(name)) => {
                check_text("orderBy.fieldName", &name)?;
                SortKey::Field(name, self.read_as.into())
            }
            _ => return Err(Fault::bad_input("orderBy: give either field or fieldName")),
        };
        Ok(Order { key, is_descending: self.direction == SortDirection::Desc })
    }
}
